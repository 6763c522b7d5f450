package bench

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/test/wire"
)

// node is one process's way to the engine. It takes time, it can be cut, and it knows when renewals
// went over it.
type node struct {
	next           http.RoundTripper
	oneWay, jitter time.Duration // each way: oneWay, and up to jitter more

	mu        sync.Mutex // guards what follows
	dead      bool
	requests  map[string]int
	inFlight  int
	most      int             // requests at once
	trips     []time.Duration // of each answered request
	sent      time.Time       // when the last renewal that succeeded left
	committed time.Time       // when the engine had carried it out
}

func newNode(next http.RoundTripper, roundTrip, jitter time.Duration) *node {
	return &node{next: next, oneWay: roundTrip / 2, jitter: jitter / 2, requests: map[string]int{}}
}

func (n *node) client() dynamodbiface.DynamoDBAPI { return wire.NewClient(n) }

// crash is the end of the process, as the rest of the world sees it: what it has sent goes its way,
// and nothing follows.
func (n *node) crash() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
}

func (n *node) RoundTrip(r *http.Request) (*http.Response, error) {
	left := time.Now()
	if n.leaves(r) {
		<-r.Context().Done()
		n.landed()
		return nil, r.Context().Err()
	}
	defer n.landed()
	if err := n.travel(r.Context()); err != nil {
		return nil, err
	}
	renews, err := isRenewal(r)
	if err != nil {
		return nil, err
	}
	reply, err := n.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	done := time.Now()
	if err := n.travel(r.Context()); err != nil {
		_ = reply.Body.Close()
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trips = append(n.trips, time.Since(left))
	if reply.StatusCode == http.StatusOK && renews {
		n.sent, n.committed = left, done
	}
	return reply, nil
}

// isRenewal reports whether a request is one that the lease counts from. It reads the body, and
// puts it back.
func isRenewal(r *http.Request) (bool, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(body))
	kind := (&wire.Call{Operation: operationOf(r), Body: body}).Kind()
	return kind == wire.Acquire || kind == wire.Heartbeat, err
}

// leaves counts a request and reports whether nobody will ever see it.
func (n *node) leaves(r *http.Request) (dead bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests[operationOf(r)]++
	n.inFlight++
	n.most = max(n.most, n.inFlight)
	return n.dead
}

func (n *node) landed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inFlight--
}

func (n *node) travel(ctx context.Context) error {
	if n.oneWay == 0 {
		return nil
	}
	d := n.oneWay
	if n.jitter > 0 {
		d += rand.N(n.jitter)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lastRenewal is when the last renewal that succeeded left, and when it was carried out.
func (n *node) lastRenewal() (sent, committed time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent, n.committed
}

func (n *node) count(operation string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.requests[operation]
}

// counts are the requests by operation.
func (n *node) counts() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.requests)
}

// total counts the requests of all operations.
func (n *node) total() int {
	sum := 0
	for _, sent := range n.counts() {
		sum += sent
	}
	return sum
}

func (n *node) underWay() (now, most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.inFlight, n.most
}

func (n *node) roundTrip() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Quantile(n.trips, 0.5)
}

// forgetTrips has roundTrip be that of the requests from now on.
func (n *node) forgetTrips() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trips = nil
}

func operationOf(r *http.Request) string {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return operation
}

// sightings notes in which answer each heartbeat of a record is first seen.
type sightings struct {
	next http.RoundTripper

	mu    sync.Mutex
	first map[int]time.Time // by heartbeatCount
}

var heartbeatCount = regexp.MustCompile(`"heartbeatCount":\{"N":"(\d+)"`)

func (s *sightings) RoundTrip(r *http.Request) (*http.Response, error) {
	reply, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(reply.Body)
	_ = reply.Body.Close()
	if err != nil {
		return nil, err
	}
	reply.Body = io.NopCloser(bytes.NewReader(body))
	if match := heartbeatCount.FindSubmatch(body); match != nil {
		count, _ := strconv.Atoi(string(match[1]))
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, seen := s.first[count]; !seen {
			s.first[count] = time.Now()
		}
	}
	return reply, nil
}

// commits notes when the engine carried out each write of a holder: the acquire, and its
// heartbeats.
type commits struct {
	next http.RoundTripper

	mu sync.Mutex
	at []time.Time
}

func (c *commits) RoundTrip(r *http.Request) (*http.Response, error) {
	reply, err := c.next.RoundTrip(r)
	if err == nil && reply.StatusCode == http.StatusOK && operationOf(r) == "UpdateItem" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.at = append(c.at, time.Now())
	}
	return reply, err
}

// count is the heartbeatCount that the record must have.
func (c *commits) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.at) - 1
}

// lags are the times from the commit of each write to the first answer that showed it or a later
// one.
func (c *commits) lags(s *sightings, from, to int) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	var lags []time.Duration
	for count := from; count <= to; count++ {
		for shown := count; shown < len(c.at); shown++ {
			if at, seen := s.first[shown]; seen {
				lags = append(lags, at.Sub(c.at[count]))
				break
			}
		}
	}
	return lags
}
