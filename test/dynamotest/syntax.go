package dynamotest

import "strings"

// nodeKind is a node's place in a syntax tree.
type nodeKind int

const (
	nodePath     nodeKind = iota // a document path
	nodeValue                    // :value
	nodeFunction                 // name(args…): an operand or a condition, by its name
	nodeSum                      // operand + operand, operand - operand
	nodeCompare                  // operand, comparator, operand
	nodeBetween                  // operand BETWEEN low AND high
	nodeIn                       // operand IN (list…)
	nodeAnd
	nodeOr
	nodeNot
)

// node is a piece of an expression as written. Binding fills in what its placeholders stand for
// (bind.go); after that it can be evaluated against any number of items.
type node struct {
	kind  nodeKind
	text  string // the operator or the function's name; the placeholder of a value
	path  path   // nodePath
	args  []*node
	bound *value // nodeValue, once bound
	paren bool   // written in parentheses

	redundant bool // written in two pairs of them, which stands only until a comparator follows
}

// String writes the expression in one canonical form that parses to the same tree.
func (n *node) String() string {
	s := n.bare()
	if n.paren {
		return "(" + s + ")"
	}
	return s
}

func (n *node) bare() string {
	switch n.kind {
	case nodePath:
		return n.path.String()
	case nodeValue:
		return n.text
	case nodeFunction:
		return n.text + "(" + joinNodes(n.args) + ")"
	case nodeSum, nodeCompare:
		return n.args[0].String() + " " + n.text + " " + n.args[1].String()
	case nodeBetween:
		return n.args[0].String() + " BETWEEN " + n.args[1].String() + " AND " + n.args[2].String()
	case nodeIn:
		return n.args[0].String() + " IN (" + joinNodes(n.args[1:]) + ")"
	case nodeAnd:
		return n.args[0].String() + " AND " + n.args[1].String()
	case nodeOr:
		return n.args[0].String() + " OR " + n.args[1].String()
	}
	return "NOT " + n.args[0].String()
}

func joinNodes(nodes []*node) string {
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		parts[i] = n.String()
	}
	return strings.Join(parts, ", ")
}
