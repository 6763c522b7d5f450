package shards

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// inFlight is the most attempts to acquire, and the most releases, that are under way at a time.
const inFlight = 64

// state is where a replica stands; the names are those of the drawing in the package comment.
type state int

const (
	idle state = iota
	joining
	serving
	leaving
)

func (s state) String() string {
	return [...]string{"idle", "joining", "serving", "leaving"}[s]
}

// run is one Run. Its goroutines are
//
//	conduct   decides what happens to which shard; it makes no request and no call
//	steward   reads and writes the group's item, once a heartbeat, and looks for shards that are free
//	herald    writes this replica's moves into its handover
//	escort    finds out when those shards are led again
//	listen    reads others' handovers, while there are any
//	watch     one for each member that is watched
//	guard     ends the leading contexts in time
//
// and for a while each: one for the work of each shard that is led, and one for each attempt or
// release in flight.
type run struct {
	*Replica
	parent  context.Context // Run's
	ctx     context.Context // of all requests; ends when there is nothing more to do
	cancel  context.CancelFunc
	kicked  chan struct{} // wakes conduct
	nudged  chan struct{} // wakes steward
	called  chan struct{} // wakes herald
	alerted chan struct{} // wakes listen
	gone    chan struct{} // wakes escort
	helpers sync.WaitGroup
	works   sync.WaitGroup

	done      chan struct{} // closed when all shards have ended, after leaving
	reviewing sync.Mutex    // see review

	crashOnce sync.Once
	crashed   chan struct{} // closed when a callback has panicked
	safe      chan struct{} // closed when a panic that was held up may go on

	// What follows is guarded by Replica.mu.
	state    state
	err      error         // what Run returns
	id       string        // this member's; "": it has not joined
	pulse    lock          // the lock that it holds as long as it lives; nil: none
	joined   time.Duration // when it had that lock
	answered bool          // the store has answered, ever
	roster   roster        // as it was read last
	buried   graves
	view     *view // the assignment; nil: not known yet
	before   *view // the view before it, by which replicas may still lead

	shards    map[string]*shard // all that are not elsewhere
	ready     []*shard          // to be acquired at once
	toRelease []*shard          // whose work has returned
	dues      dues              // those that something happens to later
	surplus   []*shard          // those that are led and belong to others
	draining  map[*shard]bool
	leading   int  // how many are led
	taken     int  // how many are not wanted only: being acquired, led or let go
	telling   bool // the metrics are about to be told how many
	attempts  int  // requests in flight
	releases  int

	moves     moves
	announced bool                       // there is a handover of this member
	movers    map[string]bool            // members that have announced moves
	heard     map[string]map[string]bool // what they have released, and this member has tried
}

// moves is what a replica that gives shards away knows.
type moves struct {
	under     bool          // they are announced, or about to be
	changed   bool          // the herald has something to tell
	told      time.Duration // when the announcement was confirmed; 0: it is not
	seen      time.Duration // when the view last changed
	left      time.Duration // when the entry that says that this member leaves was confirmed; 0: it is not
	hasty     time.Duration // when a replica that leaves does not wait for others any longer
	nextBurst time.Duration
	last      time.Duration // when the latest of them ended
	released  []release
	unclaimed map[string]time.Duration // released, and not led again yet: when its work returned
	window    window
}

// release is one that the handover reports.
type release struct {
	shard string
	at    time.Duration
}

func (r *Replica) start(ctx context.Context) (*run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		return nil, ErrAlreadyRunning
	}
	n := &run{
		Replica: r, parent: ctx, state: joining,
		kicked: make(chan struct{}, 1), nudged: make(chan struct{}, 1), called: make(chan struct{}, 1), alerted: make(chan struct{}, 1), gone: make(chan struct{}, 1),
		done: make(chan struct{}), crashed: make(chan struct{}), safe: make(chan struct{}),
		movers: map[string]bool{}, heard: map[string]map[string]bool{},
		buried: graves{}, shards: map[string]*shard{}, draining: map[*shard]bool{},
	}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.current, r.contact = n, lease.Now(r.clock)
	return n, nil
}

