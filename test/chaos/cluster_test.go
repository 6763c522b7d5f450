package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/google/uuid"
	"github.com/leaderkit/leaderkit/lockclient"
	"golang.org/x/sys/unix"
)

const lockName = "the-lock"

// patience is how much longer than a lease anything may take on a busy machine.
const patience = 15 * time.Second

// setup describes the contenders of a scenario.
type setup struct {
	contenders int
	locks      []string      // nil: one
	gap        time.Duration // no lock may be without a leader for longer; 0: nothing is demanded
	spread     bool          // the locks must be spread evenly in the end
	lease      time.Duration // heartbeats are a quarter of it
	hold       time.Duration // see WorkerConfig
	configure  func(i int, c *WorkerConfig)
}

// cluster is a number of worker processes, each behind its own proxy, and a table of their own.
type cluster struct {
	t        *testing.T
	setup    setup
	engine   Engine
	store    store // straight to the engine
	dir      string
	journal  *Journal
	workers  []*contender
	watching sync.WaitGroup
	stopped  chan struct{} // closed to stop the observer
	demand   Demand
}

// contender is one worker, in one process after the other.
type contender struct {
	cluster *cluster
	index   int
	proxy   *Proxy

	mu          sync.Mutex // guards all below
	incarnation int
	config      WorkerConfig // of the present process
	process     *exec.Cmd
	stdin       io.Closer
	exited      chan struct{} // closed when the process has been waited for
}

func newCluster(t *testing.T, engine Engine, s setup) *cluster {
	t.Helper()
	client, err := NewClient("http://" + engine.Address())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "leaderkit-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	if s.locks == nil {
		s.locks = []string{lockName}
	}
	c := &cluster{t: t, setup: s, demand: Demand{Locks: s.locks, Gap: s.gap}, engine: engine, dir: dir, stopped: make(chan struct{}),
		store: store{client: client, table: "chaos-" + uuid.NewString()}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the journals are in %s", dir)
		} else {
			_ = os.RemoveAll(dir)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := lockclient.EnsureTable(ctx, client, c.store.table, lockclient.WithoutTTL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = client.DeleteTableWithContext(context.Background(), &dynamodb.DeleteTableInput{TableName: &c.store.table}, once)
	})
	if c.journal, err = OpenJournal(filepath.Join(dir, "test.jsonl"), "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.journal.Close() })
	for i := range s.contenders {
		proxy, err := NewProxy(engine.Address())
		if err != nil {
			t.Fatal(err)
		}
		w := &contender{cluster: c, index: i, proxy: proxy}
		c.workers = append(c.workers, w)
		t.Cleanup(func() {
			w.end()
			proxy.Close()
		})
	}
	c.watching.Add(1)
	go c.observe()
	t.Cleanup(c.stopObserving)
	return c
}

func (c *cluster) startAll() {
	c.t.Helper()
	for _, w := range c.workers {
		w.start()
	}
}

// observe reads the fenced counters and the locks' records by turns, straight from the engine.
func (c *cluster) observe() {
	defer c.watching.Done()
	every := 25 * time.Millisecond
	if len(c.setup.locks) > 1 {
		every = 100 * time.Millisecond // the workers need the machine
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for n, answered := 0, Monotonic(); ; n++ {
		select {
		case <-c.stopped:
			return
		case <-ticker.C:
		}
		c.observeOne(c.setup.locks[n%len(c.setup.locks)])
		now := Monotonic()
		if now-answered > slow {
			c.journal.Write(Entry{Kind: Slow, From: answered, To: now})
		}
		answered = now
	}
}

// slow is how long the engine may take for two or three reads before it counts as one that gives no
// answer. A machine that does other things as well makes it so slow, and clients then lose their
// leases although nothing is wrong with them.
const slow = 500 * time.Millisecond

func (c *cluster) observeOne(lock string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, counter := range []string{Fenced, Unfenced} {
		if counter == Unfenced && len(c.setup.locks) > 1 {
			continue // nobody writes it
		}
		from := Monotonic()
		if value, err := c.store.counter(ctx, lock, counter); err == nil {
			c.journal.Write(Entry{Kind: Read, From: from, To: Monotonic(), Lock: lock, Counter: counter, Value: value})
		}
	}
	from := Monotonic()
	record, err := c.store.read(ctx, lock)
	if err == nil && record != nil {
		c.journal.Write(Entry{Kind: Record, From: from, To: Monotonic(), Lock: lock, Token: numberOf(record["fencingToken"]), Text: ownerOf(record)})
	}
}

func (c *cluster) stopObserving() {
	select {
	case <-c.stopped:
	default:
		close(c.stopped)
	}
	c.watching.Wait()
}

func ownerOf(record map[string]*dynamodb.AttributeValue) string {
	if v := record["ownerName"]; v != nil {
		return aws.StringValue(v.S)
	}
	return ""
}

// eventually polls until condition is true. A look at many locks costs the machine something.
// within is for an idle machine. A slow one gets three times as long: this waits for the scene to
// be set, and the checker judges what happened in it.
func (c *cluster) eventually(within time.Duration, what string, condition func(context.Context) bool) {
	c.t.Helper()
	within *= 3
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	ticker := time.NewTicker(min(time.Duration(20*len(c.setup.locks))*time.Millisecond, 500*time.Millisecond))
	defer ticker.Stop()
	for !condition(ctx) {
		select {
		case <-ctx.Done():
			c.t.Fatalf("not within %v: %s", within, what)
		case <-ticker.C:
		}
	}
}

// last lets a fault last.
func (c *cluster) last(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.t.Context().Done():
	}
}

