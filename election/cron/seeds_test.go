package cron

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
	"github.com/leaderkit/leaderkit/test/wire"
)

// TestSeeds runs a job on a fleet whose clocks are off, whose requests suffer, and whose processes
// crash, stand still and resign. All that happens is drawn from the seed.
//
//	go test ./election/cron -run '^TestSeeds$' -seeds 500      more; or a tenth of SIMULATION_SEEDS
//	go test ./election/cron -run '^TestSeeds$' -seed 47        one of them
var (
	seedFlag  = flag.Uint64("seed", 0, "the one seed that TestSeeds runs")
	seedsFlag = flag.Int("seeds", 0, "how many seeds TestSeeds runs; 0: a tenth of SIMULATION_SEEDS, or a few")
)

// seedsByDefault is what a run of all tests can spare.
const seedsByDefault = 20

func TestSeeds(t *testing.T) {
	from, n := uint64(1), seedsByDefault
	if s := os.Getenv("SIMULATION_SEEDS"); s != "" {
		wanted, err := strconv.Atoi(s)
		if err != nil || wanted < 1 {
			t.Fatalf("SIMULATION_SEEDS is %q: give a number of seeds", s)
		}
		n = max(wanted/10, 1)
	}
	if *seedsFlag > 0 {
		n = *seedsFlag
	}
	if *seedFlag > 0 {
		from, n = *seedFlag, 1
	}
	runs, again := 0, 0
	for seed := from; seed < from+uint64(n); seed++ {
		virtually(t, func(w *world) {
			s := &fleet{world: w, seed: seed, sent: map[string]int{}}
			s.play()
			s.mu.Lock()
			defer s.mu.Unlock()
			runs, again = runs+s.calls, again+s.again
			if len(s.violations) > 0 {
				t.Fatalf("seed %d: %s\n%s", seed, s.violations[0], strings.Join(s.log, "\n"))
			}
		})
	}
	t.Logf("%d seeds, %d runs, %d of them second attempts", n, runs, again)
}

// fleet is one run.
type fleet struct {
	*world
	seed  uint64
	job   Job
	takes time.Duration

	mu         sync.Mutex // guards what follows
	healed     bool
	sent       map[string]int
	latest     time.Time           // the latest tick that was begun
	begun      map[string]struct{} // tick and attempt
	open       map[*node]context.Context
	standing   map[*node]bool
	calls      int
	again      int
	ticks      map[time.Time]int
	log        []string
	violations []string
}

func (s *fleet) dice(decision ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, decision...)
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

func (s *fleet) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(format, args...)
}

func (s *fleet) noteLocked(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf("%12.6fs  ", s.now().Seconds())+fmt.Sprintf(format, args...))
}