// do is Run.
func (r *run) do() error {
	var steward sync.WaitGroup
	steward.Go(r.steward)
	r.helpers.Go(r.herald)
	r.helpers.Go(r.listen)
	r.helpers.Go(r.escort)
	r.conduct()
	close(r.done)
	steward.Wait() // it leaves the group
	r.cancel()
	r.helpers.Wait()
	r.board.write(Group{})
	close(r.safe)
	if r.isCrashed() {
		select {} // the goroutine that panicked ends the process
	}
	r.works.Wait()
	r.sinks.Flush(r.clock, r.parting())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current, r.trouble = nil, nil
	return r.err
}

// parting is how long Run waits at its end for what is not worth more.
func (r *Replica) parting() time.Duration { return min(r.Heartbeat, time.Second) }

// conduct decides until there is nothing left to decide.
func (r *run) conduct() {
	told := r.parent.Done()
	for {
		acts, pause, over := r.decide()
		if over {
			return
		}
		for _, act := range acts {
			r.helpers.Go(act)
		}
		rings, stop := lease.Alarm(r.clock, pause)
		select {
		case <-r.kicked:
		case <-rings:
		case <-told:
			told = nil
			r.leave(nil)
		}
		stop()
	}
}

// leave ends the serving. err is what Run is to return.
func (r *run) leave(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == leaving {
		return
	}
	r.log(0, msgLeaving, "leading", r.leading)
	r.state, r.err = leaving, err
	r.moves.hasty = r.uptime() + 2*r.notice()
	if r.isCrashed() {
		r.moves.hasty = r.uptime()
	}
	r.replan()
	if len(r.shards) > 0 { // else the steward has nothing to do but to leave, and is told so
		nudge(r.nudged)
	}
	nudge(r.kicked)
}

// decide returns what to do now, and when to decide again. over: the replica has left, and all its
// shards have ended.
func (r *run) decide() (acts []func(), pause time.Duration, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.uptime()
	if r.state == leaving && (len(r.shards) == 0 || r.isCrashed() && r.areAbandoned()) {
		return nil, 0, true
	}
	for len(r.dues) > 0 && r.dues[0].at <= now {
		r.comesDue(heap.Pop(&r.dues).(due))
	}
	pause = r.drains(now, &acts)
	pause = min(pause, r.move(now))
	for len(r.toRelease) > 0 && r.releases < inFlight {
		s := r.toRelease[0]
		r.toRelease = r.toRelease[1:]
		r.releases++
		acts = append(acts, func() { r.release(s) })
	}
	for len(r.ready) > 0 && r.attempts < inFlight && r.hasRoom() {
		s := r.ready[0]
		r.ready = r.ready[1:]
		s.queued = false
		if s.waits() && r.shards[s.name] == s {
			acts = append(acts, r.tries(s))
		}
	}
	if len(r.dues) > 0 {
		pause = min(pause, r.dues[0].at-now)
	}
	return acts, pause, false
}

// areAbandoned is whether nothing is left but works whose time to return is over. A process that
// dies does not wait for them. Called with mu held.
func (r *run) areAbandoned() bool {
	for _, s := range r.shards {
		if s.stage != draining || !s.term.left {
			return false
		}
	}
	return true
}

// drains has the locks run out whose work takes too long to return, and says when to look again.
func (r *run) drains(now time.Duration, acts *[]func()) (pause time.Duration) {
	pause = time.Hour
	at := lease.Now(r.clock)
	for s := range r.draining {
		t := s.term
		switch left := r.drainTimeout - at.Since(t.ended); {
		case t.left || s.stage != draining:
		case left > 0:
			pause = min(pause, left)
		default:
			t.left = true
			*acts = append(*acts, t.lock.StopHeartbeat)
		}
	}
	return pause
}

