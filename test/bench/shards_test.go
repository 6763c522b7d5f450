package bench

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election/shards"
	"github.com/leaderkit/leaderkit/lockclient"
)

// crew is a group of replicas in this process, each with a session and a node of its own.
type crew struct {
	group            string
	shards           int
	lease, heartbeat time.Duration
	roundTrip        time.Duration
	next             http.RoundTripper
	all              []*replica

	mu     sync.Mutex           // guards what follows
	leads  map[string]*replica  // by shard: who leads it
	ended  map[string]time.Time // by shard: when its last work returned
	began  map[string]time.Time // by shard: when its present work began
	gaps   []time.Duration      // from the end of one work to the begin of the next, since watch
	failed error
}

type replica struct {
	*shards.Replica
	node    *node
	session *lockclient.Session
	stop    context.CancelFunc
	done    chan error
	crashed bool
	left    bool
}

func newCrew(next http.RoundTripper, n int, lease, heartbeat, roundTrip time.Duration) *crew {
	return &crew{group: uniqueLock(), shards: n, lease: lease, heartbeat: heartbeat, roundTrip: roundTrip, next: next,
		leads: map[string]*replica{}, ended: map[string]time.Time{}, began: map[string]time.Time{}}
}

// join starts another replica.
func (c *crew) join() (*replica, error) {
	r := &replica{node: newNode(c.next, c.roundTrip, 0), done: make(chan error, 1)}
	r.session = &lockclient.Session{TableName: table, Client: r.node.client(), LeaseDuration: c.lease, HeartbeatPeriod: c.heartbeat}
	var err error
	r.Replica, err = shards.New(shards.Config{
		Session: r.session, Group: c.group, Count: c.shards,
		Callbacks: shards.Callbacks{
			OnStarted: func(ctx context.Context, shard string) {
				c.started(r, shard)
				<-ctx.Done()
				c.returned(r, shard)
			},
			OnStopped: func(string) {},
		},
	})
	if err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.done <- r.Run(ctx) }()
	c.all = append(c.all, r)
	return r, nil
}

func (c *crew) started(r *replica, shard string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.leads[shard]; other != nil && !other.crashed && c.failed == nil {
		c.failed = fmt.Errorf("shard %s is led twice", shard)
	}
	if ended, moved := c.ended[shard]; moved {
		c.gaps = append(c.gaps, now.Sub(ended))
	}
	c.leads[shard], c.began[shard] = r, now
}

func (c *crew) returned(r *replica, shard string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leads[shard] == r {
		delete(c.leads, shard)
		c.ended[shard] = time.Now()
	}
}

// watch forgets all gaps until now.
func (c *crew) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gaps = nil
	clear(c.ended)
}

// leaders are who leads each shard.
func (c *crew) leaders() map[string]*replica {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.leads)
}

// parts are how many shards each replica leads that runs, in ascending order.
func (c *crew) parts() []int {
	each := map[*replica]int{}
	for _, r := range c.all {
		if !r.crashed && !r.left {
			each[r] = 0
		}
	}
	for _, r := range c.leaders() {
		if _, runs := each[r]; runs {
			each[r]++
		}
	}
	return slices.Sorted(maps.Values(each))
}

// even waits until all shards are led, by each replica as many as by any other, or one more.
func (c *crew) even() (time.Duration, error) {
	began := time.Now()
	for {
		parts, sum := c.parts(), 0
		for _, n := range parts {
			sum += n
		}
		if len(parts) > 0 && sum == c.shards && parts[len(parts)-1]-parts[0] <= 1 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return time.Since(began), c.failed
		}
		if time.Since(began) > 5*c.lease+time.Minute {
			return 0, fmt.Errorf("%v after a change the replicas lead %v of %d shards", time.Since(began), parts, c.shards)
		}
		pass(c.heartbeat / 100)
	}
}

// rest counts what the replicas send while nothing happens.
func (s *Shards) rest(c *crew, periods int) {
	reads := func(n *node) int { return n.count("GetItem") + n.count("BatchGetItem") }
	before := map[*replica][2]int{}
	for _, r := range c.all {
		before[r] = [2]int{reads(r.node), r.node.total()}
	}
	c.all[0].node.forgetTrips() // those of the start had to wait for each other
	pass(time.Duration(periods) * c.heartbeat)
	s.Periods, s.RoundTrip = periods, c.all[0].node.roundTrip()
	for _, r := range c.all {
		read := reads(r.node) - before[r][0]
		s.Reads = append(s.Reads, read)
		s.Writes = append(s.Writes, r.node.total()-before[r][1]-read)
	}
}

// crash has one replica crash, and waits until its shards are led again.
func (s *Shards) crash(c *crew, r *replica) error {
	var its []string
	for shard, leader := range c.leaders() {
		if leader == r {
			its = append(its, shard)
		}
	}
	c.mu.Lock()
	r.crashed = true
	c.mu.Unlock()
	renewed, _ := r.node.lastRenewal()
	r.node.crash()
	if _, err := c.even(); err != nil {
		return err
	}
	left := c.parts()
	r.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	var latest time.Duration
	for _, shard := range its {
		after := c.began[shard].Sub(renewed)
		s.Again = append(s.Again, after)
		latest = max(latest, after)
	}
	s.AllAgain = append(s.AllAgain, latest)
	s.Left = append(s.Left, left)
	return nil
}

