package dynamotest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// object is a JSON object.
type object = map[string]any

// wire sends requests as they are, so that specs can say what an SDK would refuse to say.
type wire struct {
	name   string
	url    string
	client *http.Client
}

// answer is a reply as it came.
type answer struct {
	Status  int
	Type    string // of an error, without its prefix
	Message string
	Body    object
}

func (a answer) String() string {
	if a.Type != "" {
		return a.Type + ": " + a.Message
	}
	return jsonText(a.Body)
}

// underTest is the engine that DYNAMODB_ENDPOINT names, or dynamotest.
func underTest() *wire {
	if w := endpoint(); w != nil {
		return w
	}
	return inMemory()
}

// endpoint is nil when DYNAMODB_ENDPOINT is not set.
func endpoint() *wire {
	url := os.Getenv("DYNAMODB_ENDPOINT")
	if url == "" {
		return nil
	}
	return &wire{name: "DynamoDB at " + url, url: url, client: &http.Client{Timeout: time.Minute}}
}

func inMemory() *wire {
	client := &http.Client{Transport: dynamotest.Transport(dynamotest.New())}
	return &wire{name: "dynamotest, in memory", url: "http://dynamotest.invalid", client: client}
}

// call sends a request whose body is an object or a JSON text.
func (w *wire) call(operation string, body any) answer {
	text, ok := body.(string)
	if !ok {
		text = jsonText(body)
	}
	reply, raw, err := w.send(operation, text)
	if err != nil {
		return answer{Type: "no answer", Message: err.Error()}
	}
	a := answer{Status: reply.StatusCode}
	if err := json.Unmarshal(raw, &a.Body); err != nil {
		return answer{Status: reply.StatusCode, Type: "no JSON", Message: string(raw)}
	}
	if kind, failed := a.Body["__type"].(string); failed {
		a.Type = kind[strings.LastIndex(kind, "#")+1:]
		a.Message, _ = a.Body["Message"].(string)
	}
	return a
}

func (w *wire) send(operation, text string) (*http.Response, []byte, error) {
	r, err := http.NewRequest(http.MethodPost, w.url, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	static := credentials.NewStaticCredentials("dynamotest", "dynamotest", "")
	if _, err := v4.NewSigner(static).Sign(r, bytes.NewReader([]byte(text)), "dynamodb", "us-east-1", time.Now()); err != nil {
		return nil, nil, err
	}
	reply, err := w.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	raw, err := io.ReadAll(reply.Body)
	return reply, raw, errorsOf(err, reply.Body.Close())
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

var tableCount atomic.Int64

// newTableName is one that no other run has used.
func newTableName() string {
	return fmt.Sprintf("dynamotest-%d-%d-%d", time.Now().UnixNano(), os.Getpid(), tableCount.Add(1))
}

// createTable makes a table with the key attributes given as "name:type", and returns its name.
func (w *wire) createTable(keys ...string) (string, answer) {
	return w.createNamedTable(newTableName(), keys...)
}

func (w *wire) createNamedTable(name string, keys ...string) (string, answer) {
	var schema, definitions []object
	for i, k := range keys {
		attribute, kind, _ := strings.Cut(k, ":")
		schema = append(schema, object{"AttributeName": attribute, "KeyType": []string{"HASH", "RANGE"}[i]})
		definitions = append(definitions, object{"AttributeName": attribute, "AttributeType": kind})
	}
	return name, w.call("CreateTable", object{
		"TableName": name, "KeySchema": schema, "AttributeDefinitions": definitions, "BillingMode": "PAY_PER_REQUEST",
	})
}

func (w *wire) deleteTable(name string) { w.call("DeleteTable", object{"TableName": name}) }

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func parseObject(text string) object {
	var o object
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(fmt.Sprintf("%v in %s", err, text))
	}
	return o
}

// used picks the placeholders that occur in the expressions.
func used(all object, expressions ...string) object {
	picked := object{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, e := range expressions {
			if mentions(e, name) {
				picked[name] = all[name]
			}
		}
	}
	return picked
}

func mentions(expression, name string) bool {
	for rest := expression; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return false
		}
		rest = rest[i+len(name):]
		if rest == "" || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", rune(rest[0])) {
			return true
		}
	}
}

// withPlaceholders adds those members that are not empty, as DynamoDB wants it.
func withPlaceholders(request object, names, values object) object {
	if len(names) > 0 {
		request["ExpressionAttributeNames"] = names
	}
	if len(values) > 0 {
		request["ExpressionAttributeValues"] = values
	}
	return request
}
