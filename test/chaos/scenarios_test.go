package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/test/dynamolocal"
	"golang.org/x/sys/unix"
)

const lease = 1500 * time.Millisecond

func TestMutualExclusionWhenHoldersAreKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sharedEngine(t), setup{contenders: 4, lease: lease})
	c.startAll()
	var token int64
	for range 4 {
		var w *contender
		w, token = c.awaitHolder(token)
		w.kill()
		w.start()
	}
	c.awaitHolder(token)
	c.finish()
}

func TestMutualExclusionWhenHoldersStandStillPastTheirLease(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sharedEngine(t), setup{contenders: 4, lease: lease})
	c.startAll()
	var token int64
	for range 3 {
		var w *contender
		w, token = c.awaitHolder(token)
		w.stop()
		c.awaitHolder(token)
		w.continued()
	}
	c.finish()
}

// In the other scenarios some contenders are electors; here all are, so that it is leading contexts
// that the faults meet.
func TestElectorsNeverLeadTwice(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sharedEngine(t), setup{contenders: 4, lease: lease, configure: func(_ int, config *WorkerConfig) {
		config.Style = Elects
	}})
	c.startAll()
	disturbed := func(conditions Conditions) func(*contender) (repair func()) {
		return func(w *contender) func() {
			w.disturb(conditions)
			return w.heal
		}
	}
	var token int64
	for _, strike := range []func(*contender) (repair func()){
		func(w *contender) func() { w.kill(); return w.start },
		func(w *contender) func() { w.stop(); return w.continued },
		disturbed(Conditions{Requests: Cut, Replies: Cut}),
		disturbed(Conditions{Requests: Hold, Replies: Hold}),
		disturbed(Conditions{Requests: Swallow}),
		func(w *contender) func() {
			w.fault("SIGTERM", func() { w.signal(unix.SIGTERM) })
			return func() { w.awaitEnd(); w.start() }
		},
	} {
		var w *contender
		w, token = c.awaitHolder(token)
		repair := strike(w)
		c.awaitHolder(token)
		repair()
	}
	c.finish()
}

func TestMutualExclusionWhenConnectionsAreCut(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sharedEngine(t), setup{contenders: 4, lease: lease})
	c.startAll()
	var token int64
	for range 3 {
		var w *contender
		w, token = c.awaitHolder(token)
		w.disturb(Conditions{Requests: Cut, Replies: Cut})
		c.awaitHolder(token)
		w.heal()
	}
	c.finish()
}

func TestAShortCutCostsNoLock(t *testing.T) {
	t.Parallel()
	const long = 6 * time.Second
	c := newCluster(t, sharedEngine(t), setup{contenders: 3, lease: long})
	c.startAll()
	w, token := c.awaitHolder(0)
	for range 3 {
		w.disturb(Conditions{Requests: Cut, Replies: Cut})
		c.last(long / 10)
		w.heal()
		c.last(long / 10)
	}
	if w2, token2 := c.holder(t.Context()); w2 != w || token2 != token {
		t.Errorf("the lock changed hands, from token %d to %d", token, token2)
	}
	c.finish()
}

// Held bytes arrive when the path heals, long after a takeover: heartbeats, releases and
// transactions of a holder that is none any more.
func TestMutualExclusionWhenConnectionsAreHalfOpen(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sharedEngine(t), setup{contenders: 4, lease: lease})
	c.startAll()
	var token int64
	for _, conditions := range []Conditions{
		{Requests: Hold},
		{Replies: Hold},
		{Requests: Hold, Replies: Hold},
		{Requests: Swallow},
		{Replies: Swallow},
		{Requests: Swallow, Replies: Swallow},
	} {
		var w *contender
		w, token = c.awaitHolder(token)
		w.disturb(conditions)
		if conditions.Requests == Pass {
			// Its heartbeats are carried out, though it can't know: it must stop believing while
			// nobody else may begin.
			c.last(2 * lease)
		} else {
			c.awaitHolder(token)
		}
		w.heal()
	}
	c.finish()
}

