package lockclient

import (
	"strconv"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// expression is the part of a request that never changes, built once for all locks of a
// shape: its texts, the names they refer to, and the values that are always the same.
// Requests share the names; each binds values of its own.
type expression struct {
	condition, update string
	names             map[string]*string
	fixed             map[string]*dynamodb.AttributeValue
	placeholders      map[string]string // attribute -> placeholder
	onlyPlaceholders  bool              // its names are never nil
}

func newExpression() *expression {
	return &expression{
		names:        make(map[string]*string),
		fixed:        make(map[string]*dynamodb.AttributeValue),
		placeholders: make(map[string]string),
	}
}

// name returns how an expression names an attribute: spelled out, if DynamoDB can't take
// it for a reserved word, which costs it less time, else by a placeholder.
func (e *expression) name(attribute string) string {
	if !e.onlyPlaceholders && spelledOut[attribute] {
		return attribute
	}
	if placeholder, ok := e.placeholders[attribute]; ok {
		return placeholder
	}
	placeholder := "#" + strconv.Itoa(len(e.names))
	e.placeholders[attribute] = placeholder
	e.names[placeholder] = &attribute
	return placeholder
}

// attributeNames are the request's names: nil if there are none, since DynamoDB refuses an
// empty map.
func (e *expression) attributeNames() map[string]*string {
	if len(e.names) == 0 {
		return nil
	}
	return e.names
}

// spelledOut are attributes of ours whose names resemble no reserved word.
var spelledOut = map[string]bool{
	attrOwner: true, attrLease: true, attrVersion: true, attrReleased: true, attrToken: true, attrOurVersion: true, attrCount: true,
	attrHeartbeat: true, attrExpires: true, attrReleasing: true, attrSession: true,
}

// value returns the placeholder for a value that is the same in every request.
func (e *expression) value(v *dynamodb.AttributeValue) string {
	placeholder := ":" + strconv.Itoa(len(e.fixed))
	e.fixed[placeholder] = v
	return placeholder
}

// bind returns the values of one request: the fixed ones, with room for more.
func (e *expression) bind(more int) map[string]*dynamodb.AttributeValue {
	values := make(map[string]*dynamodb.AttributeValue, len(e.fixed)+more)
	for placeholder, v := range e.fixed {
		values[placeholder] = v
	}
	return values
}

// The placeholders of the values that each request binds itself.
const (
	bindOwner     = ":owner"
	bindLease     = ":lease"
	bindHeartbeat = ":heartbeat"
	bindData      = ":data"
	bindVersion   = ":version"
	bindExpires   = ":expires"
	bindTTL       = ":ttl"
	bindToken     = ":token"
	bindHeir      = ":heir"

	bindSession      = ":session"
	bindSessionLease = ":sessionLease"
	bindChanges      = ":changes"
)

func text(s string) *dynamodb.AttributeValue    { return &dynamodb.AttributeValue{S: &s} }
func numeral(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{N: &s} }
func integer(n int64) *dynamodb.AttributeValue {
	return numeral(strconv.FormatInt(n, 10))
}