// holder is who the record says holds the lock, if that is a worker, and with which token.
func (c *cluster) holder(ctx context.Context) (*contender, int64) {
	record, err := c.store.read(ctx, c.setup.locks[0])
	if err != nil || record["isReleased"] != nil {
		return nil, 0
	}
	owner := ownerOf(record)
	for _, w := range c.workers {
		if w.identifier() == owner {
			return w, numberOf(record["fencingToken"])
		}
	}
	return nil, 0
}

// awaitHolder waits for a holder that is at work, with a token higher than after.
func (c *cluster) awaitHolder(after int64) (w *contender, token int64) {
	c.t.Helper()
	c.eventually(c.setup.lease+patience, fmt.Sprintf("a holder with a token above %d", after), func(ctx context.Context) bool {
		w, token = c.holder(ctx)
		return w != nil && token > after
	})
	c.awaitIncrements(2)
	return w, token
}

// awaitIncrements waits until each lock's fenced counter has risen by n.
func (c *cluster) awaitIncrements(n int64) {
	c.t.Helper()
	c.awaitIncrementsSince(c.counters(), n)
}

// counters are what the fenced counters stand at.
func (c *cluster) counters() (values Counters) {
	c.t.Helper()
	c.eventually(patience, "the counters to be read", func(ctx context.Context) (ok bool) {
		var err error
		values, err = c.store.counters(ctx, c.setup.locks, Fenced)
		return err == nil
	})
	return values
}

func (c *cluster) awaitIncrementsSince(start Counters, n int64) {
	c.t.Helper()
	c.eventually(2*c.setup.lease+patience, fmt.Sprintf("%d more increments", n), func(ctx context.Context) bool {
		values, err := c.store.counters(ctx, c.setup.locks, Fenced)
		if err != nil {
			return false
		}
		for lock, value := range values {
			if value < start[lock]+n {
				return false
			}
		}
		return true
	})
}

// holdings are how many locks each worker's process has, by the records, and how many of those are
// members of a session.
func (c *cluster) holdings(ctx context.Context) (held, members map[*contender]int) {
	held, members = map[*contender]int{}, map[*contender]int{}
	records, err := c.store.readAll(ctx, c.setup.locks)
	if err != nil {
		return held, members
	}
	for _, w := range c.workers {
		identifier := w.identifier()
		for _, record := range records {
			if record["isReleased"] == nil && ownerOf(record) == identifier {
				held[w]++
				if record["sessionName"] != nil {
					members[w]++
				}
			}
		}
	}
	return held, members
}

