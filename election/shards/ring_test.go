package shards

import (
	"fmt"
	"slices"
	"testing"
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

func TestWhoHasNotJoinedYetWatchesThoseBehindIt(t *testing.T) {
	got := watched([]string{"a", "c", "e"}, "b", func(string) bool { return false })
	if want := []string{"c", "e", "a"}; !slices.Equal(got, want) {
		t.Errorf("b watches %v, want %v", got, want)
	}
}
