package dynamotest

import (
	"slices"
	"strings"
)

const maxInOperands = 100

// dialect is the kind of expression a node stands in; it decides which functions may be called.
type dialect int

const (
	inCondition dialect = iota
	inUpdate
)

// checkNames is the first pass over a tree, in the order written: functions exist and stand where
// they may, no name is a reserved word, no index is out of range. asCondition says that n stands
// where a truth value is wanted.
func (n *node) checkNames(d dialect, asCondition bool) error {
	switch n.kind {
	case nodePath:
		return n.path.checkNames()
	case nodeFunction:
		if err := n.checkFunction(d, asCondition); err != nil {
			return err
		}
	case nodeIn:
		if count := len(n.args) - 1; count > maxInOperands {
			return invalidf("The IN operator is provided with too many operands; number of operands: %d", count)
		}
	}
	truth := n.kind == nodeAnd || n.kind == nodeOr || n.kind == nodeNot
	for _, arg := range n.args {
		if n.kind == nodeSum && arg.kind == nodeFunction && arg.text == "list_append" {
			return misplaced(arg.text)
		}
		if err := arg.checkNames(d, truth); err != nil {
			return err
		}
	}
	return nil
}

// function says how a function may be used.
type function struct {
	operands  int
	dialect   dialect
	condition bool // it answers true or false; otherwise it gives a value
}

var functions = map[string]function{
	"attribute_exists":     {1, inCondition, true},
	"attribute_not_exists": {1, inCondition, true},
	"attribute_type":       {2, inCondition, true},
	"begins_with":          {2, inCondition, true},
	"contains":             {2, inCondition, true},
	"size":                 {1, inCondition, false},
	"if_not_exists":        {2, inUpdate, false},
	"list_append":          {2, inUpdate, false},
}

func (n *node) checkFunction(d dialect, asCondition bool) error {
	f, known := functions[n.text]
	switch {
	case !known:
		return invalidf("Invalid function name; function: %s", n.text)
	case f.dialect != d && d == inUpdate:
		return invalidf("The function is not allowed in an update expression; function: %s", n.text)
	case f.dialect != d:
		return invalidf("The function is not allowed in a condition expression; function: %s", n.text)
	case f.condition != asCondition:
		return misplaced(n.text)
	}
	return nil
}

func misplaced(function string) error {
	return invalidf("The function is not allowed to be used this way in an expression; function: %s", function)
}

// bindings are a request's placeholders, shared by all its expressions, and which of them have been
// used.
type bindings struct {
	names      map[string]string
	values     item
	usedNames  map[string]bool
	usedValues map[string]bool
}

func (b *bindings) name(written string) (string, error) {
	if written[0] != '#' {
		return written, nil
	}
	name, ok := b.names[written]
	if !ok {
		return "", invalidf("An expression attribute name used in the document path is not defined; attribute name: %s", written)
	}
	b.usedNames[written] = true
	return name, nil
}

func (b *bindings) value(written string) (*value, error) {
	v, ok := b.values[written]
	if !ok {
		return nil, invalidf("An expression attribute value used in expression is not defined; attribute value: %s", written)
	}
	b.usedValues[written] = true
	return v, nil
}

// checkUnused refuses a placeholder that no expression mentions.
func (b *bindings) checkUnused() error {
	if len(b.usedValues) < len(b.values) {
		return invalidf("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", unused(b.values, b.usedValues))
	}
	if len(b.usedNames) < len(b.names) {
		return invalidf("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", unused(b.names, b.usedNames))
	}
	return nil
}

