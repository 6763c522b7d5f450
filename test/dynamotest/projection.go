package dynamotest

import (
	"slices"
	"strings"
)

// projection is a bound projection expression.
type projection []path

func newProjection(source string, b *bindings) (projection, error) {
	pr, err := parseProjection(source)
	if err != nil {
		return nil, err
	}
	for _, p := range pr {
		if err := p.checkNames(); err != nil {
			return nil, err
		}
	}
	return pr, bindPaths(pr, b)
}

func (pr projection) String() string {
	parts := make([]string, len(pr))
	for i, p := range pr {
		parts[i] = p.String()
	}
	return strings.Join(parts, ", ")
}

func (pr projection) checkKeys(t *table) error {
	for _, p := range pr {
		if err := p.checkKeys(t); err != nil {
			return err
		}
	}
	return nil
}

func parseProjection(source string) (projection, error) {
	return parse(source, (*parser).projection)
}

// projection = path { , path }
func (p *parser) projection() (projection, error) {
	var pr projection
	for {
		n, err := p.documentPath()
		if err != nil {
			return nil, err
		}
		pr = append(pr, n.path)
		if !p.isOperator(",") {
			return pr, nil
		}
		p.next()
	}
}

// of gives what the projection takes of an item: the same structure, with elements of lists moved
// together. A nil projection takes everything.
func (pr projection) of(it item) item {
	if pr == nil {
		return it
	}
	out := item{}
	for name, v := range it {
		var inside []path
		whole := false
		for _, p := range pr {
			if p[0].name == name {
				inside = append(inside, p[1:])
				whole = whole || len(p) == 1
			}
		}
		if whole {
			out[name] = v
		} else if part := v.parts(inside); part != nil {
			out[name] = part
		}
	}
	return out
}

// parts is v cut down to the places that the paths lead to; nil when there are none.
func (v *value) parts(paths []path) *value {
	if slices.ContainsFunc(paths, func(p path) bool { return len(p) == 0 }) {
		return v
	}
	below := func(s step) (rest []path) {
		for _, p := range paths {
			if p[0].isIndex == s.isIndex && p[0].index == s.index && (s.isIndex || p[0].name == s.name) {
				rest = append(rest, p[1:])
			}
		}
		return rest
	}
	out := &value{kind: v.kind, members: item{}}
	for name, child := range v.members {
		if rest := below(step{name: name}); rest != nil {
			if part := child.parts(rest); part != nil {
				out.members[name] = part
			}
		}
	}
	for i, child := range v.list {
		if rest := below(step{index: i, isIndex: true}); rest != nil {
			if part := child.parts(rest); part != nil {
				out.list = append(out.list, part)
			}
		}
	}
	if len(out.members) == 0 && len(out.list) == 0 {
		return nil
	}
	return out
}
