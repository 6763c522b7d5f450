package sdkv2_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/private/protocol/json/jsonutil"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// The operations that the README promises.
var supported = []string{
	"BatchGetItem", "CreateTable", "DeleteItem", "DeleteTable", "DescribeTable", "DescribeTimeToLive", "GetItem", "PutItem", "Query",
	"Scan", "TransactWriteItems", "UpdateItem", "UpdateTimeToLive",
}

// call calls a method such as GetItem with an input.
func call(db dynamodbiface.DynamoDBAPI, name string, in reflect.Value) (out any, err error) {
	results := reflect.ValueOf(db).MethodByName(name).Call([]reflect.Value{in})
	err, _ = results[1].Interface().(error)
	return results[0].Interface(), err
}

// types are the input and output of an operation.
func typesOf(name string) (in, out reflect.Type) {
	method := reflect.TypeOf((*v1.DynamoDB).GetItem)
	if m, ok := reflect.TypeFor[*v1.DynamoDB]().MethodByName(name); ok {
		method = m.Type
	}
	return method.In(1).Elem(), method.Out(0).Elem()
}

const seeds = 100

func TestARequestHasTheSameBodyAsV1s(t *testing.T) {
	for _, name := range supported {
		t.Run(name, func(t *testing.T) {
			input, _ := typesOf(name)
			for seed := range uint64(seeds) {
				in := reflect.New(input)
				generate(seed).fill(in.Elem(), "")
				if err := in.Interface().(interface{ Validate() error }).Validate(); err != nil {
					t.Fatalf("seed %d: the generator made an input that v1 refuses: %v", seed, err)
				}
				setToken(in)
				p := newPair(answer(200, []byte("{}")))
				_, err1 := call(p.first, name, in)
				_, err2 := call(p.second, name, in)
				if err1 != nil || err2 != nil {
					t.Fatalf("seed %d: errors %v (v1), %v (adapter) for %v", seed, err1, err2, in)
				}
				if p.toFirst.count() != 1 || p.toSecond.count() != 1 {
					t.Fatalf("seed %d: %d requests (v1), %d (adapter)", seed, p.toFirst.count(), p.toSecond.count())
				}
				if target := p.toSecond.heads[0].Get("X-Amz-Target"); target != "DynamoDB_20120810."+name {
					t.Fatalf("the operation is %q", target)
				}
				if want, got := p.toFirst.bodies[0], p.toSecond.bodies[0]; !sameJSON(t, want, got) {
					t.Fatalf("seed %d:\nv1 sent      %s\nadapter sent %s", seed, want, got)
				}
			}
		})
	}
}

// setToken gives a transaction its ClientRequestToken: each SDK would make one of its own.
func setToken(in reflect.Value) {
	if transaction, ok := in.Interface().(*v1.TransactWriteItemsInput); ok {
		transaction.ClientRequestToken = aws.String("token")
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := jsonutil.BuildJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	read := func(text string) (v any) {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		return v
	}
	return reflect.DeepEqual(read(a), read(b))
}

func TestAReplyIsReadAsV1ReadsIt(t *testing.T) {
	for _, name := range supported {
		t.Run(name, func(t *testing.T) {
			input, output := typesOf(name)
			for seed := range uint64(seeds) {
				reply := reflect.New(output)
				generate(seed).fill(reply.Elem(), "")
				body := []byte(asJSON(t, reply.Interface()))
				in := reflect.New(input)
				generate(seed).fill(in.Elem(), "")
				p := newPair(answer(200, body))
				out1, err1 := call(p.first, name, in)
				out2, err2 := call(p.second, name, in)
				if err1 != nil || err2 != nil {
					t.Fatalf("seed %d: errors %v (v1), %v (adapter) for %s", seed, err1, err2, body)
				}
				// As JSON, which tells nil from empty, and not one representation of a time from
				// another.
				if want, got := asJSON(t, out1), asJSON(t, out2); !sameJSON(t, want, got) || reflect.TypeOf(out2) != reflect.TypeOf(out1) {
					t.Fatalf("seed %d: %s\nv1 reads      %s\nadapter reads %s", seed, body, want, got)
				}
			}
		})
	}
}

// Newer servers say more.
func TestWhatV1DoesNotKnowIsLeftOutOfAReply(t *testing.T) {
	body := []byte(`{"Item":{"a":{"S":"x","Q":"?"},"c":{"L":[{"VECTOR":[1,2]},{"N":"1"}]}},"Novelty":{"x":1}}`)
	p := newPair(answer(200, body))
	out1, err1 := p.first.GetItem(getItem("k"))
	out2, err2 := p.second.GetItem(getItem("k"))
	if err1 != nil || err2 != nil || !reflect.DeepEqual(out1, out2) {
		t.Errorf("v1 reads %v, %v; the adapter reads %v, %v", out1, err1, out2, err2)
	}
}

// roundTrip sends an item with PutItem and has it back from GetItem, without an engine that would
// change anything.
func roundTrip(t *testing.T, item map[string]*v1.AttributeValue) map[string]*v1.AttributeValue {
	t.Helper()
	s := &script{}
	s.reply = func(r *http.Request) (*http.Response, error) {
		var put struct{ Item json.RawMessage }
		if err := json.Unmarshal([]byte(s.bodies[0]), &put); err != nil {
			return nil, err
		}
		return answer(200, fmt.Appendf(nil, `{"Item":%s}`, put.Item))(r)
	}
	db := adapted(s)
	if _, err := db.PutItem(&v1.PutItemInput{TableName: aws.String("table"), Item: item}); err != nil {
		t.Fatal(err)
	}
	out, err := db.GetItem(getItem("k"))
	if err != nil {
		t.Fatal(err)
	}
	return out.Item
}

func checkRoundTrip(t *testing.T, seed uint64) {
	t.Helper()
	g, item := generate(seed), map[string]*v1.AttributeValue{}
	for range 5 {
		item[g.text(1)] = g.value(4)
	}
	if got := roundTrip(t, item); !reflect.DeepEqual(got, item) {
		t.Fatalf("seed %d:\nput %v\ngot %v", seed, item, got)
	}
}

func TestAttributeValuesSurviveBothConversions(t *testing.T) {
	for seed := range uint64(500) {
		checkRoundTrip(t, seed)
	}
}

func FuzzAttributeValues(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkRoundTrip(t, seed) })
}

