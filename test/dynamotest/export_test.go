package dynamotest

import (
	"fmt"
	"maps"
	"slices"
)

// Parse runs one of the expression grammars, and gives the tree in its canonical form.
func Parse(member, source string) (fmt.Stringer, error) {
	switch member {
	case "UpdateExpression":
		return parseUpdate(source)
	case "ProjectionExpression":
		p, err := parseProjection(source)
		return p, err
	}
	return parseCondition(source)
}

// Number parses a number, and gives it as DynamoDB would.
func Number(text string) (fmt.Stringer, error) { return parseNumber(text) }

// Add is the sum of two numbers; it fails when DynamoDB has no room for it.
func Add(a, b string) (string, error) {
	x, err := parseNumber(a)
	if err != nil {
		return "", err
	}
	y, err := parseNumber(b)
	if err != nil {
		return "", err
	}
	sum, err := x.plus(y)
	return sum.String(), err
}

// Compare orders two numbers.
func Compare(a, b string) int {
	x, errX := parseNumber(a)
	y, errY := parseNumber(b)
	if errX != nil || errY != nil {
		panic("no numbers: " + a + ", " + b)
	}
	return x.compare(y)
}

// ReservedWords are the words that no expression may use as bare names.
func ReservedWords() []string { return slices.Sorted(maps.Keys(reservedWords)) }

// DecodePlain is the short way of reading a request; false: it does not take it.
func DecodePlain(body []byte) (map[string]any, bool) { return (&plainJSON{text: body}).whole() }
