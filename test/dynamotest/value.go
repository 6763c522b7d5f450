package dynamotest

import (
	"bytes"
	"slices"
	"strings"
)

// kind is an attribute type, written as DynamoDB writes it.
type kind string

const (
	kindString    kind = "S"
	kindNumber    kind = "N"
	kindBinary    kind = "B"
	kindBool      kind = "BOOL"
	kindNull      kind = "NULL"
	kindMap       kind = "M"
	kindList      kind = "L"
	kindStringSet kind = "SS"
	kindNumberSet kind = "NS"
	kindBinarySet kind = "BS"
)

func (k kind) isSet() bool {
	return k == kindStringSet || k == kindNumberSet || k == kindBinarySet
}

// value is one attribute value. It is never changed once built: items share values, and a reply is
// written from them after the engine's mutex has been released.
type value struct {
	kind    kind
	text    string   // S, and B's raw bytes
	num     number   // N
	bool    bool     // BOOL
	list    []*value // L
	members item     // M
	set     []*value // SS, NS, BS: values of the element kind, in ascending order
}

// item is a map of attributes: a whole item or the inside of an M. Like a value, it is never
// changed once stored.
type item map[string]*value

// setValue sorts the elements, as DynamoDB does.
func setValue(k kind, elements []*value) *value {
	slices.SortFunc(elements, func(a, b *value) int {
		order, _ := a.compare(b)
		return order
	})
	return &value{kind: k, set: elements}
}

func numberValue(n number) *value { return &value{kind: kindNumber, num: n} }

func setElementKind(k kind) kind { return k[:1] }

func (v *value) equal(w *value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case kindString, kindBinary:
		return v.text == w.text
	case kindNumber:
		return v.num == w.num
	case kindBool:
		return v.bool == w.bool
	case kindNull:
		return true
	case kindList:
		return slices.EqualFunc(v.list, w.list, (*value).equal)
	case kindMap:
		return v.members.equal(w.members)
	}
	return slices.EqualFunc(v.set, w.set, (*value).equal)
}

func (it item) equal(other item) bool {
	if len(it) != len(other) {
		return false
	}
	for name, v := range it {
		if w, ok := other[name]; !ok || !v.equal(w) {
			return false
		}
	}
	return true
}

// hasElement is for sets and lists.
func (v *value) hasElement(e *value) bool {
	elements := v.set
	if v.kind == kindList {
		elements = v.list
	}
	return slices.ContainsFunc(elements, e.equal)
}

// compare orders two values of one scalar kind; ok is false when DynamoDB has no order for them.
func (v *value) compare(w *value) (order int, ok bool) {
	if v.kind != w.kind {
		return 0, false
	}
	switch v.kind {
	case kindString, kindBinary:
		return strings.Compare(v.text, w.text), true
	case kindNumber:
		return v.num.compare(w.num), true
	}
	return 0, false
}

// size in bytes, as AWS bills and limits it.
func (v *value) size() int {
	size := 0
	switch v.kind {
	case kindString, kindBinary:
		return len(v.text)
	case kindNumber:
		return v.num.size()
	case kindBool, kindNull:
		return 1
	case kindList:
		size = 3
		for _, e := range v.list {
			size += 1 + e.size()
		}
	case kindMap:
		size = 3 + len(v.members) + v.members.size()
	default:
		for _, e := range v.set {
			size += e.size()
		}
	}
	return size
}

func (it item) size() int {
	size := 0
	for name, v := range it {
		size += len(name) + v.size()
	}
	return size
}

// depth counts levels of nesting: a scalar or a set has none.
func (v *value) depth() int {
	deepest := 0
	switch v.kind {
	case kindList:
		for _, e := range v.list {
			deepest = max(deepest, e.depth())
		}
	case kindMap:
		for _, e := range v.members {
			deepest = max(deepest, e.depth())
		}
	default:
		return 0
	}
	return deepest + 1
}

// String is how messages quote a value.
func (v *value) String() string {
	var b bytes.Buffer
	b.WriteString("{" + string(v.kind) + ":")
	switch v.kind {
	case kindString:
		b.WriteString(v.text)
	case kindNumber:
		b.WriteString(v.num.String())
	}
	b.WriteString("}")
	return b.String()
}
