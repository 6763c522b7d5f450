package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"golang.org/x/sys/unix"
)

// Style is how a worker gets its lock.
type Style string

const (
	Waits  Style = "waits"  // WaitForLock
	Tries  Style = "tries"  // GetLock again and again
	Elects Style = "elects" // an elector
)

// WorkerConfig is one worker process.
type WorkerConfig struct {
	Process, Identifier string
	Style               Style
	Endpoint, Table     string
	Lock                string
	Lease, Heartbeat    time.Duration
	Hold                time.Duration // a tenure is given up after a random time up to this; 0: never
	Reclaim             bool          // ReclaimOnRestart
	DeleteOnRelease     bool
	Abandon             bool // half of the time leave the lease to run out instead of releasing
	// StopOnce has the worker stop itself with SIGSTOP, in the first increment, between the look at the lock and the writes.
	StopOnce bool
	Journal  string
	Seed     uint64
}

const workerVariable = "LEADERKIT_CHAOS_WORKER"

// sampleEvery is the pause between two samples of what a holder believes.
const sampleEvery = 3 * time.Millisecond

// worker contends for the lock, and while it holds it writes down what it believes and increments the counters.
type worker struct {
	WorkerConfig
	journal *Journal
	store   store
	lock    *lockclient.DynamoDBLockClient
	random  *rand.Rand // the tenure's goroutine's
	ops     int
}

// runWorker is a worker process from start to end. It ends with SIGTERM, gracefully, and when its stdin does, so that it
// never outlives the test.
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
	// Once this is written, a SIGTERM ends the worker gracefully.
	w.journal.Write(Entry{Kind: Start, From: Monotonic(), Reclaims: w.Reclaim, Text: config})
	client, err := NewClient(w.Endpoint)
	if err != nil {
		return err
	}
	w.store = store{client: client, table: w.Table}
	w.random = rand.New(rand.NewPCG(w.Seed, 1))
	w.lock = &lockclient.DynamoDBLockClient{
		LockName:         w.Lock,
		LeaseDuration:    w.Lease,
		HeartbeatPeriod:  w.Heartbeat,
		TableName:        w.Table,
		Identifier:       w.Identifier,
		Client:           client,
		ReclaimOnRestart: w.Reclaim,
		DeleteOnRelease:  w.DeleteOnRelease,
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // the test has died
	}()
	if w.Style == Elects {
		return w.elect(ctx)
	}
	w.contend(ctx)
	return nil
}

// contend is the life of a worker that uses the lock client directly.
func (w *worker) contend(ctx context.Context) {
	for ctx.Err() == nil {
		held, err := w.acquire(ctx)
		var refused *lockclient.LockHeldError
		switch {
		case held:
			w.hold(ctx)
		case errors.As(err, &refused):
			w.pause(ctx, min(refused.RetryAfter, w.Heartbeat))
		default:
			w.note("acquire: %v", err)
			w.pause(ctx, w.Heartbeat/4)
		}
	}
	w.release()
}

func (w *worker) acquire(ctx context.Context) (bool, error) {
	if w.Style == Tries {
		return w.lock.GetLockWithContext(ctx)
	}
	err := w.lock.WaitForLock(ctx)
	return err == nil, err
}

// hold is one tenure.
func (w *worker) hold(ctx context.Context) {
	token, held := w.lock.FencingToken()
	if !held {
		return // lost already
	}
	work, cancel := w.tenure(ctx)
	defer cancel()
	go func() {
		select {
		case <-w.lock.Lost():
			cancel()
		case <-work.Done():
		}
	}()
	stopSampling := w.sampleWhile(work, token, func() Entry { return w.look(ctx, nil) })
	w.work(work, token, w.throughLock)
	if w.Abandon && ctx.Err() == nil && w.random.IntN(2) == 0 {
		// Still believing, the worker leaves the lease to run out.
		stopSampling()
		w.lock.StopHeartbeat()
		stopSampling = w.sampleWhile(ctx, token, func() Entry { return w.look(ctx, nil) })
		select {
		case <-w.lock.Lost():
		case <-ctx.Done():
		}
	}
	stopSampling()
	w.journal.Write(Entry{Kind: Yield, From: Monotonic(), Token: token})
	w.release()
	w.pause(ctx, time.Duration(w.random.Int64N(int64(w.Heartbeat))))
}

