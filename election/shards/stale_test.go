package shards

import (
	"container/heap"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/nodeclock"
)

// An attempt is due later, and the shard is given up before. The attempt must not have the lock
// released a second time, while the release is under way: its lock is gone by then.
func TestAnAttemptThatWasDueDoesNotReleaseAShardTwice(t *testing.T) {
	r := &run{Replica: &Replica{clock: nodeclock.New()}, shards: map[string]*shard{}, kicked: make(chan struct{}, 1)}
	s := &shard{name: "x", stage: wanted, lock: sessionSource{&lockclient.Session{}}.lock("orders/x", false)}
	r.shards["x"] = s
	r.later(s, time.Second)
	r.drop(s)
	r.toRelease = nil // it is under way
	r.comesDue(heap.Pop(&r.dues).(due))
	if len(r.toRelease) != 0 {
		t.Error("it is to be released again")
	}
}

func TestALoneReplicaLetsGoWhatIsNotItsAnyMore(t *testing.T) {
	virtually(t, func(w *world) {
		n := w.node("a", count(6)).run()
		w.balanced(time.Minute, 6)
		if err := n.Resize([]string{"0", "1"}); err != nil {
			t.Fatal(err)
		}
		w.balanced(2*theLease, 2)
	})
}
