package shards

import (
	"fmt"
	"slices"
	"time"
)

// plan is what is decided of a run before it begins.
type plan struct {
	replicas      int
	before, after []string // names of the shards: until they change, and from then on
	most, atOnce  int      // MaxPerReplica, MovesAtOnce
	weighted      bool
	named         bool // a process that is started again has the Identifier of the one before
	faults        time.Duration
	odds          map[string]float64 // of each request
	probing       bool               // contexts are asked at once when a machine runs again
	stale         bool               // reads lag
	happenings    int
}

func (p *plan) String() string {
	return fmt.Sprintf("%d replicas, %d shards and then %d, at most %d each, %d at once, weighted %v, named %v, faults for %v: %v",
		p.replicas, len(p.before), len(p.after), p.most, p.atOnce, p.weighted, p.named, p.faults, p.odds)
}

func drawPlan(d *luck) *plan {
	p := &plan{
		replicas: 2 + d.IntN(3), faults: 3*theLease + d.N(5*theLease), happenings: 2 + d.IntN(8),
		weighted: d.oneIn(4), named: d.oneIn(2), probing: d.oneIn(2), stale: d.oneIn(3), odds: map[string]float64{},
	}
	p.before = namesTo(3 + d.IntN(12))
	p.after = p.before
	if d.oneIn(3) {
		p.after = namesTo(3 + d.IntN(12))
	}
	if d.oneIn(4) {
		p.most = 1 + d.IntN(4)
		p.weighted = false
	}
	if d.oneIn(4) {
		p.atOnce = 1 + d.IntN(3)
	}
	total := []float64{0, 0.02, 0.08, 0.2}[d.IntN(4)]
	sum := 0.0
	for _, fault := range requestFaults {
		if d.oneIn(2) {
			p.odds[fault] = d.Float64()
			sum += p.odds[fault]
		}
	}
	for fault := range p.odds {
		p.odds[fault] *= total / sum
	}
	return p
}

func namesTo(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(i))
	}
	return names
}

// What happens to machines, and to the whole group.
var machineFaults = []string{
	"crash", "crash and restart", "pause", "suspend", "cut outwards", "cut inwards", "cut off", "wall clock set", "join", "stop", "rolling restart", "resize",
}

// planEvents draws what happens, and when.
func (s *simulation) planEvents(d *luck) {
	kinds := slices.Clone(machineFaults)
	d.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	kinds = kinds[d.IntN(len(kinds)):] // fewer kinds here, more of each
	for i := range s.plan.happenings {
		kind := kinds[d.IntN(len(kinds))]
		s.at(heartbeat+d.N(s.plan.faults-heartbeat), func() { s.happen(kind, s.dice("event", i)) })
	}
	if len(s.plan.before) != len(s.plan.after) {
		s.at(heartbeat+d.N(s.plan.faults-heartbeat), func() { s.happen("resize", s.dice("resize")) })
	}
}

// living are the players that run, or stand still for a while.
func (s *simulation) living() (living []*player) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.players {
		if !p.dead && !p.leaving {
			living = append(living, p)
		}
	}
	return living
}

// happen is one of what happens.
func (s *simulation) happen(kind string, d *luck) {
	living := s.living()
	if len(living) == 0 {
		kind = "join"
	}
	var p *player
	if kind != "join" {
		p = living[d.IntN(len(living))]
	}
	lasts := 50*time.Millisecond + d.N([]time.Duration{heartbeat, theLease, 3 * theLease}[d.IntN(3)])
	s.mu.Lock()
	s.figures.count(kind)
	s.mu.Unlock()
	switch kind {
	case "crash":
		p.crash()
	case "crash and restart":
		p.crash()
		s.at(s.now()+lasts, func() { s.startLike(p) })
	case "pause", "suspend":
		p.stand(kind == "suspend")
		s.at(s.now()+lasts, p.goOn)
	case "cut outwards", "cut inwards", "cut off":
		p.cut(kind != "cut inwards", kind != "cut outwards")
		s.at(s.now()+lasts, func() { p.cut(false, false) })
	case "wall clock set":
		p.setWall(d.N(2*theLease)-theLease/2, d.oneIn(2))
	case "join":
		s.startNew(s.namesNow())
	case "stop":
		p.leave()
	case "rolling restart":
		for i, p := range living {
			s.at(s.now()+time.Duration(i)*lasts/4, func() {
				if p.isLeaving() {
					return
				}
				p.leave()
				s.at(s.now()+s.dice("rolls", p.number).N(heartbeat), func() { s.startLike(p) })
			})
		}
	case "resize":
		for _, p := range living {
			s.at(s.now()+s.dice("resizes", p.number).N(lasts), func() { p.resize(s.plan.after) })
		}
	}
}

// namesNow are the names that a replica is started with: old ones or new ones.
func (s *simulation) namesNow() []string {
	if s.dice("names", len(s.players)).oneIn(2) {
		return s.plan.after
	}
	return s.plan.before
}

