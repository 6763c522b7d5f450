package election

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
)

// All of this runs in synctest bubbles: sleeping takes no time.

// The search: two electors on one lock, each on its own machine, through a schedule of partitions
// and stalls that is a function of one seed. ELECTION_SEEDS says how many seeds to try,
// ELECTION_SEED which one alone.

// span is a stretch of virtual time since the run began.
type span struct{ from, to time.Duration }

// minus is what is left of spans without holes.
func minus(spans, holes []span) (left []span) {
	for _, s := range spans {
		rest := []span{s}
		for _, h := range holes {
			var next []span
			for _, r := range rest {
				if h.to <= r.from || h.from >= r.to {
					next = append(next, r)
					continue
				}
				if r.from < h.from {
					next = append(next, span{r.from, h.from})
				}
				if h.to < r.to {
					next = append(next, span{h.to, r.to})
				}
			}
			rest = next
		}
		left = append(left, rest...)
	}
	return left
}

// shared is the longest stretch that lies in both.
func shared(a, b []span) (longest time.Duration) {
	for _, x := range a {
		for _, y := range b {
			longest = max(longest, min(x.to, y.to)-max(x.from, y.from))
		}
	}
	return longest
}

// fault is something that one node suffers for a while.
type fault struct {
	span
	kind faultKind
}

type faultKind int

const (
	cutOff     faultKind = iota // requests fail at once
	hung                        // requests vanish: no answer until the sender gives up
	deaf                        // requests are carried out and their answers lost, at once
	deafHung                    // requests are carried out and never answered
	slow                        // requests arrive late, and so do their answers
	stalled                     // the process stands still
	faultKinds = iota
)

func (k faultKind) String() string {
	return [...]string{"cut off", "hung", "deaf", "deaf and hung", "slow", "stalled"}[k]
}

// machine is one node of a run.
type machine struct {
	id      string
	clock   *nodeClock
	elector *LeaderElector
	faults  []fault
	w       *world
	rng     *rand.Rand

	mu     sync.Mutex
	random *rand.Rand // of the delays
	terms  []span
	pauses []span
}

func (m *machine) schedule(length, lease time.Duration) {
	at := time.Duration(m.rng.Int64N(int64(lease)))
	for at < length {
		f := fault{span{at, at + time.Duration(m.rng.Int64N(int64(lease*2)))}, faultKind(m.rng.IntN(faultKinds))}
		f.to = min(f.to, length)
		m.faults = append(m.faults, f)
		at = f.to + time.Duration(m.rng.Int64N(int64(lease)))
	}
}

// current is the fault that the node suffers now.
func (m *machine) current() (fault, bool) {
	at := m.w.now()
	for _, f := range m.faults {
		if f.from <= at && at < f.to {
			return f, true
		}
	}
	return fault{}, false
}

func (m *machine) delay(most time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.random.Int64N(int64(most)))
}

func (m *machine) before(ctx context.Context, _ operation) error {
	m.clock.awake()
	f, suffers := m.current()
	if !suffers {
		time.Sleep(m.delay(20 * time.Millisecond))
		return nil
	}
	switch f.kind {
	case cutOff:
		return errNetwork
	case hung:
		<-ctx.Done()
		return ctx.Err()
	case slow:
		time.Sleep(m.delay(f.to - f.from)) // arrives whether or not the sender has given up
	}
	return nil
}

func (m *machine) after(ctx context.Context, _ operation) error {
	defer m.clock.awake()
	f, suffers := m.current()
	if !suffers {
		time.Sleep(m.delay(20 * time.Millisecond))
		return nil
	}
	switch f.kind {
	case deaf:
		return errNetwork
	case deafHung:
		<-ctx.Done()
		return ctx.Err()
	case slow:
		time.Sleep(m.delay(f.to - f.from))
	}
	return nil
}

// work leads until told to stop, and takes down for how long.
func (m *machine) work(ctx context.Context) {
	m.mu.Lock()
	i := len(m.terms)
	m.terms = append(m.terms, span{m.w.now(), 1 << 62})
	m.mu.Unlock()
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.terms[i].to = m.w.now()
	})
	<-ctx.Done()
	m.clock.awake()
	time.Sleep(m.delay(100 * time.Millisecond))
}

