package interop

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// gate is one contender's path to the engine, which can be closed, and which remembers the requests
// that it was shown.
type gate struct {
	*httptest.Server

	mu       sync.Mutex // guards what follows
	closed   http.HandlerFunc
	opened   chan struct{} // closed when the gate opens
	requests []request
}

// request is one of DynamoDB's JSON protocol.
type request struct {
	operation string // without the version
	body      []byte
}

func newGate(t *testing.T) *gate {
	t.Helper()
	target, err := url.Parse(engineURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	g := &gate{opened: make(chan struct{})}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		_, operation, _ := bytes.Cut([]byte(r.Header.Get("X-Amz-Target")), []byte("."))
		g.mu.Lock()
		g.requests = append(g.requests, request{string(operation), body})
		closed := g.closed
		g.mu.Unlock()
		if closed != nil {
			closed(w, r)
			return
		}
		r.Body, r.Host = io.NopCloser(bytes.NewReader(body)), target.Host
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Server.Close)
	return g
}

// close has every request from now on end so.
func (g *gate) close(how func(*gate) http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = how(g)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = nil
	close(g.opened)
}

// take returns the requests since the last take.
func (g *gate) take() []request {
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := g.requests
	g.requests = nil
	return taken
}

// unavailable is what DynamoDB answers when it can't.
func unavailable(*gate) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ServiceUnavailable","message":"try again"}`)
	}
}

// silent answers nothing until the client gives up, or the gate opens: then the connection ends.
func silent(g *gate) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-g.opened:
		}
		panic(http.ErrAbortHandler)
	}
}
