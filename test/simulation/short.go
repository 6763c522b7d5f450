package simulation

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/private/protocol"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// shortCut is a DynamoDB client that leaves most of the SDK out: building, sending and reading a
// request costs the SDK more than everything else in a run. It writes the JSON of the few requests
// that a lock sends, and reads answers that succeed, or say that a condition was not met. For all
// others the SDK sends the request again, as it were, and is handed the answer that has come
// already. So what it makes of a fault is always the SDK's own. In one run of 32 the SDK does
// everything.
type shortCut struct {
	dynamodbiface.DynamoDBAPI // the SDK's
	t                         *transport
}

// arrivedKey finds the answer that has come already in the context of a request.
type arrivedKey struct{}

// arrived is what RoundTrip is to return, once. Should the SDK send the request again, that is
// another request.
type arrived struct {
	answer   answer
	err      error
	returned bool
}

// send sends a body; ok: the answer is a success.
func (s *shortCut) send(ctx context.Context, operation string, body []byte) (got *arrived, ok bool) {
	got = &arrived{}
	got.answer, got.err = s.t.send(ctx, operation, body)
	a := got.answer
	return got, got.err == nil && a.err == nil && a.fault == nil && !a.cut && a.status == http.StatusOK
}

// refusal is the SDK's error where the answer says that a condition was not met; nil: it says
// anything else.
func (got *arrived) refusal() error {
	a := got.answer
	if got.err != nil || a.err != nil || a.fault != nil || a.cut || a.status != http.StatusBadRequest || !bytes.HasSuffix(a.body, []byte(refusedSuffix)) {
		return nil
	}
	message := conditionFailedMessage
	err := &dynamodb.ConditionalCheckFailedException{RespMetadata: protocol.ResponseMetadata{StatusCode: a.status}, Message_: &message}
	var ok bool
	switch item := bytes.TrimSuffix(a.body, []byte(refusedSuffix)); {
	case string(item) == "{":
		return err
	case bytes.HasSuffix(item, []byte(",")):
		if err.Item, ok = readAttributes(append(item[:len(item)-1:len(item)-1], '}'), `{"Item":`); ok {
			return err
		}
	}
	return nil
}

// What dynamotest's refusals end with.
const (
	conditionFailedMessage = "The conditional request failed"
	refusedSuffix          = `"Message":"` + conditionFailedMessage + `","__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}`
)

// again is the context with which the SDK is told of an answer.
func (got *arrived) again(ctx context.Context) context.Context {
	return context.WithValue(ctx, arrivedKey{}, got)
}

func (s *shortCut) UpdateItemWithContext(ctx aws.Context, in *dynamodb.UpdateItemInput, options ...request.Option) (*dynamodb.UpdateItemOutput, error) {
	w := &writer{b: make([]byte, 0, 1200)}
	w.open()
	w.text("TableName", in.TableName)
	w.attributes("Key", in.Key)
	w.condition(in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	w.text("UpdateExpression", in.UpdateExpression)
	w.text("ReturnValues", in.ReturnValues)
	w.text("ReturnValuesOnConditionCheckFailure", in.ReturnValuesOnConditionCheckFailure)
	w.shut()
	got, ok := s.send(ctx, "UpdateItem", w.b)
	if ok {
		if attributes, ok := readAttributes(got.answer.body, `{"Attributes":`); ok {
			return &dynamodb.UpdateItemOutput{Attributes: attributes}, nil
		}
	}
	if err := got.refusal(); err != nil {
		return &dynamodb.UpdateItemOutput{}, err
	}
	return s.DynamoDBAPI.UpdateItemWithContext(got.again(ctx), in, options...)
}

func (s *shortCut) GetItemWithContext(ctx aws.Context, in *dynamodb.GetItemInput, options ...request.Option) (*dynamodb.GetItemOutput, error) {
	w := &writer{b: make([]byte, 0, 1200)}
	w.open()
	w.text("TableName", in.TableName)
	w.attributes("Key", in.Key)
	if in.ConsistentRead != nil {
		w.field("ConsistentRead")
		w.b = strconv.AppendBool(w.b, *in.ConsistentRead)
	}
	w.shut()
	got, ok := s.send(ctx, "GetItem", w.b)
	if ok {
		if item, ok := readAttributes(got.answer.body, `{"Item":`); ok {
			return &dynamodb.GetItemOutput{Item: item}, nil
		}
	}
	return s.DynamoDBAPI.GetItemWithContext(got.again(ctx), in, options...)
}

func (s *shortCut) DeleteItemWithContext(ctx aws.Context, in *dynamodb.DeleteItemInput, options ...request.Option) (*dynamodb.DeleteItemOutput, error) {
	w := &writer{b: make([]byte, 0, 1200)}
	w.open()
	w.text("TableName", in.TableName)
	w.attributes("Key", in.Key)
	w.condition(in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	w.shut()
	got, ok := s.send(ctx, "DeleteItem", w.b)
	if ok {
		return &dynamodb.DeleteItemOutput{}, nil
	}
	if err := got.refusal(); err != nil {
		return &dynamodb.DeleteItemOutput{}, err
	}
	return s.DynamoDBAPI.DeleteItemWithContext(got.again(ctx), in, options...)
}

func (s *shortCut) TransactWriteItemsWithContext(ctx aws.Context, in *dynamodb.TransactWriteItemsInput, options ...request.Option) (*dynamodb.TransactWriteItemsOutput, error) {
	w := &writer{b: make([]byte, 0, 1200)}
	w.open()
	w.text("ClientRequestToken", in.ClientRequestToken)
	w.field("TransactItems")
	w.b = append(w.b, '[')
	for i, item := range in.TransactItems {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.open()
		if u := item.Update; u != nil {
			w.field("Update")
			w.open()
			w.text("TableName", u.TableName)
			w.attributes("Key", u.Key)
			w.condition(u.ConditionExpression, u.ExpressionAttributeNames, u.ExpressionAttributeValues)
			w.text("UpdateExpression", u.UpdateExpression)
			w.shut()
		}
		if c := item.ConditionCheck; c != nil {
			w.field("ConditionCheck")
			w.open()
			w.text("TableName", c.TableName)
			w.attributes("Key", c.Key)
			w.condition(c.ConditionExpression, c.ExpressionAttributeNames, c.ExpressionAttributeValues)
			w.text("ReturnValuesOnConditionCheckFailure", c.ReturnValuesOnConditionCheckFailure)
			w.shut()
		}
		w.shut()
	}
	w.b = append(w.b, ']')
	w.shut()
	got, ok := s.send(ctx, "TransactWriteItems", w.b)
	if ok {
		return &dynamodb.TransactWriteItemsOutput{}, nil
	}
	return s.DynamoDBAPI.TransactWriteItemsWithContext(got.again(ctx), in, options...)
}

// writer writes JSON.
type writer struct{ b []byte }

func (w *writer) open() { w.b = append(w.b, '{') }
func (w *writer) shut() { w.b = append(w.b, '}') }

// field begins a field.
func (w *writer) field(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.quote(name)
	w.b = append(w.b, ':')
}

func (w *writer) quote(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err)
			}
			w.b = append(w.b, quoted...)
			return
		}
	}
	w.b = append(append(append(w.b, '"'), s...), '"')
}