func unused[V any](given map[string]V, used map[string]bool) string {
	var keys []string
	for key := range given {
		if !used[key] {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}

// bind is the second pass: placeholders get their meaning, and operands are checked as far as they
// are known before an item is.
func (n *node) bind(b *bindings) (err error) {
	switch n.kind {
	case nodePath:
		return n.path.bind(b)
	case nodeValue:
		n.bound, err = b.value(n.text)
		return err
	}
	for _, arg := range n.args {
		if err := arg.bind(b); err != nil {
			return err
		}
	}
	return n.checkOperands()
}

// knownKind is the type of an operand that does not depend on the item; "" when it does.
func (n *node) knownKind() kind {
	switch {
	case n.kind == nodeValue:
		return n.bound.kind
	case n.kind == nodeSum, n.kind == nodeFunction && n.text == "size":
		return kindNumber
	case n.kind == nodeFunction && n.text == "list_append":
		return kindList
	}
	return ""
}

func (n *node) checkOperands() error {
	switch n.kind {
	case nodeFunction:
		return n.checkArguments()
	case nodeSum:
		return n.wantKinds(n.args, kindNumber)
	case nodeCompare:
		if n.text != "=" && n.text != "<>" {
			if err := n.wantKinds(n.args, kindString, kindNumber, kindBinary); err != nil {
				return err
			}
		}
		return n.wantDistinct()
	case nodeBetween:
		if err := n.checkBounds(); err != nil {
			return err
		}
		return n.wantDistinct()
	case nodeIn:
		return n.wantDistinct()
	}
	return nil
}

func (n *node) checkArguments() error {
	if want := functions[n.text].operands; len(n.args) != want {
		return invalidf("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", n.text, len(n.args))
	}
	switch n.text {
	case "attribute_exists", "attribute_not_exists", "if_not_exists":
		if n.args[0].kind != nodePath {
			return invalidf("Operator or function requires a document path; operator or function: %s", n.text)
		}
		return nil
	case "attribute_type":
		return n.checkTypeName()
	case "begins_with":
		if err := n.wantKinds(n.args, kindString, kindBinary); err != nil {
			return err
		}
	case "size":
		return n.wantKinds(n.args, kindString, kindBinary, kindList, kindMap, kindStringSet, kindNumberSet, kindBinarySet)
	case "list_append":
		return n.wantKinds(n.args, kindList)
	}
	return n.wantDistinct()
}

func (n *node) checkTypeName() error {
	if err := n.wantDistinct(); err != nil {
		return err
	}
	want := n.args[1]
	if want.kind == nodePath {
		return n.wrongKind("document path")
	}
	if want.kind != nodeValue {
		return n.wrongKind(string(want.knownKind()))
	}
	if want.bound.kind != kindString {
		return n.wrongKind(string(want.bound.kind))
	}
	switch kind(want.bound.text) {
	case kindString, kindNumber, kindBinary, kindBool, kindNull, kindMap, kindList, kindStringSet, kindNumberSet, kindBinarySet:
		return nil
	}
	return invalidf("Invalid attribute type name found; type: %s, valid types: {N,BS,L,B,NULL,M,S,SS,NS,BOOL}", want.bound.text)
}

func (n *node) checkBounds() error {
	if err := n.wantKinds(n.args, kindString, kindNumber, kindBinary); err != nil {
		return err
	}
	low, high := n.args[1].bound, n.args[2].bound
	if low == nil || high == nil {
		return nil
	}
	order, ok := low.compare(high)
	problem := "upper bound to be greater than or equal to lower bound"
	if !ok {
		problem = "same data type for lower and upper bounds"
	} else if order <= 0 {
		return nil
	}
	return invalidf("The BETWEEN operator requires %s; lower bound operand: AttributeValue: %v, upper bound operand: AttributeValue: %v", problem, low, high)
}

func (n *node) wantKinds(args []*node, allowed ...kind) error {
	for _, arg := range args {
		if k := arg.knownKind(); k != "" && !slices.Contains(allowed, k) {
			return n.wrongKind(string(k))
		}
	}
	return nil
}

func (n *node) wrongKind(k string) error {
	return invalidf("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", n.text, k)
}

// wantDistinct refuses to compare a path with itself.
func (n *node) wantDistinct() error {
	first := n.args[0]
	if first.kind != nodePath {
		return nil
	}
	for _, arg := range n.args[1:] {
		if arg.kind == nodePath && slices.Equal(first.path, arg.path) {
			return invalidf("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", n.text, first.path.steps())
		}
	}
	return nil
}

// checkKeys refuses to look inside a key attribute, which is always a scalar.
func (n *node) checkKeys(t *table) error {
	if n.kind == nodePath {
		return n.path.checkKeys(t)
	}
	for _, arg := range n.args {
		if err := arg.checkKeys(t); err != nil {
			return err
		}
	}
	return nil
}
