package shards

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/race"
	"github.com/leaderkit/leaderkit/test/wire"
)

func (w *world) start3(change ...func(*node, *Config)) {
	w.Helper()
	for _, name := range []string{"a", "b", "c"} {
		w.node(name, append([]func(*node, *Config){count(24)}, change...)...).run()
	}
	w.balanced(time.Minute, 8, 8, 8)
	w.pass(theLease)
}

func TestAReplicaThatIsCutOffStopsLeadingBeforeOthersBegin(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		a := w.nodes[0]
		cut := w.now()
		a.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		w.pass(theLease*2/3 + time.Second)
		if led := len(a.Leading()); led != 0 {
			t.Errorf("it leads %d shards %v after it was cut off", led, w.now()-cut)
		}
		w.mu.Lock()
		for _, all := range w.led {
			for _, s := range all {
				if s.node == a && !errors.Is(context.Cause(s.ctx), election.ErrLeaseExpired) {
					t.Errorf("the leading of %s ended because %v", s.shard, context.Cause(s.ctx))
				}
			}
		}
		w.mu.Unlock()
		w.allLed(theLease, 24)
		a.wire.SetHook(nil)
		w.balanced(6*heartbeat, 8, 8, 8)
	})
}

func TestAReplicaThatStandsStillDoesNotLeadWhenItWakesUp(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		a := w.nodes[0]
		release := w.hold(a)
		a.clock.Pause()
		w.pass(2 * theLease)
		w.mu.Lock()
		var led []*stretch
		for _, all := range w.led {
			led = append(led, all...)
		}
		w.mu.Unlock()
		for _, s := range led {
			if s.node == a && s.ctx.Err() == nil {
				t.Errorf("%s still believes in %s", a.name, s.shard)
			}
		}
		if parts := w.parts(); parts["b"]+parts["c"] != 24 {
			t.Errorf("the others lead %v", parts)
		}
		a.clock.Continue()
		release()
		w.balanced(6*heartbeat, 8, 8, 8)
	})
}

// hold has all requests of a node wait until release is called.
func (w *world) hold(n *node) (release func()) {
	held := make(chan struct{})
	n.wire.SetHook(func(*wire.Call) wire.Fault {
		select {
		case <-held:
		default:
			return wire.Hang()
		}
		return nil
	})
	return func() { close(held); n.wire.SetHook(nil) }
}

func TestNobodyLeadsAShardTwiceUnderChurn(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() || race.Enabled {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			virtually(t, func(w *world) {
				random := rand.New(rand.NewPCG(seed, 3))
				for i := range 4 {
					w.node(fmt.Sprint("r", i), count(40), slowly(random)).run()
				}
				for i := range 25 {
					w.pass(time.Duration(random.Int64N(int64(theLease))))
					var living []*node
					for _, n := range w.nodes {
						if !n.ended && !n.dead {
							living = append(living, n)
						}
					}
					n := living[random.IntN(len(living))]
					switch kind := random.IntN(6); {
					case kind == 0 && len(living) > 2:
						n.crash()
					case kind == 1 && len(living) > 2:
						n.cancel()
						w.pass(time.Duration(random.Int64N(int64(heartbeat))))
						n.stop()
					case kind <= 2:
						w.node(fmt.Sprint("new", i), count(40), slowly(random)).run()
					case kind == 3:
						release := w.hold(n)
						w.pass(time.Duration(random.Int64N(int64(2 * theLease))))
						release()
					case kind == 4:
						n.clock.Pause()
						w.pass(time.Duration(random.Int64N(int64(2 * theLease))))
						n.clock.Continue()
					case kind == 5:
						n.clock.Suspend()
						w.pass(time.Duration(random.Int64N(int64(2 * theLease))))
						n.clock.Resume()
					}
				}
				w.allLed(4*theLease, 40)
				w.pass(3 * theLease)
				parts := w.parts()
				least, most := 40, 0
				for _, n := range parts {
					least, most = min(least, n), max(most, n)
				}
				if most-least > 1 {
					t.Errorf("three leases after the last change the parts are %v", parts)
				}
			})
		})
	}
}

func slowly(random *rand.Rand) func(*node, *Config) {
	return func(n *node, _ *Config) { n.drain = time.Duration(random.Int64N(int64(3 * time.Second))) }
}