// text writes a string, if there is one.
func (w *writer) text(name string, s *string) {
	if s != nil {
		w.field(name)
		w.quote(*s)
	}
}

func (w *writer) condition(condition *string, names map[string]*string, values map[string]*dynamodb.AttributeValue) {
	w.text("ConditionExpression", condition)
	if len(names) > 0 {
		w.field("ExpressionAttributeNames")
		w.open()
		for _, name := range sortedKeys(names) {
			w.text(name, names[name])
		}
		w.shut()
	}
	w.attributes("ExpressionAttributeValues", values)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// attributes writes values, in the order of their names, as the SDK does.
func (w *writer) attributes(name string, values map[string]*dynamodb.AttributeValue) {
	if len(values) == 0 {
		return
	}
	w.field(name)
	w.open()
	for _, key := range sortedKeys(values) {
		w.field(key)
		w.open()
		switch v := values[key]; {
		case v.S != nil:
			w.text("S", v.S)
		case v.N != nil:
			w.text("N", v.N)
		case v.B != nil:
			w.field("B")
			w.quote(base64.StdEncoding.EncodeToString(v.B))
		default:
			panic("simulation: a value that no lock writes")
		}
		w.shut()
	}
	w.shut()
}

// readAttributes reads {"Item":{"name":{"S":"text"},...}}; an answer of {} is no attributes.
// Anything that it does not know is not ok.
func readAttributes(body []byte, prefix string) (attributes map[string]*dynamodb.AttributeValue, ok bool) {
	r := reader{rest: body}
	if string(body) == "{}" {
		return nil, true
	}
	attributes = make(map[string]*dynamodb.AttributeValue, 10)
	r.skip(prefix + "{")
	for first := true; !r.failed && !r.at("}"); first = false {
		if !first {
			r.skip(",")
		}
		name := r.quoted()
		r.skip(":{")
		kind := r.quoted()
		r.skip(":")
		value := r.quoted()
		r.skip("}")
		switch kind {
		case "S":
			attributes[name] = &dynamodb.AttributeValue{S: &value}
		case "N":
			attributes[name] = &dynamodb.AttributeValue{N: &value}
		default:
			return nil, false
		}
	}
	r.skip("}}")
	return attributes, !r.failed && len(r.rest) == 0
}

// reader reads JSON as the engine writes it, without any space.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) at(s string) bool { return len(r.rest) >= len(s) && string(r.rest[:len(s)]) == s }

func (r *reader) skip(s string) {
	if !r.at(s) {
		r.failed = true
		return
	}
	r.rest = r.rest[len(s):]
}

func (r *reader) quoted() string {
	r.skip(`"`)
	for i, c := range r.rest {
		switch c {
		case '\\':
			r.failed = true
			return ""
		case '"':
			s := string(r.rest[:i])
			r.rest = r.rest[i+1:]
			return s
		}
	}
	r.failed = true
	return ""
}