// change has replicas come or go, and notes which shards move.
func (m *Moves) change(c *crew, what func() error) error {
	c.watch()
	before, began := c.leaders(), time.Now()
	if err := what(); err != nil {
		return err
	}
	if _, err := c.even(); err != nil {
		return err
	}
	m.Took = append(m.Took, time.Since(began))
	moved := 0
	for shard, leader := range c.leaders() {
		if before[shard] != leader {
			moved++
		}
	}
	m.Moved = append(m.Moved, moved)
	c.mu.Lock()
	defer c.mu.Unlock()
	m.Gap = append(m.Gap, c.gaps...)
	return nil
}

// leave has a replica stop, as a deploy does.
func (c *crew) leave(r *replica) error {
	r.stop()
	err := <-r.done
	r.left = true
	if err != nil {
		return err
	}
	return r.session.Close(context.Background())
}

// live carries out all: a start, rest, crashes each with a replica in the place of the one that
// crashed, and a rolling restart.
func (s *Shards) live(c *crew, replicas, crashes, periods int) error {
	*s = Shards{Engine: s.Engine, Shards: c.shards, Replicas: replicas, Lease: c.lease, Heartbeat: c.heartbeat}
	for range replicas {
		if _, err := c.join(); err != nil {
			return err
		}
	}
	var err error
	if s.Even, err = c.even(); err != nil {
		return err
	}
	s.Parts = c.parts()
	pass(c.lease)
	s.rest(c, periods)
	joins := func() error { _, err := c.join(); return err }
	for range crashes {
		pass(rand.N(c.heartbeat))
		if err := s.crash(c, c.all[len(c.all)-replicas]); err != nil {
			return err
		}
		pass(c.heartbeat + rand.N(c.heartbeat))
		if err := s.Join.change(c, joins); err != nil {
			return err
		}
		pass(c.heartbeat)
	}
	for range replicas {
		err := s.Roll.change(c, func() error {
			if err := c.leave(c.all[len(c.all)-replicas]); err != nil {
				return err
			}
			return joins()
		})
		if err != nil {
			return err
		}
		pass(c.heartbeat)
	}
	return nil
}

// end has everybody stop. Those that have crashed wait in vain for answers first.
func (c *crew) end() error {
	for _, r := range c.all {
		r.stop()
	}
	for _, r := range c.all {
		if r.left {
			continue
		}
		if err := <-r.done; err != nil {
			return err
		}
		if !r.crashed {
			if err := r.session.Close(context.Background()); err != nil {
				return err
			}
		}
	}
	return nil
}

// members carries out one series.
func members(e engine, n, replicas, crashes, periods int, lease, roundTrip time.Duration) (s Shards, err error) {
	s.Engine = e.name
	c := newCrew(e.rt, n, lease, lease/3, roundTrip)
	if err := s.live(c, replicas, crashes, periods); err != nil {
		return s, err
	}
	return s, c.end()
}

var _ = Describe("The shards of a group", func() {
	It("cost one write and a few reads a heartbeat, are led again after a crash, and move without a gap", func() {
		synctest.Test(suite, func(t *testing.T) {
			s, err := members(engine{EngineVirtual, virtualEngine(t)}, 64, 3, 1, 20, 15*time.Second, 10*time.Millisecond)
			Expect(err).NotTo(HaveOccurred())
			Expect(s.Parts).To(Equal([]int{21, 21, 22}))
			Expect(s.Left[0]).To(Equal([]int{32, 32}))
			Expect(slices.Max(s.Writes)).To(BeNumerically("<=", s.Periods+1))
			Expect(float64(slices.Max(s.Reads)) / float64(s.Periods)).To(BeNumerically("<=", ShardReadsBudget))
			Expect(slices.Max(s.AllAgain).Seconds() / s.Lease.Seconds()).To(BeNumerically("<=", ShardCrashBudget))
			Expect(Quantile(s.Join.Gap, 0.99)).To(BeNumerically("<=", HandoverBudget+2*s.RoundTrip))
			Expect(Quantile(s.Roll.Gap, 0.99)).To(BeNumerically("<=", HandoverBudget+2*s.RoundTrip))
			Expect(s.Join.Moved[0]).To(BeNumerically("<=", s.JoinBudget()))
		})
	})
})

func TestMeasureShards(t *testing.T) {
	measurement(t)
	var results []Shards
	synctest.Test(t, func(t *testing.T) {
		s, err := members(engine{EngineVirtual, virtualEngine(t)}, many(128, 512), 3, many(1, 5), 20, 15*time.Second, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, s)
	})
	s, err := members(readyEngine(t), many(128, 512), 3, many(1, 5), many(5, 12), many(3*time.Second, 15*time.Second), 0)
	if err != nil {
		t.Fatal(err)
	}
	measured(t, "shards", append(results, s))
}
