package dynamotest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// request is a decoded request body. Its accessors give the zero value for an absent member and
// note the first member of a wrong JSON type in err, which every operation looks at before it does
// anything.
type request struct {
	operation string // "" for a part of a request
	members   map[string]any
	err       error
}

// refuseUnsupported is loud about what would otherwise be ignored silently.
func (r *request) refuseUnsupported(name string, supported []string) error {
	for _, member := range sortedKeys(r.members) {
		if r.members[member] == nil || slices.Contains(supported, member) {
			continue
		}
		return invalidf("dynamotest does not support the member %s of %s: leave it out, or test against DynamoDB Local", member, name)
	}
	return nil
}

// sortedKeys is slices.Sorted(maps.Keys(m)) with less to allocate.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (r *request) has(name string) bool { return r.members[name] != nil }

func member[T any](r *request, name, want string) (v T) {
	given := r.members[name]
	if given == nil {
		return v
	}
	v, ok := given.(T)
	if !ok {
		r.fail(name, given, want)
	}
	return v
}

func (r *request) fail(name string, given any, want string) {
	if r.err == nil {
		r.err = serializationError(name + ": " + jsonType(given) + " cannot be converted to " + want)
	}
}

func jsonType(v any) string {
	switch v.(type) {
	case string:
		return "STRING_VALUE"
	case json.Number:
		return "NUMBER_VALUE"
	case bool:
		return "BOOLEAN_VALUE"
	case []any:
		return "Start of list"
	case map[string]any, scalar:
		return "Start of structure or map"
	}
	return "NULL_VALUE"
}

func (r *request) text(name string) string { return member[string](r, name, "String") }
func (r *request) flag(name string) bool   { return member[bool](r, name, "Boolean") }
func (r *request) list(name string) []any  { return member[[]any](r, name, "List") }

func (r *request) object(name string) map[string]any {
	given := r.members[name]
	members, ok := asObject(given)
	if !ok && given != nil {
		r.fail(name, given, "Map")
	}
	return members
}

// objectAt is a member of an object that is a member of the request.
func (r *request) objectAt(in map[string]any, name string) map[string]any {
	part := &request{members: in}
	members := part.object(name)
	if r.err == nil {
		r.err = part.err
	}
	return members
}

func (r *request) whole(name string) int {
	digits := member[json.Number](r, name, "Integer")
	if digits == "" {
		return 0
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		r.fail(name, digits, "Integer")
	}
	return int(n)
}

// objects gives the elements of a list as requests of their own, sharing nothing but the first
// error.
func (r *request) objects(name string) []*request {
	var parts []*request
	for _, element := range r.list(name) {
		members, ok := asObject(element)
		if !ok {
			r.fail(name, element, "Map")
		}
		parts = append(parts, &request{members: members})
	}
	return parts
}

// attributes reads a map of attribute values, such as Key or Item.
func (r *request) attributes(name string) (item, error) {
	return readItem(r.object(name), readValue)
}

func readItem(members map[string]any, read func(any) (*value, error)) (item, error) {
	it := make(item, len(members))
	for _, name := range sortedKeys(members) {
		if name == "" {
			return nil, invalid("Empty attribute name")
		}
		v, err := read(members[name])
		if err != nil {
			return nil, err
		}
		it[name] = v
	}
	return it, nil
}

// maxDepth is how deep a value may nest. DynamoDB allows 32 levels, of which the item is one.
const maxDepth = 31

// readValue checks all that DynamoDB checks of a single value.
func readValue(given any) (*value, error) {
	v, err := readNested(given)
	if err == nil && v.depth() > maxDepth {
		err = errTooDeep
	}
	return v, err
}

func readNested(given any) (*value, error) {
	if s, ok := given.(scalar); ok {
		return readScalar(s.kind, s.content)
	}
	members, ok := given.(map[string]any)
	if !ok {
		return nil, serializationError(jsonType(given) + " cannot be converted to AttributeValue")
	}
	var v *value
	for _, name := range sortedKeys(members) {
		content := members[name]
		if content == nil {
			continue
		}
		if v != nil {
			return nil, invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		}
		var err error
		if v, err = readTyped(kind(name), content); err != nil {
			return nil, err
		}
	}
	if v == nil {
		return nil, invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	}
	return v, nil
}

func readTyped(k kind, content any) (*value, error) {
	switch k {
	case kindString, kindNumber, kindBinary:
		return readScalar(k, content)
	case kindBool, kindNull:
		return readFlag(k, content)
	case kindMap:
		members, ok := asObject(content)
		if !ok {
			return nil, wrongContent(k, content)
		}
		it, err := readItem(members, readNested)
		return &value{kind: k, members: it}, err
	case kindList:
		return readList(content)
	case kindStringSet, kindNumberSet, kindBinarySet:
		return readSet(k, content)
	}
	return nil, invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

func wrongContent(k kind, content any) error {
	return serializationError(jsonType(content) + " is no content of an attribute value of type " + string(k))
}

func readScalar(k kind, content any) (*value, error) {
	text, ok := content.(string)
	if !ok {
		return nil, wrongContent(k, content)
	}
	switch k {
	case kindNumber:
		n, err := parseNumber(text)
		return numberValue(n), err
	case kindBinary:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, serializationError("a binary value is not base64: " + err.Error())
		}
		return &value{kind: k, text: string(raw)}, nil
	}
	return &value{kind: k, text: text}, nil
}

func readFlag(k kind, content any) (*value, error) {
	flag, ok := content.(bool)
	if !ok {
		return nil, wrongContent(k, content)
	}
	if k == kindNull && !flag {
		return nil, invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
	}
	return &value{kind: k, bool: flag}, nil
}

func readList(content any) (*value, error) {
	elements, ok := content.([]any)
	if !ok {
		return nil, wrongContent(kindList, content)
	}
	list := make([]*value, len(elements))
	for i, element := range elements {
		v, err := readNested(element)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return &value{kind: kindList, list: list}, nil
}

func readSet(k kind, content any) (*value, error) {
	elements, ok := content.([]any)
	if !ok {
		return nil, wrongContent(k, content)
	}
	if len(elements) == 0 {
		return nil, emptySet(k)
	}
	set := make([]*value, 0, len(elements))
	for _, element := range elements {
		e, err := readScalar(setElementKind(k), element)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(set, e.equal) {
			return nil, duplicateElement(k, elements)
		}
		set = append(set, e)
	}
	return setValue(k, set), nil
}

func emptySet(k kind) error {
	switch k {
	case kindStringSet:
		return invalid("One or more parameter values were invalid: An string set  may not be empty")
	case kindNumberSet:
		return invalid("One or more parameter values were invalid: An number set  may not be empty")
	}
	return invalid("One or more parameter values were invalid: Binary sets should not be empty")
}

func duplicateElement(k kind, elements []any) error {
	switch k {
	case kindStringSet:
		return invalidf("One or more parameter values were invalid: Input collection [%s] contains duplicates", joinAny(elements))
	case kindNumberSet:
		return invalid("Input collection contains duplicates")
	}
	return invalid("One or more parameter values were invalid: Input collection of type BS contains duplicates.")
}

func joinAny(elements []any) string {
	texts := make([]string, len(elements))
	for i, e := range elements {
		texts[i] = fmt.Sprint(e)
	}
	return strings.Join(texts, ", ")
}
