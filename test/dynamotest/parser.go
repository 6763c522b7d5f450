package dynamotest

import (
	"strconv"
	"strings"
)

// DynamoDB's limits on one expression. The first bounds the parser's recursion, too.
const (
	maxExpressionSize = 4096
	maxOperators      = 300
)

// parser is a recursive-descent parser over the tokens of one expression. It knows grammar only:
// what the names mean, and whether an operand's type fits, is decided by bind.go.
type parser struct {
	source    string
	tokens    []token
	at        int
	operators int
}

// parse runs one grammar over a whole expression.
func parse[T any](source string, grammar func(*parser) (T, error)) (T, error) {
	var nothing T
	if source == "" {
		return nothing, invalid("The expression can not be empty;")
	}
	if len(source) > maxExpressionSize {
		return nothing, invalidf("Expression size has exceeded the maximum allowed size; expression size: %d", len(source))
	}
	p := &parser{source: source, tokens: lex(source)}
	tree, err := grammar(p)
	if err != nil {
		return nothing, err
	}
	if p.peek().kind != tokenEnd {
		return nothing, p.unexpected()
	}
	if p.operators > maxOperators {
		return nothing, invalidf("The expression contains too many operators; operator count: %d", maxOperators+1)
	}
	return tree, nil
}

func parseCondition(source string) (*node, error) {
	return parse(source, (*parser).condition)
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// unexpected quotes the current token with its neighbours, as DynamoDB does.
func (p *parser) unexpected() error {
	t := p.peek()
	from, to := t.start, t.end
	if p.at > 0 {
		from = p.tokens[p.at-1].start
	}
	if p.at+1 < len(p.tokens) && p.tokens[p.at+1].kind != tokenEnd {
		to = p.tokens[p.at+1].end
	}
	if t.kind == tokenEnd && p.at == 0 {
		from = 0
	}
	return invalidf("Syntax error; token: \"%s\", near: \"%s\"", t.text, p.source[from:to])
}

func (p *parser) isOperator(text string) bool {
	t := p.peek()
	return t.kind == tokenOperator && t.text == text
}

func (p *parser) isKeyword(word string) bool {
	t := p.peek()
	return t.kind == tokenWord && strings.EqualFold(t.text, word)
}

func (p *parser) expectOperator(text string) error {
	if !p.isOperator(text) {
		return p.unexpected()
	}
	p.next()
	return nil
}

func (p *parser) expectKeyword(word string) error {
	if !p.isKeyword(word) {
		return p.unexpected()
	}
	p.next()
	return nil
}

// operation makes a node that counts as an operator.
func (p *parser) operation(kind nodeKind, text string, args ...*node) *node {
	p.operators++
	return &node{kind: kind, text: text, args: args}
}

// condition = conjunction { OR conjunction }, and demands that the outcome is a condition, not a
// bare operand.
func (p *parser) condition() (*node, error) {
	n, err := p.disjunction()
	if err == nil && !n.isCondition() {
		return nil, p.unexpected()
	}
	return n, err
}

func (p *parser) disjunction() (*node, error) {
	return p.chain("OR", nodeOr, func() (*node, error) {
		return p.chain("AND", nodeAnd, p.negation)
	})
}

func (p *parser) chain(keyword string, kind nodeKind, part func() (*node, error)) (*node, error) {
	left, err := part()
	for err == nil && p.isKeyword(keyword) {
		if !left.isCondition() {
			return nil, p.unexpected()
		}
		p.next()
		var right *node
		if right, err = part(); err == nil {
			if !right.isCondition() {
				return nil, p.unexpected()
			}
			left = p.operation(kind, keyword, left, right)
		}
	}
	return left, err
}

func (p *parser) negation() (*node, error) {
	if !p.isKeyword("NOT") {
		return p.comparison()
	}
	p.next()
	n, err := p.negation()
	if err != nil {
		return nil, err
	}
	if !n.isCondition() {
		return nil, p.unexpected()
	}
	return p.operation(nodeNot, "NOT", n), nil
}

// comparison = operand comparator operand | operand BETWEEN … | operand IN (…) | function | (
// condition ). An opening parenthesis may begin an operand or a condition: what stands inside it
// tells.
func (p *parser) comparison() (*node, error) {
	left, err := p.primary(p.disjunction, true)
	if err != nil || !left.isOperand() {
		return left, err
	}
	if left.redundant && (p.atComparison() || left.isCondition()) {
		return nil, errRedundant
	}
	switch t := p.peek(); {
	case t.kind == tokenOperator && isComparator(t.text):
		p.next()
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		return p.operation(nodeCompare, t.text, left, right), nil
	case p.isKeyword("BETWEEN"):
		return p.between(left)
	case p.isKeyword("IN"):
		return p.in(left)
	}
	return left, nil
}

func isComparator(s string) bool {
	switch s {
	case "=", "<>", "<", "<=", ">", ">=":
		return true
	}
	return false
}

func (p *parser) between(left *node) (*node, error) {
	p.next()
	low, err := p.operand()
	if err != nil {
		return nil, err
	}
	if err := p.expectKeyword("AND"); err != nil {
		return nil, err
	}
	high, err := p.operand()
	if err != nil {
		return nil, err
	}
	return p.operation(nodeBetween, "BETWEEN", left, low, high), nil
}

func (p *parser) in(left *node) (*node, error) {
	p.next()
	if err := p.expectOperator("("); err != nil {
		return nil, err
	}
	args, err := p.operands()
	if err != nil {
		return nil, err
	}
	return p.operation(nodeIn, "IN", append([]*node{left}, args...)...), nil
}

// operands = operand { , operand } )
func (p *parser) operands() ([]*node, error) {
	var args []*node
	for {
		arg, err := p.operand()
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
		if !p.isOperator(",") {
			return args, p.expectOperator(")")
		}
		p.next()
	}
}

func (p *parser) operand() (*node, error) {
	n, err := p.primary(p.operand, false)
	if err == nil && !n.isOperand() {
		return nil, p.unexpected()
	}
	return n, err
}

const errRedundant = invalid("The expression has redundant parentheses;")

func (p *parser) atComparison() bool {
	t := p.peek()
	return t.kind == tokenOperator && isComparator(t.text) || p.isKeyword("BETWEEN") || p.isKeyword("IN")
}

// primary = path | :value | function(operands) | ( inner )
//
// Redundant parentheses are refused at once, but for an operand whose comparator has yet to come
// (openEnded): there a missing comparator is the error to report.
func (p *parser) primary(inner func() (*node, error), openEnded bool) (*node, error) {
	t := p.peek()
	switch {
	case p.isOperator("("):
		p.next()
		n, err := inner()
		if err != nil {
			return nil, err
		}
		if err := p.expectOperator(")"); err != nil {
			return nil, err
		}
		if n.paren && (n.kind == nodeSum || !n.isOperand() || !openEnded) {
			return nil, errRedundant
		}
		n.redundant = n.paren
		n.paren = true
		return n, nil
	case t.kind == tokenValue:
		p.next()
		return &node{kind: nodeValue, text: t.text}, nil
	case t.kind == tokenWord && p.tokens[p.at+1].kind == tokenOperator && p.tokens[p.at+1].text == "(" && !isKeyword(t.text):
		p.next()
		p.next()
		args, err := p.operands()
		return p.operation(nodeFunction, t.text, args...), err
	}
	return p.documentPath()
}

func (p *parser) documentPath() (*node, error) {
	name, err := p.attributeName()
	if err != nil {
		return nil, err
	}
	steps := path{{name: name}}
	for {
		switch {
		case p.isOperator("."):
			p.next()
			name, err := p.attributeName()
			if err != nil {
				return nil, err
			}
			steps = append(steps, step{name: name})
		case p.isOperator("["):
			p.next()
			t := p.peek()
			if t.kind != tokenInteger {
				return nil, p.unexpected()
			}
			p.next()
			index, err := strconv.Atoi(t.text)
			if err != nil {
				index = -1 // out of range: refused when bound, in its turn
			}
			if err := p.expectOperator("]"); err != nil {
				return nil, err
			}
			steps = append(steps, step{name: t.text, index: index, isIndex: true})
		default:
			return &node{kind: nodePath, path: steps}, nil
		}
	}
}

func (p *parser) attributeName() (string, error) {
	t := p.peek()
	if t.kind != tokenName && (t.kind != tokenWord || isKeyword(t.text)) {
		return "", p.unexpected()
	}
	p.next()
	return t.text, nil
}

// isKeyword: the words of the grammar itself. Other reserved words parse as names and are refused
// when bound.
func isKeyword(word string) bool {
	switch strings.ToUpper(word) {
	case "AND", "OR", "NOT", "BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE":
		return true
	}
	return false
}

func (n *node) isOperand() bool {
	return n.kind == nodePath || n.kind == nodeValue || n.kind == nodeFunction
}

func (n *node) isCondition() bool {
	return n.kind != nodePath && n.kind != nodeValue
}