// stalls stops and resumes the node as scheduled.
func (m *machine) stalls() {
	for _, f := range m.faults {
		if f.kind != stalled {
			continue
		}
		time.Sleep(f.from - m.w.now())
		m.clock.Pause()
		time.Sleep(f.to - m.w.now())
		m.clock.resume()
		m.pauses = append(m.pauses, f.span)
	}
}

// search is one kind of run.
type search struct {
	lease, heartbeat, renewDeadline, retryPeriod time.Duration
	lock                                         func(w *world, m *machine, s search) Lock
	gullible                                     bool // skip the validation: the figures are wrong on purpose
}

// outcome of one run.
type outcome struct {
	overlap time.Duration // both leading contexts alive, and both processes running
	both    bool          // both IsLeader at one moment
	faults  int
	terms   int
	log     string
	healed  time.Duration // how long after the last fault somebody led
}

func (s search) run(w *world, seed uint64) outcome {
	const length = 2 * time.Minute
	var out outcome
	rng := rand.New(rand.NewPCG(seed, 1))
	machines := []*machine{{id: "a"}, {id: "b"}}
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	var running, stalling sync.WaitGroup
	for _, m := range machines {
		m.w, m.rng = w, rand.New(rand.NewPCG(seed, rng.Uint64()))
		m.random = rand.New(rand.NewPCG(seed, rng.Uint64()))
		m.clock = newNodeClock(1 + 0.0099*rng.Float64()) // two of them differ by less than 1 %
		m.schedule(length, s.lease)
		out.faults += len(m.faults)
		config := LeaderElectionConfig{
			Lock: s.lock(w, m, s), Clock: m.clock, RenewDeadline: s.renewDeadline, RetryPeriod: s.retryPeriod, ReleaseOnCancel: true,
			Callbacks: LeaderCallbacks{OnStartedLeading: m.work, OnStoppedLeading: func() {}},
		}
		if s.gullible {
			config.RenewDeadline = 0
		}
		e, err := NewLeaderElector(config)
		w.Expect(err).NotTo(HaveOccurred())
		if s.gullible {
			e.figures.renewDeadline = s.renewDeadline
		}
		m.elector = e
		running.Go(func() { _ = e.Run(ctx) })
		stalling.Go(m.stalls)
	}
	a, b := machines[0], machines[1]
	for w.now() < length {
		time.Sleep(211 * time.Millisecond)
		out.both = out.both || a.elector.IsLeader() && b.elector.IsLeader()
	}
	stalling.Wait()
	healed := w.now()
	w.until("somebody leads after all faults", func() bool { return a.elector.IsLeader() || b.elector.IsLeader() })
	out.healed = w.now() - healed
	cancel()
	running.Wait()
	time.Sleep(4 * s.lease) // for requests that are still under way
	w.settled()
	w.Expect(strays()).To(BeEmpty())
	out.overlap = shared(minus(a.terms, a.pauses), minus(b.terms, b.pauses))
	out.terms = len(a.terms) + len(b.terms)
	for _, m := range machines {
		out.log += fmt.Sprintf("%s (clock rate %v): faults %v, led %v\n", m.id, m.clock.rate, m.faults, m.terms)
	}
	return out
}

// onRealLock gives each machine the real lock client on the world's engine.
func onRealLock(w *world, m *machine, s search) Lock {
	wire := &wire{store: w.store.(*realStore), DynamoDBAPI: w.store.(*realStore).client, clock: m.clock, journal: &journal{w: w},
		before: m.before, after: m.after}
	return &lockclient.DynamoDBLockClient{LockName: testName, TableName: testTable, Identifier: m.id,
		LeaseDuration: s.lease, HeartbeatPeriod: s.heartbeat, Client: wire, Clock: m.clock}
}

func onFakeLock(w *world, m *machine, s search) Lock {
	return &fakeLock{store: w.fake(), id: m.id, lease: s.lease, heartbeat: s.heartbeat, clock: m.clock, journal: &journal{w: w},
		before: m.before, after: m.after}
}

// seeds are those to try.
func seeds(most int) (list []uint64) {
	if one, err := strconv.ParseUint(os.Getenv("ELECTION_SEED"), 10, 64); err == nil {
		return []uint64{one}
	}
	if n, err := strconv.Atoi(os.Getenv("ELECTION_SEEDS")); err == nil {
		most = n
	}
	for i := range most {
		list = append(list, uint64(i+1))
	}
	return list
}

