package dynamotest

import (
	"strings"
	"unicode/utf8"
)

// newCondition parses and binds a condition or filter expression, ready to be tried on items.
func newCondition(source string, b *bindings) (*node, error) {
	n, err := parseCondition(source)
	if err != nil {
		return nil, err
	}
	if err := n.checkNames(inCondition, true); err != nil {
		return nil, err
	}
	return n, n.bind(b)
}

// holds evaluates a bound condition. An operand that the item does not have makes a comparison
// false, never an error.
func (n *node) holds(it item) bool {
	switch n.kind {
	case nodeAnd:
		return n.args[0].holds(it) && n.args[1].holds(it)
	case nodeOr:
		return n.args[0].holds(it) || n.args[1].holds(it)
	case nodeNot:
		return !n.args[0].holds(it)
	case nodeFunction:
		return n.functionHolds(it)
	}
	left := n.args[0].resolve(it)
	switch n.kind {
	case nodeBetween:
		return ordered(n.args[1].resolve(it), left, "<=") && ordered(left, n.args[2].resolve(it), "<=")
	case nodeIn:
		for _, arg := range n.args[1:] {
			if v := arg.resolve(it); left != nil && v != nil && left.equal(v) {
				return true
			}
		}
		return false
	}
	right := n.args[1].resolve(it)
	switch n.text {
	case "=":
		return left != nil && right != nil && left.equal(right)
	case "<>":
		return left == nil || right == nil || !left.equal(right)
	}
	return ordered(left, right, n.text)
}

func ordered(left, right *value, comparator string) bool {
	if left == nil || right == nil {
		return false
	}
	order, ok := left.compare(right)
	if !ok {
		return false
	}
	switch comparator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func (n *node) functionHolds(it item) bool {
	v := n.args[0].resolve(it)
	switch n.text {
	case "attribute_exists":
		return v != nil
	case "attribute_not_exists":
		return v == nil
	}
	w := n.args[1].resolve(it)
	if v == nil || w == nil {
		return false
	}
	switch n.text {
	case "attribute_type":
		return string(v.kind) == w.text
	case "begins_with":
		return v.kind == w.kind && (v.kind == kindString || v.kind == kindBinary) && strings.HasPrefix(v.text, w.text)
	}
	return v.contains(w)
}

func (v *value) contains(w *value) bool {
	switch {
	case v.kind == kindString || v.kind == kindBinary:
		return w.kind == v.kind && strings.Contains(v.text, w.text)
	case v.kind == kindList || v.kind.isSet():
		return v.hasElement(w)
	}
	return false
}

// resolve gives an operand's value for one item; nil when the item has none.
func (n *node) resolve(it item) *value {
	switch n.kind {
	case nodePath:
		return n.path.resolve(it)
	case nodeValue:
		return n.bound
	case nodeFunction:
		if v := n.args[0].resolve(it); n.text == "size" && v != nil {
			return v.length()
		}
	}
	return nil
}

// length is the function size: characters, bytes or elements; nil for a type that has none.
func (v *value) length() *value {
	n := 0
	switch v.kind {
	case kindString:
		n = utf8.RuneCountInString(v.text)
	case kindBinary:
		n = len(v.text)
	case kindList:
		n = len(v.list)
	case kindMap:
		n = len(v.members)
	case kindStringSet, kindNumberSet, kindBinarySet:
		n = len(v.set)
	default:
		return nil
	}
	return numberValue(wholeNumber(n))
}
