package dynamotest

const (
	maxBatchKeys = 100
	maxBatchSize = 16 << 20
)

// batchPart is what a BatchGetItem asks of one table.
type batchPart struct {
	name     string // the table's
	request  *request
	keys     []item
	bindings *bindings

	table      *table // what follows is set by bind
	places     []key
	projection projection
	consistent bool
}

func (e *Engine) batchGetItem(r *request) (reply, error) {
	parts, err := readBatch(r)
	if err != nil {
		return nil, err
	}
	e.lock()
	defer e.mu.Unlock()
	for _, p := range parts {
		if err := e.bind(p); err != nil {
			return nil, err
		}
	}
	b := batch{room: maxBatchSize, found: reply{}, left: reply{}}
	for _, p := range parts {
		b.read(p)
	}
	return b.reply(r, parts)
}

// readBatch reads all that can be read without the tables, in the order of the tables' names.
func readBatch(r *request) ([]*batchPart, error) {
	given := r.object("RequestItems")
	if r.err != nil {
		return nil, r.err
	}
	if len(given) == 0 {
		return nil, invalid("BatchGetItem must have some requests set")
	}
	var parts []*batchPart
	count := 0
	for _, name := range sortedKeys(given) {
		p := &batchPart{name: name, request: &request{members: r.objectAt(given, name)}}
		if r.err != nil {
			return nil, r.err
		}
		if err := p.read(); err != nil {
			return nil, err
		}
		parts = append(parts, p)
		count += len(p.keys)
	}
	if count > maxBatchKeys {
		return nil, invalid("Too many items requested for the BatchGetItem call")
	}
	for _, p := range parts {
		if p.repeatsKey() {
			return nil, invalid("Provided list of item keys contains duplicates")
		}
	}
	return parts, nil
}

func (p *batchPart) read() (err error) {
	if err := p.request.refuseUnsupported("RequestItems", []string{"Keys", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"}); err != nil {
		return err
	}
	given := p.request.list("Keys")
	if len(given) == 0 && p.request.err == nil {
		return invalidf("The list of keys in RequestItems for BatchGetItem is required: %s has empty list", p.name)
	}
	for _, element := range given {
		members, ok := asObject(element)
		if !ok && element != nil {
			p.request.fail("Keys", element, "Map")
			break
		}
		if len(members) == 0 {
			return invalidf("The list of keys in RequestItems for BatchGetItem may not contain null or empty values: %s has one or more empty keys", p.name)
		}
		attributes, err := readItem(members, readValue)
		if err != nil {
			return err
		}
		p.keys = append(p.keys, attributes)
	}
	p.consistent = p.request.flag("ConsistentRead")
	p.bindings, err = p.request.expressions("ProjectionExpression")
	return firstError(p.request.err, err)
}

// repeatsKey compares the keys as values: 1 and 1.0 are the same.
func (p *batchPart) repeatsKey() bool {
	seen := make(map[string]bool, len(p.keys))
	for _, k := range p.keys {
		text := string(appendJSON(nil, k))
		if seen[text] {
			return true
		}
		seen[text] = true
	}
	return false
}

// bind finds the table and reads what depends on its schema. The engine's mutex is held.
func (e *Engine) bind(p *batchPart) (err error) {
	if p.table, err = e.tableNamed(p.name); err != nil {
		return err
	}
	for _, attributes := range p.keys {
		k, err := p.table.exactKey(attributes)
		if err != nil {
			return err
		}
		p.places = append(p.places, k)
	}
	if p.projection, err = p.request.optionalProjection(p.bindings, p.table); err != nil {
		return err
	}
	if err := p.bindings.checkUnused(); err != nil {
		return err
	}
	p.table, err = e.replicaToRead(p.table, p.consistent)
	return err
}

// batch is the answer to a BatchGetItem as it grows.
type batch struct {
	room  int   // bytes
	full  bool  // an item did not fit, and all after it are left
	found reply // Responses
	left  reply // UnprocessedKeys
	units []float64
}

// read takes a table's items as long as there is room. An item counts as a whole, whatever is
// projected.
func (b *batch) read(p *batchPart) {
	items, units := []item{}, 0.0
	for i, k := range p.places {
		it := p.table.get(k)
		size := it.size()
		if b.full = b.full || size > b.room; b.full {
			b.left[p.name] = p.without(i)
			break
		}
		b.room -= size
		units += readCapacity(size, p.consistent)
		if it != nil {
			items = append(items, p.projection.of(it))
		}
	}
	b.found[p.name] = items
	b.units = append(b.units, units)
}

// without is the same request without its first keys, ready to be sent again.
func (p *batchPart) without(keys int) reply {
	rest := reply{"Keys": p.keys[keys:]}
	if p.request.has("ConsistentRead") {
		rest["ConsistentRead"] = p.consistent
	}
	if p.request.has("ProjectionExpression") {
		rest["ProjectionExpression"] = p.request.text("ProjectionExpression")
	}
	if p.request.has("ExpressionAttributeNames") {
		names := reply{}
		for placeholder, name := range p.bindings.names {
			names[placeholder] = name
		}
		rest["ExpressionAttributeNames"] = names
	}
	return rest
}

func (b *batch) reply(r *request, parts []*batchPart) (reply, error) {
	answer := reply{"Responses": b.found, "UnprocessedKeys": b.left}
	asked, byIndex, err := r.capacityAsked()
	if asked {
		consumed := make([]reply, len(parts))
		for i, p := range parts {
			consumed[i] = p.table.consumed(b.units[i], byIndex)
		}
		answer["ConsumedCapacity"] = consumed
	}
	return answer, err
}
