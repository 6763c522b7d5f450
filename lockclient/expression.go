package lockclient

import (
	"strconv"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// expression collects the names and values that an expression's text refers to.
type expression struct {
	names  map[string]*string
	values map[string]*dynamodb.AttributeValue
	known  map[string]string // attribute -> placeholder
}

func newExpression() *expression {
	return &expression{
		names:  make(map[string]*string, 12),
		values: make(map[string]*dynamodb.AttributeValue, 12),
		known:  make(map[string]string, 12),
	}
}

func (e *expression) name(attribute string) string {
	if placeholder, ok := e.known[attribute]; ok {
		return placeholder
	}
	placeholder := "#" + strconv.Itoa(len(e.names))
	e.known[attribute] = placeholder
	e.names[placeholder] = &attribute
	return placeholder
}

func (e *expression) value(v *dynamodb.AttributeValue) string {
	placeholder := ":" + strconv.Itoa(len(e.values))
	e.values[placeholder] = v
	return placeholder
}

func text(s string) *dynamodb.AttributeValue    { return &dynamodb.AttributeValue{S: &s} }
func numeral(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{N: &s} }
func integer(n int64) *dynamodb.AttributeValue {
	return numeral(strconv.FormatInt(n, 10))
}
