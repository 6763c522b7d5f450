package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
	"golang.org/x/sys/unix"
)

// Style is how a worker gets its locks.
type Style string

const (
	Waits  Style = "waits"  // WaitForLock
	Tries  Style = "tries"  // GetLock again and again
	Elects Style = "elects" // an elector
	Shards Style = "shards" // a replica of a group of shards
)

// WorkerConfig is one worker process.
type WorkerConfig struct {
	Process, Identifier string
	Style               Style
	Endpoint, Table     string
	// Locks are what it contends for, all at once. Those of a group are named Group/shard.
	Locks            []string
	Group            string // of the shards; only with the style Shards
	Lease, Heartbeat time.Duration
	Session          bool          // the locks are members of a session
	Plain            int           // with a session: every n-th lock is a plain one all the same; 0: none
	Hold             time.Duration // a tenure is given up after a random time up to this; 0: never
	Pace             time.Duration // the longest pause between two increments; 0: 25 ms
	ReadEvery        time.Duration // the pause between two reads of the first lock's counters; 0: none are read
	GuardedOnly      bool          // leave the unfenced counters alone
	Reclaim          bool          // ReclaimOnRestart
	DeleteOnRelease  bool
	Abandon          bool // half of the time leave the lease to run out instead of releasing
	// StopOnce has the worker stop itself with SIGSTOP, in the first increment, between the look at
	// the lock and the writes.
	StopOnce bool
	Clock    Skew
	Mistake  Mistake // for the tests of the checker
	Journal  string
	Seed     uint64
}

// Mistake is one that a replica of shards makes on purpose, so that a test can see that the checker
// finds it.
type Mistake string

const (
	LeadsOn         Mistake = "leads on"         // for two leases after its leading context has ended
	WritesUnguarded Mistake = "writes unguarded" // for as long, without the term's ConditionCheck
)

const workerVariable = "LEADERKIT_CHAOS_WORKER"

// worker contends for locks, and while it holds them it writes down what it believes and increments
// their counters.
type worker struct {
	WorkerConfig
	journal *Journal
	store   store
	clock   *skewedClock
	session *lockclient.Session // nil: it has none
	ops     atomic.Int64
}

// runWorker is a worker process from start to end. It ends with SIGTERM, gracefully, and when its
// stdin does, so that it never outlives the test.
func runWorker(config string) error {
	w := &worker{}
	if err := json.Unmarshal([]byte(config), &w.WorkerConfig); err != nil {
		return err
	}
	var err error
	if w.journal, err = OpenJournal(w.Journal, w.Process); err != nil {
		return err
	}
	defer func() { _ = w.journal.Close() }()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	w.clock = newSkewedClock(w.Clock)
	defer w.clock.jumpAt(unix.SIGUSR1)()
	// Once this is written, a SIGTERM ends the worker gracefully.
	w.journal.Write(Entry{Kind: Start, From: Monotonic(), Reclaims: w.Reclaim, Text: config})
	client, err := NewClient(w.Endpoint)
	if err != nil {
		return err
	}
	w.store = store{client: client, table: w.Table}
	if w.Session || w.Style == Shards {
		w.session = &lockclient.Session{TableName: w.Table, Client: client, LeaseDuration: w.Lease,
			HeartbeatPeriod: w.Heartbeat, Identifier: w.Identifier, Clock: w.clock}
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // the test has died
	}()
	if w.Style == Shards {
		err = w.leadShards(ctx)
	} else {
		err = w.contendForAll(ctx)
	}
	w.closeSession()
	return err
}

// contendForAll contends for each lock in a goroutine of its own, until ctx ends.
func (w *worker) contendForAll(ctx context.Context) error {
	var all sync.WaitGroup
	if w.ReadEvery > 0 {
		all.Go(func() { w.read(ctx, w.Locks[0]) })
	}
	errs := make([]error, len(w.Locks))
	for i := range w.Locks {
		all.Go(func() {
			if c := w.contention(i); w.Style == Elects {
				errs[i] = c.elect(ctx)
			} else {
				c.contend(ctx)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// read looks at both counters of a lock again and again. It needs no lock for that.
func (w *worker) read(ctx context.Context, lock string) {
	for ctx.Err() == nil {
		for _, counter := range []string{Fenced, Unfenced} {
			from := Monotonic()
			if value, err := w.store.counter(ctx, lock, counter); err == nil {
				w.journal.Write(Entry{Kind: Read, From: from, To: Monotonic(), Lock: lock, Counter: counter, Value: value})
			}
		}
		w.pause(ctx, w.ReadEvery)
	}
}

// contention makes the lock client of the i-th lock.
func (w *worker) contention(i int) *contention {
	c := &contention{worker: w, name: w.Locks[i], random: w.dice(i)}
	lock := &lockclient.DynamoDBLockClient{LockName: c.name, DeleteOnRelease: w.DeleteOnRelease}
	if w.session != nil && (w.Plain == 0 || i%w.Plain != w.Plain-1) {
		lock.Session, c.member = w.session, true
	} else {
		lock.LeaseDuration, lock.HeartbeatPeriod = w.Lease, w.Heartbeat
		lock.TableName, lock.Client, lock.Clock = w.Table, w.store.client, w.clock
		lock.Identifier, lock.ReclaimOnRestart = w.Identifier, w.Reclaim
	}
	c.lock = lock
	return c
}

// dice are the i-th lock's random numbers.
func (w *worker) dice(i int) *rand.Rand { return rand.New(rand.NewPCG(w.Seed, uint64(i)+1)) }

// closeSession frees all members at once, or says that it could not: they run out by themselves
// then.
func (w *worker) closeSession() {
	if w.session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.Lease)
	defer cancel()
	if err := w.session.Close(ctx); err != nil {
		w.note("close: %v", err)
	}
}

func (w *worker) note(format string, args ...any) {
	w.journal.Write(Entry{Kind: Note, From: Monotonic(), Text: fmt.Sprintf(format, args...)})
}

func (w *worker) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