// violate is called with mu held.
func (s *fleet) violate(format string, args ...any) {
	s.noteLocked("VIOLATED "+format, args...)
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

func (s *fleet) play() {
	s.begun, s.open, s.standing, s.ticks = map[string]struct{}{}, map[*node]context.Context{}, map[*node]bool{}, map[time.Time]int{}
	d := s.dice("plan")
	s.job = Job{Attempts: 1 + d.IntN(2), Missed: Missed(d.IntN(3))}
	s.takes = time.Duration(d.Int64N(int64(50 * time.Second)))
	total := []float64{0, 0.05, 0.15, 0.3}[d.IntN(4)]
	for i := range 3 {
		s.enter(i, total)
	}
	for i := range 12 {
		s.until(s.now() + time.Duration(d.Int64N(int64(time.Minute))))
		s.happen(s.dice("event", i), total)
	}
	s.mu.Lock()
	s.healed = true
	s.noteLocked("the faults are over")
	s.mu.Unlock()
	for n := range s.standing {
		n.clock.Continue()
	}
	s.mu.Lock()
	clear(s.standing)
	s.mu.Unlock()
	s.settle()
}

// settle looks whether the job runs at its ticks again, where nothing goes wrong.
func (s *fleet) settle() {
	calm := s.now() + 3*period // runs that were cut off are made up for, or given up
	s.until(calm + 4*period + 30*time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	for tick := s.start.Add(calm).Truncate(period).Add(period); tick.Before(s.start.Add(calm + 3*period)); tick = tick.Add(period) {
		if n := s.ticks[tick.UTC()]; n != 1 && s.job.Missed != RunAll {
			s.violate("while nothing goes wrong the tick %v has run %d times", tick.Sub(s.start), n)
		}
	}
}

// enter starts a process whose clock is off by up to 5 s, and runs a little fast or slow.
func (s *fleet) enter(i int, total float64) {
	d := s.dice("node", i)
	name := fmt.Sprint("n", i)
	s.note("%s starts", name)
	var n *node
	n = s.node(name, time.Duration(d.Int64N(int64(10*time.Second)))-5*time.Second, s.job, func(ctx context.Context, tick Tick) error { return s.work(n, ctx, tick) })
	n.clock.SetRate(0.9952 + d.Float64()*0.0096)
	n.wire.SetHook(func(c *wire.Call) wire.Fault { return s.send(n, c, total) })
}

func (s *fleet) happen(d *rand.Rand, total float64) {
	n := s.nodes[d.IntN(len(s.nodes))]
	s.mu.Lock()
	standing := s.standing[n]
	s.mu.Unlock()
	switch kind := d.IntN(4); {
	case standing:
		s.note("%s runs again", n.name)
		s.mu.Lock()
		delete(s.standing, n)
		s.mu.Unlock()
		n.clock.Continue()
	case kind == 0: // a crash; another process comes in its place
		s.note("%s crashes", n.name)
		s.mu.Lock()
		delete(s.open, n)
		s.mu.Unlock()
		n.crash()
		s.enter(len(s.nodes), total)
	case kind == 1:
		s.note("%s stands still", n.name)
		s.mu.Lock()
		s.standing[n] = true
		s.mu.Unlock()
		n.clock.Pause()
	default:
		s.note("who leads resigns")
		for _, n := range s.nodes {
			if n.elector.IsLeader() {
				go func() { _ = n.elector.Resign(s.Context()) }()
			}
		}
	}
	synctest.Wait()
}

// send decides what becomes of one request.
func (s *fleet) send(n *node, c *wire.Call, total float64) wire.Fault {
	s.mu.Lock()
	what := n.name + " " + c.Operation
	s.sent[what]++
	d := s.dice(what, " ", s.sent[what])
	healed := s.healed
	s.mu.Unlock()
	late := time.Duration(d.Int64N(int64(2 * theLease)))
	faults := []wire.Fault{wire.Refuse(), wire.DropReply(), wire.Hang(), wire.AfterDelivery(wire.Hang()), wire.Delay(late), wire.DelayReply(late),
		wire.Twice(), wire.Echo(late), wire.Throttle(), wire.InternalError(), wire.AfterDelivery(wire.InternalError())}
	fault := faults[d.IntN(len(faults))]
	if healed || d.Float64() >= total {
		fault = func(ctx context.Context, c *wire.Call) (*http.Response, error) { return c.Deliver(ctx) }
	}
	return func(ctx context.Context, c *wire.Call) (*http.Response, error) {
		if err := n.clock.AwaitRunning(ctx); err != nil {
			return nil, err
		}
		reply, err := fault(ctx, c)
		if stopped := n.clock.AwaitRunning(ctx); stopped != nil && err == nil {
			_ = reply.Body.Close()
			return nil, stopped
		}
		return reply, err
	}
}

// work is the job.
func (s *fleet) work(n *node, ctx context.Context, tick Tick) error {
	s.started(n, ctx, tick)
	alarm, stop := lease.Alarm(n.clock, s.takes)
	defer stop()
	defer func() {
		s.mu.Lock()
		delete(s.open, n)
		s.mu.Unlock()
	}()
	select {
	case <-alarm:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// started looks at a run that begins.
func (s *fleet) started(n *node, ctx context.Context, tick Tick) {
	record := s.record()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked("%s runs the tick %v, attempt %d", n.name, tick.Time.Sub(s.start), tick.Attempt)
	s.calls++
	s.ticks[tick.Time.UTC()]++
	if tick.Attempt > 1 {
		s.again++
	}
	this := fmt.Sprint(tick.Time.UnixNano(), " ", tick.Attempt)
	if _, twice := s.begun[this]; twice {
		s.violate("%s runs the tick %v again as attempt %d", n.name, tick.Time.Sub(s.start), tick.Attempt)
	}
	s.begun[this] = struct{}{}
	if n := s.ticks[tick.Time.UTC()]; n > s.job.Attempts {
		s.violate("the tick %v has run %d times, %d are allowed", tick.Time.Sub(s.start), n, s.job.Attempts)
	}
	if tick.Time.Before(s.latest) {
		s.violate("%s runs the tick %v after %v", n.name, tick.Time.Sub(s.start), s.latest.Sub(s.start))
	}
	if record == nil || !record.Tick.Equal(tick.Time) || record.Attempt != tick.Attempt || record.FencingToken != tick.FencingToken || record.State != Running {
		s.violate("%s runs the tick %v, and the record has %+v", n.name, tick.Time.Sub(s.start), record)
	}
	if record != nil && record.Runs < int64(s.calls) {
		s.violate("there were %d runs, and the record has counted %d", s.calls, record.Runs)
	}
	s.latest = tick.Time
	for other, theirs := range s.open {
		if other != n && !s.standing[other] && theirs.Err() == nil {
			s.violate("%s runs the job, and %s does still", n.name, other.name)
		}
	}
	s.open[n] = ctx
}
