package sdkv2_test

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
)

// generator makes random v1 structures. Equal seeds make equal structures.
type generator struct{ *rand.Rand }

func generate(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 0))} }

var valueType = reflect.TypeFor[v1.AttributeValue]()

// fill sets v to something random. Members that v1 requires are set, others mostly.
func (g generator) fill(v reflect.Value, tag reflect.StructTag) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		g.fill(v.Elem(), tag)
	case reflect.Struct:
		switch v.Type() {
		case valueType:
			v.Set(reflect.ValueOf(*g.value(3)))
		case reflect.TypeFor[time.Time]():
			v.Set(reflect.ValueOf(time.Unix(g.Int64N(4e9), 5e8).UTC())) // v2 cuts milliseconds off with float arithmetic
		default:
			g.fillFields(v)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 2))
		for range 1 + g.IntN(2) {
			element := reflect.New(v.Type().Elem()).Elem()
			g.fill(element, tag)
			v.Set(reflect.Append(v, element))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 1 + g.IntN(2) {
			element := reflect.New(v.Type().Elem()).Elem()
			g.fill(element, tag)
			v.SetMapIndex(reflect.ValueOf(g.text(3)), element)
		}
	case reflect.String:
		v.SetString(g.text(3)) // no member wants more than three bytes
	case reflect.Int64:
		v.SetInt(1 + g.Int64N(1<<31-1)) // v2 has 32 bits for some
	case reflect.Float64:
		v.SetFloat(float64(g.IntN(1e6)) / 8)
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	default:
		panic("no way to fill " + v.Type().String())
	}
}

func (g generator) fillFields(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		// DynamoDB sends both counts always, and in v2 they can't be absent.
		always := f.Tag.Get("required") == "true" || f.Name == "Count" || f.Name == "ScannedCount"
		if f.IsExported() && (always || g.IntN(4) > 0) {
			g.fill(v.Field(i), f.Tag)
		}
	}
}

// text is at least so many bytes of UTF-8, with all that JSON has to escape.
func (g generator) text(atLeast int) string {
	alphabet := []rune("abcXYZ019 _-.:/\\\"'<>&\n\t\r\x00\x1f\u007fäß\u2028語😀")
	var b strings.Builder
	for range atLeast + g.IntN(6) {
		b.WriteRune(alphabet[g.IntN(len(alphabet))])
	}
	return b.String()
}

func (g generator) number() string {
	n := strconv.FormatInt(g.Int64()-g.Int64(), 10)
	switch g.IntN(3) {
	case 0:
		return n + strconv.FormatUint(g.Uint64()>>1, 10) // more than 64 bits
	case 1:
		return n + "." + strconv.Itoa(g.IntN(1000)) + "E-20"
	}
	return n
}

func (g generator) bytes() []byte {
	b := make([]byte, g.IntN(5))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// value is an attribute value of any type, nested up to depth. Lists, maps and sets may be empty.
func (g generator) value(depth int) *v1.AttributeValue {
	few := g.IntN(3)
	kinds := 10
	if depth == 0 {
		kinds = 8 // no documents
	}
	switch g.IntN(kinds) {
	case 0:
		return &v1.AttributeValue{S: aws.String(g.text(0))}
	case 1:
		return &v1.AttributeValue{N: aws.String(g.number())}
	case 2:
		return &v1.AttributeValue{B: g.bytes()}
	case 3:
		return &v1.AttributeValue{BOOL: aws.Bool(few == 0)}
	case 4:
		return &v1.AttributeValue{NULL: aws.Bool(few > 0)}
	case 5:
		set := make([]*string, few)
		for i := range set {
			set[i] = aws.String(g.text(0))
		}
		return &v1.AttributeValue{SS: set}
	case 6:
		set := make([]*string, few)
		for i := range set {
			set[i] = aws.String(g.number())
		}
		return &v1.AttributeValue{NS: set}
	case 7:
		set := make([][]byte, few)
		for i := range set {
			set[i] = g.bytes()
		}
		return &v1.AttributeValue{BS: set}
	case 8:
		list := make([]*v1.AttributeValue, few)
		for i := range list {
			list[i] = g.value(depth - 1)
		}
		return &v1.AttributeValue{L: list}
	default:
		members := map[string]*v1.AttributeValue{}
		for range few {
			members[g.text(0)] = g.value(depth - 1)
		}
		return &v1.AttributeValue{M: members}
	}
}
