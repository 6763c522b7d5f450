package dynamotest

import (
	"slices"
	"strings"
)

// action is one change that an update expression makes.
type action struct {
	section string // SET, REMOVE, ADD or DELETE
	first   bool   // of its section
	path    path
	operand *node // nil for REMOVE
}

// update is a bound update expression.
type update []action

func newUpdate(source string, b *bindings) (update, error) {
	u, err := parseUpdate(source)
	if err != nil {
		return nil, err
	}
	for _, a := range u {
		if err := a.path.checkNames(); err != nil {
			return nil, err
		}
		if a.operand != nil {
			if err := a.operand.checkNames(inUpdate, false); err != nil {
				return nil, err
			}
		}
	}
	if err := u.checkSections(); err != nil {
		return nil, err
	}
	if err := bindPaths(u.paths(), b); err != nil {
		return nil, err
	}
	for _, a := range slices.Backward(u) {
		if err := a.bindOperand(b); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func (u update) paths() []path {
	paths := make([]path, len(u))
	for i, a := range u {
		paths[i] = a.path
	}
	return paths
}

func parseUpdate(source string) (update, error) {
	return parse(source, (*parser).update)
}

// update = section { section }, each of SET, REMOVE, ADD or DELETE.
func (p *parser) update() (update, error) {
	var u update
	for len(u) == 0 || p.peek().kind != tokenEnd {
		section := strings.ToUpper(p.peek().text)
		switch section {
		case "SET", "REMOVE", "ADD", "DELETE":
		default:
			return nil, p.unexpected()
		}
		p.next()
		actions, err := p.section(section)
		if err != nil {
			return nil, err
		}
		u = append(u, actions...)
	}
	return u, nil
}

// checkSections refuses a section that is written twice.
func (u update) checkSections() error {
	seen := map[string]bool{}
	for _, a := range u {
		if a.first && seen[a.section] {
			return invalidf("The \"%s\" section can only be used once in an update expression;", a.section)
		}
		seen[a.section] = true
	}
	return nil
}

// section = action { , action }
func (p *parser) section(name string) ([]action, error) {
	var actions []action
	for {
		target, err := p.documentPath()
		if err != nil {
			return nil, err
		}
		a := action{section: name, first: len(actions) == 0, path: target.path}
		switch name {
		case "SET":
			if err := p.expectOperator("="); err != nil {
				return nil, err
			}
			a.operand, err = p.sum()
		case "ADD", "DELETE":
			if p.peek().kind != tokenValue {
				return nil, p.unexpected()
			}
			a.operand = &node{kind: nodeValue, text: p.next().text}
		}
		if err != nil {
			return nil, err
		}
		actions = append(actions, a)
		if !p.isOperator(",") {
			return actions, nil
		}
		p.next()
	}
}

// sum = operand [ + operand | - operand ]
func (p *parser) sum() (*node, error) {
	left, err := p.primary(p.sum, false)
	if err != nil || !left.isOperand() || !p.isOperator("+") && !p.isOperator("-") {
		return left, err
	}
	sign := p.next().text
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	return p.operation(nodeSum, sign, left, right), nil
}

func (u update) String() string {
	var b strings.Builder
	for i, a := range u {
		switch {
		case !a.first:
			b.WriteString(", ")
		case i > 0:
			b.WriteString(" " + a.section + " ")
		default:
			b.WriteString(a.section + " ")
		}
		b.WriteString(a.path.String())
		if a.section == "SET" {
			b.WriteString(" =")
		}
		if a.operand != nil {
			b.WriteString(" " + a.operand.String())
		}
	}
	return b.String()
}

func (a action) bindOperand(b *bindings) error {
	if a.operand == nil {
		return nil
	}
	if err := a.operand.bind(b); err != nil {
		return err
	}
	k := a.operand.knownKind()
	if a.section == "ADD" && k != kindNumber && !k.isSet() || a.section == "DELETE" && !k.isSet() {
		return invalidf("Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: ALLOWED_FOR_%s_OPERAND", a.section, longNames[k], a.section)
	}
	return nil
}

// longNames are the types as the messages about ADD and DELETE spell them.
var longNames = map[kind]string{
	kindString: "STRING", kindNumber: "NUMBER", kindBinary: "BINARY", kindBool: "BOOLEAN", kindNull: "NULL",
	kindMap: "MAP", kindList: "LIST",
}
