package shards

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/nodeclock"
	"github.com/leaderkit/leaderkit/test/wire"
)

// world is an engine in a bubble of virtual time, and the replicas around it. A bubble that is left
// with a goroutine still there fails its test, so that each of these is a test for leaks too.
type world struct {
	*testing.T
	server http.RoundTripper
	admin  dynamodbiface.DynamoDBAPI
	start  time.Time
	nodes  []*node

	mu      sync.Mutex            // guards what follows
	leading map[string]*stretch   // by shard: the latest
	led     map[string][]*stretch // by shard: all
	tokens  map[string]int64      // the highest of each shard
	faults  []string              // promises that were broken
}

// stretch is one leading of one shard.
type stretch struct {
	node  *node
	shard string
	ctx   context.Context
	from  time.Duration
	until time.Duration // when the work returned; 0: it has not
	stop  time.Duration // when OnStopped was called; 0: it was not
}

const (
	theTable  = "locks"
	theGroup  = "orders"
	theLease  = 15 * time.Second
	heartbeat = 5 * time.Second
	roundTrip = 10 * time.Millisecond
)

func virtually(t *testing.T, do func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		engine := newEngine()
		w := &world{T: t, server: engine, admin: wire.NewClient(engine), start: time.Now(),
			leading: map[string]*stretch{}, led: map[string][]*stretch{}, tokens: map[string]int64{}}
		if err := lockclient.EnsureTable(context.Background(), w.admin, theTable, lockclient.WithoutTTL()); err != nil {
			t.Fatal(err)
		}
		defer w.end()
		do(w)
	})
}

// end has every node stop, so that nothing is left running.
func (w *world) end() {
	for _, n := range w.nodes {
		n.wire.SetHook(nil)
		n.clock.Resume()
		n.clock.Continue()
		n.cancel()
	}
	for _, n := range w.nodes {
		if err := n.wait(); err != nil {
			w.Errorf("%s: Run returned %v", n.name, err)
		}
		n.close()
		n.wire.Settle()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fault := range w.faults {
		w.Error(fault)
	}
	for shard, all := range w.led {
		for _, s := range all {
			if s.stop == 0 {
				w.Errorf("OnStopped was not called for the leading of %s by %s at %v", shard, s.node.name, s.from)
			}
		}
	}
}

func newEngine() http.RoundTripper { return distance{dynamotest.Transport(dynamotest.New())} }

// distance is the network between a node and the server.
type distance struct{ next http.RoundTripper }

func (d distance) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := rest(r.Context(), roundTrip/2); err != nil {
		return nil, err
	}
	reply, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := rest(r.Context(), roundTrip/2); err != nil {
		_ = reply.Body.Close()
		return nil, err
	}
	return reply, nil
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// node is a machine with a replica, a clock and a network connection of its own.
type node struct {
	*Replica
	name    string
	w       *world
	wire    *wire.Wire
	clock   *nodeclock.Clock
	session *lockclient.Session
	logger  logr.Logger
	close   func()
	cancel  context.CancelFunc
	result  chan error
	drain   time.Duration // how long its works take to return
	working int           // works that OnStopped was not called for; guarded by the world's mu
	ended   bool
	dead    bool // its process is gone, and does nothing
}

// node makes a replica of the group, which leads 12 shards unless change says otherwise. It does
// not run yet.
func (w *world) node(name string, change ...func(n *node, c *Config)) *node {
	w.Helper()
	n := &node{name: name, w: w, wire: wire.New(w.server), clock: nodeclock.New(), result: make(chan error, 1)}
	n.logger = logr.Discard()
	if testing.Verbose() {
		n.logger = funcr.New(func(_, line string) { w.Logf("%v %s: %s", w.now(), name, line) }, funcr.Options{Verbosity: 1})
	}
	n.newSource()
	c := Config{Session: n.session, Group: theGroup, Count: 12, Logger: n.logger, Callbacks: Callbacks{OnStarted: n.work, OnStopped: n.stopped}}
	for _, f := range change {
		f(n, &c)
	}
	var err error
	if n.Replica, err = New(c); err != nil {
		w.Fatal(err)
	}
	w.nodes = append(w.nodes, n)
	return n
}

func count(shards int) func(*node, *Config) { return func(_ *node, c *Config) { c.Count = shards } }

func (n *node) run() *node {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() { n.result <- n.Run(ctx) }()
	return n
}

// wait waits until Run has returned.
func (n *node) wait() error {
	if n.ended {
		return nil
	}
	n.ended = true
	return <-n.result
}

// stop has Run return, as a deploy does.
func (n *node) stop() {
	n.w.Helper()
	n.cancel()
	if err := n.wait(); err != nil {
		n.w.Errorf("%s: Run returned %v", n.name, err)
	}
}

// crash cuts the node off for good and stops its process: it neither sends nor notices anything any
// more.
func (n *node) crash() {
	n.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
	n.clock.Pause()
	n.w.mu.Lock()
	n.dead = true
	n.w.mu.Unlock()
}

// work is the work of a shard, which notes who leads when.
func (n *node) work(ctx context.Context, shard string) {
	w, now := n.w, n.w.now()
	w.mu.Lock()
	term, ok := election.TermFromContext(ctx)
	s := &stretch{node: n, shard: shard, ctx: ctx, from: now}
	if last := w.leading[shard]; last != nil && !last.node.dead && last.ctx.Err() == nil {
		w.faults = append(w.faults, fmt.Sprintf("at %v %s began to lead %s, and %s still led it", now, n.name, shard, last.node.name))
	}
	if !ok || term.FencingToken <= w.tokens[shard] {
		w.faults = append(w.faults, fmt.Sprintf("at %v %s began to lead %s under the token %d after %d", now, n.name, shard, term.FencingToken, w.tokens[shard]))
	}
	w.leading[shard], w.tokens[shard] = s, term.FencingToken
	w.led[shard] = append(w.led[shard], s)
	if n.working++; n.Replica.most > 0 && n.working > n.Replica.most {
		w.faults = append(w.faults, fmt.Sprintf("at %v %s began to lead %s, its work number %d of %d at most", now, n.name, shard, n.working, n.Replica.most))
	}
	w.mu.Unlock()
	<-ctx.Done()
	if n.drain > 0 {
		time.Sleep(n.drain) // virtual
	}
	w.mu.Lock()
	s.until = w.now()
	w.mu.Unlock()
}

func (n *node) stopped(shard string) {
	w := n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range slices.Backward(w.led[shard]) {
		if s.node == n {
			if s.until == 0 || s.stop != 0 {
				w.faults = append(w.faults, fmt.Sprintf("OnStopped of %s by %s at %v: the work returned at %v, OnStopped came at %v", shard, n.name, w.now(), s.until, s.stop))
			}
			s.stop = w.now()
			n.working--
			return
		}
	}
	w.faults = append(w.faults, fmt.Sprintf("OnStopped of %s by %s without an OnStarted", shard, n.name))
}

// now is the virtual time since the test began.
func (w *world) now() time.Duration { return time.Since(w.start) }

// pass lets virtual time go on.
func (w *world) pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
}

