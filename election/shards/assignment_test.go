package shards

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"
	"time"
)

// names are n shards, sorted.
func shardNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("shard-", i)
	}
	slices.Sort(names)
	return names
}

// equalSeats are m seats with names that differ from seed to seed.
func equalSeats(seed uint64, m int) []seat {
	random := rand.New(rand.NewPCG(seed, 7))
	seats := make([]seat, m)
	for i := range seats {
		seats[i] = seat{fmt.Sprintf("%016x", random.Uint64()), 1}
	}
	return seats
}

// tally counts the shards of each seat, and of nobody.
func tally(owners []int, seats int) (each []int, without int) {
	each = make([]int, seats)
	for _, o := range owners {
		if o == nobody {
			without++
			continue
		}
		each[o]++
	}
	return each, without
}

// ids are the owners by name, so that two assignments can be compared.
func ids(owners []int, seats []seat) []string {
	list := make([]string, len(owners))
	for i, o := range owners {
		if o != nobody {
			list[i] = seats[o].id
		}
	}
	return list
}

// movedTo counts the shards that have another owner now: those that a seat got, and all.
func movedTo(before, after []string, id string) (to, all int) {
	for i := range before {
		if before[i] != after[i] {
			all++
			if after[i] == id {
				to++
			}
		}
	}
	return to, all
}

func holds(t *testing.T, property any, runs int) {
	t.Helper()
	if err := quick.Check(property, &quick.Config{MaxCount: runs}); err != nil {
		t.Error(err)
	}
}

func TestEqualSeatsDifferByOneShardAtMost(t *testing.T) {
	holds(t, func(seed uint64, n uint16, m uint8) bool {
		shards, seats := shardNames(int(n)%700), equalSeats(seed, 1+int(m)%40)
		each, without := tally(assign(shards, seats, 0), len(seats))
		return without == 0 && slices.Max(each)-slices.Min(each) <= 1
	}, 300)
}

