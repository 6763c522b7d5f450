package dynamotest_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// FuzzJSON: the short way of reading a request finds in it what encoding/json does, or nothing.
func FuzzJSON(f *testing.F) {
	for _, body := range []string{
		`{}`, ` { "a" : [ ] , "b" : { } } `, `{"S":"text"}`, `{"Key":{"key":{"S":"lock-0"}},"ConsistentRead":true,"x":null}`,
		`{"S":"a","S":"b"}`, `{"S":"a","N":"1"}`, `{"N":1}`, `{"M":{"a":{"L":[{"S":"b"},{"BOOL":false}]}}}`, `{"S":"\u00e9"}`, `{"S":"é"}`,
		`{"a":"b",}`, `{"a"}`, `{"a":}`, `[1`, `["a"]`, `{"a":tru}`, `{"a":truee}`, `{}{}`, `{"S":"a"}x`, "", "null", "{\"a\":\"\t\"}", `{"B":"YQ=="}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		plain, ok := dynamotest.DecodePlain(body)
		if !ok {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil || decoder.More() {
			t.Fatalf("%q is read, and is no JSON: %v", body, err)
		}
		marshalled, err := json.Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(marshalled, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is read as %s, not %v (%v)", body, marshalled, want, err)
		}
	})
}
