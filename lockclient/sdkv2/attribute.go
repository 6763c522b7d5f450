package sdkv2

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go/aws"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
)

// valueToV2 converts an attribute value. A v1 value may have no type, or several, which a v2 value
// can't: that is a misfit.
func valueToV2(v *v1.AttributeValue) (types.AttributeValue, error) {
	if v == nil {
		return nil, &misfit{problem: "is nil: leave it out or set it"}
	}
	switch n := typesOf(v); {
	case n == 0:
		return nil, &misfit{problem: "has no type: set one of B, BOOL, BS, L, M, N, NS, NULL, S and SS"}
	case n > 1:
		return nil, &misfit{problem: fmt.Sprintf("has %d types: set one of B, BOOL, BS, L, M, N, NS, NULL, S and SS", n)}
	case v.B != nil:
		return &types.AttributeValueMemberB{Value: v.B}, nil
	case v.BOOL != nil:
		return &types.AttributeValueMemberBOOL{Value: *v.BOOL}, nil
	case v.BS != nil:
		return &types.AttributeValueMemberBS{Value: v.BS}, nil
	case v.L != nil:
		return listToV2(v.L)
	case v.M != nil:
		return mapToV2(v.M)
	case v.N != nil:
		return &types.AttributeValueMemberN{Value: *v.N}, nil
	case v.NS != nil:
		set, err := setToV2(".NS", v.NS)
		return &types.AttributeValueMemberNS{Value: set}, err
	case v.NULL != nil:
		return &types.AttributeValueMemberNULL{Value: *v.NULL}, nil
	case v.S != nil:
		return &types.AttributeValueMemberS{Value: *v.S}, nil
	default:
		set, err := setToV2(".SS", v.SS)
		return &types.AttributeValueMemberSS{Value: set}, err
	}
}

// typesOf counts the types that v has.
func typesOf(v *v1.AttributeValue) int {
	n := 0
	for _, is := range [...]bool{
		v.B != nil, v.BOOL != nil, v.BS != nil, v.L != nil, v.M != nil, v.N != nil, v.NS != nil, v.NULL != nil, v.S != nil, v.SS != nil,
	} {
		if is {
			n++
		}
	}
	return n
}

func listToV2(list []*v1.AttributeValue) (types.AttributeValue, error) {
	elements := make([]types.AttributeValue, len(list))
	for i, element := range list {
		var err error
		if elements[i], err = valueToV2(element); err != nil {
			return nil, at(fmt.Sprintf(".L[%d]", i), err)
		}
	}
	return &types.AttributeValueMemberL{Value: elements}, nil
}

func mapToV2(members map[string]*v1.AttributeValue) (types.AttributeValue, error) {
	values := make(map[string]types.AttributeValue, len(members))
	for name, member := range members {
		value, err := valueToV2(member)
		if err != nil {
			return nil, at(fmt.Sprintf(".M[%q]", name), err)
		}
		values[name] = value
	}
	return &types.AttributeValueMemberM{Value: values}, nil
}

func setToV2(kind string, set []*string) ([]string, error) {
	for i, element := range set {
		if element == nil {
			return nil, &misfit{fmt.Sprintf("%s[%d]", kind, i), "is nil: leave it out or set it"}
		}
	}
	return aws.StringValueSlice(set), nil
}

// valueToV1 converts an attribute value. A type that v1 doesn't know becomes a value without a
// type, as in v1's own replies. Lists, maps and sets are never nil, which would be no type; v2
// makes no nil binaries.
func valueToV1(v types.AttributeValue) *v1.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberB:
		return &v1.AttributeValue{B: v.Value}
	case *types.AttributeValueMemberBOOL:
		return &v1.AttributeValue{BOOL: &v.Value}
	case *types.AttributeValueMemberBS:
		return &v1.AttributeValue{BS: v.Value}
	case *types.AttributeValueMemberL:
		list := make([]*v1.AttributeValue, len(v.Value))
		for i, element := range v.Value {
			list[i] = valueToV1(element)
		}
		return &v1.AttributeValue{L: list}
	case *types.AttributeValueMemberM:
		members := make(map[string]*v1.AttributeValue, len(v.Value))
		for name, member := range v.Value {
			members[name] = valueToV1(member)
		}
		return &v1.AttributeValue{M: members}
	case *types.AttributeValueMemberN:
		return &v1.AttributeValue{N: &v.Value}
	case *types.AttributeValueMemberNS:
		return &v1.AttributeValue{NS: aws.StringSlice(v.Value)}
	case *types.AttributeValueMemberNULL:
		return &v1.AttributeValue{NULL: &v.Value}
	case *types.AttributeValueMemberS:
		return &v1.AttributeValue{S: &v.Value}
	case *types.AttributeValueMemberSS:
		return &v1.AttributeValue{SS: aws.StringSlice(v.Value)}
	default:
		return &v1.AttributeValue{}
	}
}
