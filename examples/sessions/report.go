package main

import (
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// counter counts the requests that locks send.
type counter struct {
	dynamodbiface.DynamoDBAPI
	reads, writes atomic.Int64
}

func (c *counter) GetItemWithContext(ctx aws.Context, in *dynamodb.GetItemInput, options ...request.Option) (*dynamodb.GetItemOutput, error) {
	c.reads.Add(1)
	return c.DynamoDBAPI.GetItemWithContext(ctx, in, options...)
}

func (c *counter) UpdateItemWithContext(ctx aws.Context, in *dynamodb.UpdateItemInput, options ...request.Option) (*dynamodb.UpdateItemOutput, error) {
	c.writes.Add(1)
	return c.DynamoDBAPI.UpdateItemWithContext(ctx, in, options...)
}

// report is a line on standard output: this process holds a lock now, or does not any more, or, with
// the token 0, only the counts.
type report struct {
	Lock   int   `json:"lock"`
	Token  int64 `json:"token,omitempty"`
	Event  event `json:"event,omitempty"`
	At     int64 `json:"at"` // nanoseconds since 1970
	Reads  int64 `json:"reads"`
	Writes int64 `json:"writes"` // requests since the process began
}

// reporter writes reports.
type reporter struct {
	requests *counter

	mu sync.Mutex // guards to
	to *json.Encoder
}

// newReporter writes to w, the counts too, for as long as the process lives.
func newReporter(w io.Writer, requests *counter) *reporter {
	r := &reporter{requests: requests, to: json.NewEncoder(w)}
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			r.counts()
		}
	}()
	return r
}

func (r *reporter) counts() { r.event(0, 0, "") }

func (r *reporter) event(lock int, token int64, what event) {
	at := time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.to.Encode(report{Lock: lock, Token: token, Event: what, At: at, Reads: r.requests.reads.Load(), Writes: r.requests.writes.Load()})
}