func getItem(key string) *v1.GetItemInput {
	return &v1.GetItemInput{TableName: aws.String("table"), Key: map[string]*v1.AttributeValue{"key": {S: &key}}}
}

// v1 sends these, and DynamoDB refuses them. v2 can't say them: they are refused here, by name, and
// nothing is sent.
func TestAParameterThatV2CannotSayIsRefusedByName(t *testing.T) {
	value := func(v *v1.AttributeValue) *v1.PutItemInput {
		return &v1.PutItemInput{TableName: aws.String("table"), Item: map[string]*v1.AttributeValue{"a": v}}
	}
	s, n := aws.String("x"), aws.String("1")
	for want, in := range map[string]any{
		`PutItemInput.Item["a"] is nil: leave it out or set it`:                                               value(nil),
		`PutItemInput.Item["a"] has no type: set one of B, BOOL, BS, L, M, N, NS, NULL, S and SS`:             value(&v1.AttributeValue{}),
		`PutItemInput.Item["a"] has 2 types: set one of B, BOOL, BS, L, M, N, NS, NULL, S and SS`:             value(&v1.AttributeValue{S: s, N: n}),
		`PutItemInput.Item["a"].L[1] is nil: leave it out or set it`:                                          value(&v1.AttributeValue{L: []*v1.AttributeValue{{S: s}, nil}}),
		`PutItemInput.Item["a"].M["b"].L[0] has no type: set one of B, BOOL, BS, L, M, N, NS, NULL, S and SS`: value(&v1.AttributeValue{M: map[string]*v1.AttributeValue{"b": {L: []*v1.AttributeValue{{}}}}}),
		`PutItemInput.Item["a"].SS[1] is nil: leave it out or set it`:                                         value(&v1.AttributeValue{SS: []*string{s, nil}}),
		`PutItemInput.Item["a"].NS[0] is nil: leave it out or set it`:                                         value(&v1.AttributeValue{NS: []*string{nil}}),
		`ScanInput.Limit is 2147483648: it must fit into 32 bits`:                                             &v1.ScanInput{TableName: s, Limit: aws.Int64(1 << 31)},
		`ScanInput.Select is empty: set one of its values, or nil`:                                            &v1.ScanInput{TableName: s, Select: aws.String("")},
		`ScanInput.ExpressionAttributeNames["#a"] is nil: leave it out or set it`:                             &v1.ScanInput{TableName: s, ExpressionAttributeNames: map[string]*string{"#a": nil}},
		`TransactWriteItemsInput.TransactItems[1].Delete.Key["k"] is nil: leave it out or set it`: &v1.TransactWriteItemsInput{TransactItems: []*v1.TransactWriteItem{{}, {
			Delete: &v1.Delete{TableName: s, Key: map[string]*v1.AttributeValue{"k": nil}}}}},
		`TransactWriteItemsInput.TransactItems[0] is nil: leave it out or set it`: &v1.TransactWriteItemsInput{TransactItems: []*v1.TransactWriteItem{nil}},
	} {
		server := &script{reply: answer(200, []byte("{}"))}
		name := strings.TrimSuffix(reflect.TypeOf(in).Elem().Name(), "Input")
		_, err := call(adapted(server), name, reflect.ValueOf(in))
		if err == nil || err.Error() != "InvalidParameter: "+want || !notSent(err) {
			t.Errorf("got %v, want %s", err, want)
		}
		if server.count() > 0 {
			t.Errorf("%s: %d requests", want, server.count())
		}
	}
}
