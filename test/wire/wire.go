package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Hook sees a request that is about to be sent, and returns what becomes of it. nil: it is
// delivered as it is. A Hook may be called concurrently, and may keep the Call.
type Hook func(*Call) Fault

// Wire counts, keeps and disturbs requests. Make it with New. Its methods are safe for concurrent
// use.
type Wire struct {
	next    http.RoundTripper
	pending sync.WaitGroup // deliveries that outlive their requests

	mu       sync.Mutex // guards what follows
	hook     Hook
	metered  bool
	calls    []*Call
	sent     int // calls ever, Reset or not
	capacity Capacity
}

// New returns a Wire in front of next, with no hook.
func New(next http.RoundTripper) *Wire { return &Wire{next: next} }

// SetHook replaces the hook for requests from now on. nil: none.
func (w *Wire) SetHook(hook Hook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = hook
}

// RoundTrip is http.RoundTripper.
func (w *Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	call, hook, err := w.take(r)
	if err != nil {
		return nil, err
	}
	if hook != nil {
		if fault := hook(call); fault != nil {
			return fault(r.Context(), call)
		}
	}
	return call.Deliver(r.Context())
}

// take notes a request.
func (w *Wire) take(r *http.Request) (*Call, Hook, error) {
	var body []byte
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, nil, fmt.Errorf("wire: read the request: %w", err)
		}
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent++
	call := &Call{Number: w.sent, Operation: operation, Body: body, At: time.Now(), wire: w, request: r}
	call.kind = sync.OnceValue(call.readKind)
	w.calls = append(w.calls, call)
	return call, w.hook, nil
}

// Calls returns the requests since the start or the last Reset, in the order in which they left the
// client.
func (w *Wire) Calls() []*Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*Call(nil), w.calls...)
}

// Count is the number of requests of one operation ("UpdateItem"; "" for all) since the start or
// the last Reset. What a Fault sends besides is not counted.
func (w *Wire) Count(operation string) int {
	n := 0
	for _, call := range w.Calls() {
		if operation == "" || call.Operation == operation {
			n++
		}
	}
	return n
}

// Counts is Count for every operation that occurred.
func (w *Wire) Counts() map[string]int {
	counts := map[string]int{}
	for _, call := range w.Calls() {
		counts[call.Operation]++
	}
	return counts
}

// Reset forgets the requests and the capacity counted so far.
func (w *Wire) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls, w.capacity = nil, Capacity{}
}

// Settle waits for all deliveries that have outlived their request.
func (w *Wire) Settle() { w.pending.Wait() }

// later runs deliver after d, in a goroutine that Settle waits for.
func (w *Wire) later(d time.Duration, deliver func()) {
	w.pending.Add(1)
	time.AfterFunc(d, func() {
		defer w.pending.Done()
		deliver()
	})
}

// Call is one request. It stays valid after its client has given up on it.
type Call struct {
	Number    int       // 1, 2, ... in the order in which they left the client
	Operation string    // e.g. "UpdateItem"
	Body      []byte    // as the client sent it; not to be changed
	At        time.Time // when it left the client

	wire    *Wire
	request *http.Request
	kind    func() Kind // read once: tests ask for it again and again
}

// Deliver hands the request to the server, now, and returns its answer. Each call is one more
// delivery of the same bytes. ctx takes the place of the client's context.
func (c *Call) Deliver(ctx context.Context) (*http.Response, error) {
	body, metered := c.Body, c.wire.isMetered()
	if metered {
		body = askForCapacity(c.Operation, body)
	}
	r := c.request.Clone(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.GetBody = nil
	r.ContentLength = int64(len(body))
	reply, err := c.wire.next.RoundTrip(r)
	if err != nil || !metered {
		return reply, err
	}
	return c.wire.meter(c.Operation, reply)
}

// Repeat is Deliver without a client: the server carries the request out and the answer is dropped.
// It returns the answer's status, 0 if there was none.
func (c *Call) Repeat() int {
	reply, err := c.Deliver(context.WithoutCancel(c.request.Context()))
	if err != nil {
		return 0
	}
	discard(reply)
	return reply.StatusCode
}

func discard(reply *http.Response) {
	_, _ = io.Copy(io.Discard, reply.Body)
	_ = reply.Body.Close()
}