// move ends the terms of shards that belong to others, so many at a time, and says when to look
// again.
func (r *run) move(now time.Duration) (pause time.Duration) {
	m := &r.moves
	moving := len(r.surplus) > 0 || r.state == leaving && len(r.shards) > 0
	if moving && !m.under && r.hasPeers() {
		*m = moves{under: true, changed: true, seen: m.seen, left: m.left, hasty: m.hasty, released: m.released,
			unclaimed: map[string]time.Duration{}, window: newWindow(len(r.roster.members), r.state == leaving)}
		nudge(r.called)
	}
	if !moving && m.under && len(r.draining) == 0 && len(r.toRelease) == 0 && r.releases == 0 {
		if left := m.last + r.Heartbeat - now; left > 0 {
			return left // all that wait have read the latest by then
		}
		m.under, m.changed, m.told, m.unclaimed = false, true, 0, nil
		nudge(r.called)
	}
	if len(r.surplus) == 0 {
		return time.Hour
	}
	if wait := r.patience(now); wait > 0 {
		return wait
	}
	if wait := m.nextBurst - now; wait > 0 {
		return wait
	}
	motion := motion{
		surplus: len(r.surplus), own: r.leading + len(r.draining) + len(r.toRelease) + r.releases,
		draining: len(r.draining), releasing: len(r.toRelease) + r.releases, atOnce: r.movesAtOnce, leaving: r.state == leaving,
		unclaimed: len(m.unclaimed), window: m.window.size,
	}
	if !m.under {
		motion.window = motion.own // no other can take over
	}
	n := motion.begin()
	cause := error(ErrMoved)
	if r.state == leaving {
		cause = context.Cause(r.parent)
	}
	for _, s := range r.surplus[:n] {
		r.end(s, cause)
	}
	r.surplus = r.surplus[n:]
	m.last = now
	if n > 0 {
		m.nextBurst = now + burstPause
	}
	if len(r.surplus) > 0 && n > 0 {
		return burstPause
	}
	return time.Hour // the next event wakes it
}

// burstPause is the time between two bursts of moves.
const burstPause = 10 * time.Millisecond

// patience is how long the moves have to wait until the replicas that wait for the shards know of
// them.
func (r *run) patience(now time.Duration) time.Duration {
	m := &r.moves
	if r.isCrashed() || !r.hasPeers() || r.state == leaving && now >= m.hasty { // or nobody waits
		return 0
	}
	wait := time.Hour
	if m.told > 0 && (r.state != leaving || m.left > 0) {
		wait = max(m.told, m.seen, m.left) + r.notice() - now
	}
	if r.state == leaving {
		wait = min(wait, m.hasty-now)
	}
	return wait
}

// notice is how long it takes until every other member has read the group's item.
func (r *run) notice() time.Duration {
	period := r.Heartbeat
	for _, m := range r.roster.members {
		period = max(period, min(m.period, 4*r.Lease))
	}
	return period + min(period/10, 200*time.Millisecond)
}

// hasPeers is whether there is another member that may take shards over.
func (r *run) hasPeers() bool {
	for id, m := range r.roster.members {
		if id != r.id && !m.leaving && !r.buried.has(id) {
			return true
		}
	}
	return false
}

// crash begins the end of a Run in which something of the user's has panicked. It is called from
// the goroutine that panicked, which then waits for safe.
func (r *run) crash(what string, value any) {
	cause := &panicError{what, value}
	r.crashOnce.Do(func() {
		close(r.crashed)
		r.alert(cause, msgPanicked)
	})
	r.leave(cause)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endAll(cause)
	nudge(r.kicked)
}

func (r *run) isCrashed() bool { return isClosed(r.crashed) }

// sinkPanicked is called when the Logger or a metric has panicked.
func (r *Replica) sinkPanicked(value any) {
	r.mu.Lock()
	run := r.current
	r.mu.Unlock()
	if run != nil {
		run.crash("the Logger or a metric", value)
		<-run.safe
	}
	panic(value)
}

// due is a shard that something happens to at a time of the monotonic clock.
type due struct {
	at    time.Duration
	shard *shard
}

type dues []due

func (d dues) Len() int           { return len(d) }
func (d dues) Less(i, j int) bool { return d[i].at < d[j].at }
func (d dues) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *dues) Push(x any)        { *d = append(*d, x.(due)) }
func (d *dues) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
