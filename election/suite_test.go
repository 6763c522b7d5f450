package election

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// suite is the test under which the specs open their bubbles of virtual time.
var suite *testing.T

func TestElection(t *testing.T) {
	if doomed := os.Getenv(doomedVariable); doomed != "" {
		runDoomed(doomed)
		return
	}
	suite = t
	RegisterFailHandler(Fail)
	RunSpecs(t, "election")
}

// world is one bubble of virtual time with its store and its expectations. Its context ends with
// the spec, pass or fail, so that every elector in it can return.
type world struct {
	Gomega
	ctx   context.Context
	store testStore
	start time.Time
}

// testStore is the record of the lock, as the specs look at it and meddle with it.
type testStore interface {
	seize(owner string) // as an operator might; "": frees it
	holder() string     // "": free
	pollCount() int     // attempts to acquire and looks at the record, of all nodes
}

// testLock is a Lock with faults before and after each request is carried out; nil: none.
type testLock interface {
	Lock
	setBefore(func(ctx context.Context, op operation) error)
	setAfter(func(ctx context.Context, op operation) error)
}

// backend is what the locks of a world are.
type backend bool

const (
	onDouble     backend = false
	onLockclient backend = true
)

// promise declares a spec twice: on the double, which knows nothing but the interface, and on the
// real lock client.
func promise(text string, body func(w *world)) {
	It(text, virtually(body))
	It(text+" (lockclient)", virtuallyOn(onLockclient, body))
}

// virtually makes a spec of a body that runs in virtual time. The bubble ends only when all its
// goroutines have, so a goroutine that an elector leaves behind for ever fails the spec.
func virtually(body func(w *world)) func() { return virtuallyOn(onDouble, body) }

func virtuallyOn(b backend, body func(w *world)) func() {
	return func() {
		var mu sync.Mutex
		var failure string
		synctest.Test(suite, func(t *testing.T) {
			w := &world{ctx: t.Context(), start: time.Now()}
			w.store = &fakeStore{}
			w.Gomega = NewGomega(func(message string, _ ...int) {
				mu.Lock()
				if failure == "" {
					failure = fmt.Sprintf("%s\nat %v, in\n%s", message, time.Since(w.start), callers())
				}
				mu.Unlock()
				t.SkipNow() // leaves the bubble without failing the whole suite
			})
			if b == onLockclient {
				store, err := newRealStore(engine())
				w.Expect(err).NotTo(HaveOccurred())
				w.store = store
			}
			body(w)
		})
		if failure != "" {
			Fail(failure)
		}
	}
}

// callers are the lines of the specs on the stack.
func callers() string {
	var lines []string
	for i := 2; ; i++ {
		_, file, line, ok := runtime.Caller(i)
		if !ok {
			return strings.Join(lines, "\n")
		}
		if strings.Contains(file, "/election/") {
			lines = append(lines, fmt.Sprintf("%s:%d", file[strings.LastIndex(file, "/")+1:], line))
		}
	}
}

// now is the virtual time since the spec began.
func (w *world) now() time.Duration { return time.Since(w.start) }

// at waits until that long after the spec began and all is quiet.
func (w *world) at(d time.Duration) {
	time.Sleep(d - w.now()) // virtual
	synctest.Wait()
}

// settled waits until every goroutine of the bubble waits for something.
func (w *world) settled() { synctest.Wait() }

// until waits until the condition holds; the spec fails if it doesn't within a minute of virtual
// time.
func (w *world) until(what string, condition func() bool) {
	for range 60_000 {
		synctest.Wait()
		if condition() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.Expect(condition()).To(BeTrue(), "never: "+what)
}

// strays are the goroutines of the elector in the caller's bubble.
func strays() []string {
	buf := make([]byte, 1<<20)
	stacks := bytes.Split(buf[:runtime.Stack(buf, true)], []byte("\n\n"))
	bubble := func(stack []byte) string {
		head, _, _ := bytes.Cut(stack, []byte("\n"))
		if i := bytes.Index(head, []byte("synctest bubble ")); i >= 0 {
			return strings.TrimRight(string(head[i:]), "]: ")
		}
		return ""
	}
	var found []string
	for _, stack := range stacks[1:] {
		s := string(stack)
		inElector := strings.Contains(s, "election.(*run)") || strings.Contains(s, "election.(*term)") || strings.Contains(s, "courier.(*Courier)")
		if inElector && bubble(stack) == bubble(stacks[0]) {
			found = append(found, s)
		}
	}
	return found
}

// journal is what happened, in order, with the virtual time of each.
type journal struct {
	w       *world
	mu      sync.Mutex
	entries []entry
}

type entry struct {
	what string
	at   time.Duration
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry{what: fmt.Sprintf(format, args...), at: j.w.now()})
}

// list is the entries without their times.
func (j *journal) list() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []string
	for _, e := range j.entries {
		list = append(list, e.what)
	}
	return list
}

