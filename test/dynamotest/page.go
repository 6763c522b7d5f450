package dynamotest

import (
	"math/bits"
	"slices"
)

// maxPageSize is how much a Query or a Scan looks at in one request; the item that reaches it is
// still part of the page.
const maxPageSize = 1 << 20

// page is what Query and Scan have in common: items stream through it in key order until the page
// is full.
type page struct {
	table      *table
	start      *key // ExclusiveStartKey
	limit      int  // 0: none
	filter     *node
	projection projection
	count      bool // Select is COUNT
	consistent bool

	items    []item
	matched  int
	scanned  int
	size     int
	last     item // the last item looked at
	complete bool // set when nothing follows
}

// readPage reads the members that Query and Scan share. Its expressions use the bindings b.
func readPage(r *request, t *table, b *bindings) (*page, error) {
	pg := &page{table: t, consistent: r.flag("ConsistentRead"), limit: r.whole("Limit"), items: []item{}}
	if r.has("Limit") && pg.limit < 1 && r.err == nil {
		return nil, invalid("Limit must be greater than or equal to 1")
	}
	var err error
	if pg.filter, err = r.optionalCondition("FilterExpression", b, t); err != nil {
		return nil, err
	}
	if pg.projection, err = r.optionalProjection(b, t); err != nil {
		return nil, err
	}
	return pg, r.err
}

func (pg *page) readSelect(r *request) error {
	if !r.has("Select") {
		return nil
	}
	projected := r.has("ProjectionExpression")
	switch chosen := r.text("Select"); {
	case r.err != nil:
		return r.err
	case chosen == "COUNT" && projected:
		return invalid("Cannot specify the ProjectionExpression when choosing to get only the Count")
	case chosen == "ALL_ATTRIBUTES" && projected:
		return invalid("Cannot specify the ProjectionExpression when choosing to get ALL_ATTRIBUTES")
	case chosen == "SPECIFIC_ATTRIBUTES" && !projected:
		return invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
	case chosen == "ALL_PROJECTED_ATTRIBUTES":
		return invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	case !slices.Contains([]string{"COUNT", "ALL_ATTRIBUTES", "SPECIFIC_ATTRIBUTES"}, chosen):
		return invalid("Select must be ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES, COUNT, or SPECIFIC_ATTRIBUTES")
	default:
		pg.count = chosen == "COUNT"
	}
	return nil
}

// readStart reads ExclusiveStartKey.
func (pg *page) readStart(r *request) error {
	if !r.has("ExclusiveStartKey") {
		return nil
	}
	attributes, err := r.attributes("ExclusiveStartKey")
	if err != nil || r.err != nil {
		return firstError(r.err, err)
	}
	if len(attributes) == 0 {
		return invalid("The provided starting key is invalid")
	}
	if len(attributes) != len(pg.table.keyAttributes()) {
		return invalid("Exclusive Start Key must have same size as table's key schema")
	}
	k, err := pg.table.keyOf(attributes)
	if _, mismatch := err.(refused); mismatch {
		return invalid("Type mismatch for attribute to update")
	}
	pg.start = &k
	return err
}

// add takes the next row; it reports whether the page has room for another.
func (pg *page) add(r row) bool {
	pg.scanned++
	pg.size += r.size
	pg.last = r.item
	if pg.filter == nil || pg.filter.holds(r.item) {
		pg.matched++
		if !pg.count {
			pg.items = append(pg.items, pg.projection.of(r.item))
		}
	}
	return pg.scanned != pg.limit && pg.size < maxPageSize
}

// addAll takes rows in the order given, and reports whether the page still has room.
func (pg *page) addAll(rows []row, backward bool) bool {
	for i := range rows {
		if backward {
			i = len(rows) - 1 - i
		}
		if !pg.add(rows[i]) {
			return false
		}
	}
	return true
}

func (pg *page) reply(r *request) (reply, error) {
	answer := reply{"Count": pg.matched, "ScannedCount": pg.scanned}
	if !pg.count {
		answer["Items"] = pg.items
	}
	if !pg.complete {
		answer["LastEvaluatedKey"] = pg.table.keyItem(pg.last)
	}
	units := 0.0
	if pg.scanned > 0 {
		units = readCapacity(pg.size, pg.consistent)
	}
	return answer, r.addCapacity(answer, pg.table, units)
}

// segmentOf says which of the segments of a parallel scan a partition is in: equal shares of the
// places.
func (p *partition) segmentOf(total int) int {
	share, _ := bits.Mul64(p.place, uint64(total))
	return int(share)
}
