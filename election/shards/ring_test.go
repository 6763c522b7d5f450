package shards

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func ringOf(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%03d", i)
	}
	return ids
}

func TestEveryMemberIsWatchedByThreeOthersOrByAll(t *testing.T) {
	for n := 1; n <= 20; n++ {
		by := map[string]int{}
		for _, self := range ringOf(n) {
			for _, id := range watched(ringOf(n), self, func(string) bool { return false }) {
				if id == self {
					t.Fatalf("%d members: %s watches itself", n, self)
				}
				by[id]++
			}
		}
		for _, id := range ringOf(n) {
			if want := min(followers, n-1); by[id] != want {
				t.Errorf("%d members: %s is watched by %d, want %d", n, id, by[id], want)
			}
		}
	}
}

func TestBehindARowOfDeadTheLivingAreWatched(t *testing.T) {
	dead := []string{"004", "005", "006", "007", "008"}
	got := watched(ringOf(12), "003", func(id string) bool { return slices.Contains(dead, id) })
	if want := []string{"004", "005", "006", "007", "008", "009", "010", "011"}; !slices.Equal(got, want) {
		t.Errorf("003 watches %v, want %v", got, want)
	}
}

func TestWhereAllOthersAreSuspectedAllAreWatchedOnce(t *testing.T) {
	got := watched(ringOf(5), "002", func(string) bool { return true })
	if want := []string{"003", "004", "000", "001"}; !slices.Equal(got, want) {
		t.Errorf("002 watches %v, want %v", got, want)
	}
}

func TestAReplicaThatHasNotJoinedYetWatchesThoseBehindIt(t *testing.T) {
	got := watched([]string{"a", "c", "e"}, "b", func(string) bool { return false })
	if want := []string{"c", "e", "a"}; !slices.Equal(got, want) {
		t.Errorf("b watches %v, want %v", got, want)
	}
}

// Five of eight do not watch the one that crashes, and read the group's item at any time of their
// heartbeats. They hear of its death as soon as those who watch it.
func TestThoseWhoDoNotWatchADeadMemberHearOfItsDeathAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		const replicas, shards = 8, 64
		for i := range replicas {
			w.node(fmt.Sprint("r", i), count(shards)).run()
			w.pass(heartbeat * 3 / 8)
		}
		w.balanced(time.Minute, slices.Repeat([]int{shards / replicas}, replicas)...)
		w.pass(2*theLease + time.Second)
		w.nodes[0].crash()
		crashed := w.now()
		w.pass(theLease - heartbeat) // its last heartbeat is not older than that
		var first time.Duration
		for led := 0; led < shards; time.Sleep(10 * time.Millisecond) {
			synctest.Wait()
			led = 0
			for _, n := range w.parts() {
				led += n
			}
			if led > shards*(replicas-1)/replicas && first == 0 {
				first = w.now()
			}
			if w.now()-crashed > 2*theLease {
				t.Fatalf("only %d are led %v after the crash", led, w.now()-crashed)
			}
		}
		if took := w.now() - first; took > time.Second {
			t.Errorf("from the first shard that was led again to the last it took %v", took)
		}
	})
}

// A suspicion that nobody takes back costs closer reads for two leases, and no longer.
func TestASuspicionThatStaysCostsLittle(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		group := w.nodes[0].group
		if err := group.suspect(context.Background(), w.nodes[1].current.ownID(), w.nodes[2].current.ownID()); err != nil {
			t.Fatal(err)
		}
		reads := func(d time.Duration) float64 {
			var c counter
			w.nodes[0].wire.SetHook(c.count)
			w.pass(d)
			w.nodes[0].wire.SetHook(nil)
			return float64(c.reads.Load()) / (float64(d) / float64(heartbeat))
		}
		if each := reads(theLease); each < 10 {
			t.Errorf("while one is suspected the item is read %.1f times a heartbeat", each)
		}
		w.pass(2 * theLease)
		if each := reads(2 * theLease); each > 5 {
			t.Errorf("after two leases of a suspicion it is read %.1f times a heartbeat", each)
		}
		w.balanced(0, 8, 8, 8)
	})
}