// parts are how many shards each node leads, by their names, as its observers are told.
func (w *world) parts() map[string]int {
	parts := map[string]int{}
	for _, n := range w.nodes {
		if led := n.board.read().Leading; led > 0 && !n.dead {
			parts[n.name] = led
		}
	}
	return parts
}

// balanced waits until the nodes lead so many shards each, in any order, and returns how long it
// took.
func (w *world) balanced(within time.Duration, want ...int) time.Duration {
	w.Helper()
	slices.Sort(want)
	began := w.now()
	for {
		synctest.Wait()
		got := slices.Sorted(maps.Values(w.parts()))
		if slices.Equal(got, want) {
			for _, n := range w.nodes {
				if led := len(n.Leading()); !n.dead && led != w.parts()[n.name] {
					w.Errorf("%s leads %d shards, and told its observers of %d", n.name, led, w.parts()[n.name])
				}
			}
			return w.now() - began
		}
		if w.now()-began > within {
			w.Fatalf("after %v the replicas lead %v, want %v", w.now()-began, w.parts(), want)
		}
		time.Sleep(10 * time.Millisecond) // virtual
	}
}

// gaps are how long each shard was without a leader between two stretches that began after since. A
// stretch that ended without a call (its node is dead) ends when its node died, which is not known
// here, so it is left out.
func (w *world) gaps(since time.Duration) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var gaps []time.Duration
	for _, all := range w.led {
		for i, s := range all {
			if i > 0 && s.from >= since && all[i-1].until > 0 {
				gaps = append(gaps, s.from-all[i-1].until)
			}
		}
	}
	slices.Sort(gaps)
	return gaps
}

// leaders are who leads each shard.
func (w *world) leaders() map[string]string {
	leaders := map[string]string{}
	for _, n := range w.nodes {
		if !n.dead {
			for _, shard := range n.Leading() {
				leaders[shard] = n.name
			}
		}
	}
	return leaders
}