func TestAGroupWhoseItemIsDeletedIsThereAgain(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		if _, err := w.admin.DeleteItem(&dynamodb.DeleteItemInput{
			TableName: aws.String(theTable), Key: map[string]*dynamodb.AttributeValue{"key": text(groupPrefix + theGroup)},
		}); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * theLease)
		w.balanced(0, 8, 8, 8)
		w.node("d", count(24)).run()
		w.balanced(6*heartbeat, 6, 6, 6, 6)
	})
}

func TestAMemberWhoseOwnLockIsDeletedStaysInTheGroup(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		id := w.nodes[0].current.ownID()
		if _, err := w.admin.DeleteItem(&dynamodb.DeleteItemInput{
			TableName: aws.String(theTable), Key: map[string]*dynamodb.AttributeValue{"key": text(groupPrefix + theGroup + "/" + id)},
		}); err != nil {
			t.Fatal(err)
		}
		w.pass(6 * theLease)
		w.balanced(0, 8, 8, 8)
		before := w.leaders()
		w.pass(6 * theLease)
		for shard, leader := range w.leaders() {
			if before[shard] != leader {
				t.Errorf("%s still moves", shard)
			}
		}
	})
}

func TestTheGroupsItemsAreNoLocks(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		w.nodes[0].stop() // leaves a handover behind, for a while
		for item, err := range lockclient.Locks(context.Background(), w.admin, theTable) {
			if err != nil {
				t.Fatal(err)
			}
			if item.Name == groupPrefix+theGroup || strings.HasPrefix(item.Name, handoverPrefix) {
				t.Errorf("%q is listed as a lock", item.Name)
			}
		}
		intruder := &lockclient.DynamoDBLockClient{LockName: groupPrefix + theGroup, TableName: theTable, LeaseDuration: theLease, Client: w.admin}
		if held, err := intruder.GetLock(); held || !errors.Is(err, lockclient.ErrNotALock) {
			t.Errorf("a lock client that takes the group's item for a lock: %v, %v", held, err)
		}
	})
}

func TestReplicasThatDisagreeOnTheShardsShareThemUntilTheyAgree(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3() // 24 shards each
		// A rolling deploy to 30 shards.
		for i := range 3 {
			w.node(fmt.Sprint("n", i), count(30)).run()
			w.pass(2 * theLease)
			if led := len(w.leaders()); led != 30 {
				t.Errorf("with %d of 3 new replicas %d of 30 shards are led: %v", i+1, led, w.parts())
			}
			w.nodes[i].stop()
		}
		w.balanced(2*theLease, 10, 10, 10)
	})
}

func TestResizeAddsAndRemovesShards(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		names := func(n int) (names []string) {
			for i := range n {
				names = append(names, fmt.Sprint(i))
			}
			return names
		}
		for _, c := range []struct {
			shards int
			parts  []int
		}{{36, []int{12, 12, 12}}, {6, []int{2, 2, 2}}} {
			for _, n := range w.nodes {
				if err := n.Resize(names(c.shards)); err != nil {
					t.Fatal(err)
				}
				w.pass(time.Second)
			}
			w.balanced(2*theLease, c.parts...)
		}
		if err := w.nodes[0].Resize([]string{"x", "x"}); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("twice the same name: %v", err)
		}
	})
}

func TestASemaphoreHasNoMoreLeadersThanSlots(t *testing.T) {
	virtually(t, func(w *world) {
		slot := func(_ *node, c *Config) { c.Count, c.MaxPerReplica = 2, 1 }
		for _, name := range []string{"a", "b", "c", "d"} {
			w.node(name, slot).run()
		}
		w.balanced(time.Minute, 1, 1)
		w.pass(theLease)
		for _, n := range slices.Clone(w.nodes) {
			if len(n.Leading()) == 1 {
				n.crash()
				break
			}
		}
		w.allLed(2*theLease, 2)
		w.balanced(0, 1, 1)
	})
}

func TestAHeavierReplicaLeadsMore(t *testing.T) {
	virtually(t, func(w *world) {
		w.node("a", count(24)).run()
		w.node("b", count(24), func(_ *node, c *Config) { c.Weight = 3 }).run()
		w.balanced(time.Minute, 6, 18)
		if got := w.parts()["b"]; got != 18 {
			t.Errorf("the one of weight 3 leads %d of 24", got)
		}
		assigned := map[string]int{}
		for _, identity := range w.nodes[0].Assignment() {
			assigned[identity]++
		}
		if assigned["a"] != 6 || assigned["b"] != 18 {
			t.Errorf("a assigns %v", assigned)
		}
	})
}

