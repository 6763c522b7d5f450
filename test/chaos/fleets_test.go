package chaos

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	shardGroup = "fleet"
	shardLease = 3 * time.Second
	// shardGap is how long a shard may be without a leader, whatever happens to a replica. 1.15
	// leases are promised. What is more is for a machine that has no time to spare.
	shardGap = 6 * shardLease
)

// These scenarios keep a machine busy, so there is one at a time.
func TestManyLocks(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		name string
		play func(*testing.T)
	}{
		{"shards when replicas are killed, stand still or are cut off", testShardsWhenReplicasAreKilledStandStillOrAreCutOff},
		{"shards in a rolling restart", testShardsInARollingRestart},
		{"sessions when holders are killed, stand still or are cut off", testSessionsWhenHoldersAreKilledStandStillOrAreCutOff},
	} {
		t.Run(s.name, s.play)
	}
}

// shardCount is CHAOS_SHARDS, or as many as two cores that do other work besides can take.
func shardCount(t *testing.T) int { return count(t, "CHAOS_SHARDS", 60) }

// newShards starts three replicas of n shards and waits until each has its part.
func newShards(t *testing.T, n int, configure func(i int, c *WorkerConfig)) *cluster {
	t.Helper()
	c := newCluster(t, sharedEngine(t), setup{contenders: 3, locks: lockNames(shardGroup, n), gap: shardGap, spread: true, lease: shardLease,
		configure: func(i int, config *WorkerConfig) {
			config.Style, config.Group, config.Identifier = Shards, shardGroup, config.Process
			config.GuardedOnly, config.Pace = true, 6*time.Second
			if configure != nil {
				configure(i, config)
			}
		}})
	c.startAll()
	c.awaitHoldings(true, c.workers...)
	c.demandFromNow()
	return c
}

func lockNames(group string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s/%d", group, i)
	}
	return names
}

// The replicas' own clocks differ by hours, and their rates by 0.8 %. Wall clocks are set in
// mid-term.
func testShardsWhenReplicasAreKilledStandStillOrAreCutOff(t *testing.T) {
	c := newShards(t, shardCount(t), func(i int, config *WorkerConfig) {
		config.Clock = []Skew{
			{Jump: time.Hour},
			{Offset: 3 * time.Hour, Faster: 0.004, Jump: -2 * time.Hour},
			{Offset: -26 * time.Hour, Faster: -0.004, Jump: -time.Minute},
		}[i]
	})
	set := func(w *contender) { w.fault("wall clock set", func() { w.signal(unix.SIGUSR1) }) }
	for i, strike := range []func(*contender) (repair func()){
		func(w *contender) func() { w.kill(); return w.start },
		func(w *contender) func() { set(w); w.stop(); return w.continued },
		func(w *contender) func() { set(w); w.disturb(Conditions{Requests: Cut, Replies: Cut}); return w.heal },
	} {
		w := c.workers[i]
		repair := strike(w)
		c.awaitHoldings(true, c.others(w)...)
		repair()
		c.awaitHoldings(true, c.workers...)
	}
	w := c.workers[0]
	w.awaitStart()
	set(w) // by far more than a lease: it has to take its own session for lost
	c.last(shardLease)
	c.finish()
}

func testShardsInARollingRestart(t *testing.T) {
	c := newShards(t, shardCount(t), nil)
	for _, w := range c.workers {
		w.awaitStart()
		w.fault("SIGTERM", func() { w.signal(unix.SIGTERM) })
		w.awaitEnd()
		w.start()
		c.awaitHoldings(true, c.workers...)
	}
	c.finish()
}

// Two processes with a session of 40 members and ten plain locks, and one of plain locks with
// electors. All want the same 50 locks.
func testSessionsWhenHoldersAreKilledStandStillOrAreCutOff(t *testing.T) {
	c := newCluster(t, sharedEngine(t), setup{contenders: 3, locks: lockNames("job", 50), gap: shardGap, lease: shardLease,
		configure: func(i int, config *WorkerConfig) {
			config.Style = []Style{Waits, Waits, Elects}[i]
			config.Session, config.Plain = i < 2, 5
			if i == 2 { // the others' turn comes, too
				config.Hold = shardLease
			}
			config.GuardedOnly, config.Pace = true, time.Second
		}})
	c.workers[0].start()
	c.awaitHoldings(false, c.workers[0])
	c.demandFromNow()
	c.workers[1].start()
	c.workers[2].start()
	for _, strike := range []func(*contender) (repair func()){
		func(w *contender) func() { w.kill(); return w.start },
		func(w *contender) func() { w.stop(); return w.continued },
		func(w *contender) func() { w.disturb(Conditions{Requests: Cut, Replies: Cut}); return w.heal },
	} {
		w := c.mostMembers()
		repair := strike(w)
		c.eventually(3*c.setup.lease+2*patience, w.name()+" to have nothing", func(ctx context.Context) bool {
			held, _ := c.holdings(ctx)
			return len(held) > 0 && held[w] == 0
		})
		repair()
	}
	if figures := c.finish(); figures.SessionsLost < 2 || figures.MembersLost < 2 {
		t.Errorf("%d sessions were lost, with %d members: too few to learn from", figures.SessionsLost, figures.MembersLost)
	}
}

// mostMembers waits until a worker holds some members of its session, and returns the one with the
// most.
func (c *cluster) mostMembers() (most *contender) {
	c.t.Helper()
	c.eventually(3*c.setup.lease+2*patience, "a worker with members", func(ctx context.Context) bool {
		_, members := c.holdings(ctx)
		for _, w := range c.workers {
			if members[w] > members[most] {
				most = w
			}
		}
		return members[most] >= len(c.setup.locks)/5
	})
	return most
}

// A replica that leads on after its loss, and one that writes on without the guard: that is what
// the checker is for.
func TestTheCheckerFindsTheMistakesOfReplicas(t *testing.T) {
	t.Parallel()
	for mistake, m := range map[Mistake]struct {
		rule   string
		strike func(*contender) (repair func())
	}{
		LeadsOn: {MutualExclusion, func(w *contender) func() {
			w.disturb(Conditions{Requests: Cut, Replies: Cut})
			return w.heal
		}},
		WritesUnguarded: {NoStaleWriter, func(w *contender) func() {
			w.stop()
			return w.continued
		}},
	} {
		t.Run(string(mistake), func(t *testing.T) {
			t.Parallel()
			c := newShards(t, 6, func(i int, config *WorkerConfig) {
				config.Pace = 100 * time.Millisecond
				if i == 0 {
					config.Mistake = mistake
				}
			})
			w := c.workers[0]
			repair := m.strike(w)
			c.awaitHoldings(true, c.others(w)...)
			repair()
			c.awaitHoldings(true, c.workers...)
			c.windUp()
			_, violations := Check(c.evidence())
			if !slices.ContainsFunc(violations, func(v Violation) bool { return v.Rule == m.rule }) {
				t.Errorf("not found; found %v", violations)
			}
			t.Logf("found %d violations, such as %v", len(violations), violations[:min(1, len(violations))])
		})
	}
}
