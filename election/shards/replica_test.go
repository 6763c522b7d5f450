package shards

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestReplicasThatStartTogetherLeadAnEvenPartEach(t *testing.T) {
	virtually(t, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.node(name, count(64)).run()
		}
		if took := w.balanced(time.Minute, 21, 21, 22); took > 2*heartbeat {
			t.Errorf("it took %v", took)
		}
		w.pass(2 * theLease)
		for shard, all := range w.led {
			if len(all) != 1 {
				t.Errorf("%s was led %d times although nobody joined or left", shard, len(all))
			}
		}
	})
}

func TestAJoinMovesTheNewcomersPartWithoutAGap(t *testing.T) {
	virtually(t, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.node(name, count(64)).run()
		}
		w.balanced(time.Minute, 21, 21, 22)
		before := w.leaders()
		w.pass(theLease)
		joined := w.now()
		w.node("d", count(64)).run()
		if took := w.balanced(time.Minute, 16, 16, 16, 16); took > 4*heartbeat {
			t.Errorf("balanced again %v after the join", took)
		}
		moved := 0
		for shard, leader := range w.leaders() {
			if before[shard] != leader {
				moved++
			}
		}
		if moved > 22 {
			t.Errorf("%d of 64 moved", moved)
		}
		w.noGap(joined, 100*time.Millisecond)
	})
}

func TestAReplicaThatStopsHandsOverWithoutAGap(t *testing.T) {
	virtually(t, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.node(name, count(64)).run()
		}
		w.balanced(time.Minute, 21, 21, 22)
		w.pass(theLease + 1234*time.Millisecond)
		told := w.now()
		w.nodes[1].stop()
		if took := w.now() - told; took > 2*heartbeat {
			t.Errorf("it left %v after it was told to", took)
		}
		w.balanced(time.Minute, 32, 32)
		w.noGap(told, 100*time.Millisecond)
	})
}

func TestWorkThatDrainsIsAwaitedBeforeItsShardMoves(t *testing.T) {
	virtually(t, func(w *world) {
		slow := func(n *node, c *Config) { n.drain = 3 * time.Second }
		for _, name := range []string{"a", "b"} {
			w.node(name, count(64), slow).run()
		}
		w.balanced(time.Minute, 32, 32)
		w.pass(theLease)
		joined := w.now()
		w.node("c", count(64)).run()
		w.balanced(time.Minute, 21, 21, 22)
		w.noGap(joined, 100*time.Millisecond)
		most := 0
		for at := joined; at < w.now(); at += 50 * time.Millisecond {
			most = max(most, w.drainingAt(at, "a"))
		}
		if most == 0 || most > 8 {
			t.Errorf("%d shards of one replica drained at once, of 32", most)
		}
	})
}

func TestACrashedReplicasShardsAreLedByTheOthers(t *testing.T) {
	virtually(t, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.node(name, count(64)).run()
		}
		w.balanced(time.Minute, 21, 21, 22)
		w.pass(theLease + 2*time.Second)
		w.nodes[0].crash()
		if took := w.allLed(time.Minute, 64); took > theLease*115/100 {
			t.Errorf("all were led again %v after the crash", took)
		}
		w.balanced(4*heartbeat, 32, 32)
	})
}

func TestARollingDeployLeavesNoShardWithoutALeader(t *testing.T) {
	virtually(t, func(w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.node(name, count(64)).run()
		}
		w.balanced(time.Minute, 21, 21, 22)
		w.pass(theLease)
		began := w.now()
		for i := range 3 {
			w.nodes[i].stop()
			w.node(string(rune('x'+i)), count(64)).run()
			w.pass(time.Second)
		}
		w.balanced(time.Minute, 21, 21, 22)
		w.noGap(began, 100*time.Millisecond)
	})
}

// noGap checks that what moved was led again within so long.
func (w *world) noGap(since, most time.Duration) {
	w.Helper()
	gaps := w.gaps(since)
	if len(gaps) == 0 {
		w.Error("nothing has moved")
		return
	}
	if gaps[0] < 0 {
		w.Errorf("a shard was led %v before its former work had returned", -gaps[0])
	}
	if p99 := gaps[len(gaps)*99/100]; p99 > most {
		w.Errorf("without a leader for %v (p99), %v (p50), %v (most)", p99, gaps[len(gaps)/2], slices.Max(gaps))
	}
	w.Logf("%d moves, without a leader for %v (p50), %v (most)", len(gaps), gaps[len(gaps)/2], slices.Max(gaps))
}

// drainingAt is how many works of one node were returning at that time.
func (w *world) drainingAt(at time.Duration, name string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.led {
		for _, s := range all {
			if s.node.name == name && s.until > at && s.until-s.node.drain <= at {
				n++
			}
		}
	}
	return n
}

// allLed waits until so many shards are led, by whomever, and returns how long it took.
func (w *world) allLed(within time.Duration, shards int) time.Duration {
	w.Helper()
	began := w.now()
	for {
		synctest.Wait()
		led := 0
		for _, n := range w.parts() {
			led += n
		}
		if led == shards {
			if leaders := w.leaders(); len(leaders) != shards {
				w.Errorf("%d of %d shards are led", len(leaders), shards)
			}
			return w.now() - began
		}
		if w.now()-began > within {
			w.Fatalf("after %v only %d of %d shards are led: %v", w.now()-began, led, shards, w.parts())
		}
		time.Sleep(10 * time.Millisecond) // virtual
	}
}
