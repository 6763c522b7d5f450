package shards

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// limited makes a replica of a group in which each leads no more than most.
func limited(shards, most int) func(*node, *Config) {
	return func(_ *node, c *Config) { c.Count, c.MaxPerReplica = shards, most }
}

func (w *world) startLimited(shards, most int, names ...string) {
	w.Helper()
	for _, name := range names {
		w.node(name, limited(shards, most)).run()
	}
	w.allLed(time.Minute, min(shards, most*len(names)))
	w.pass(theLease)
}

// moved are the shards that others lead now than at some time before.
func (w *world) moved(before map[string]string) (moved []string) {
	for shard, leader := range w.leaders() {
		if from, led := before[shard]; led && from != leader {
			moved = append(moved, fmt.Sprintf("%s from %s to %s", shard, from, leader))
		}
	}
	slices.Sort(moved)
	return moved
}

func TestAJoinWhereSlotsAreFreeMovesNone(t *testing.T) {
	for _, c := range []struct{ slots, most, replicas int }{{6, 1, 4}, {64, 5, 6}} {
		virtually(t, func(w *world) {
			names := shardNames(c.replicas)
			w.startLimited(c.slots, c.most, names...)
			before := w.leaders()
			w.node("new", limited(c.slots, c.most)).run()
			w.allLed(4*heartbeat, min(c.slots, c.most*(c.replicas+1)))
			w.pass(2 * theLease)
			if moved := w.moved(before); len(moved) > 0 {
				t.Errorf("%d slots, %d at most: one more replica moved %v", c.slots, c.most, moved)
			}
		})
	}
}

func TestOneWhoComesToStandByMovesNone(t *testing.T) {
	virtually(t, func(w *world) {
		w.startLimited(3, 1, "a", "b", "c")
		before := w.leaders()
		for i := range 4 {
			w.node(fmt.Sprint("standby", i), limited(3, 1)).run()
			w.pass(2 * theLease)
		}
		if moved := w.moved(before); len(moved) > 0 || len(w.leaders()) != 3 {
			t.Errorf("four more replicas moved %v", moved)
		}
		w.nodes[0].crash()
		w.allLed(2*theLease, 3)
		w.pass(theLease)
		kept := 0
		for shard, leader := range w.leaders() {
			if before[shard] == leader {
				kept++
			}
		}
		if kept != 2 {
			t.Errorf("a crash of one of three leaders left %d where they were", kept)
		}
	})
}

// A limit must cost nothing where parts must move.
func TestALimitedGroupHandsOverWithoutAGap(t *testing.T) {
	virtually(t, func(w *world) {
		w.startLimited(48, 16, "a", "b", "c")
		before, joined := w.leaders(), w.now()
		w.node("d", limited(48, 16)).run()
		w.balanced(time.Minute, 12, 12, 12, 12)
		if moved := w.moved(before); len(moved) != 12 {
			t.Errorf("%d moved, the part of the new one is 12: %v", len(moved), moved)
		}
		w.noGap(joined, 100*time.Millisecond)
		w.pass(theLease)
		before, told := w.leaders(), w.now()
		w.nodes[1].stop()
		w.balanced(time.Minute, 16, 16, 16)
		if moved := w.moved(before); len(moved) != 12 {
			t.Errorf("%d moved, the one who left had 12: %v", len(moved), moved)
		}
		w.noGap(told, 100*time.Millisecond)
	})
}

func TestARollingDeployOfASemaphoreMovesEachSlotOnce(t *testing.T) {
	virtually(t, func(w *world) {
		w.startLimited(3, 1, "a", "b", "c")
		began := w.now()
		for i := range 3 {
			w.node(fmt.Sprint("new", i), limited(3, 1)).run()
			w.pass(2 * heartbeat)
			w.nodes[i].stop()
			w.allLed(time.Second, 3)
		}
		w.noGap(began, 100*time.Millisecond)
		for shard, all := range w.led {
			if len(all) != 2 {
				t.Errorf("%s was led %d times", shard, len(all))
			}
		}
	})
}

// The replica's session is lost, and its work takes long to return. Meanwhile another slot becomes
// free.
func TestAWorkThatStillReturnsTakesTheRoomOfAnother(t *testing.T) {
	virtually(t, func(w *world) {
		w.node("a", limited(2, 1), func(n *node, _ *Config) { n.drain = 3 * theLease }).run()
		w.node("b", limited(2, 1)).run()
		w.allLed(time.Minute, 2)
		w.node("c", limited(2, 1)).run()
		w.pass(theLease)
		a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
		if parts := w.parts(); parts["a"] != 1 || parts["b"] != 1 {
			t.Fatalf("they lead %v", parts)
		}
		release := w.hold(a) // until its session is over
		w.pass(2 * theLease)
		release()
		w.pass(heartbeat)
		if led := len(c.Leading()); led != 1 {
			t.Errorf("c leads %d slots", led)
		}
		b.stop()
		w.pass(heartbeat)
		if led := len(a.Leading()); led != 0 {
			t.Errorf("a leads %d slots while the work of another still returns", led)
		}
		w.allLed(3*theLease, 2)
	})
}

func TestASlotWhoseWorkReturnedGoesToNobodyElse(t *testing.T) {
	virtually(t, func(w *world) {
		w.startLimited(1, 1, "a", "b", "c")
		leader := w.leaders()["0"]
		w.mu.Lock()
		s := w.leading["0"]
		w.mu.Unlock()
		s.node.current.finished(s.node.current.shards["0"]) // as if OnStarted had returned
		w.pass(2 * theLease)
		if now := w.leaders()["0"]; now != leader {
			t.Errorf("%s led it, and now %q does", leader, now)
		}
	})
}

func TestAMemberThatSaysItLeadsRubbishDisturbsNobody(t *testing.T) {
	for name, rubbish := range map[string]string{"too long": string(slices.Repeat([]byte{0xff}, 1000)), "all": "\xff\xff\xff", "none": ""} {
		t.Run(name, func(t *testing.T) {
			members := map[string]member{"a": {weight: 1, leads: rubbish}, "b": {weight: 1, leads: "\x07"}, "c": {weight: 1, leads: rubbish}}
			v := newView("", shardNames(24), 8, members, "a")
			if parts := v.part(); !slices.Equal(parts, []int{8, 8, 8}) {
				t.Errorf("the parts are %v", parts)
			}
		})
	}
}

func TestMarks(t *testing.T) {
	var m marks
	for _, i := range []int{0, 9, 23} {
		m.set(i)
	}
	var set []int
	for i := range 40 {
		if m.has(i) {
			set = append(set, i)
		}
	}
	if !slices.Equal(set, []int{0, 9, 23}) || len(m) != 3 {
		t.Errorf("%v in %d bytes", set, len(m))
	}
}

// In a group of changing members nobody ever has more than it may, and all is led where there is
// room.
func TestALimitHoldsUnderChurn(t *testing.T) {
	virtually(t, func(w *world) {
		w.startLimited(10, 3, "a", "b", "c")
		for i := range 6 {
			n := w.node(fmt.Sprint("new", i), limited(10, 3), func(n *node, _ *Config) { n.drain = time.Duration(i) * time.Second })
			n.run()
			w.pass(time.Duration(i) * heartbeat / 3)
			w.nodes[i].cancel()
			w.pass(heartbeat)
		}
		w.pass(3 * theLease)
		synctest.Wait()
		if parts := slices.Sorted(maps.Values(w.parts())); !slices.Equal(parts, []int{3, 3, 3}) {
			t.Errorf("they lead %v", w.parts())
		}
	})
}