// release frees the lock, or says that it could not: it runs out by itself then.
func (w *worker) release() {
	ctx, cancel := context.WithTimeout(context.Background(), w.Lease)
	defer cancel()
	if err := w.lock.RemoveLockWithContext(ctx); err != nil {
		w.note("release: %v", err)
	}
}

// elect is the life of a worker that uses an elector.
func (w *worker) elect(ctx context.Context) error {
	var elector *election.LeaderElector
	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Lock:            w.lock,
		ReleaseOnCancel: true,
		Name:            w.Lock,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) { w.lead(leading, elector) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	return elector.Run(ctx)
}

// lead is one term.
func (w *worker) lead(leading context.Context, elector *election.LeaderElector) {
	term, _ := election.TermFromContext(leading)
	work, cancel := w.tenure(leading)
	defer cancel()
	stopSampling := w.sampleWhile(leading, term.FencingToken, func() Entry { return w.look(leading, elector) })
	w.work(work, term.FencingToken, func(ctx context.Context, r Receipt, read readCounter) (int64, Outcome, error) {
		return w.throughTerm(ctx, term, r, read)
	})
	stopSampling()
	w.journal.Write(Entry{Kind: Yield, From: Monotonic(), Token: term.FencingToken})
}

// tenure is the context of one tenure's work: it ends with ctx, and after the time that the worker wants to hold the lock.
func (w *worker) tenure(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.Hold == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, w.Hold/10+time.Duration(w.random.Int64N(int64(w.Hold))))
}

// look asks the lock, and the elector and the leading context where there is one, whether it is held. The clock is read before and
// after.
func (w *worker) look(leading context.Context, elector *election.LeaderElector) Entry {
	e := Entry{Kind: Belief, From: Monotonic()}
	e.Token, _ = w.lock.FencingToken()
	e.Held, _ = w.lock.HasLock()
	if elector != nil {
		e.Leads, e.Alive = elector.IsLeader(), leading.Err() == nil
	}
	deadline, certain := w.lock.Deadline()
	at := Monotonic() // before the wall clock, so that the claim is rather too short
	if certain {
		e.Until = at + time.Until(deadline)
	}
	// The token is the tenure's only if it is still the same: a lock may be lost and won again between two calls.
	if token, _ := w.lock.FencingToken(); token != e.Token {
		e.Held, e.Until = false, 0
	}
	e.To = Monotonic()
	return e
}

// sampleWhile samples in a goroutine until ctx ends, the tenure has, or stop is called, which waits for the last sample.
func (w *worker) sampleWhile(ctx context.Context, token int64, look func() Entry) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			e := look()
			if e.Token != token {
				// The tenure is over for HasLock; what the elector and the context still say is said of the old token.
				e.Token, e.Held, e.Until = token, false, 0
			}
			if !e.Held && !e.Leads && !e.Alive {
				return
			}
			w.journal.Write(e)
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// work increments the counters until ctx ends or the tenure has.
func (w *worker) work(ctx context.Context, token int64, fenced through) {
	settled := true
	for ctx.Err() == nil {
		if settled {
			switch w.incrementFenced(token, fenced) {
			case Refused:
				return
			case Unknown:
				// It may be carried out at any later time in this tenure, and what is read now be outdated by it. So
				// this tenure's fenced work is over; believing goes on.
				settled = false
			}
		}
		if !w.incrementUnfenced(ctx) {
			return
		}
		w.pause(ctx, time.Duration(5+w.random.IntN(20))*time.Millisecond)
	}
}

type readCounter func(context.Context) (int64, error)

// through reads the counter under the lock's protection and writes one more. Its outcome is Refused when the fence has refused it, and
// notSent when there was nothing to refuse.
type through func(ctx context.Context, r Receipt, read readCounter) (value int64, outcome Outcome, err error)

// notSent is the outcome of an increment that got no further than its read. To the checker it is as good as refused.
const notSent Outcome = "not sent"