func (j *journal) has(what string) bool { return slices.Contains(j.list(), what) }

func (j *journal) count(what string) (n int) {
	for _, s := range j.list() {
		if s == what {
			n++
		}
	}
	return n
}

// when is the time of the last such entry; it must be there.
func (j *journal) when(what string) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range slices.Backward(j.entries) {
		if e.what == what {
			return e.at
		}
	}
	panic("no entry " + what)
}

// node is one elector with its lock, its clock and its journal.
type node struct {
	w       *world
	id      string
	clock   *nodeClock
	lock    testLock
	config  LeaderElectionConfig
	elector *LeaderElector
	journal *journal // what the work, OnStoppedLeading and the lock did
	news    *journal // what OnNewLeader said
	ends    *journal // when leading contexts ended

	cancel context.CancelCauseFunc
	result chan error

	mu   sync.Mutex
	ctx  context.Context // of the latest term
	live int             // OnStartedLeading running
	most int             // at once
}

const (
	testLease     = 15 * time.Second
	testHeartbeat = 3 * time.Second
	testDeadline  = 10 * time.Second
	testRetry     = 2 * time.Second
)

// node makes an elector that leads until its context ends, with client-go's figures. change may
// change its configuration.
func (w *world) node(id string, change ...func(n *node, c *LeaderElectionConfig)) *node {
	n := &node{w: w, id: id, clock: newNodeClock(1), journal: &journal{w: w}, news: &journal{w: w}, ends: &journal{w: w}, result: make(chan error, 1)}
	switch store := w.store.(type) {
	case *fakeStore:
		n.lock = &fakeLock{store: store, id: id, lease: testLease, heartbeat: testHeartbeat, clock: n.clock, journal: n.journal}
	case *realStore:
		n.lock = newRealLock(n, store)
	}
	n.config = LeaderElectionConfig{
		Name:            "test",
		Lock:            n.lock,
		Clock:           n.clock,
		RenewDeadline:   testDeadline,
		RetryPeriod:     testRetry,
		ReleaseOnCancel: true,
		Callbacks: LeaderCallbacks{
			OnStartedLeading: n.work(n.untilCancelled),
			OnStoppedLeading: func() { n.journal.add("stopped") },
			OnNewLeader:      func(identity string) { n.news.add("%s", identity) },
		},
	}
	for _, f := range change {
		f(n, &n.config)
	}
	e, err := NewLeaderElector(n.config)
	w.Expect(err).NotTo(HaveOccurred())
	n.elector = e
	return n
}

// fake is the node's double.
func (n *node) fake() *fakeLock { return n.lock.(*fakeLock) }

// fake is the double's record.
func (w *world) fake() *fakeStore { return w.store.(*fakeStore) }

// work wraps an OnStartedLeading so that the journal and the counters see it.
func (n *node) work(f func(ctx context.Context)) func(ctx context.Context) {
	return func(ctx context.Context) {
		n.mu.Lock()
		n.ctx = ctx
		n.live++
		n.most = max(n.most, n.live)
		n.mu.Unlock()
		n.journal.add("started")
		context.AfterFunc(ctx, func() { n.ends.add("ended") })
		defer func() {
			n.mu.Lock()
			n.live--
			n.mu.Unlock()
			n.journal.add("returned")
		}()
		f(ctx)
	}
}

func (n *node) untilCancelled(ctx context.Context) {
	<-ctx.Done()
	n.journal.add("cancelled")
}

// leadingCtx is the leading context of the latest term.
func (n *node) leadingCtx() context.Context {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ctx
}

// run starts Run.
func (n *node) run() *node {
	ctx, cancel := context.WithCancelCause(n.w.ctx)
	n.cancel = cancel
	go func() { n.result <- n.elector.Run(ctx) }()
	return n
}

// lead runs the node and waits until its work has started.
func (n *node) lead() *node {
	n.run()
	n.w.until(n.id+" leads", func() bool { return n.elector.IsLeader() && n.journal.has("started") })
	return n
}

// stop cancels Run and waits for it.
func (n *node) stop() error {
	n.cancel(nil)
	return n.wait()
}

// wait waits until Run has returned and checks that it left nothing behind.
func (n *node) wait() error {
	err := <-n.result
	synctest.Wait()
	n.w.Expect(n.elector.IsLeader()).To(BeFalse())
	return err
}

// overlap watches leading contexts: two of them must never be alive at once.
type overlap struct {
	mu    sync.Mutex
	alive map[string]context.Context
	found []string
}

func (o *overlap) enter(id string, ctx context.Context, at time.Duration) (leave func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.alive == nil {
		o.alive = map[string]context.Context{}
	}
	for other, c := range o.alive {
		if other != id && c.Err() == nil {
			o.found = append(o.found, fmt.Sprintf("%s began to lead at %v while %s led", id, at, other))
		}
	}
	o.alive[id] = ctx
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.alive, id)
	}
}
