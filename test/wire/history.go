package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// History stands between Wires and the server and remembers what each item looked like after each
// write, so that reads can be answered from the past, as eventually consistent reads may be. One
// History serves any number of Wires. The zero value is of no use; use NewHistory.
type History struct {
	next http.RoundTripper

	mu     sync.Mutex          // guards states
	states map[string][][]byte // table and key -> answers to GetItem, oldest first
}

// keptStates is how many of an item's last states are remembered.
const keptStates = 16

// NewHistory returns a History in front of next.
func NewHistory(next http.RoundTripper) *History {
	return &History{next: next, states: map[string][][]byte{}}
}

// RoundTrip is http.RoundTripper. After each single write it reads the item again, which no Wire
// counts.
func (h *History) RoundTrip(r *http.Request) (*http.Response, error) {
	target := r.Header.Get("X-Amz-Target")
	switch target {
	case targetPrefix + "UpdateItem", targetPrefix + "DeleteItem":
	default:
		return h.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	reply, err := h.next.RoundTrip(r)
	if err == nil && reply.StatusCode == http.StatusOK {
		h.note(r, addressOf(body))
	}
	return reply, err
}

const targetPrefix = "DynamoDB_20120810."

// address is an item's place, as the JSON of a request names it.
type address struct {
	TableName string
	Key       json.RawMessage
}

func addressOf(body []byte) address {
	var a address
	_ = json.Unmarshal(body, &a) // what has neither is never asked for either
	return a
}

func (a address) id() string {
	var key map[string]json.RawMessage
	if json.Unmarshal(a.Key, &key) != nil {
		return a.TableName
	}
	sorted, err := json.Marshal(key) // a map's members come out in order
	if err != nil {
		return a.TableName
	}
	return a.TableName + string(sorted)
}

// note reads the item that r has written.
func (h *History) note(r *http.Request, a address) {
	body, err := json.Marshal(map[string]any{"TableName": a.TableName, "Key": a.Key, "ConsistentRead": true})
	if err != nil {
		return
	}
	read := r.Clone(context.WithoutCancel(r.Context()))
	read.Header.Set("X-Amz-Target", targetPrefix+"GetItem")
	read.Body, read.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	reply, err := h.next.RoundTrip(read)
	if err != nil {
		return
	}
	defer func() { _ = reply.Body.Close() }()
	state, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	states := append(h.states[a.id()], state)
	if len(states) > keptStates {
		states = states[len(states)-keptStates:]
	}
	h.states[a.id()] = states
}

// Stale answers an eventually consistent GetItem with the item as it was age writes ago (1: before
// the last one; at most 15), or before the oldest write that is remembered. Anything else is
// delivered as it is.
func (h *History) Stale(age int) Fault {
	return func(ctx context.Context, c *Call) (*http.Response, error) {
		var in struct{ ConsistentRead bool }
		if c.Operation != "GetItem" || json.Unmarshal(c.Body, &in) != nil || in.ConsistentRead {
			return c.Deliver(ctx)
		}
		h.mu.Lock()
		states := h.states[addressOf(c.Body).id()]
		h.mu.Unlock()
		if len(states) == 0 {
			return c.Deliver(ctx)
		}
		state := states[max(0, len(states)-1-age)]
		return AnswerBody(http.StatusOK, "application/x-amz-json-1.0", string(state))(ctx, c)
	}
}
