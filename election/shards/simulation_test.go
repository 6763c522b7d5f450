package shards

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/race"
	"github.com/leaderkit/leaderkit/test/wire"
)

// TestSeeds runs whole groups of replicas in virtual time, with everything that machines, networks
// and operators do to them, and looks all the time whether what the package promises still holds.
//
//	go test ./election/shards -run '^TestSeeds$'                  a few seeds
//	go test ./election/shards -run '^TestSeeds$' -seeds 500       more; or a tenth of SIMULATION_SEEDS
//	go test ./election/shards -run '^TestSeeds$' -seed 47 -v      one of them, step by step
//
// All that happens to a group is drawn from its seed (simulation_plan_test.go), and so is what
// becomes of each request (simulation_network_test.go). After the faults the group must settle.
// Then it must come to rest, and at last one replica joins or leaves while nothing goes wrong.
//
// Each decision has dice of its own, so a seed that fails does so again. Only the order of
// goroutines that wake at one instant is the scheduler's. Where that matters, a seed can take a few
// tries: -count 20.
var (
	seedFlag  = flag.Uint64("seed", 0, "the one seed that TestSeeds runs; with -v it tells each step")
	fromFlag  = flag.Uint64("from", 1, "the first seed of TestSeeds")
	seedsFlag = flag.Int("seeds", 0, "how many seeds TestSeeds runs; 0: a tenth of SIMULATION_SEEDS, or a few")
)

// seedsByDefault is what a run of all tests can spare.
const seedsByDefault = 12

// The invariants, as a violation names them.
const (
	oneLeader       = "one-leader"        // nobody leads a shard while another does
	tokensRise      = "tokens-rise"       // each leader of a shard has a higher fencing token than all before
	callbackOrder   = "callback-order"    // OnStarted and OnStopped of a shard by turns, the second when the first has returned
	workThenRelease = "work-then-release" // no lock is released while its work goes on
	withinLimit     = "within-limit"      // no replica has more than MaxPerReplica works under way
	noSwap          = "no-swap"           // with a limit, no replica gives a shard away and gets another for it
	runGoesOn       = "run-goes-on"       // no fault ends a Run
	ledAgain        = "led-again"         // after the faults each shard is led, by one who should, within a bound
	comesToRest     = "comes-to-rest"     // and then none moves
	movesInTime     = "moves-in-time"     // a shard that moves is without a leader for no longer than its work takes, and a moment
	replicasEnd     = "replicas-end"      // Run returns when it is told to, and nothing of it stays behind
)

func seedsWanted(t *testing.T) (from uint64, n int) {
	if *seedFlag > 0 {
		return *seedFlag, 1
	}
	if *seedsFlag > 0 {
		return *fromFlag, *seedsFlag
	}
	s := os.Getenv("SIMULATION_SEEDS")
	if s == "" {
		return *fromFlag, seedsByDefault
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("SIMULATION_SEEDS is %q: give a number of seeds", s)
	}
	return *fromFlag, max(n/10, 1)
}

func TestSeeds(t *testing.T) {
	from, n := seedsWanted(t)
	if race.Enabled && n == seedsByDefault {
		n = 3
	}
	var sum figures
	for seed := from; seed < from+uint64(n); seed++ {
		s := simulate(t, seed)
		sum.add(&s.figures)
		if s.violation != "" {
			t.Fatalf("seed %d, after %d others: %s\n%s\n%s\nagain: go test ./election/shards -run '^TestSeeds$' -v -seed %d",
				seed, seed-from, s.violation, s.plan, s.tail(*seedFlag > 0), seed)
		}
	}
	t.Log(sum.String())
	if n >= 100 {
		sum.mustBeHard(t)
	}
}

// simulation is one run.
type simulation struct {
	*testing.T
	seed    uint64
	plan    *plan
	server  http.RoundTripper
	history *wire.History // nil: no reads are stale
	start   time.Time
	players []*player
	events  []event // still to come, the next one first

	mu        sync.Mutex // guards what follows
	healed    bool
	reigns    map[string][]*reign // by shard, in order
	open      []*reign            // whose work has not returned, or whose context is not done
	tokens    map[string]int64
	log       []string
	requests  []string          // all of them, in order
	trace     []string          // requests and log at the end of the run proper
	sessions  map[string]string // the names of sessions, by their uuids
	violation string            // the first
	figures   figures
}

// reign is one stretch of leading one shard.
type reign struct {
	player   *player
	shard    string
	token    int64
	ctx      context.Context
	began    time.Duration
	returned time.Duration // when the work had; -1: it has not
	stopped  bool          // OnStopped was called
}

// event is something that happens at a time of the run.
type event struct {
	at time.Duration
	do func()
}

func simulate(t *testing.T, seed uint64) (s *simulation) {
	t.Helper()
	defer collectNoGarbage()()
	synctest.Test(t, func(t *testing.T) {
		s = newSimulation(t, seed)
		uuid.SetRand(&serial{random: s.dice("uuids")})
		defer uuid.SetRand(nil)
		s.run()
		s.trace = slices.Concat(s.requests, s.log)
		s.end()
	})
	return s
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{T: t, seed: seed, start: time.Now(), reigns: map[string][]*reign{}, tokens: map[string]int64{}, sessions: map[string]string{}}
	s.plan = drawPlan(s.dice("plan"))
	s.server = dynamotest.Transport(dynamotest.New())
	admin := wire.NewClient(s.server)
	if err := lockclient.EnsureTable(t.Context(), admin, theTable, lockclient.WithoutTTL()); err != nil {
		t.Fatal(err)
	}
	s.server = eye{s, s.server, admin}
	if s.plan.stale {
		s.history = wire.NewHistory(s.server)
		s.server = s.history
	}
	return s
}