// incrementFenced does one increment. The end of the time to hold the lock doesn't cut it short, and neither does the end of a term: the
// fence has to do with work that is late.
func (w *worker) incrementFenced(token int64, do through) Outcome {
	ctx, cancel := context.WithTimeout(context.Background(), w.Lease)
	defer cancel()
	w.ops++
	r := Receipt{Op: fmt.Sprintf("%s/%d", w.Process, w.ops), Process: w.Process, Token: token}
	w.journal.Write(Entry{Kind: Call, From: Monotonic(), Token: token, Counter: Fenced, Op: r.Op})
	value, outcome, err := do(ctx, r, func(ctx context.Context) (int64, error) { return w.store.counter(ctx, Fenced) })
	e := Entry{Kind: Return, To: Monotonic(), Token: token, Counter: Fenced, Op: r.Op, Value: value, Outcome: outcome}
	if err != nil {
		e.Text = err.Error()
	}
	w.journal.Write(e)
	return outcome
}

// throughLock is an increment with DynamoDBLockClient.TransactWrite.
func (w *worker) throughLock(ctx context.Context, r Receipt, read readCounter) (int64, Outcome, error) {
	if token, held := w.lock.FencingToken(); !held || token != r.Token {
		return 0, notSent, lockclient.ErrNotHeld // another tenure's fence would not protect what is read here
	}
	if w.StopOnce {
		return w.throughPause(ctx, r, read)
	}
	value, err := read(ctx)
	if err != nil {
		return 0, notSent, err
	}
	r.Value = value + 1
	_, err = w.lock.TransactWrite(ctx, w.store.fenced(r))
	switch {
	case err == nil:
		return r.Value, Done, nil
	case errors.Is(err, lockclient.ErrLockLost):
		return r.Value, Refused, err
	default:
		return r.Value, Unknown, err
	}
}

// throughTerm is an increment with a transaction of the worker's own, guarded by Term.ConditionCheck.
func (w *worker) throughTerm(ctx context.Context, term election.Term, r Receipt, read readCounter) (int64, Outcome, error) {
	check, err := term.ConditionCheck()
	if err != nil {
		return 0, notSent, err
	}
	value, err := read(ctx)
	if err != nil {
		return 0, notSent, err
	}
	r.Value = value + 1
	in := w.store.fenced(r)
	in.TransactItems = append(in.TransactItems, &transactItem{ConditionCheck: check})
	outcome, err := w.store.transact(ctx, in, w.Heartbeat/8)
	return r.Value, outcome, err
}

// throughPause is the worst case: the lock is held and looked at, both counters are read, and then the process stands still until another
// has long been at work. It wakes up between the look and the writes.
func (w *worker) throughPause(ctx context.Context, r Receipt, read readCounter) (int64, Outcome, error) {
	w.StopOnce = false
	value, err := read(ctx)
	if err != nil {
		return 0, notSent, err
	}
	unfenced, err := w.store.counter(ctx, Unfenced)
	if err != nil {
		return 0, notSent, err
	}
	check, err := w.lock.ConditionCheck()
	if err != nil {
		return 0, notSent, err
	}
	r.Value = value + 1
	in := w.store.fenced(r)
	in.TransactItems = append(in.TransactItems, &transactItem{ConditionCheck: check})

	if held, err := w.lock.HasLock(); !held {
		return 0, notSent, err
	}
	if err := unix.Kill(unix.Getpid(), unix.SIGSTOP); err != nil {
		return 0, notSent, err
	}
	// The signal may take effect a few instructions later, on this thread or on another.
	w.pause(ctx, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	w.writeUnfenced(ctx, unfenced+1)
	outcome, err := w.store.transact(ctx, in, w.Heartbeat/8)
	return r.Value, outcome, err
}

// incrementUnfenced is false when the lock is not held.
func (w *worker) incrementUnfenced(ctx context.Context) bool {
	value, err := w.store.counter(ctx, Unfenced)
	if err != nil {
		return w.stillHeld()
	}
	if !w.stillHeld() {
		return false
	}
	w.writeUnfenced(ctx, value+1)
	return true
}

func (w *worker) stillHeld() bool {
	held, _ := w.lock.HasLock()
	return held
}

func (w *worker) writeUnfenced(ctx context.Context, value int64) {
	w.ops++
	op := fmt.Sprintf("%s/%d", w.Process, w.ops)
	w.journal.Write(Entry{Kind: Call, From: Monotonic(), Counter: Unfenced, Op: op})
	outcome := Done
	if err := w.store.overwrite(ctx, Unfenced, value); err != nil {
		outcome = Unknown
		if certainlyNot(err) {
			outcome = Refused
		}
	}
	w.journal.Write(Entry{Kind: Return, To: Monotonic(), Counter: Unfenced, Op: op, Value: value, Outcome: outcome})
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