func TestTheAssignmentDependsOnNothingButShardsAndSeats(t *testing.T) {
	holds(t, func(seed uint64, n uint16, m uint8) bool {
		shards, seats := shardNames(int(n)%500), equalSeats(seed, 2+int(m)%20)
		shuffled := slices.Clone(seats)
		rand.New(rand.NewPCG(seed, 8)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		return slices.Equal(ids(assign(shards, seats, 0), seats), ids(assign(shards, shuffled, 0), shuffled))
	}, 100)
}

func TestAJoinMovesHardlyMoreThanTheShareOfTheNewReplica(t *testing.T) {
	for _, c := range []struct{ n, m int }{{512, 1}, {512, 2}, {512, 3}, {1000, 4}, {2000, 6}, {10_000, 10}} {
		shards, share := shardNames(c.n), float64(c.n)/float64(c.m+1)
		for seed := range uint64(max(100_000/c.n, 10)) {
			seats := equalSeats(seed, c.m+1)
			before, after := ids(assign(shards, seats[:c.m], 0), seats), ids(assign(shards, seats, 0), seats)
			to, all := movedTo(before, after, seats[c.m].id)
			if float64(to) < math.Floor(share) || float64(all) > 1.25*share {
				t.Errorf("%d shards, a join to %d seats, seed %d: %d moved, %d of them to the new one, whose share is %.1f", c.n, c.m, seed, all, to, share)
			}
		}
	}
}

// Where a seat has only a few shards, each rounding is a larger part of them.
func TestOfFewShardsOnManySeatsAJoinMovesFew(t *testing.T) {
	for _, c := range []struct{ n, m int }{{64, 4}, {200, 10}, {1000, 30}, {10_000, 99}} {
		shards, share := shardNames(c.n), float64(c.n)/float64(c.m+1)
		sum, seeds := 0.0, max(20_000/c.n, 3)
		for seed := range uint64(seeds) {
			seats := equalSeats(seed, c.m+1)
			_, all := movedTo(ids(assign(shards, seats[:c.m], 0), seats), ids(assign(shards, seats, 0), seats), seats[c.m].id)
			sum += float64(all)
		}
		if mean := sum / float64(seeds); mean > 2*share {
			t.Errorf("%d shards, a join to %d seats: %.1f moved on average, the new one's share is %.1f", c.n, c.m, mean, share)
		}
	}
}

func TestALeaveMovesHardlyMoreThanWhatTheLeaverHad(t *testing.T) {
	shards := shardNames(512)
	for seed := range uint64(50) {
		seats := equalSeats(seed, 4)
		before, after := ids(assign(shards, seats, 0), seats), ids(assign(shards, seats[1:], 0), seats[1:])
		if _, all := movedTo(before, after, ""); float64(all) > 1.25*128 {
			t.Errorf("seed %d: %d of 512 moved when one of four left", seed, all)
		}
	}
}

func TestSharesFollowTheWeights(t *testing.T) {
	holds(t, func(seed uint64, n uint16, weights [5]uint8) bool {
		shards, seats := shardNames(int(n)%1000), equalSeats(seed, 5)
		sum := 0
		for i := range seats {
			seats[i].weight = 1 + int(weights[i])%9
			sum += seats[i].weight
		}
		each, without := tally(assign(shards, seats, 0), 5)
		for i, s := range seats {
			share := float64(len(shards)*s.weight) / float64(sum)
			if float64(each[i]) < math.Floor(share) || float64(each[i]) > math.Ceil(share) {
				return false
			}
		}
		return without == 0
	}, 200)
}

// A seat that is twice as heavy must take a newcomer's share mostly from the same shards, too.
func TestAJoinMovesFewAlsoWithWeights(t *testing.T) {
	shards := shardNames(1000)
	for seed := range uint64(30) {
		seats := equalSeats(seed, 4)
		seats[0].weight, seats[3].weight = 2, 2
		share := 1000.0 * 2 / 6
		_, all := movedTo(ids(assign(shards, seats[:3], 0), seats), ids(assign(shards, seats, 0), seats), seats[3].id)
		if float64(all) > 1.25*share {
			t.Errorf("seed %d: %d moved, the new one's share is %.0f", seed, all, share)
		}
	}
}

func TestNobodyHasMoreThanTheMost(t *testing.T) {
	holds(t, func(seed uint64, n uint8, m uint8, most uint8, weights [8]uint8) bool {
		shards, seats, most := shardNames(int(n)), equalSeats(seed, 1+int(m)%8), 1+most%20
		for i := range seats {
			seats[i].weight = 1 + int(weights[i])%5
		}
		each, without := tally(assign(shards, seats, int(most)), len(seats))
		return slices.Max(each) <= int(most) && without == max(len(shards)-int(most)*len(seats), 0)
	}, 500)
}

func TestASemaphoreHasAsManyLeadersAsSlots(t *testing.T) {
	each, without := tally(assign(shardNames(3), equalSeats(1, 5), 1), 5)
	slices.Sort(each)
	if without != 0 || !slices.Equal(each, []int{0, 0, 1, 1, 1}) {
		t.Errorf("3 slots, 5 replicas: %v, %d without a leader", each, without)
	}
	each, without = tally(assign(shardNames(3), equalSeats(1, 2), 1), 2)
	if without != 1 || !slices.Equal(each, []int{1, 1}) {
		t.Errorf("3 slots, 2 replicas: %v, %d without a leader", each, without)
	}
}

// led are random leaders of the shards, most of them, as seats with a limit may have them.
func led(random *rand.Rand, shards, seats, most int) []int {
	leads, room := make([]int, shards), make([]int, seats)
	for i := range leads {
		leads[i] = nobody
		if k := random.IntN(seats); room[k] < most && random.IntN(5) > 0 {
			leads[i] = k
			room[k]++
		}
	}
	return leads
}

func TestNobodyGivesAShardAwayAndGetsAnother(t *testing.T) {
	holds(t, func(seed uint64, n uint8, m uint8, most uint8, weights [8]uint8) bool {
		shards, seats, most := shardNames(1+int(n)), equalSeats(seed, 1+int(m)%8), 1+most%20
		for i := range seats {
			seats[i].weight = 1 + int(weights[i])%3
		}
		leads := led(rand.New(rand.NewPCG(seed, 9)), len(shards), len(seats), int(most))
		owners := assignRest(shards, seats, int(most), leads)
		gave, got := make([]bool, len(seats)), make([]bool, len(seats))
		for i := range shards {
			if leads[i] != owners[i] && leads[i] != nobody {
				gave[leads[i]] = true
			}
			if leads[i] != owners[i] && owners[i] != nobody {
				got[owners[i]] = true
			}
		}
		each, without := tally(owners, len(seats))
		for i := range seats {
			if gave[i] && got[i] {
				return false
			}
		}
		return slices.Max(each) <= int(most) && without == max(len(shards)-int(most)*len(seats), 0)
	}, 500)
}

// What is led has nothing to say in how large the parts are.
func TestWhoLeadsChangesNobodysShare(t *testing.T) {
	holds(t, func(seed uint64, n uint16, m uint8) bool {
		shards, seats := shardNames(1+int(n)%300), equalSeats(seed, 1+int(m)%12)
		each, without := tally(assignRest(shards, seats, 0, led(rand.New(rand.NewPCG(seed, 9)), len(shards), len(seats), len(shards))), len(seats))
		return without == 0 && slices.Max(each)-slices.Min(each) <= 1
	}, 300)
}

// Replicas write what they lead one after the other, and late. None of these steps may change what
// the others are about to do.
func TestTheAssignmentStaysWhileItIsCarriedOut(t *testing.T) {
	holds(t, func(seed uint64, n uint8, m uint8, most uint8) bool {
		random := rand.New(rand.NewPCG(seed, 9))
		shards, seats, most := shardNames(1+int(n)), equalSeats(seed, 1+int(m)%8), 1+most%40
		leads := led(random, len(shards), len(seats), int(most))
		owners := assignRest(shards, seats, int(most), leads)
		for _, i := range random.Perm(len(shards)) {
			if leads[i] == owners[i] {
				continue
			}
			if leads[i] != nobody && random.IntN(2) == 0 {
				leads[i] = nobody // given away, and not led yet
			} else {
				leads[i] = owners[i]
			}
			if !slices.Equal(assignRest(shards, seats, int(most), leads), owners) {
				return false
			}
		}
		return true
	}, 60)
}

func TestNoSeatsAndNoShardsAreNoTrouble(t *testing.T) {
	if owners := assign(shardNames(2), nil, 0); !slices.Equal(owners, []int{nobody, nobody}) {
		t.Errorf("without seats: %v", owners)
	}
	if owners := assign(nil, equalSeats(1, 3), 0); len(owners) != 0 {
		t.Errorf("without shards: %v", owners)
	}
}

// A changed hash or a changed rule moves every shard of a fleet while it is upgraded.
func TestTheAssignmentStaysTheSameFromReleaseToRelease(t *testing.T) {
	seats := []seat{{"6ba7b810-9dad-41d1-80b4-00c04fd430c8", 1}, {"6ba7b811-9dad-41d1-80b4-00c04fd430c8", 1}, {"6ba7b812-9dad-41d1-80b4-00c04fd430c8", 2}}
	got := fmt.Sprint(assign(shardNames(16), seats, 0))
	if want := "[2 0 0 2 1 2 2 2 2 2 0 1 0 1 1 2]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAHundredReplicasOfTenThousandShardsAreAssignedInTime(t *testing.T) {
	began := time.Now()
	assign(shardNames(10_000), equalSeats(1, 100), 0)
	if took := time.Since(began); took > 10*time.Second { // some 0.2 s on an idle machine
		t.Errorf("took %v", took)
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, m := range []int{3, 10, 100} {
		b.Run(fmt.Sprintf("10000 shards, %d replicas", m), func(b *testing.B) {
			shards, seats := shardNames(10_000), equalSeats(1, m)
			for b.Loop() {
				assign(shards, seats, 0)
			}
		})
	}
}
