package lockclient_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/nodeclock"
	"github.com/leaderkit/leaderkit/test/wire"
)

// world is an engine in a bubble of virtual time, and the machines around it. A bubble that is left
// with a goroutine still there fails its test, so that each of these is a test for leaks too.
type world struct {
	*testing.T
	*WithT
	ctx     context.Context   // done when the test has ended
	server  http.RoundTripper // with one-way trips of half a roundTrip each
	admin   dynamodbiface.DynamoDBAPI
	nodes   []*node
	waiting sync.WaitGroup // for what waits started
}

const (
	theLock   = "the-lock"
	theTable  = "locks"
	theLease  = 10 * time.Second
	heartbeat = 3 * time.Second
	roundTrip = 10 * time.Millisecond
	glance    = 4 * time.Millisecond // the pause between two looks at who believes
)

// virtually runs do in a bubble.
func virtually(t *testing.T, do func(w *world)) {
	t.Helper()
	virtuallyOn(t, dynamotest.New(), do)
}

// virtuallyOn is virtually with an engine of one's own.
func virtuallyOn(t *testing.T, handler http.Handler, do func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { live(t, dynamotest.Transport(handler), do) })
}

func live(t *testing.T, engine http.RoundTripper, do func(w *world)) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{T: t, WithT: NewWithT(t), ctx: ctx, server: wire.Far(engine, roundTrip), admin: wire.NewClient(engine)}
	w.Expect(lockclient.EnsureTable(ctx, w.admin, theTable, lockclient.WithoutTTL())).To(Succeed())
	defer func() {
		cancel()
		w.end()
	}()
	do(w)
}

// end has every node let go, so that nothing is left running.
func (w *world) end() {
	for _, n := range w.nodes {
		n.wire.SetHook(nil)
		n.clock.Resume()
		n.clock.Continue()
		_ = n.RemoveLock()
		if n.Session != nil {
			_ = n.Session.Close(context.Background())
		}
		n.wire.Settle()
	}
	w.waiting.Wait()
}

// node is a machine with a client, a clock and a network connection of its own.
type node struct {
	*lockclient.DynamoDBLockClient
	wire  *wire.Wire
	clock *nodeclock.Clock
	w     *world
	dead  bool // its process is gone, and believes nothing
}

// node makes one that competes for theLock.
func (w *world) node(identifier string, change ...func(*lockclient.DynamoDBLockClient)) *node {
	n := &node{wire: wire.New(w.server), clock: nodeclock.New(), w: w}
	n.DynamoDBLockClient = &lockclient.DynamoDBLockClient{
		LockName: theLock, TableName: theTable, Identifier: identifier,
		LeaseDuration: theLease, HeartbeatPeriod: heartbeat, Client: wire.NewClient(n.wire), Clock: n.clock,
	}
	for _, f := range change {
		f(n.DynamoDBLockClient)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// crash cuts the node off for good and stops its process: it neither sends nor notices anything any
// more.
func (n *node) crash() {
	n.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
	n.clock.Pause()
	n.dead = true
}

// get acquires or fails the test.
func (n *node) get() int64 {
	n.w.Helper()
	held, err := n.GetLock()
	n.w.Expect(err).NotTo(HaveOccurred(), n.Identifier)
	n.w.Expect(held).To(BeTrue(), n.Identifier)
	token, ok := n.FencingToken()
	n.w.Expect(ok).To(BeTrue(), "%s: no fencing token after a win", n.Identifier)
	return token
}

// refused tries to acquire and fails the test if it wins.
func (n *node) refused() *lockclient.LockHeldError {
	n.w.Helper()
	held, err := n.GetLock()
	var refusal *lockclient.LockHeldError
	n.w.Expect(held).To(BeFalse(), n.Identifier)
	n.w.Expect(errors.As(err, &refusal)).To(BeTrue(), "%s: GetLock: %v; want a refusal", n.Identifier, err)
	return refusal
}

// believes is HasLock.
func (n *node) believes() bool {
	held, _ := n.HasLock()
	return held
}

// ends waits for a tenure's end, and fails the test if it doesn't come within three leases: virtual
// time would go on for ever.
func (w *world) ends(lost <-chan struct{}) {
	w.Helper()
	select {
	case <-lost:
	case <-time.After(3 * theLease):
		w.Fatal("Lost was not closed")
	}
}

// waits starts WaitForLock, which goes on until the test ends, and returns where it ends up.
func (n *node) waits() <-chan error { return n.waitsFor(n.w.ctx) }

func (n *node) waitsFor(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	n.w.waiting.Go(func() { done <- n.WaitForLock(ctx) })
	return done
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// passWatching lets time go by and fails the test at the first instant, looking every few
// milliseconds, at which two nodes believe.
func (w *world) passWatching(d time.Duration) {
	w.Helper()
	w.until(d, func() bool { return false })
}

// until lets time go by as passWatching does, until done is true, and reports whether that came to
// be.
func (w *world) until(d time.Duration, done func() bool) bool {
	w.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); w.pass(glance) {
		w.atMostOneBelieves()
		if done() {
			return true
		}
	}
	w.atMostOneBelieves()
	return done()
}

func (w *world) atMostOneBelieves() {
	w.Helper()
	believer := ""
	for _, n := range w.nodes {
		if n.dead || !n.believes() {
			continue
		}
		if believer != "" {
			w.Fatalf("%s and %s both believe that they hold the lock", believer, n.Identifier)
		}
		believer = n.Identifier
	}
}

// record is the lock's item as it is in the table.
func (w *world) record() map[string]*dynamodb.AttributeValue {
	w.Helper()
	out, err := w.admin.GetItem(&dynamodb.GetItemInput{TableName: aws.String(theTable), Key: key(theLock), ConsistentRead: aws.Bool(true)})
	w.Expect(err).NotTo(HaveOccurred())
	return out.Item
}

func key(lock string) map[string]*dynamodb.AttributeValue {
	return map[string]*dynamodb.AttributeValue{"key": {S: &lock}}
}

func s(text string) *dynamodb.AttributeValue   { return &dynamodb.AttributeValue{S: &text} }
func n(number string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{N: &number} }
