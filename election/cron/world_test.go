package cron

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/nodeclock"
	"github.com/leaderkit/leaderkit/test/wire"
)

const (
	theLease = 15 * time.Second
	theTable = "locks"
	period   = time.Minute
)

// world is a bubble of virtual time with a table and the nodes that share it.
type world struct {
	*testing.T
	Gomega
	server *dynamotest.Engine
	start  time.Time
	nodes  []*node

	mu   sync.Mutex // guards runs
	runs []runOf
}

// runOf is one call of a job's Run.
type runOf struct {
	node    string
	tick    time.Time
	attempt int
	began   time.Duration // true time since the bubble began
	ended   time.Duration // -1: it has not
}

func virtually(t *testing.T, do func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, Gomega: NewWithT(t), server: dynamotest.New()}
		if err := lockclient.EnsureTable(t.Context(), dynamotest.NewClient(w.server), theTable, lockclient.WithoutTTL()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(time.Now().Truncate(period).Add(period))) // begin at a tick
		w.start = time.Now()
		defer func() {
			for _, n := range w.nodes {
				n.end()
			}
		}()
		do(w)
	})
}

func (w *world) now() time.Duration { return time.Since(w.start) }

// until lets time go by until d after the start.
func (w *world) until(d time.Duration) {
	time.Sleep(d - w.now())
	synctest.Wait()
}

// node is a process: a clock, a connection, an elector and its jobs.
type node struct {
	w       *world
	name    string
	clock   *nodeclock.Clock
	wire    *wire.Wire
	elector *election.LeaderElector
	cron    *Cron
	cancel  context.CancelFunc
	done    chan struct{}
	work    func(ctx context.Context, tick Tick) error
}

// node starts a node whose clock is off by so much.
func (w *world) node(name string, offset time.Duration, job Job, work func(ctx context.Context, tick Tick) error) *node {
	w.Helper()
	n := &node{w: w, name: name, clock: nodeclock.New(), wire: wire.New(dynamotest.Transport(w.server)), done: make(chan struct{}), work: work}
	n.clock.JumpWall(offset)
	client := wire.NewClient(n.wire, func(c *aws.Config) { c.WithMaxRetries(0) })
	job.Name, job.Run = "job", n.run
	if job.Schedule == nil {
		job.Schedule = Every(period)
	}
	var err error
	n.cron, err = New(Config{Client: client, TableName: theTable, Jobs: []Job{job}, Clock: n.clock})
	w.Expect(err).NotTo(HaveOccurred())
	n.elector, err = election.NewLeaderElector(election.LeaderElectionConfig{
		Lock:            &lockclient.DynamoDBLockClient{LockName: "cron", Identifier: name, LeaseDuration: theLease, TableName: theTable, Client: client, Clock: n.clock},
		ReleaseOnCancel: true,
		Callbacks:       election.LeaderCallbacks{OnStartedLeading: n.cron.Lead, OnStoppedLeading: func() {}},
		Clock:           n.clock,
	})
	w.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(w.Context())
	n.cancel = cancel
	go func() {
		defer close(n.done)
		_ = n.elector.Run(ctx)
	}()
	w.nodes = append(w.nodes, n)
	return n
}

// run notes each call.
func (n *node) run(ctx context.Context, tick Tick) error {
	n.w.mu.Lock()
	n.w.runs = append(n.w.runs, runOf{n.name, tick.Time, tick.Attempt, n.w.now(), -1})
	i := len(n.w.runs) - 1
	n.w.mu.Unlock()
	var err error
	if n.work != nil {
		err = n.work(ctx, tick)
	}
	n.w.mu.Lock()
	n.w.runs[i].ended = n.w.now()
	n.w.mu.Unlock()
	return err
}

func (n *node) end() {
	n.cancel()
	<-n.done
	n.wire.Settle()
}

// crash takes the node away as a crash does: nothing that it does from now on reaches the table,
// and its run stops.
func (n *node) crash() {
	n.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
	n.cancel()
}

// leader is the node that leads.
func (w *world) leader() *node {
	w.Helper()
	for _, n := range w.nodes {
		if n.elector.IsLeader() {
			return n
		}
	}
	w.Fatal("nobody leads")
	return nil
}

// history are the runs so far.
func (w *world) history() []runOf {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.runs)
}

// minutes are the ticks of the runs, in minutes since the start.
func (w *world) minutes() (all []string) {
	for _, r := range w.history() {
		text := fmt.Sprint(int(r.tick.Sub(w.start) / period))
		if r.attempt > 1 {
			text += fmt.Sprintf(" again(%d)", r.attempt)
		}
		all = append(all, text)
	}
	return all
}

func (w *world) record() *Record {
	w.Helper()
	s := store{client: dynamotest.NewClient(w.server), table: theTable, keyName: "key", prefix: "cron/"}
	r, err := s.read(w.Context(), "job")
	w.Expect(err).NotTo(HaveOccurred())
	return r
}

// lasting is a job of a duration, which stops when its context ends.
func lasting(d time.Duration) func(context.Context, Tick) error {
	return func(ctx context.Context, _ Tick) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

var errJob = errors.New("the job failed")

func (w *world) putOther(key string) {
	w.Helper()
	_, err := dynamotest.NewClient(w.server).PutItem(&dynamodb.PutItemInput{TableName: aws.String(theTable),
		Item: map[string]*dynamodb.AttributeValue{"key": text(key), "content": text("mine")}})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) readOther(key string) string {
	w.Helper()
	out, err := dynamotest.NewClient(w.server).GetItem(&dynamodb.GetItemInput{TableName: aws.String(theTable),
		Key: map[string]*dynamodb.AttributeValue{"key": text(key)}})
	w.Expect(err).NotTo(HaveOccurred())
	return stringOf(out.Item["content"])
}
