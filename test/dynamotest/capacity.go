package dynamotest

const (
	readUnit  = 4096
	writeUnit = 1024
)

// readCapacity is what reading so many bytes costs.
func readCapacity(size int, consistent bool) float64 {
	units := float64(max(1, (size+readUnit-1)/readUnit))
	if consistent {
		return units
	}
	return units / 2
}

// writeCapacity is what writing an item costs: the larger of what it was and what it becomes
// counts.
func writeCapacity(old, changed item) float64 {
	size := max(old.size(), changed.size())
	return float64(max(1, (size+writeUnit-1)/writeUnit))
}

// transactCapacity is what an action costs in a transaction: twice what it costs alone. A check
// costs a read.
func (w *write) transactCapacity() float64 {
	if w.check {
		return w.replayCapacity()
	}
	return 2 * writeCapacity(w.old, w.new)
}

// replayCapacity is what an action costs in a transaction that was committed before: reading the
// item.
func (w *write) replayCapacity() float64 {
	return 2 * readCapacity(w.table.get(w.key).size(), true)
}

// capacityAsked says what ReturnConsumedCapacity asks for.
func (r *request) capacityAsked() (asked bool, byIndex bool, err error) {
	mode, err := r.enum("ReturnConsumedCapacity", "INDEXES", "TOTAL", "NONE")
	return mode == "INDEXES" || mode == "TOTAL", mode == "INDEXES", err
}

func (t *table) consumed(units float64, byIndex bool) reply {
	consumed := reply{"TableName": t.name, "CapacityUnits": units}
	if byIndex {
		consumed["Table"] = reply{"CapacityUnits": units}
	}
	return consumed
}

// addCapacity puts ConsumedCapacity into an answer, if the request asks for it.
func (r *request) addCapacity(answer reply, t *table, units float64) error {
	asked, byIndex, err := r.capacityAsked()
	if asked {
		answer["ConsumedCapacity"] = t.consumed(units, byIndex)
	}
	return err
}

// transactionReply lists what the actions consumed, table by table in the order of their first
// appearance.
func transactionReply(r *request, writes []*write, cost func(*write) float64) (reply, error) {
	answer := reply{}
	asked, byIndex, err := r.capacityAsked()
	if err != nil || !asked {
		return answer, err
	}
	units := map[*table]float64{}
	var tables []*table
	for _, w := range writes {
		if _, seen := units[w.table]; !seen {
			tables = append(tables, w.table)
		}
		units[w.table] += cost(w)
	}
	consumed := make([]reply, len(tables))
	for i, t := range tables {
		consumed[i] = t.consumed(units[t], byIndex)
	}
	answer["ConsumedCapacity"] = consumed
	return answer, nil
}