func TestAReleaseThatArrivesAfterATakeoverFreesNoLock(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sharedEngine(t), setup{contenders: 3, lease: lease})
	c.startAll()
	var token int64
	for range 2 {
		var w *contender
		w, token = c.awaitHolder(token)
		w.awaitStart()
		w.disturb(Conditions{Requests: Hold})
		w.fault("SIGTERM", func() { w.signal(unix.SIGTERM) })
		w.awaitEnd() // it has sent its release, again and again, and given up
		next, higher := c.awaitHolder(token)
		w.heal()
		c.last(lease)
		if still, same := c.holder(t.Context()); still != next || same != higher {
			t.Errorf("the lock of %s, token %d, was freed", next.name(), higher)
		}
		w.start()
	}
	c.finish()
}

func TestLatencyBelowTheLeaseCostsNoLock(t *testing.T) {
	t.Parallel()
	const long = 4 * time.Second
	c := newCluster(t, sharedEngine(t), setup{contenders: 4, lease: long})
	c.startAll()
	w, token := c.awaitHolder(0)
	for _, other := range c.workers {
		other.disturb(Conditions{Latency: long / 20})
	}
	c.last(2 * long)
	if w2, token2 := c.holder(t.Context()); w2 != w || token2 != token {
		t.Errorf("the lock changed hands, from token %d to %d", token, token2)
	}
	c.finish()
}

func TestTokensRiseWhenTheRecordIsDeletedAndNobodyRemembersIt(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sharedEngine(t), setup{contenders: 1, lease: lease, configure: func(_ int, config *WorkerConfig) {
		config.DeleteOnRelease = true
	}})
	w := c.workers[0]
	var token int64
	for range 4 {
		w.start() // a new process, which has seen nothing
		_, token = c.awaitHolder(token)
		w.signal(unix.SIGTERM)
		w.awaitEnd()
		if record, err := c.store.read(t.Context(), lockName); err != nil || record != nil {
			t.Fatalf("the record is still there: %v, %v", record, err)
		}
	}
	w.start()
	c.finish()
}

func TestReclaimOnRestartTakesOverAtOnceUnderANewToken(t *testing.T) {
	t.Parallel()
	const long = 20 * time.Second // nobody could wait for it here
	c := newCluster(t, sharedEngine(t), setup{contenders: 2, lease: long, configure: func(i int, config *WorkerConfig) {
		config.Style, config.Identifier, config.Reclaim = Tries, fmt.Sprintf("w%02d", i), true
	}})
	c.startAll()
	w, token := c.awaitHolder(0)
	for range 3 {
		w.kill()
		w.start()
		before := Monotonic()
		next, higher := c.awaitHolder(token)
		if next != w {
			t.Fatalf("%s took the lock over from %s within %v", next.name(), w.name(), Monotonic()-before)
		}
		if took := Monotonic() - before; took > long/2 {
			t.Errorf("reclaiming took %v", took)
		}
		token = higher
	}
	c.finish()
}

func TestMutualExclusionWhenTheEngineStandsStillAndRestarts(t *testing.T) {
	t.Parallel()
	engine := breakableEngine(t)
	t.Cleanup(engine.Close)
	t.Logf("the engine that is broken here: %s", engine.Name())
	c := newCluster(t, engine, setup{contenders: 4, lease: lease})
	c.startAll()
	broken := func(text string, do func() error) {
		t.Helper()
		e := Entry{Kind: Fault, Process: "engine", From: Monotonic(), Text: text}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		e.To = Monotonic()
		c.journal.Write(e)
		c.awaitIncrements(5)
	}
	c.awaitHolder(0)
	broken("stands still for less than a lease", func() error { return engine.Freeze(lease / 3) })
	broken("stands still for longer than a lease", func() error { return engine.Freeze(2 * lease) })
	broken("restarts at once", func() error { return engine.Restart(0) })
	broken("is away for longer than a lease", func() error { return engine.Restart(2 * lease) })
	c.finish()
}

