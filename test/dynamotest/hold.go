package dynamotest

import "time"

// itemID names an item, whether it is there or not. Two tables of one name, one after the other,
// are two.
type itemID struct {
	table *table
	hash  string
	sort  string
}

// hold is what an item has while a write or a transaction of it is under way.
type hold struct {
	by   *Engine
	done chan struct{} // closed at its end; nil for a transaction, which nobody waits for
}

func (t *table) itemID(k key) itemID {
	id := itemID{table: t, hash: k.hash}
	if k.sort != nil {
		id.sort = keyText(k.sort)
	}
	return id
}

func (w *write) itemID() itemID { return w.table.itemID(w.key) }

// askForConflicts has the function of WithConflicts decide about writes. The engine's mutex is not
// held.
func (e *Engine) askForConflicts(operation string, writes ...*write) {
	if e.options.conflict == nil {
		return
	}
	for _, w := range writes {
		w.conflict = e.options.conflict(e.describeWrite(operation, w))
	}
}

// conflicts: the write is to be refused, because another one is under way.
func (e *Engine) conflicts(w *write) bool { return w.conflict || e.held[w.itemID()] != nil }

// checkPresent is for writes that were read without the mutex: their tables may have gone since.
func (e *Engine) checkPresent(writes ...*write) error {
	for _, w := range writes {
		if e.tables[w.table.name] != w.table {
			return errNoTable()
		}
	}
	return nil
}

func (e *Engine) hold(writes []*write) {
	for _, w := range writes {
		e.held[w.itemID()] = &hold{by: e}
	}
}

func (e *Engine) release(writes []*write) {
	for _, w := range writes {
		delete(e.held, w.itemID())
	}
}

// pause lets d pass. It does not end early when the caller goes away, only when the engine's server
// closes. The engine's mutex is not held.
func (e *Engine) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.closed:
	}
}
