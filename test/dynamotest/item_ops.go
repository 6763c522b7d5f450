package dynamotest

import "slices"

func (e *Engine) putItem(r *request) (reply, error) {
	return e.writeItem(r, aPut, "NONE", "ALL_OLD")
}

func (e *Engine) deleteItem(r *request) (reply, error) {
	return e.writeItem(r, aDelete, "NONE", "ALL_OLD")
}

func (e *Engine) updateItem(r *request) (reply, error) {
	return e.writeItem(r, anUpdate, "NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")
}

func (e *Engine) writeItem(r *request, kind writeKind, returnable ...string) (reply, error) {
	t, err := e.lockedTable(r)
	if err != nil {
		return nil, err
	}
	returnValues := r.text("ReturnValues")
	if r.has("ReturnValues") && r.err == nil && !slices.Contains(returnable, returnValues) {
		return nil, invalid("Return values set to invalid value")
	}
	w := &write{table: t}
	if err := kind.readTarget(w, r); err != nil {
		return nil, err
	}
	if err := kind.readExpressions(w, r); err != nil {
		return nil, err
	}
	e.askForConflicts(r.operation, w)
	if e.isStrong() {
		return e.strongWrite(r, w, returnValues)
	}
	return e.writeNow(r, w, returnValues)
}

// writeNow carries out what has been read, if no transaction has the item.
func (e *Engine) writeNow(r *request, w *write, returnValues string) (reply, error) {
	e.lock()
	defer e.mu.Unlock()
	if err := e.checkPresent(w); err != nil {
		return nil, err
	}
	if e.conflicts(w) {
		return nil, &failure{kind: "TransactionConflictException", message: transactionOngoing}
	}
	return e.carryOutWrite(r, w, returnValues)
}

// carryOutWrite evaluates a write and makes its change. The mutex is held.
func (e *Engine) carryOutWrite(r *request, w *write, returnValues string) (reply, error) {
	if err := w.plan(); err != nil {
		return nil, err
	}
	answer := reply{}
	if err := r.addCapacity(answer, w.table, writeCapacity(w.old, w.new)); err != nil {
		return nil, err
	}
	e.commitWrite(w)
	if attributes := w.returned(returnValues); attributes != nil {
		answer["Attributes"] = attributes
	}
	return answer, nil
}

func (e *Engine) getItem(r *request) (reply, error) {
	e.lock()
	defer e.mu.Unlock()
	t, err := e.tableToRead(r)
	if err != nil {
		return nil, err
	}
	attributes, err := r.key()
	if err != nil {
		return nil, err
	}
	b, err := r.expressions("ProjectionExpression")
	if err != nil {
		return nil, err
	}
	pr, err := r.optionalProjection(b, t)
	if err != nil {
		return nil, err
	}
	if err := b.checkUnused(); err != nil {
		return nil, err
	}
	k, err := t.exactKey(attributes)
	if err != nil {
		return nil, err
	}
	it := t.get(k)
	answer := reply{}
	if err := r.addCapacity(answer, t, readCapacity(it.size(), r.flag("ConsistentRead"))); err != nil || r.err != nil {
		return nil, firstError(r.err, err)
	}
	if it != nil {
		answer["Item"] = pr.of(it)
	}
	return answer, nil
}
