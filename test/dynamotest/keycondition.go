package dynamotest

// keyCondition is a bound key-condition expression: which partition, and which of its range keys.
type keyCondition struct {
	hash      *value
	sort      *node  // nil: all of the partition
	low, high *value // the range keys that the condition still includes at its ends; nil: none
}

func newKeyCondition(source string, b *bindings, t *table) (*keyCondition, error) {
	n, err := newCondition(source, b)
	if err != nil {
		return nil, inExpression("KeyConditionExpression", err)
	}
	var parts []keyPart
	if err := collectKeyParts(n, t, &parts); err != nil {
		return nil, err
	}
	if len(parts) > 2 {
		return nil, invalid("Conditions can be of length 1 or 2 only")
	}
	return t.keyCondition(parts)
}

// keyPart is a condition on one attribute.
type keyPart struct {
	name      string
	condition *node
}

// collectKeyParts takes the expression apart at its ANDs.
func collectKeyParts(n *node, t *table, parts *[]keyPart) error {
	switch {
	case n.kind == nodeAnd:
		for _, arg := range n.args {
			if err := collectKeyParts(arg, t, parts); err != nil {
				return err
			}
		}
		return nil
	case n.kind == nodeFunction && n.text != "begins_with", n.kind == nodeOr, n.kind == nodeNot, n.kind == nodeIn, n.text == "<>":
		return invalid("Invalid operator used in KeyConditionExpression: " + n.text)
	}
	var attribute path
	for _, arg := range n.args {
		switch {
		case arg.kind == nodeFunction:
			return invalid("KeyConditionExpressions cannot contain nested operations")
		case arg.kind != nodePath:
		case attribute != nil:
			return invalid("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
		default:
			attribute = arg.path
			if err := attribute.checkKeys(t); err != nil {
				return err
			}
		}
	}
	if attribute == nil {
		return invalid("Invalid condition in KeyConditionExpression: No key attribute specified")
	}
	name := attribute.String()
	for _, part := range *parts {
		if part.name == name {
			return invalid("KeyConditionExpressions must only contain one condition per key")
		}
	}
	*parts = append(*parts, keyPart{name, n})
	return nil
}

func (t *table) keyCondition(parts []keyPart) (*keyCondition, error) {
	kc := &keyCondition{}
	for _, part := range parts {
		attribute := t.hash
		switch {
		case part.name == t.hash.name:
			if part.condition.text != "=" {
				return nil, invalid("Query key condition not supported")
			}
		case t.sort != nil && part.name == t.sort.name:
			attribute = *t.sort
			kc.sort = part.condition
			kc.setEnds()
		default:
			return nil, errMissedKey
		}
		for _, arg := range part.condition.args {
			if arg.kind == nodePath {
				continue
			}
			if err := attribute.checkOperand(arg.bound); err != nil {
				return nil, err
			}
			if kc.sort != part.condition {
				kc.hash = arg.bound
			}
		}
	}
	if kc.hash == nil {
		return nil, errMissedKey
	}
	return kc, nil
}

func (kc *keyCondition) setEnds() {
	args := kc.sort.args
	if kc.sort.kind == nodeBetween && args[0].kind != nodePath {
		return
	}
	switch kc.sort.text {
	case "BETWEEN":
		kc.low, kc.high = args[1].bound, args[2].bound
	case "<=":
		kc.low, kc.high = args[0].bound, args[1].bound // one of them is the path, which is bound to nothing
	case ">=":
		kc.low, kc.high = args[1].bound, args[0].bound
	}
}

// endsAt says that nothing can follow a row, by the condition alone. Like DynamoDB Local, a page
// that ends there is the last.
func (kc *keyCondition) endsAt(sort *value, backward bool) bool {
	end := kc.high
	if backward {
		end = kc.low
	}
	return sort != nil && end != nil && sort.equal(end)
}

const errMissedKey = invalid("Query condition missed key schema element")

func (a keyAttribute) checkOperand(v *value) error {
	if v.kind != a.kind {
		return invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
	}
	return a.checkNotEmpty(v)
}
