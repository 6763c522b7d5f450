package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

const table = "locks"

// engine is what answers the requests of a benchmark.
type engine struct {
	name string
	rt   http.RoundTripper
}

// engines are those that benchmarks run on: a canned answer, which costs next to nothing, so that
// what is left is the client's own work; dynamotest without a socket; and the one at
// DYNAMODB_ENDPOINT, where that is set.
func engines(b *testing.B) []engine {
	list := []engine{
		{EngineNone, canned{}},
		{EngineMemory, dynamotest.Transport(dynamotest.New())},
	}
	if address := os.Getenv("DYNAMODB_ENDPOINT"); address != "" {
		rt, closeIdle, err := wire.Endpoint(address)
		if err != nil {
			b.Fatalf("DYNAMODB_ENDPOINT: %v", err)
		}
		b.Cleanup(closeIdle)
		list = append(list, engine{EngineLocal, rt})
	}
	return list
}

// ensureTable makes the table of an engine that keeps one.
func ensureTable(tb testing.TB, client dynamodbiface.DynamoDBAPI) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := lockclient.EnsureTable(ctx, client, table); err != nil {
		tb.Fatal(err)
	}
}

var lockNumber atomic.Int64

// uniqueLock names a lock that nothing else in this process, and no earlier run on the same engine,
// has used.
func uniqueLock() string {
	return "bench-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.FormatInt(lockNumber.Add(1), 10)
}

// canned answers at once, and always that the request succeeded: a read with the record of
// somebody else's tenure.
type canned struct{}

func (canned) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	status, answer := http.StatusOK, []byte("{}")
	switch {
	case r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.GetItem":
		answer = cannedItem
	case r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.DescribeTable":
		answer = cannedTable
	case bytes.Contains(body, []byte(`"S":"refuse-`)):
		status, answer = http.StatusBadRequest, cannedRefusal
	}
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type":     {"application/x-amz-json-1.0"},
			"X-Amz-Crc32":      {strconv.FormatUint(uint64(crc32.ChecksumIEEE(answer)), 10)},
			"X-Amzn-Requestid": {"canned"},
		},
		Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: int64(len(answer)), Request: r,
	}, nil
}

type attribute map[string]string

const cannedVersion = "7d444840-9dc0-11d1-b245-5ffdce74fad2"

var cannedRecord = map[string]attribute{
	"key": {"S": "canned"}, "ownerName": {"S": "6f9619ff-8b86-4011-b42d-00c04fc964ff"}, "leaseDuration": {"S": "60000"},
	"recordVersionNumber": {"S": cannedVersion}, "ourVersion": {"S": cannedVersion}, "fencingToken": {"N": "1764000000000"},
	"heartbeatCount": {"N": "3"}, "heartbeatPeriod": {"N": "20000"}, "expiresAt": {"N": "1764000060000"},
}

var (
	cannedItem    = mustJSON(map[string]any{"Item": cannedRecord})
	cannedRefusal = mustJSON(map[string]any{
		"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "Message": "The conditional request failed", "Item": cannedRecord})
	cannedTable = mustJSON(map[string]any{"Table": map[string]any{
		"TableName": table, "TableStatus": "ACTIVE",
		"KeySchema":            []attribute{{"AttributeName": "key", "KeyType": "HASH"}},
		"AttributeDefinitions": []attribute{{"AttributeName": "key", "AttributeType": "S"}},
	}})
)

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
