package dynamotest

import (
	"bytes"
	"encoding/json"
	"io"
)

// decodeObject reads the JSON object that a request's body is. Reading costs an engine as much as
// carrying out, so the plain JSON that SDKs write takes a short way. All else takes that of
// encoding/json, and so does whatever is wrong.
func decodeObject(body []byte) (map[string]any, error) {
	p := plainJSON{text: body}
	if members, ok := p.whole(); ok {
		return members, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil {
		return nil, serializationError(err.Error())
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, serializationError("text after the end of the request")
	}
	return members, nil
}

// scalar is an object with one member whose content is a string, and which looks like an attribute
// value: {"S": "text"}. A map of one member costs five times as much.
type scalar struct {
	kind    kind
	content string
}

func (s scalar) object() map[string]any { return map[string]any{string(s.kind): s.content} }

// MarshalJSON is json.Marshaler.
func (s scalar) MarshalJSON() ([]byte, error) { return json.Marshal(s.object()) }

// asObject is the object that a decoded value is.
func asObject(v any) (map[string]any, bool) {
	if s, ok := v.(scalar); ok {
		return s.object(), true
	}
	members, ok := v.(map[string]any)
	return members, ok
}

// plainJSON reads JSON without numbers, without escapes in strings, in ASCII, and not deeply
// nested. It stops where it finds anything else.
type plainJSON struct {
	text  []byte
	at    int
	depth int
}

const maxPlainDepth = 40

func (p *plainJSON) whole() (map[string]any, bool) {
	v, ok := p.value()
	if !ok || p.peek() != 0 || p.at < len(p.text) {
		return nil, false
	}
	return asObject(v)
}

// peek is the next byte that is no space; 0 at the end.
func (p *plainJSON) peek() byte {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (p *plainJSON) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

func (p *plainJSON) word(word string) bool {
	if !bytes.HasPrefix(p.text[p.at:], []byte(word)) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *plainJSON) value() (any, bool) {
	switch p.peek() {
	case '"':
		return p.quoted()
	case '{', '[':
		if p.depth++; p.depth > maxPlainDepth {
			return nil, false
		}
		defer func() { p.depth-- }()
		if p.take('{') {
			return p.object()
		}
		p.at++
		return p.array()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	return nil, false
}

func (p *plainJSON) quoted() (string, bool) {
	if !p.take('"') {
		return "", false
	}
	for start := p.at; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return string(p.text[start : p.at-1]), true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

// object reads on after an opening brace.
func (p *plainJSON) object() (any, bool) {
	if p.take('}') {
		return map[string]any{}, true
	}
	var members map[string]any
	for {
		name, ok := p.quoted()
		if !ok || !p.take(':') {
			return nil, false
		}
		v, ok := p.value()
		if !ok {
			return nil, false
		}
		more := p.take(',')
		if !more && !p.take('}') {
			return nil, false
		}
		if text, ok := v.(string); ok && !more && members == nil {
			switch k := kind(name); k {
			case kindString, kindNumber, kindBinary:
				return scalar{k, text}, true
			}
		}
		if members == nil {
			members = map[string]any{}
		}
		members[name] = v
		if !more {
			return members, true
		}
	}
}

// array reads on after an opening bracket.
func (p *plainJSON) array() (any, bool) {
	elements := []any{}
	if p.take(']') {
		return elements, true
	}
	for {
		v, ok := p.value()
		if !ok {
			return nil, false
		}
		elements = append(elements, v)
		if p.take(']') {
			return elements, true
		}
		if !p.take(',') {
			return nil, false
		}
	}
}
