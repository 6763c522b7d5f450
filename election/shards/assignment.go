package shards

import (
	"container/heap"
	"math"
	"slices"
	"sort"
)

// seat is one replica as the assignment sees it: its name in the group, and how large its part is.
type seat struct {
	id     string
	weight int // > 0
}

// nobody is the owner of a shard that no replica has room for.
const nobody = -1

// assign returns for each shard the index of the seat that it belongs to, or nobody. No seat has
// more than most shards; 0: no limit.
//
// It is a pure function: from the same shards and the same seats, in any order of the seats, each
// replica computes the same. Each seat has its share of the shards, n x weight / sum of weights,
// rounded down or up. So at equal weights no two differ by more than 1.
//
// It is rendezvous hashing with capacities. Each seat ranks all shards by a hash of the pair. The
// best ranks of all seats are looked at first: a seat gets the shard if the shard is still free and
// the seat has room. Ranks are better than the hashes themselves, because those of each seat are
// spread exactly evenly. So fewer shards find a full seat, and fewer shards move when a seat is
// added or removed.
//
// shards must be sorted, without duplicates.
func assign(shards []string, seats []seat, most int) []int {
	return assignRest(shards, seats, most, nil)
}

// assignRest is assign where some shards are led already: leads is for each shard the index of the
// seat that leads it, or nobody; nil: nobody leads any. A seat keeps what it leads, as far as its
// share allows. Only the rest is assigned. So no seat gives a shard away and gets another one for
// it. A seat that has to give some away keeps those that it ranks best.
//
// The result does not change while the seats take over what they were assigned.
func assignRest(shards []string, seats []seat, most int, leads []int) []int {
	owners := make([]int, len(shards))
	for i := range owners {
		owners[i] = nobody
	}
	room := roomOf(len(shards), seats, most)
	all := make(bids, len(seats))
	for i, s := range seats {
		all[i] = newBid(i, s, shards)
	}
	left := len(shards)
	if leads != nil && left > 0 {
		left -= all.keep(owners, leads, room)
	}
	bids := slices.DeleteFunc(all, func(b *bid) bool { return room.full(b.seat) })
	heap.Init(&bids)
	for left > 0 && len(bids) > 0 {
		best := bids[0]
		if shard := best.shard(); owners[shard] == nobody && !room.full(best.seat) {
			owners[shard] = best.seat
			room.take(best.seat)
			left--
		}
		// A seat that is full stays full, so it bids no more.
		if room.full(best.seat) || !best.next() {
			heap.Pop(&bids)
			continue
		}
		heap.Fix(&bids, 0)
	}
	return owners
}

// keep has each seat keep of what it leads as much as its share allows, and returns how many shards
// that are. One more than its share rounded down is kept only by as many seats as there are such
// shards.
func (b bids) keep(owners, leads []int, room *room) (kept int) {
	var more bids
	for _, bid := range b {
		for {
			if leads[bid.shard()] == bid.seat {
				if room.certain[bid.seat] == 0 {
					more = append(more, bid) // for the shard that it bids for now
					break
				}
				owners[bid.shard()] = bid.seat
				room.take(bid.seat)
				kept++
			}
			if !bid.next() {
				break
			}
		}
	}
	sort.Sort(more)
	for _, bid := range more {
		if !room.full(bid.seat) {
			owners[bid.shard()] = bid.seat
			room.take(bid.seat)
			kept++
		}
	}
	for _, bid := range b {
		bid.first()
	}
	return kept
}

// room is how many shards each seat may still get: its share rounded down for certain, and one more
// as long as there are extras.
type room struct {
	certain []int
	extra   []bool // this seat's share was rounded down, so it may get an extra one
	extras  int    // for all seats together
}

// roomOf shares out n shards by weight. What a seat may not have because of most goes to the
// others.
func roomOf(n int, seats []seat, most int) *room {
	r := &room{certain: make([]int, len(seats)), extra: make([]bool, len(seats))}
	if most <= 0 {
		most = n
	}
	open := make([]int, len(seats)) // the seats that most does not limit
	for i := range open {
		open[i] = i
	}
	for {
		weights := 0
		for _, i := range open {
			weights += seats[i].weight
		}
		limited := false
		rest := n
		open = slices.DeleteFunc(open, func(i int) bool {
			if n*seats[i].weight < most*weights {
				return false
			}
			r.certain[i], limited = most, true
			rest -= most
			return true
		})
		if rest < 0 { // only where most x seats < n, or exactly n
			rest = 0
		}
		n = rest
		if limited && len(open) > 0 {
			continue
		}
		for _, i := range open {
			r.certain[i] = n * seats[i].weight / weights
			r.extra[i] = n*seats[i].weight%weights > 0
			r.extras += n * seats[i].weight % weights
		}
		if len(open) > 0 {
			r.extras /= weights
		}
		return r
	}
}

func (r *room) full(i int) bool { return r.certain[i] == 0 && (!r.extra[i] || r.extras == 0) }

func (r *room) take(i int) {
	if r.certain[i] > 0 {
		r.certain[i]--
		return
	}
	r.extras--
	r.extra[i] = false
}

// bid is a seat and the shard that it would like next.
type bid struct {
	seat   int
	weight int
	ranked []ranked // all shards, the one that the seat likes best first
	rank   int      // of the shard that is bid for
	price  uint64   // the lowest of all seats is looked at first
}

// ranked is a shard and the hash of it and the seat.
type ranked struct {
	hash  uint64
	shard int
}

func newBid(i int, s seat, shards []string) *bid {
	b := &bid{seat: i, weight: s.weight, ranked: make([]ranked, len(shards))}
	own := mix(hashOf(s.id))
	for k, name := range shards {
		b.ranked[k] = ranked{mix(hashOf(name) ^ own), k}
	}
	slices.SortFunc(b.ranked, func(x, y ranked) int {
		switch {
		case x.hash > y.hash:
			return -1
		case x.hash < y.hash:
			return 1
		}
		return x.shard - y.shard
	})
	b.first()
	return b
}

// first goes back to the shard that the seat likes best.
func (b *bid) first() {
	b.rank = 0
	if len(b.ranked) > 0 {
		b.appraise()
	}
}

func (b *bid) shard() int { return b.ranked[b.rank].shard }

// next goes on to the next shard; false: there is none.
func (b *bid) next() bool {
	b.rank++
	if b.rank == len(b.ranked) {
		return false
	}
	b.appraise()
	return true
}

// appraise sets the price. Ranks are points spread evenly between 0 and 1, and the logarithm has
// the lowest price fall to each seat in proportion to its weight. It is rounded, because two
// machines' logarithms may differ in their last bits.
func (b *bid) appraise() {
	point := (float64(b.rank) + 0.5) / float64(len(b.ranked))
	b.price = uint64(-math.Log(1-point)/float64(b.weight)*(1<<32) + 0.5)
}

// bids is a heap: the lowest price first, and of equal ones the highest hash.
type bids []*bid

func (b bids) Len() int      { return len(b) }
func (b bids) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b bids) Less(i, j int) bool {
	if b[i].price != b[j].price {
		return b[i].price < b[j].price
	}
	return b[i].ranked[b[i].rank].hash > b[j].ranked[b[j].rank].hash
}
func (b *bids) Push(x any) { *b = append(*b, x.(*bid)) }
func (b *bids) Pop() any {
	last := (*b)[len(*b)-1]
	*b = (*b)[:len(*b)-1]
	return last
}

// hashOf is FNV-1a. It must be the same in every process, and for ever: replicas of two releases
// share a group.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix spreads every bit of x over the whole result.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
