package dynamotest

const maxItemSize = 400 << 10

// write is one conditional change of one item, as PutItem, UpdateItem and DeleteItem make it alone
// and TransactWriteItems makes it together with others. A ConditionCheck is a write that changes
// nothing.
type write struct {
	table     *table
	key       key
	keyItem   item  // the key; of a Put the whole item
	condition *node // nil: unconditional
	change    func(old item) (item, error)
	touched   []path // what an update expression names
	onFailure string // ReturnValuesOnConditionCheckFailure
	check     bool   // a ConditionCheck, which changes nothing
	conflict  bool   // WithConflicts has it refused
	old, new  item   // once planned; nil: no such item
}

// plan works out what the write would do, and changes nothing.
func (w *write) plan() error {
	w.old = w.table.get(w.key)
	if w.condition != nil && !w.condition.holds(w.old) {
		f := &failure{kind: conditionFailed, message: conditionFailedText}
		if w.onFailure == "ALL_OLD" {
			f.item = w.old
		}
		return f
	}
	var err error
	w.new, err = w.change(w.old)
	return err
}

func (w *write) commit() {
	if w.check {
		return
	}
	if w.new == nil {
		w.table.delete(w.key)
	} else {
		w.table.put(w.key, w.new)
	}
}

// writeKind is how a kind of write is read from a request, or from an action of a transaction.
type writeKind struct {
	readTarget      func(*write, *request) error // the key, or the whole item
	readExpressions func(*write, *request) error
}

var (
	aPut     = writeKind{(*write).readItem, (*write).readPut}
	anUpdate = writeKind{(*write).readKey, (*write).readUpdate}
	aDelete  = writeKind{(*write).readKey, (*write).readDelete}
	aCheck   = writeKind{(*write).readKey, (*write).readCheck}
)

// readItem reads what PutItem puts.
func (w *write) readItem(r *request) error {
	if !r.has("Item") {
		return invalid("Item to put in PutItem cannot be null")
	}
	it, err := r.attributes("Item")
	if err != nil || r.err != nil {
		return firstError(r.err, err)
	}
	w.keyItem = it
	if w.key, err = w.table.keyOf(it); err != nil {
		return err
	}
	if it.size() > maxItemSize {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	return nil
}

// readKey reads what all other writes begin with.
func (w *write) readKey(r *request) (err error) {
	if w.keyItem, err = r.key(); err != nil {
		return err
	}
	w.key, err = w.table.exactKey(w.keyItem)
	return err
}

func (r *request) key() (item, error) {
	if !r.has("Key") {
		return nil, invalid("Cannot have null key for GetItem, DeleteItem, or UpdateItem")
	}
	attributes, err := r.attributes("Key")
	return attributes, firstError(r.err, err)
}

func (w *write) readPut(r *request) error {
	w.change = func(item) (item, error) { return w.keyItem, nil }
	return w.readCondition(r)
}

func (w *write) readDelete(r *request) error {
	w.change = func(item) (item, error) { return nil, nil }
	return w.readCondition(r)
}

func (w *write) readCheck(r *request) error {
	w.check = true
	w.change = func(old item) (item, error) { return old, nil }
	return w.readCondition(r)
}

// readCondition reads the expressions of a write that has no other.
func (w *write) readCondition(r *request) error {
	b, err := r.expressions("ConditionExpression")
	if err != nil {
		return err
	}
	return w.readRest(r, b)
}

func (w *write) readUpdate(r *request) error {
	b, err := r.expressions("UpdateExpression", "ConditionExpression")
	if err != nil {
		return err
	}
	var u update
	if r.has("UpdateExpression") {
		if u, err = newUpdate(r.text("UpdateExpression"), b); err != nil {
			return inExpression("UpdateExpression", err)
		}
	}
	w.touched = u.paths()
	w.change = func(old item) (item, error) { return w.update(old, u) }
	return w.readRest(r, b)
}

// readRest reads what all writes end with.
func (w *write) readRest(r *request, b *bindings) (err error) {
	if w.condition, err = r.optionalCondition("ConditionExpression", b, w.table); err != nil {
		return err
	}
	if err := b.checkUnused(); err != nil {
		return err
	}
	w.onFailure, err = r.enum("ReturnValuesOnConditionCheckFailure", "ALL_OLD", "NONE")
	return err
}

// update is what UpdateItem makes of an item; of none it makes one of the key alone.
func (w *write) update(old item, u update) (item, error) {
	if err := w.checkTouched(); err != nil {
		return nil, err
	}
	if old == nil {
		old = w.keyItem
	}
	changed, err := u.apply(old)
	if err != nil {
		return nil, err
	}
	return changed, checkUpdated(changed)
}

// checkTouched refuses to update the key. It waits until the condition has been met.
func (w *write) checkTouched() error {
	for _, p := range w.touched {
		if name := p[0].name; w.table.isKey(name) {
			return refused("One or more parameter values were invalid: Cannot update attribute " + name + ". This attribute is part of the key")
		}
	}
	return nil
}

// checkUpdated is for what no single value of the request shows: the item may be too large, or nest
// too deep, only as a whole.
func checkUpdated(it item) error {
	if it.size() > maxItemSize {
		return refused("Item size to update has exceeded the maximum allowed size")
	}
	for _, v := range it {
		if v.depth() > maxDepth {
			return errTooDeep
		}
	}
	return nil
}

// returned gives the Attributes that ReturnValues asks for; nil: none.
func (w *write) returned(which string) item {
	switch which {
	case "ALL_OLD":
		return w.old
	case "ALL_NEW":
		return w.new
	case "UPDATED_OLD":
		return w.updated(w.old)
	case "UPDATED_NEW":
		return w.updated(w.new)
	}
	return nil
}

// updated picks the attributes, whole, in which the update touched something that is there.
func (w *write) updated(it item) item {
	var out item
	for _, p := range w.touched {
		if p.resolve(it) != nil {
			if out == nil {
				out = item{}
			}
			out[p[0].name] = it[p[0].name]
		}
	}
	return out
}
