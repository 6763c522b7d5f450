package dynamotest

import (
	"slices"
	"strconv"
	"strings"
)

const (
	maxPathDepth = 32
	maxListIndex = 1<<31 - 1
)

// step is one part of a document path: an attribute's name, or an index into a list.
type step struct {
	name    string // as written until bound: possibly #placeholder
	index   int
	isIndex bool
}

type path []step

func (s step) String() string {
	if s.isIndex {
		return "[" + strconv.Itoa(s.index) + "]"
	}
	return s.name
}

// steps is how DynamoDB's messages quote a path: [a, b, [0]].
func (p path) steps() string {
	parts := make([]string, len(p))
	for i, s := range p {
		parts[i] = s.String()
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// String writes the path as an expression does: a.b[0].
func (p path) String() string {
	var b strings.Builder
	for i, s := range p {
		if i > 0 && !s.isIndex {
			b.WriteByte('.')
		}
		b.WriteString(s.String())
	}
	return b.String()
}

func (p path) checkNames() error {
	for _, s := range p {
		switch {
		case s.isIndex && (s.index < 0 || s.index > maxListIndex):
			return invalidf("List index is not within the allowable range; index: [%s]", s.name)
		case !s.isIndex && isReserved(s.name):
			return invalidf("Attribute name is a reserved keyword; reserved keyword: %s", s.name)
		}
	}
	if len(p) > maxPathDepth {
		return invalidf("The document path has too many nesting levels; nesting levels: %d", len(p))
	}
	return nil
}

func (p path) bind(b *bindings) (err error) {
	for i := range p {
		if !p[i].isIndex {
			if p[i].name, err = b.name(p[i].name); err != nil {
				return err
			}
		}
	}
	return nil
}

// bindPaths binds the places that one expression names, and refuses two that are the same, one that
// is inside another, and two that use one place as a map and as a list. Like DynamoDB Local it
// looks at the last one first.
func bindPaths(paths []path, b *bindings) error {
	for i, p := range slices.Backward(paths) {
		if err := p.bind(b); err != nil {
			return err
		}
		for _, q := range paths[i+1:] {
			if err := p.checkApart(q); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p path) checkApart(q path) error {
	problem := ""
	switch at := commonSteps(p, q); {
	case at == len(p) || at == len(q):
		problem = "overlap"
	case at > 0 && p[at].isIndex != q[at].isIndex:
		problem = "conflict"
	default:
		return nil
	}
	return invalidf("Two document paths %s with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", problem, p.steps(), q.steps())
}

func commonSteps(p, q path) int {
	n := 0
	for n < len(p) && n < len(q) && p[n] == q[n] {
		n++
	}
	return n
}

func (p path) resolve(it item) *value {
	v := it[p[0].name]
	for _, s := range p[1:] {
		if v == nil {
			return nil
		}
		v = v.child(s)
	}
	return v
}

// fits says whether there is a place at the path's end for a value: everything but the last step
// exists, and is a map or a list as the next step wants it.
func (p path) fits(it item) bool {
	last := len(p) - 1
	if last == 0 {
		return true
	}
	parent := p[:last].resolve(it)
	if parent == nil {
		return false
	}
	if p[last].isIndex {
		return parent.kind == kindList
	}
	return parent.kind == kindMap
}

// child is the member or element that a step leads to; nil when there is none.
func (v *value) child(s step) *value {
	switch {
	case s.isIndex && v.kind == kindList && s.index < len(v.list):
		return v.list[s.index]
	case !s.isIndex && v.kind == kindMap:
		return v.members[s.name]
	}
	return nil
}

func (p path) checkKeys(t *table) error {
	if len(p) > 1 && t.isKey(p[0].name) {
		return invalidf("Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: %s", p[0].name)
	}
	return nil
}