func (s *simulation) run() {
	for i := range s.plan.replicas {
		s.at(s.dice("start", i).N(2*heartbeat), func() { s.startNew(s.plan.before) })
	}
	s.planEvents(s.dice("events"))
	s.drive(s.plan.faults)
	s.heal()
	s.settle("after the faults", settledWithin)
	s.rest(2 * theLease)
	s.move()
}

// now is the time since the run began.
func (s *simulation) now() time.Duration { return time.Since(s.start) }

// at has something happen, at a time of the run.
func (s *simulation) at(when time.Duration, do func()) {
	i, _ := slices.BinarySearchFunc(s.events, when, func(e event, t time.Duration) int {
		if e.at <= t {
			return -1
		}
		return 1
	})
	s.events = slices.Insert(s.events, i, event{when, do})
}

// step is the longest time between two looks at who leads.
const step = 700 * time.Millisecond

// drive lets everything happen until that time, or until something is violated.
func (s *simulation) drive(until time.Duration) {
	for !s.failed() {
		for len(s.events) > 0 && s.events[0].at <= s.now() {
			e := s.events[0]
			s.events = s.events[1:]
			e.do()
			synctest.Wait()
			s.look()
		}
		next := min(until, s.now()+step)
		if len(s.events) > 0 {
			next = min(next, s.events[0].at)
		}
		if s.now() >= until {
			return
		}
		s.pass(next - s.now())
	}
}

// pass lets virtual time go on, and looks who leads.
func (s *simulation) pass(d time.Duration) {
	time.Sleep(d) // virtual
	synctest.Wait()
	s.look()
}

func (s *simulation) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.violation != ""
}

func (s *simulation) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(format, args...)
}

func (s *simulation) noteLocked(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf("%12.6fs  ", s.now().Seconds())+fmt.Sprintf(format, args...))
}

func (s *simulation) violate(invariant, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violateLocked(invariant, format, args...)
}

func (s *simulation) violateLocked(invariant, format string, args ...any) {
	said := invariant + ": " + fmt.Sprintf(format, args...)
	s.noteLocked("VIOLATED %s", said)
	if s.violation == "" {
		s.violation = said
	}
}

// tail is the end of what has happened.
func (s *simulation) tail(all bool) string {
	const most = 100
	lines := s.log
	if len(lines) > most && !all {
		lines = lines[len(lines)-most:]
	}
	return strings.Join(lines, "\n")
}

// look finds out whether anybody leads a shard that another leads.
func (s *simulation) look() {
	s.mu.Lock()
	open := slices.Clone(s.open)
	s.mu.Unlock()
	believed := map[string]*reign{}
	for _, r := range open {
		if !r.isBelieved() {
			continue
		}
		if other := believed[r.shard]; other != nil {
			s.violate(oneLeader, "%s leads %s under token %d, and %s under token %d", other.player, r.shard, other.token, r.player, r.token)
		}
		believed[r.shard] = r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for shard, r := range believed {
		if r.token < s.tokens[shard] {
			s.violateLocked(oneLeader, "%s leads %s under token %d, and another has led it under token %d", r.player, shard, r.token, s.tokens[shard])
		}
	}
	s.open = slices.DeleteFunc(s.open, func(r *reign) bool { return r.returned >= 0 })
}

// isBelieved reports whether the work may think that it leads. A machine that stands thinks
// nothing. One that has stood until now has a moment to close the channels, and until then its
// contexts must tell the truth if they are asked. To ask is to have the lease judged, so that in
// some runs nobody does.
func (r *reign) isBelieved() bool {
	p := r.player
	p.s.mu.Lock()
	over, asked := p.dead || p.standing || r.returned >= 0, p.s.now() < p.upset+tick
	p.s.mu.Unlock()
	if over || isClosed(r.ctx.Done()) {
		return false
	}
	if asked {
		return p.s.plan.probing && r.ctx.Err() == nil
	}
	return true
}

// tick is how often the guard looks at the lease, for certain.
const tick = heartbeat/4*102/100 + 30*time.Millisecond

// figures are what runs have done.
type figures struct {
	runs, reigns, moves, requests, dead int
	faults                              map[string]int
	settled, longest                    time.Duration // how long it took, at most
}

func (f *figures) count(fault string) {
	if f.faults == nil {
		f.faults = map[string]int{}
	}
	f.faults[fault]++
}

func (f *figures) add(g *figures) {
	f.runs, f.reigns, f.moves, f.requests, f.dead = f.runs+1, f.reigns+g.reigns, f.moves+g.moves, f.requests+g.requests, f.dead+g.dead
	f.settled, f.longest = max(f.settled, g.settled), max(f.longest, g.longest)
	for fault, n := range g.faults {
		for range n {
			f.count(fault)
		}
	}
}

func (f *figures) String() string {
	return fmt.Sprintf("%d runs, %d requests, %d times a shard was led, faults %v; settled after %v at most; %d moves while nothing went wrong, %v without a leader at most",
		f.runs, f.requests, f.reigns, f.faults, f.settled, f.moves, f.longest)
}

// mustBeHard: a batch in which little went wrong proves little.
func (f *figures) mustBeHard(t *testing.T) {
	t.Helper()
	for _, fault := range append(slices.Clone(requestFaults), machineFaults...) {
		if f.faults[fault] == 0 {
			t.Errorf("nothing has ever suffered: %s", fault)
		}
	}
	if f.moves == 0 {
		t.Error("nothing has moved while nothing went wrong")
	}
}
