package dynamotest

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// reply is a JSON object to send. It is written with its members in alphabetical order, so that
// equal answers are equal bytes.
type reply map[string]any

// appendJSON knows just the types that replies are made of.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case reply:
		return appendObject(dst, v, func(dst []byte, v any) []byte { return appendJSON(dst, v) })
	case item:
		return appendObject(dst, v, appendValue)
	case []item:
		return appendArray(dst, v, func(dst []byte, it item) []byte { return appendJSON(dst, it) })
	case []string:
		return appendArray(dst, v, appendString)
	case []reply:
		return appendArray(dst, v, func(dst []byte, r reply) []byte { return appendJSON(dst, r) })
	case []reason:
		return appendArray(dst, v, func(dst []byte, r reason) []byte { return appendJSON(dst, r.reply()) })
	case string:
		return appendString(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case float64:
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	case bool:
		return strconv.AppendBool(dst, v)
	case time.Time:
		return strconv.AppendFloat(dst, float64(v.UnixMilli())/1000, 'f', 3, 64)
	}
	panic(fmt.Sprintf("dynamotest: no JSON form for %T", v))
}

func (r reason) reply() reply {
	out := reply{"Code": r.code}
	if r.message != "" {
		out["Message"] = r.message
	}
	if r.item != nil {
		out["Item"] = r.item
	}
	return out
}

func appendObject[V any](dst []byte, members map[string]V, appendMember func([]byte, V) []byte) []byte {
	dst = append(dst, '{')
	for i, name := range sortedKeys(members) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendMember(dst, members[name])
	}
	return append(dst, '}')
}

func appendArray[V any](dst []byte, elements []V, appendElement func([]byte, V) []byte) []byte {
	dst = append(dst, '[')
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendElement(dst, e)
	}
	return append(dst, ']')
}

func appendValue(dst []byte, v *value) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, v.kind...)
	dst = append(dst, `":`...)
	switch v.kind {
	case kindBool:
		dst = strconv.AppendBool(dst, v.bool)
	case kindNull:
		dst = append(dst, "true"...)
	case kindList:
		dst = appendArray(dst, v.list, appendValue)
	case kindMap:
		dst = appendObject(dst, v.members, appendValue)
	case kindString, kindNumber, kindBinary:
		dst = appendScalar(dst, v)
	default:
		dst = appendArray(dst, v.set, appendScalar)
	}
	return append(dst, '}')
}

func appendScalar(dst []byte, v *value) []byte {
	switch v.kind {
	case kindNumber:
		dst = append(dst, '"')
		dst = append(dst, v.num.String()...)
		return append(dst, '"')
	case kindBinary:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, []byte(v.text))
		return append(dst, '"')
	}
	return appendString(dst, v.text)
}

func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r) // U+FFFD for a byte that is no UTF-8
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}