// awaitHoldings waits until these workers, and nobody else, have all the locks; evenly if that is
// asked for.
func (c *cluster) awaitHoldings(even bool, workers ...*contender) {
	c.t.Helper()
	var held map[*contender]int
	defer func() {
		if c.t.Failed() {
			for w, n := range held {
				c.t.Logf("%s has %d locks", w.name(), n)
			}
		}
	}()
	c.eventually(3*c.setup.lease+2*patience, fmt.Sprintf("all locks at %d workers", len(workers)), func(ctx context.Context) bool {
		held, _ = c.holdings(ctx)
		sum := 0
		for _, w := range workers {
			n := held[w]
			sum += n
			if even && (n < len(c.setup.locks)/len(workers) || n > (len(c.setup.locks)+len(workers)-1)/len(workers)) {
				return false
			}
		}
		return sum == len(c.setup.locks)
	})
}

// others are all workers but these.
func (c *cluster) others(but ...*contender) []*contender {
	return slices.DeleteFunc(slices.Clone(c.workers), func(w *contender) bool { return slices.Contains(but, w) })
}

// demandFromNow begins the time in which all locks must be led.
func (c *cluster) demandFromNow() { c.demand.From = Monotonic() }

// awaitDemand ends the time of the demand. Where an even spread is demanded, it does so at a moment
// at which the journals show it.
func (c *cluster) awaitDemand() {
	c.t.Helper()
	if !c.setup.spread {
		c.demand.To = Monotonic()
		return
	}
	for _, w := range c.workers {
		c.demand.Replicas = append(c.demand.Replicas, w.name())
	}
	c.eventually(3*c.setup.lease+patience, "each lock to be led, and all replicas to lead equal parts", func(context.Context) bool {
		c.awaitHoldings(true, c.workers...)
		c.demand.To = Monotonic()
		c.last(2 * time.Second) // every sampler has written once more by then
		f := fleet{Evidence: Evidence{Entries: c.entries(), Demand: &c.demand}}
		for _, checker := range checkers(f.Evidence) {
			checker.readTenures()
			f.tenures = append(f.tenures, checker.tenures...)
		}
		f.checkSpread()
		return len(f.violations) == 0
	})
}

func (w *contender) identifier() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.config.Identifier
}

func (w *contender) name() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.config.Process
}

// start starts the worker's next process.
func (w *contender) start() {
	c := w.cluster
	c.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.incarnation++
	config := WorkerConfig{
		Process:    fmt.Sprintf("w%02d.%d", w.index, w.incarnation),
		Identifier: fmt.Sprintf("w%02d", w.index), // a restarted worker keeps it
		Style:      []Style{Waits, Elects, Tries}[w.index%3],
		Endpoint:   w.proxy.URL(),
		Table:      c.store.table,
		Locks:      c.setup.locks,
		Lease:      c.setup.lease,
		Heartbeat:  c.setup.lease / 4,
		Hold:       c.setup.hold,
		Seed:       rand.Uint64(),
	}
	if w.index%2 == 1 {
		config.Identifier = config.Process // or it has a new one
	}
	if c.setup.configure != nil {
		c.setup.configure(w.index, &config)
	}
	config.Journal = filepath.Join(c.dir, config.Process+".jsonl")
	text, err := json.Marshal(config)
	if err != nil {
		c.t.Error(err)
		return
	}
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), workerVariable+"="+string(text), "AWS_EC2_METADATA_DISABLED=true")
	stderr, err := os.Create(filepath.Join(c.dir, config.Process+".stderr"))
	if err != nil {
		c.t.Error(err)
		return
	}
	process.Stderr = stderr
	stdin, err := process.StdinPipe()
	if err == nil {
		err = process.Start()
	}
	_ = stderr.Close()
	if err != nil {
		c.t.Error(err)
		return
	}
	exited := make(chan struct{})
	w.config, w.process, w.stdin, w.exited = config, process, stdin, exited
	go func() {
		defer close(exited)
		_ = process.Wait() // its exit code is looked at in finish
	}()
}

// fault writes down what is done to the worker's process.
func (w *contender) fault(text string, do func()) {
	e := Entry{Kind: Fault, Process: w.name(), From: Monotonic(), Text: text}
	do()
	e.To = Monotonic()
	w.cluster.journal.Write(e)
}

func (w *contender) signal(s os.Signal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.process.Process.Signal(s)
}

// kill ends the worker's process and waits until it is gone.
func (w *contender) kill() {
	w.fault(Killed, func() {
		w.signal(unix.SIGKILL)
		<-w.gone()
	})
}

