package dynamotest

import (
	"cmp"
	"maps"
	"slices"
)

const (
	errInvalidPath   = invalid("The document path provided in the update expression is invalid for update")
	errNoSuchOperand = invalid("The provided expression refers to an attribute that does not exist in the item")
	errWrongOperand  = invalid("An operand in the update expression has an incorrect data type")
)

// apply gives the item that the update makes of old, which stays as it is. Every operand sees the
// old item.
func (u update) apply(old item) (item, error) {
	changed := maps.Clone(old)
	if changed == nil {
		changed = item{}
	}
	for _, a := range u {
		if !a.path.fits(old) {
			return nil, errInvalidPath
		}
	}
	values := make([]*value, len(u))
	for i, a := range u {
		v, err := a.newValue(old)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	for _, i := range u.order() {
		if err := changed.put(u[i].path, values[i]); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// order puts removals last and, in one list, elements that are set in ascending and elements that
// are removed in descending order, so that an index means the same element throughout.
func (u update) order() []int {
	indexes := make([]int, len(u))
	for i := range indexes {
		indexes[i] = i
	}
	if len(u) < 2 {
		return indexes
	}
	slices.SortStableFunc(indexes, func(i, j int) int {
		a, b := u[i], u[j]
		if removed := cmp.Compare(a.rank(), b.rank()); removed != 0 {
			return removed
		}
		at := commonSteps(a.path, b.path)
		if !a.path[at].isIndex || !b.path[at].isIndex {
			return 0
		}
		order := cmp.Compare(a.path[at].index, b.path[at].index)
		if a.section == "REMOVE" {
			order = -order
		}
		return order
	})
	return indexes
}

func (a action) rank() int {
	if a.section == "REMOVE" {
		return 1
	}
	return 0
}

// newValue is what the action puts in its place; nil removes what is there.
func (a action) newValue(old item) (*value, error) {
	switch a.section {
	case "REMOVE":
		return nil, nil
	case "SET":
		return a.operand.evaluate(old)
	}
	have, given := a.path.resolve(old), a.operand.bound
	switch {
	case a.section == "ADD" && have == nil:
		return given, nil
	case have == nil:
		return nil, nil
	case have.kind != given.kind:
		return nil, errWrongOperand
	case a.section == "DELETE":
		return have.without(given), nil
	case given.kind == kindNumber:
		sum, err := have.num.plus(given.num)
		return numberValue(sum), err
	}
	return have.union(given), nil
}

func (v *value) union(w *value) *value {
	set := slices.Clone(v.set)
	for _, e := range w.set {
		if !v.hasElement(e) {
			set = append(set, e)
		}
	}
	return setValue(v.kind, set)
}

// without is v less w's elements; nil when none is left, for no set is empty.
func (v *value) without(w *value) *value {
	set := slices.DeleteFunc(slices.Clone(v.set), w.hasElement)
	if len(set) == 0 {
		return nil
	}
	return &value{kind: v.kind, set: set}
}

// evaluate gives the value of SET's right side.
func (n *node) evaluate(it item) (*value, error) {
	switch n.kind {
	case nodeSum:
		return n.evaluateSum(it)
	case nodeFunction:
		if n.text == "list_append" {
			return n.evaluateAppend(it)
		}
		if v := n.args[0].resolve(it); v != nil {
			return v, nil
		}
		return n.args[1].evaluate(it)
	}
	if v := n.resolve(it); v != nil {
		return v, nil
	}
	return nil, errNoSuchOperand
}

func (n *node) evaluateSum(it item) (*value, error) {
	left, right, err := n.evaluateBoth(it, kindNumber)
	if err != nil {
		return nil, err
	}
	term := right.num
	if n.text == "-" {
		term = term.negated()
	}
	sum, err := left.num.plus(term)
	return numberValue(sum), err
}

func (n *node) evaluateAppend(it item) (*value, error) {
	left, right, err := n.evaluateBoth(it, kindList)
	if err != nil {
		return nil, err
	}
	return &value{kind: kindList, list: slices.Concat(left.list, right.list)}, nil
}

func (n *node) evaluateBoth(it item, want kind) (left, right *value, err error) {
	if left, err = n.args[0].evaluateAs(it, want); err != nil {
		return nil, nil, err
	}
	right, err = n.args[1].evaluateAs(it, want)
	return left, right, err
}

func (n *node) evaluateAs(it item, want kind) (*value, error) {
	v, err := n.evaluate(it)
	if err == nil && v.kind != want {
		err = errWrongOperand
	}
	return v, err
}

// put changes the item in place at the top, and copies what it changes below, which other items may
// share. A nil value removes.
func (it item) put(p path, v *value) error {
	if len(p) > 1 {
		top := it[p[0].name]
		if top == nil {
			return errInvalidPath
		}
		changed, err := top.with(p[1:], v)
		if err != nil {
			return err
		}
		v = changed
	}
	if v == nil {
		delete(it, p[0].name)
	} else {
		it[p[0].name] = v
	}
	return nil
}

// with is a copy of v that has w, or nothing when w is nil, at the place that the path leads to.
func (v *value) with(p path, w *value) (*value, error) {
	s := p[0]
	if s.isIndex && v.kind != kindList || !s.isIndex && v.kind != kindMap {
		return nil, errInvalidPath
	}
	if len(p) > 1 {
		child := v.child(s)
		if child == nil {
			return nil, errInvalidPath
		}
		changed, err := child.with(p[1:], w)
		if err != nil {
			return nil, err
		}
		w = changed
	}
	if s.isIndex {
		return &value{kind: kindList, list: listWith(v.list, s.index, w)}, nil
	}
	members := maps.Clone(v.members)
	if w == nil {
		delete(members, s.name)
	} else {
		if members == nil {
			members = item{}
		}
		members[s.name] = w
	}
	return &value{kind: kindMap, members: members}, nil
}

// listWith replaces, appends or removes one element. An index past the end appends.
func listWith(list []*value, index int, w *value) []*value {
	changed := slices.Clone(list)
	switch {
	case w == nil && index < len(list):
		return slices.Delete(changed, index, index+1)
	case w == nil:
		return changed
	case index < len(list):
		changed[index] = w
		return changed
	}
	return append(changed, w)
}