// breakableEngine is DynamoDB Local where the others have that too, else dynamotest.
func breakableEngine(t *testing.T) OwnEngine {
	t.Helper()
	if os.Getenv("DYNAMODB_ENDPOINT") != "" {
		local, err := startLocalEngine(quickDir(t))
		if err == nil {
			return local
		}
		if !errors.Is(err, dynamolocal.ErrUnavailable) { // it is where there is docker and no Java
			t.Fatal(err)
		}
		fmt.Printf("skipped breaking DynamoDB Local, dynamotest takes its place: %v\n", err)
	}
	memory, err := startMemoryEngine()
	if err != nil {
		t.Fatal(err)
	}
	return memory
}

// quickDir is a folder that survives an engine's death, and need not survive the machine's: in
// memory where there is such a place.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "leaderkit-chaos-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Twenty processes, all that can go wrong at random, most of it to the holder. CHAOS_DURATION says
// for how long, CHAOS_SEED repeats the faults.
func TestTwentyContenders(t *testing.T) {
	n := seed(t)
	duration := setting(t, "CHAOS_DURATION", 20*time.Second)
	t.Logf("CHAOS_SEED=%d CHAOS_DURATION=%v", n, duration)
	random := rand.New(rand.NewPCG(n, 0))
	c := newCluster(t, sharedEngine(t), setup{contenders: 20, lease: lease, hold: lease, configure: func(i int, config *WorkerConfig) {
		config.Abandon = i%5 == 0
		config.DeleteOnRelease = i%7 == 0
	}})
	c.startAll()
	c.awaitHolder(0)

	var faults sync.WaitGroup
	var mu sync.Mutex
	broken := map[*contender]bool{}
	end, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	for {
		select {
		case <-end.Done():
			faults.Wait()
			c.finish()
			return
		case <-time.After(time.Duration(200+random.IntN(600)) * time.Millisecond):
		}
		victim := c.workers[random.IntN(len(c.workers))]
		if random.IntN(3) > 0 {
			if holder, _ := c.holder(t.Context()); holder != nil {
				victim = holder
			}
		}
		inflict := randomFault(c, random)
		mu.Lock()
		already := broken[victim] || len(broken) >= len(c.workers)/2
		if !already {
			broken[victim] = true
		}
		mu.Unlock()
		if already {
			continue
		}
		faults.Add(1)
		go func() {
			defer faults.Done()
			inflict(victim)
			mu.Lock()
			delete(broken, victim)
			mu.Unlock()
		}()
	}
}

// randomFault draws one. It is drawn here, in order, and inflicted in a goroutine of its own.
func randomFault(c *cluster, random *rand.Rand) func(*contender) {
	long := lease/4 + time.Duration(random.Int64N(int64(2*lease)))
	disturbed := func(conditions Conditions) func(*contender) {
		return func(w *contender) {
			w.disturb(conditions)
			c.last(long)
			w.heal()
		}
	}
	switch random.IntN(8) {
	case 0, 1:
		return func(w *contender) {
			w.kill()
			c.last(long / 4)
			w.start()
		}
	case 2, 3:
		return func(w *contender) {
			w.stop()
			c.last(long)
			w.continued()
		}
	case 4:
		return disturbed(Conditions{Requests: Cut, Replies: Cut})
	case 5:
		return disturbed(Conditions{Latency: time.Duration(random.Int64N(int64(lease / 2)))})
	case 6:
		return disturbed([]Conditions{{Requests: Hold}, {Replies: Hold}, {Requests: Hold, Replies: Hold}}[random.IntN(3)])
	default:
		return disturbed([]Conditions{{Requests: Swallow}, {Replies: Swallow}, {Requests: Swallow, Replies: Swallow}}[random.IntN(3)])
	}
}
