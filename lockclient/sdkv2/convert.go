package sdkv2

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
)

// The inputs, outputs and exceptions of both SDKs are generated from one model: fields have the
// same names, and their types differ in these ways only.
//
//	v1                         v2
//	*AttributeValue            AttributeValue (an interface)
//	*string                    string, if it is an enumeration or an element of a slice or map
//	*int64                     *int32, int32
//	*T, []*T, map[string]*T    T, []T, map[string]T
var (
	valueV1 = reflect.TypeFor[*v1.AttributeValue]()
	valueV2 = reflect.TypeFor[types.AttributeValue]()
)

// misfit is a v1 parameter that has no form in v2. DynamoDB would refuse it, too.
type misfit struct{ path, problem string }

func (e *misfit) Error() string { return e.path + " " + e.problem }

// at puts the name of what contains it before a misfit's path.
func at(name string, err error) error {
	if e, ok := err.(*misfit); ok {
		return &misfit{name + e.path, e.problem}
	}
	return err
}

// assign copies src to dst, whose types are each other's counterparts. Only v1 parameters can fail.
func assign(dst, src reflect.Value) error {
	switch {
	case src.Type() == dst.Type():
		dst.Set(src)
		return nil
	case src.Type() == valueV1:
		if src.IsNil() {
			return nil
		}
		value, err := valueToV2(src.Interface().(*v1.AttributeValue))
		if err == nil {
			dst.Set(reflect.ValueOf(value))
		}
		return err
	case src.Type() == valueV2:
		if !src.IsNil() {
			dst.Set(reflect.ValueOf(valueToV1(src.Interface().(types.AttributeValue))))
		}
		return nil
	case src.Kind() == reflect.Pointer:
		return assignFromPointer(dst, src)
	case dst.Kind() == reflect.Pointer:
		if isEnum(src.Type()) && src.Len() == 0 {
			return nil // v2's way to say that it is absent
		}
		dst.Set(reflect.New(dst.Type().Elem()))
		return assign(dst.Elem(), src)
	}
	switch src.Kind() {
	case reflect.Struct:
		return assignFields(dst, src)
	case reflect.Slice:
		return assignSlice(dst, src)
	case reflect.Map:
		return assignMap(dst, src)
	case reflect.String:
		if isEnum(dst.Type()) && src.Len() == 0 {
			return &misfit{problem: "is empty: set one of its values, or nil"}
		}
		dst.SetString(src.String())
	case reflect.Int64, reflect.Int32:
		if dst.OverflowInt(src.Int()) {
			return &misfit{problem: fmt.Sprintf("is %d: it must fit into 32 bits", src.Int())}
		}
		dst.SetInt(src.Int())
	default:
		dst.Set(src.Convert(dst.Type()))
	}
	return nil
}

// isEnum tells v2's enumerations: strings of a named type.
func isEnum(t reflect.Type) bool { return t.Kind() == reflect.String && t != reflect.TypeFor[string]() }

func assignFromPointer(dst, src reflect.Value) error {
	switch {
	case src.IsNil():
		return nil
	case dst.Kind() == reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		return assign(dst.Elem(), src.Elem())
	default:
		return assign(dst, src.Elem())
	}
}

func assignFields(dst, src reflect.Value) error {
	for _, f := range commonFields(dst.Type(), src.Type()) {
		if err := assign(dst.Field(f.dst), src.Field(f.src)); err != nil {
			return at("."+f.name, err)
		}
	}
	return nil
}

func assignSlice(dst, src reflect.Value) error {
	if src.IsNil() {
		return nil
	}
	dst.Set(reflect.MakeSlice(dst.Type(), src.Len(), src.Len()))
	for i := range src.Len() {
		if err := assignElement(dst.Index(i), src.Index(i)); err != nil {
			return at(fmt.Sprintf("[%d]", i), err)
		}
	}
	return nil
}

func assignMap(dst, src reflect.Value) error {
	if src.IsNil() {
		return nil
	}
	dst.Set(reflect.MakeMapWithSize(dst.Type(), src.Len()))
	for from := src.MapRange(); from.Next(); {
		element := reflect.New(dst.Type().Elem()).Elem()
		if err := assignElement(element, from.Value()); err != nil {
			return at(fmt.Sprintf("[%q]", from.Key()), err)
		}
		dst.SetMapIndex(from.Key(), element)
	}
	return nil
}

func assignElement(dst, src reflect.Value) error {
	if src.Kind() == reflect.Pointer && src.IsNil() {
		return &misfit{problem: "is nil: leave it out or set it"}
	}
	return assign(dst, src)
}

// field is one that two structs have in common.
type field struct {
	name     string
	dst, src int
}

type structs struct{ dst, src reflect.Type }

var fieldsOf sync.Map // structs -> []field

func commonFields(dst, src reflect.Type) []field {
	if known, ok := fieldsOf.Load(structs{dst, src}); ok {
		return known.([]field)
	}
	var common []field
	for i := range src.NumField() {
		f := src.Field(i)
		if to, ok := dst.FieldByName(f.Name); ok && f.IsExported() && !f.Anonymous {
			common = append(common, field{f.Name, to.Index[0], i})
		}
	}
	fieldsOf.Store(structs{dst, src}, common)
	return common
}