func TestWorkThatReturnsByItselfIsBegunAgainAfterAPause(t *testing.T) {
	virtually(t, func(w *world) {
		var starts []time.Duration
		stops := 0
		n := w.node("a", func(_ *node, c *Config) {
			c.Count = 1
			c.Callbacks = Callbacks{
				OnStarted: func(context.Context, string) { starts = append(starts, w.now()) },
				OnStopped: func(string) { stops++ },
			}
		}).run()
		w.pass(time.Minute)
		n.stop()
		if len(starts) < 3 || len(starts) > 8 || stops != len(starts) {
			t.Fatalf("begun at %v, stopped %d times", starts, stops)
		}
		for i := 1; i < len(starts); i++ {
			if pause := starts[i] - starts[i-1]; pause < heartbeat {
				t.Errorf("begun again after %v", pause)
			}
		}
	})
}

func TestWorkThatIgnoresItsContextFailsTheCheckWhenItsLockIsGone(t *testing.T) {
	virtually(t, func(w *world) {
		stuck := make(chan struct{})
		a := w.node("a", count(2), func(_ *node, c *Config) {
			c.DrainTimeout = time.Second
			c.Callbacks.OnStarted = func(ctx context.Context, shard string) { <-stuck }
			c.Callbacks.OnStopped = func(string) {}
		}).run()
		w.pass(2 * heartbeat)
		w.node("b", count(2)).run()
		w.pass(3 * heartbeat)
		if err := a.Check(0); err != nil {
			t.Errorf("while its lock is kept: %v", err)
		}
		w.pass(2 * theLease)
		if err := a.Check(0); err == nil || !strings.Contains(err.Error(), "outlived its lock") {
			t.Errorf("after its lock is gone, the health is %v", err)
		}
		if led := len(w.nodes[1].Leading()); led != 1 {
			t.Errorf("the other leads %d shards", led)
		}
		close(stuck)
		w.pass(heartbeat)
		if err := a.Check(0); err != nil {
			t.Errorf("after the work has returned: %v", err)
		}
	})
}

func TestRunAgainAfterRun(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		a := w.nodes[0]
		if err := a.Run(context.Background()); !errors.Is(err, ErrAlreadyRunning) {
			t.Errorf("a second Run at once: %v", err)
		}
		a.stop()
		w.balanced(time.Minute, 12, 12)
		a.ended = false
		a.run()
		w.balanced(time.Minute, 8, 8, 8)
	})
}

func TestATableThatIsMissingIsReportedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, start: time.Now()}
		w.server = newEngine()
		w.admin = wire.NewClient(w.server)
		n := w.node("a")
		err := n.Run(t.Context())
		if !errors.Is(err, lockclient.ErrTableNotFound) || !isPermanent(err) {
			t.Errorf("Run returned %v", err)
		}
		n.wire.Settle()
	})
}

func TestEveryBadFieldIsNamedAtOnce(t *testing.T) {
	_, err := New(Config{Group: "a/b", Names: []string{"x", "x"}, Weight: -1, MaxPerReplica: -1, MovesAtOnce: -1, DrainTimeout: -1})
	if !errors.Is(err, ErrInvalidConfig) {
		t.Fatal(err)
	}
	for _, field := range []string{"Session", "Group", "Names", "Weight", "MaxPerReplica", "MovesAtOnce", "DrainTimeout", "OnStarted", "OnStopped"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
	session := &lockclient.Session{TableName: "t", Client: wire.NewClient(newEngine()), LeaseDuration: theLease}
	work := Callbacks{OnStarted: func(context.Context, string) {}, OnStopped: func(string) {}}
	for text, c := range map[string]Config{
		"Count (0)":     {Session: session, Group: "g", Callbacks: work},
		"both given":    {Session: session, Group: "g", Callbacks: work, Count: 1, Names: []string{"x"}},
		"RenewDeadline": {Session: session, Group: "g", Callbacks: work, Count: 1, RenewDeadline: theLease},
		"MaxSilence":    {Session: session, Group: "g", Callbacks: work, Count: 1, MaxSilence: time.Second},
	} {
		if _, err := New(c); !errors.Is(err, ErrInvalidConfig) || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q named in: %v", text, err)
		}
	}
}