// sweep runs the search over seeds and reports the runs with two leaders, and the total of what it
// went through.
func sweep(b backend, s search, seeds []uint64) (bad []string, faults, terms int, healed []time.Duration) {
	for _, seed := range seeds {
		virtuallyOn(b, func(w *world) {
			out := s.run(w, seed)
			if out.overlap > 0 || out.both {
				bad = append(bad, fmt.Sprintf("seed %d: two leaders for %v (IsLeader: %v)\n%s", seed, out.overlap, out.both, out.log))
			}
			faults += out.faults
			terms += out.terms
			healed = append(healed, out.healed)
		})()
	}
	slices.Sort(healed)
	return bad, faults, terms, healed
}

// report prints what a sweep went through: a search that finds nothing should say where it has
// looked.
func report(what string, runs, faults, terms int, healed []time.Duration) {
	AddReportEntry(what, fmt.Sprintf("%d runs, %d faults, %d terms; somebody led again %v (median) to %v (longest) after the last fault",
		runs, faults, terms, healed[len(healed)/2], healed[len(healed)-1]), ReportEntryVisibilityAlways)
}

const defaultSeeds = 60

// tightest is what validation still accepts: RenewDeadline a hair below what the lock trusts,
// RetryPeriod a hair below that, and as few heartbeats as the lock client allows.
func tightest(lease time.Duration) search {
	deadline := lease - lease/100 - 1
	return search{lease: lease, heartbeat: lease / 2, renewDeadline: deadline, retryPeriod: time.Duration(float64(deadline)/JitterFactor) - 1}
}

var _ = Describe("Two electors through partitions and stalls are never two leaders", func() {
	clientGo := search{lease: 15 * time.Second, heartbeat: 5 * time.Second, renewDeadline: 14 * time.Second, retryPeriod: 5 * time.Second}

	for _, figures := range []struct {
		name string
		search
	}{{"at 15s/14s/5s, where client-go has two", clientGo}, {"at the tightest figures that validation accepts", tightest(15 * time.Second)}} {
		It(figures.name+" (lockclient)", func() {
			s := figures.search
			s.lock = onRealLock
			list := seeds(defaultSeeds)
			bad, faults, terms, healed := sweep(onLockclient, s, list)
			report(figures.name, len(list), faults, terms, healed)
			Expect(bad).To(BeEmpty())
			Expect(healed[len(healed)-1]).To(BeNumerically("<=", 2*s.lease+2*s.retryPeriod))
		})

		It(figures.name, func() {
			s := figures.search
			s.lock = onFakeLock
			list := seeds(5 * defaultSeeds)
			bad, faults, terms, healed := sweep(onDouble, s, list)
			report(figures.name, len(list), faults, terms, healed)
			Expect(bad).To(BeEmpty())
		})
	}

	It("and the search finds two leaders if the lock trusts its lease for longer than it lasts", func() {
		gullible := clientGo
		gullible.gullible = true
		gullible.renewDeadline = 40 * time.Second
		gullible.lock = func(w *world, m *machine, s search) Lock {
			l := onFakeLock(w, m, s).(*fakeLock)
			l.trust = 45 * time.Second
			return l
		}
		bad, _, _, _ := sweep(onDouble, gullible, seeds(100))
		Expect(bad).NotTo(BeEmpty())
		AddReportEntry("gullible", fmt.Sprintf("%d of 100 runs have two leaders", len(bad)))
	})

	It("and validation refuses what is tighter", func() {
		c := validConfig()
		s := tightest(15 * time.Second)
		c.Lock = lockWith(s.lease, s.heartbeat)
		c.RenewDeadline, c.RetryPeriod = s.renewDeadline, s.retryPeriod
		_, err := NewLeaderElector(c)
		Expect(err).NotTo(HaveOccurred())
		c.RenewDeadline++
		_, err = NewLeaderElector(c)
		Expect(err).To(MatchError(ErrInvalidConfig))
		c.RenewDeadline, c.RetryPeriod = s.renewDeadline, s.retryPeriod+10
		_, err = NewLeaderElector(c)
		Expect(err).To(MatchError(ErrInvalidConfig))
	})
})
