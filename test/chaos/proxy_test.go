package chaos

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// path is a server behind a proxy, and a client that has a connection to it.
type path struct {
	t        *testing.T
	proxy    *Proxy
	client   *http.Client
	arrivals atomic.Int64
}

func newPath(t *testing.T) *path {
	t.Helper()
	p := &path{t: t, client: &http.Client{Transport: &http.Transport{}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		p.arrivals.Add(1)
	}))
	t.Cleanup(server.Close)
	var err error
	if p.proxy, err = NewProxy(strings.TrimPrefix(server.URL, "http://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.proxy.Close)
	t.Cleanup(p.client.CloseIdleConnections)
	if err := p.ask(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *path) ask(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.proxy.URL(), strings.NewReader("hello"))
	if err != nil {
		p.t.Fatal(err)
	}
	reply, err := p.client.Do(r)
	if err != nil {
		return err
	}
	return reply.Body.Close()
}

func (p *path) expectArrivals(n int64) {
	p.t.Helper()
	deadline, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for p.arrivals.Load() != n {
		select {
		case <-ticker.C:
		case <-deadline.Done():
			p.t.Fatalf("%d requests arrived, not %d", p.arrivals.Load(), n)
		}
	}
}

// cutOff is long enough for a healthy path.
const cutOff = 300 * time.Millisecond

func TestProxyDeliversAHeldRequestAfterItsClientHasGivenUp(t *testing.T) {
	p := newPath(t)
	p.proxy.Set(Conditions{Requests: Hold})
	if err := p.ask(cutOff); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	p.expectArrivals(1)
	p.proxy.Set(Conditions{})
	p.expectArrivals(2)
	if err := p.ask(10 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestProxyLosesASwallowedRequestForGood(t *testing.T) {
	p := newPath(t)
	p.proxy.Set(Conditions{Requests: Swallow})
	if err := p.ask(cutOff); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	p.proxy.Set(Conditions{})
	if err := p.ask(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	p.expectArrivals(2) // the first and the last
}

func TestProxyLosesAReplyAfterTheRequestWasCarriedOut(t *testing.T) {
	for _, mode := range []Mode{Hold, Swallow} {
		p := newPath(t)
		p.proxy.Set(Conditions{Replies: mode})
		if err := p.ask(cutOff); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(mode, err)
		}
		p.expectArrivals(2)
		p.proxy.Set(Conditions{})
		if err := p.ask(10 * time.Second); err != nil {
			t.Error(mode, err)
		}
	}
}

func TestProxyCutsConnectionsAndRefusesNewOnes(t *testing.T) {
	p := newPath(t)
	p.proxy.Set(Conditions{Requests: Cut, Replies: Cut})
	for range 2 {
		var failed net.Error
		if err := p.ask(10 * time.Second); err == nil || errors.As(err, &failed) && failed.Timeout() {
			t.Errorf("want an error at once, got %v", err)
		}
	}
	p.expectArrivals(1)
	p.proxy.Set(Conditions{})
	if err := p.ask(10 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestProxyDelaysBothDirections(t *testing.T) {
	p := newPath(t)
	p.proxy.Set(Conditions{Latency: 100 * time.Millisecond})
	start := time.Now()
	if err := p.ask(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Errorf("a round trip took %v", took)
	}
}