// awaitStart waits until the worker's process has written its first entry, from where on it obeys a
// SIGTERM.
func (w *contender) awaitStart() {
	c, path := w.cluster, filepath.Join(w.cluster.dir, w.name()+".jsonl")
	c.t.Helper()
	c.eventually(patience, w.name()+" to have started", func(context.Context) bool {
		entries, err := ReadJournal(path)
		return err == nil && len(entries) > 0
	})
}

// awaitEnd waits for a process that was told to end.
func (w *contender) awaitEnd() {
	w.cluster.t.Helper()
	select {
	case <-w.gone():
	case <-time.After(2*w.cluster.setup.lease + patience):
		w.cluster.t.Fatalf("%s does not end", w.name())
	}
}

func (w *contender) gone() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.exited
}

func (w *contender) stop()      { w.fault(Stopped, func() { w.signal(unix.SIGSTOP) }) }
func (w *contender) continued() { w.fault(Continued, func() { w.signal(unix.SIGCONT) }) }

func (w *contender) disturb(conditions Conditions) {
	w.fault(conditions.String(), func() { w.proxy.Set(conditions) })
}

// heal is no fault.
func (w *contender) heal() { w.proxy.Set(Conditions{}) }

// end ends the process by force where that is still necessary.
func (w *contender) end() {
	w.mu.Lock()
	process, stdin, exited := w.process, w.stdin, w.exited
	w.mu.Unlock()
	if process == nil {
		return
	}
	select {
	case <-exited:
	default:
		_ = process.Process.Kill()
		<-exited
	}
	_ = stdin.Close()
}

// finish winds the cluster up, and demands that nothing it has left is a violation.
func (c *cluster) finish() Figures {
	c.t.Helper()
	c.windUp()
	figures, violations := Check(c.evidence())
	for i, v := range violations {
		if i == 20 {
			c.t.Errorf("and %d more violations", len(violations)-i)
			break
		}
		c.t.Errorf("violation of %v", v)
	}
	c.t.Logf("%v; violations: %d", figures, len(violations))
	total.mu.Lock()
	defer total.mu.Unlock()
	total.runs, total.violations, total.figures = total.runs+1, total.violations+len(violations), total.figures.Add(figures)
	return figures
}

// windUp heals everything, demands that somebody leads again, and ends the workers gracefully.
func (c *cluster) windUp() {
	c.t.Helper()
	for _, w := range c.workers {
		w.heal()
		w.continued()
	}
	if c.setup.gap > 0 {
		start := c.counters()
		c.awaitDemand()
		c.awaitIncrementsSince(start, 1)
	} else {
		c.awaitIncrements(3)
	}
	for _, w := range c.workers {
		w.awaitStart()
		w.signal(unix.SIGTERM)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*c.setup.lease+patience)
	defer cancel()
	for _, w := range c.workers {
		select {
		case <-w.gone():
			if code := w.process.ProcessState.ExitCode(); code != 0 {
				c.t.Errorf("%s ended with code %d", w.name(), code)
			}
		case <-ctx.Done():
			c.t.Errorf("%s does not end after SIGTERM", w.name())
		}
		w.end()
	}
	c.stopObserving()
}

// evidence gathers the journals and what the table holds. It also looks for what a race detector or
// a panic has left on stderr.
func (c *cluster) evidence() Evidence {
	c.t.Helper()
	e := Evidence{Entries: c.entries()}
	if c.setup.gap > 0 {
		e.Demand = &c.demand
	}
	said, _ := filepath.Glob(filepath.Join(c.dir, "*.stderr"))
	for _, path := range said {
		if text, err := os.ReadFile(path); err != nil || len(bytes.TrimSpace(text)) > 0 {
			c.t.Errorf("%s: %s %v", filepath.Base(path), text, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs [3]error
	e.Receipts, errs[0] = c.store.receipts(ctx)
	e.Fenced, errs[1] = c.store.counters(ctx, c.setup.locks, Fenced)
	e.Unfenced, errs[2] = c.store.counters(ctx, c.setup.locks, Unfenced)
	for _, err := range errs {
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return e
}

// entries are what all journals say so far.
func (c *cluster) entries() (all []Entry) {
	c.t.Helper()
	journals, err := filepath.Glob(filepath.Join(c.dir, "*.jsonl"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range journals {
		entries, err := ReadJournal(path)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, entries...)
	}
	return all
}
