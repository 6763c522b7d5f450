package simulation

import (
	"container/heap"
	"fmt"
	"sync"
	"testing/synctest"
	"time"
)

// world is one run: the machines, the network between them and the server, and the one queue in
// which everything that will happen waits for its turn.
//
// One event happens at a time. The next one begins when every goroutine of the run is blocked
// again, so that what two machines do at the same instant is ordered by the queue and never by the
// Go scheduler. After each event the invariants are checked.
type world struct {
	seed  uint64
	plan  *plan
	start time.Time

	server   *server
	machines []*machine
	clients  []*client // of all processes, dead ones included, and of the stranger
	stranger *stranger // nil: none
	beliefs  []*belief // by lock
	figures  *Figures

	sessions map[string]*seenSession // guarded by mu, as the next two
	inOrder  []*seenSession          // in which they were opened
	memberOf map[grant]*seenSession  // whose members tenures are

	timer   *time.Timer   // the driver's; nil before it has slept
	step    int           // of the event that happens now
	instant time.Duration // at which it happens
	atOnce  int           // how many have happened at that instant
	healing bool          // guarded by mu
	healed  chan struct{} // closed when the faults end

	mu         sync.Mutex // guards all that follows, and every field of machines, clients and calls that says so
	queue      eventQueue
	seq        uint64
	leaving    []*call       // requests that leave when the event is over
	underWay   []*event      // messages in the network
	wake       chan struct{} // a nudge for the driver: something was put before what it waits for
	sleepsTill time.Duration // what the driver waits for
	writes     writes
	versions   map[string]bool // recordVersionNumbers that were sent
	timeline   timeline
	draws      int        // of jitter, by locks
	violation  *Violation // the first
	ending     bool       // no machine restarts any more
	over       bool       // the run has ended: what still happens is of no interest
}

// event is something that will happen at a moment of the run.
type event struct {
	at      time.Duration
	machine int // of events at one moment, those of the lower machine come first
	seq     uint64
	do      func()
	dropped bool
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	if a.at != b.at {
		return a.at < b.at
	}
	if a.machine != b.machine {
		return a.machine < b.machine
	}
	return a.seq < b.seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *eventQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}

// now is the time since the run began.
func (w *world) now() time.Duration { return time.Since(w.start) }

// at puts an event into the queue. Called with mu held.
func (w *world) at(when time.Duration, machine int, do func()) *event {
	w.seq++
	e := &event{at: max(when, w.now()), machine: machine, seq: w.seq, do: do}
	heap.Push(&w.queue, e)
	if e.at < w.sleepsTill {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return e
}

// next takes the next event that is due by until off the queue, when its time has come; nil: there
// is none.
func (w *world) next(until time.Duration) *event {
	for {
		w.mu.Lock()
		for len(w.queue) > 0 && w.queue[0].dropped {
			heap.Pop(&w.queue)
		}
		if len(w.queue) == 0 || w.queue[0].at > until {
			w.mu.Unlock()
			return nil
		}
		wait := w.queue[0].at - w.now()
		if wait <= 0 {
			e := heap.Pop(&w.queue).(*event)
			w.mu.Unlock()
			return e
		}
		w.sleepsTill = w.queue[0].at
		w.mu.Unlock()
		w.sleep(wait)
	}
}

// sleep lets time pass, less if something turns up.
func (w *world) sleep(d time.Duration) {
	if w.timer == nil {
		w.timer = time.NewTimer(d)
	} else {
		w.timer.Reset(d)
	}
	select {
	case <-w.timer.C:
	case <-w.wake:
		w.timer.Stop()
	}
	w.mu.Lock()
	w.sleepsTill = 0
	w.mu.Unlock()
}

// mostAtOnce is how much can happen at one instant before somebody must be going round in circles.
const mostAtOnce = 2000

// drive lets everything happen until that time, or until stop says so after an event, or an
// invariant is violated. It reports whether stop did.
func (w *world) drive(until time.Duration, stop func() bool) bool {
	for {
		synctest.Wait() // whoever has been asked to end, or was by a look, has sent what it has to send
		w.depart()
		e := w.next(until)
		if e == nil {
			if rest := until - w.now(); rest > 0 {
				w.sleep(rest)
				continue
			}
			return false
		}
		w.step++
		if w.instant != w.now() {
			w.instant, w.atOnce = w.now(), 0
		}
		if w.atOnce++; w.atOnce > mostAtOnce {
			w.violate(nil, NoBusyLoop, fmt.Sprintf("%d things happen at one instant", w.atOnce))
			return false
		}
		e.do()
		synctest.Wait()
		w.look()
		if w.failed() {
			return false
		}
		if stop != nil && stop() {
			return true
		}
	}
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.violation != nil
}
