// Package regions is the specification of a lock in a global table, whose clients are in different
// Regions. It shows what a multi-Region strongly consistent table (MRSC) gives, and why an
// eventually consistent one (MREC) must not hold a lock.
//
// The specs run on dynamotest's Regions inside testing/synctest bubbles, where time is virtual and
// Regions are cut off at will. DynamoDB Local has one Region.
package regions

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

const (
	theLock   = "the-lock"
	theTable  = "locks"
	theLease  = 10 * time.Second
	heartbeat = 3 * time.Second
	roundTrip = 10 * time.Millisecond       // between a client and its own Region
	writeTime = 60 * time.Millisecond       // between two Regions and back, which every write of a strongly consistent table takes
	glance    = 10 * time.Millisecond       // the pause between two looks at who believes
	takeover  = theLease*105/100 + glance*2 // the longest that a crashed holder's lock stays unused, counted from its last renewal
)

// world is a global table with three Regions in a bubble, and the clients in them. A bubble that is
// left with a goroutine still there fails its test.
type world struct {
	Gomega
	*testing.T
	ctx     context.Context // done when the test has ended
	table   *dynamotest.GlobalTable
	nodes   []*node
	waiting sync.WaitGroup // for what waits started
}

func strongly(t *testing.T, do func(w *world), options ...dynamotest.Option) {
	t.Helper()
	inBubble(t, func() *dynamotest.GlobalTable {
		table := dynamotest.NewGlobalTable(3, options...)
		table.SetWriteTime(writeTime)
		return table
	}, do)
}

func eventually(t *testing.T, do func(w *world)) {
	t.Helper()
	inBubble(t, func() *dynamotest.GlobalTable { return dynamotest.NewEventualGlobalTable(3) }, do)
}

func inBubble(t *testing.T, create func() *dynamotest.GlobalTable, do func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &world{T: t, Gomega: NewWithT(t), ctx: ctx, table: create()}
		w.Expect(lockclient.EnsureTable(ctx, w.client(0), theTable, lockclient.WithoutTTL())).To(Succeed())
		defer func() {
			cancel()
			w.end()
		}()
		do(w)
	})
}

// end has every node let go, so that nothing is left running.
func (w *world) end() {
	for _, region := range w.table.Regions() {
		region.Rejoin()
	}
	w.table.Replicate()
	for _, n := range w.nodes {
		n.wire.SetHook(nil)
		_ = n.RemoveLock()
	}
	w.waiting.Wait()
	for _, n := range w.nodes {
		n.wire.Settle()
	}
}

// client goes straight to a Region.
func (w *world) client(region int) dynamodbiface.DynamoDBAPI {
	return wire.NewClient(dynamotest.Transport(w.table.Region(region)))
}

// node is a client of the lock in one of the Regions.
type node struct {
	*lockclient.DynamoDBLockClient
	w      *world
	wire   *wire.Wire
	region int
	dead   bool // its process is gone, and believes nothing
}

func (w *world) node(region int, identifier string) *node {
	n := &node{w: w, region: region, wire: wire.New(wire.Far(dynamotest.Transport(w.table.Region(region)), roundTrip))}
	n.DynamoDBLockClient = &lockclient.DynamoDBLockClient{
		LockName: theLock, TableName: theTable, Identifier: identifier,
		LeaseDuration: theLease, HeartbeatPeriod: heartbeat, Client: wire.NewClient(n.wire),
	}
	w.nodes = append(w.nodes, n)
	return n
}

// three makes a client in each Region: a in Region 0, b in Region 1, c in Region 2.
func (w *world) three() (a, b, c *node) { return w.node(0, "a"), w.node(1, "b"), w.node(2, "c") }

// takes acquires, or fails the test, and gives the fencing token.
func (n *node) takes() int64 {
	n.w.Helper()
	held, err := n.GetLock()
	n.w.Expect(err).NotTo(HaveOccurred(), n.Identifier)
	n.w.Expect(held).To(BeTrue(), n.Identifier)
	token, ok := n.FencingToken()
	n.w.Expect(ok).To(BeTrue(), n.Identifier)
	return token
}

// isRefused tries to acquire, and fails the test unless it is told who holds the lock.
func (n *node) isRefused(holder *node) {
	n.w.Helper()
	held, err := n.GetLock()
	n.w.Expect(held).To(BeFalse(), n.Identifier)
	var refusal *lockclient.LockHeldError
	n.w.Expect(errors.As(err, &refusal)).To(BeTrue(), "%s: %v", n.Identifier, err)
	n.w.Expect(refusal.Owner).To(Equal(holder.Identifier))
}

func (n *node) believes() bool {
	held, _ := n.HasLock()
	return held && !n.dead
}

// crash ends the node's process: it sends nothing any more.
func (n *node) crash() {
	n.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
	n.dead = true
}

// waits starts WaitForLock, which goes on until the test ends.
func (n *node) waits() {
	n.w.waiting.Go(func() { _ = n.WaitForLock(n.w.ctx) })
	synctest.Wait()
}

// renewed is the node's next confirmed heartbeat; it fails the test if there is none.
func (n *node) renewed() time.Time {
	n.w.Helper()
	confirmed := make(chan time.Time, 100)
	stop := n.ObserveHeartbeats(func(took time.Duration, err error) {
		if err == nil {
			confirmed <- time.Now().Add(-took)
		}
	})
	defer stop()
	select {
	case at := <-confirmed:
		return at
	case <-time.After(2 * heartbeat):
		n.w.Fatalf("%s renews nothing", n.Identifier)
		return time.Time{}
	}
}

// believers are those who believe at this moment that they hold the lock.
func (w *world) believers() (all []string) {
	for _, n := range w.nodes {
		if n.believes() {
			all = append(all, n.Identifier)
		}
	}
	return all
}

// pass lets time pass, and fails the test as soon as two clients believe.
func (w *world) pass(d time.Duration) {
	w.Helper()
	w.until(d, func() bool { return false })
}

// until is pass that ends early, and reports whether, when done is true.
func (w *world) until(d time.Duration, done func() bool) bool {
	w.Helper()
	for end := time.Now().Add(d); ; time.Sleep(glance) {
		synctest.Wait()
		if all := w.believers(); len(all) > 1 {
			w.Fatalf("%v all believe that they hold the lock", all)
		}
		if done() {
			return true
		}
		if !time.Now().Before(end) {
			return false
		}
	}
}

// watching lets time pass, and returns the longest time for which two clients believed.
func (w *world) watching(d time.Duration) (longest time.Duration) {
	since := time.Time{}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(glance) {
		synctest.Wait()
		switch two := len(w.believers()) > 1; {
		case !two:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		default:
			longest = max(longest, time.Since(since))
		}
	}
	return longest
}

// mustCome is until that fails the test when it doesn't come to be. It gives the time that it took.
func (w *world) mustCome(d time.Duration, what string, done func() bool) time.Duration {
	w.Helper()
	began := time.Now()
	if !w.until(d, done) {
		w.Fatalf("%v later it is still not so that %s; believers: %v", d, what, w.believers())
	}
	return time.Since(began)
}

// lots are drawn from a seed, by any number of goroutines.
type lots struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newLots(seed uint64) *lots { return &lots{random: rand.New(rand.NewPCG(seed, 2))} }

func (l *lots) oneIn(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.IntN(n) == 0
}