// heal ends the faults.
func (s *simulation) heal() {
	s.mu.Lock()
	s.healed = true
	s.mu.Unlock()
	s.events = nil
	s.note("the faults are over")
	for _, p := range s.players {
		p.cut(false, false)
		p.goOn()
	}
	for _, p := range s.living() {
		p.resize(s.plan.after)
	}
	for len(s.living()) < 2 {
		s.startNew(s.plan.after)
	}
}

// settledWithin is how long it takes at most, when the faults are over, until each shard is led by
// the replica that it belongs to.
const settledWithin = 4 * theLease

// settle waits until all shards are led, evenly, and stay so for a lease: what was lost before may
// be noticed late.
func (s *simulation) settle(when string, within time.Duration) {
	began := s.now()
	since := time.Duration(-1)
	for !s.failed() {
		wrong := s.unsettled()
		switch {
		case wrong != "":
			since = -1
		case since < 0:
			since = s.now()
		case s.now()-since >= theLease:
			s.mu.Lock()
			s.figures.settled = max(s.figures.settled, since-began)
			s.noteLocked("settled %s, in %v", when, since-began)
			s.mu.Unlock()
			return
		}
		if since < 0 && s.now()-began > within {
			s.violate(ledAgain, "%v %s %s", s.now()-began, when, wrong)
			return
		}
		s.pass(100 * time.Millisecond)
	}
}

// unsettled says what is not as it should be. "": nothing.
func (s *simulation) unsettled() string {
	led := map[string]*player{}
	living := s.living()
	weights := 0
	for _, p := range living {
		weights += p.weight
	}
	n := len(s.plan.after)
	for _, p := range living {
		leading := p.Leading()
		for _, shard := range leading {
			if led[shard] != nil {
				return "" // look tells
			}
			led[shard] = p
		}
		least, most := n*p.weight/weights, (n*p.weight+weights-1)/weights
		if limit := s.plan.most; limit > 0 {
			least, most = min(least, limit), min(most, limit)
		}
		if len(leading) < least || len(leading) > most {
			return fmt.Sprintf("%v leads %d shards, its part of %d is %d to %d", p, len(leading), n, least, most)
		}
	}
	want := n
	if limit := s.plan.most; limit > 0 {
		want = min(want, limit*len(living))
	}
	if len(led) != want {
		return fmt.Sprintf("%d shards are led, %d should be", len(led), want)
	}
	for shard := range led {
		if !slices.Contains(s.plan.after, shard) {
			return fmt.Sprintf("%q is led, which is no shard any more", shard)
		}
	}
	return ""
}

// rest lets time pass in which nothing is to happen.
func (s *simulation) rest(d time.Duration) {
	if s.failed() {
		return
	}
	s.mu.Lock()
	before := s.figures.reigns
	s.mu.Unlock()
	s.drive(s.now() + d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if moved := s.figures.reigns - before; moved > 0 && s.violation == "" {
		s.violateLocked(comesToRest, "%d shards have moved, and nobody has joined or left", moved)
	}
}

// move has one replica join, or leave, while nothing goes wrong, and looks how long the shards that
// move are without a leader.
func (s *simulation) move() {
	if s.failed() {
		return
	}
	began := s.now()
	living := s.living()
	d := s.dice("move")
	s.pass(d.N(heartbeat))
	if d.oneIn(2) || len(living) < 2 {
		s.startNew(s.plan.after)
	} else {
		living[d.IntN(len(living))].leave()
	}
	s.settle("after a change", 3*theLease)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noSwaps(began)
	for shard, all := range s.reigns {
		for i, r := range all {
			if i == 0 || all[i-1].returned < began { // nobody had room for it
				continue
			}
			gap := r.began - all[i-1].returned
			s.figures.moves++
			s.figures.longest = max(s.figures.longest, gap)
			if gap > longestGap {
				s.violateLocked(movesInTime, "%s was without a leader for %v, from %v on", shard, gap, all[i-1].returned)
			}
		}
	}
}

// noSwaps looks whether a replica has both given shards away and got some, in a group with a limit.
// Called with mu held.
func (s *simulation) noSwaps(since time.Duration) {
	gave, got := map[*player]string{}, map[*player]string{}
	for shard, all := range s.reigns {
		last := all[len(all)-1]
		if last.began < since {
			if last.returned >= since {
				gave[last.player] = shard
			}
			continue
		}
		got[last.player] = shard
		if len(all) > 1 && all[len(all)-2].returned >= since {
			gave[all[len(all)-2].player] = shard
		}
	}
	for p, shard := range gave {
		if s.plan.most > 0 && !p.leaving && got[p] != "" {
			s.violateLocked(noSwap, "%v has given %s away, and leads %s instead", p, shard, got[p])
		}
	}
}

// longestGap is how long a shard that moves is without a leader at most, where its work has
// returned.
const longestGap = 250 * time.Millisecond
