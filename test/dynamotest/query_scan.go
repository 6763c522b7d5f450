package dynamotest

import "slices"

const maxSegments = 1_000_000

func (e *Engine) query(r *request) (reply, error) {
	e.lock()
	defer e.mu.Unlock()
	t, err := e.tableToRead(r)
	if err != nil {
		return nil, err
	}
	b, err := r.expressions("FilterExpression", "ProjectionExpression", "KeyConditionExpression")
	if err != nil {
		return nil, err
	}
	if !r.has("KeyConditionExpression") {
		return nil, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	pg, err := readPage(r, t, b)
	if err != nil {
		return nil, err
	}
	kc, err := newKeyCondition(r.text("KeyConditionExpression"), b, t)
	if err != nil {
		return nil, err
	}
	if err := b.checkUnused(); err != nil {
		return nil, err
	}
	if pg.filter != nil {
		if name := pg.filter.keyUsed(t); name != "" {
			return nil, invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: " + name)
		}
	}
	if err := firstError(pg.readSelect(r), pg.readStart(r)); err != nil {
		return nil, err
	}
	if err := kc.checkStart(pg.start, t); err != nil {
		return nil, err
	}
	backward := r.has("ScanIndexForward") && !r.flag("ScanIndexForward")
	if r.err != nil {
		return nil, r.err
	}
	pg.complete = pg.addAll(kc.rows(t, pg.start, backward), backward)
	if !pg.complete && t.sort != nil {
		pg.complete = kc.endsAt(pg.last[t.sort.name], backward)
	}
	return pg.reply(r)
}

// keyUsed finds a key attribute in an expression; "" when there is none.
func (n *node) keyUsed(t *table) string {
	if n.kind == nodePath && t.isKey(n.path[0].name) {
		return n.path[0].name
	}
	for _, arg := range n.args {
		if name := arg.keyUsed(t); name != "" {
			return name
		}
	}
	return ""
}

// checkStart refuses a start that the query itself could not have ended at.
func (kc *keyCondition) checkStart(start *key, t *table) error {
	if start == nil {
		return nil
	}
	if start.hash != keyText(kc.hash) || kc.sort != nil && !kc.sort.holds(item{t.sort.name: start.sort}) {
		return invalid("The provided starting key does not match the range key predicate")
	}
	return nil
}

// rows are those that the query looks at, in ascending order, without what lies before the start.
func (kc *keyCondition) rows(t *table, start *key, backward bool) []row {
	p := t.byHash[keyText(kc.hash)]
	if p == nil {
		return nil
	}
	rows := p.rows
	if start != nil {
		i, found := p.find(start.sort)
		switch {
		case backward:
			rows = rows[:i]
		case found:
			rows = rows[i+1:]
		default:
			rows = rows[i:]
		}
	}
	if kc.sort == nil {
		return rows
	}
	var matching []row // one run of neighbours, whatever the condition is
	for _, r := range rows {
		if kc.sort.holds(r.item) {
			matching = append(matching, r)
		}
	}
	return matching
}

func (e *Engine) scan(r *request) (reply, error) {
	e.lock()
	defer e.mu.Unlock()
	t, err := e.tableToRead(r)
	if err != nil {
		return nil, err
	}
	segment, total, err := readSegment(r)
	if err != nil {
		return nil, err
	}
	b, err := r.expressions("FilterExpression", "ProjectionExpression")
	if err != nil {
		return nil, err
	}
	pg, err := readPage(r, t, b)
	if err != nil {
		return nil, err
	}
	if err := b.checkUnused(); err != nil {
		return nil, err
	}
	if err := firstError(pg.readSelect(r), pg.readStart(r)); err != nil {
		return nil, err
	}
	pg.complete = pg.addTable(segment, total)
	return pg.reply(r)
}

func readSegment(r *request) (segment, total int, err error) {
	segment, total = r.whole("Segment"), r.whole("TotalSegments")
	switch {
	case r.err != nil:
		return 0, 0, r.err
	case !r.has("Segment") && !r.has("TotalSegments"):
		return 0, 1, nil
	case !r.has("TotalSegments"):
		return 0, 0, invalid("If segment is specified, total segment must also be specified")
	case !r.has("Segment"):
		return 0, 0, invalid("If total segments is specified, a particular segment must also be specified for this request")
	case total < 1 || total > maxSegments:
		return 0, 0, invalidf("1 validation error detected: Value '%d' at 'totalSegments' failed to satisfy constraint: Member must have value between 1 and %d", total, maxSegments)
	case segment < 0 || segment >= total:
		return 0, 0, invalidf("1 validation error detected: Value '%d' at 'segment' failed to satisfy constraint: Member must have value less than or equal to %d", segment, total-1)
	}
	return segment, total, nil
}

// addTable takes a segment's partitions from the start on, and reports whether it reached the end.
func (pg *page) addTable(segment, total int) bool {
	first := 0
	if pg.start != nil {
		var found bool
		from := &partition{place: place(pg.start.hash), hash: pg.start.hash}
		first, found = slices.BinarySearchFunc(pg.table.partitions, from, comparePartitions)
		if found {
			rest := pg.table.partitions[first].after(pg.start.sort)
			if !pg.addAll(rest, false) {
				return false
			}
			first++
		}
	}
	for _, p := range pg.table.partitions[first:] {
		if p.segmentOf(total) == segment && !pg.addAll(p.rows, false) {
			return false
		}
	}
	return true
}

func (p *partition) after(sort *value) []row {
	if sort == nil {
		return nil
	}
	i, found := p.find(sort)
	if found {
		i++
	}
	return p.rows[i:]
}
