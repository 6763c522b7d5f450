package lockclient

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// line is the way on which all locks of one DynamoDB client send their requests. It
// bounds how many are under way (width.go), so that a machine or a server that is asked for
// more than it can do goes on doing as much as it can. What finds no room waits in line, and
// is neither counted as sent nor timed until it leaves.
//
// The requests of sessions go first: all locks of a session depend on them. Heartbeats go in
// the order in which their leases run out. One whose lease can't be saved any more goes
// last. All other requests go in the order in which they came, and take turns with the
// heartbeats until one of these has spent half its lease: from then on heartbeats go first.
type line struct {
	schedule
	slots     slots
	takeovers gate     // for acquires of locks whose session is over
	watched   watchers // sessions of others

	mu       sync.Mutex // guards what follows; nothing is called under it
	taken    int
	inFlight []*place      // the oldest first; some were given back
	beats    beatQueue     // heartbeats that wait
	late     []*ticket     // heartbeats that wait, and whose lease can hardly be saved
	firsts   []*ticket     // requests of sessions that wait
	callers  []*ticket     // all else that waits
	turn     bool          // the next place is for a caller, if one waits
	width    width         // how many places there are at present
	answer   time.Duration // when one was answered last
	newest   time.Duration // when the latest of those that were answered had been sent
	relief   wakeup        // of relieve
	relieved bool          // relief is not set
}

// silence is how long a request goes unanswered until it counts no more, if others wait: a
// part of the network that is dead must not hold the rest up.
const silence = 2 * time.Second

// placesForFirsts is how many places more than others the requests of sessions may have. They are
// few, and must not wait until a line that has become narrower is no longer full.
const placesForFirsts = 16

// place is a request's right to be under way.
type place struct {
	l         *line
	since     time.Duration // on the monotonic clock
	givenBack bool          // guarded by the line's mu
}

// ticket is a request that waits for a place.
type ticket struct {
	start func(*place)  // called once it has a place; must not block
	until time.Duration // heartbeats: when trust in the lease ends, on the monotonic clock
	spent time.Duration // heartbeats: when half of that trust is spent
	gone  bool          // waits no more
}

// beat has start called as soon as there is a place for a heartbeat of a lease that is
// trusted until then, for window in all. One that goes first is a session's. start is called
// at once, or later in another goroutine. It must not block.
func (l *line) beat(until, window time.Duration, first bool, start func(*place)) {
	t := &ticket{start: start, until: until, spent: until - window/2}
	l.mu.Lock()
	if first {
		l.firsts = append(l.firsts, t)
	} else {
		heap.Push(&l.beats, t)
	}
	admitted := l.admit()
	l.mu.Unlock()
	admitted.start()
}

// enter waits for a place until ctx is done. One that goes first goes before all other callers: it
// is a request of a session, on which many of them wait.
func (l *line) enter(ctx context.Context, first bool) (*place, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, contextError(ctx))
	}
	in := make(chan *place, 1)
	t := &ticket{start: func(p *place) { in <- p }}
	l.mu.Lock()
	if first {
		l.firsts = append(l.firsts, t)
	} else {
		l.callers = append(l.callers, t)
	}
	admitted := l.admit()
	l.mu.Unlock()
	admitted.start()
	select {
	case p := <-in:
		return p, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	waited := !t.gone
	t.gone = true
	l.mu.Unlock()
	if waited {
		return nil, fmt.Errorf("%w: %w", errNotSent, contextError(ctx))
	}
	return <-in, nil
}

// fate is how a request's right to be under way has ended.
type fate int

const (
	unanswered fate = iota // it failed, or its caller has given up
	answered
	timedOut // it had no answer in time
)

func fateOf(err error) fate {
	if wasAnswered(err) {
		return answered
	}
	return unanswered
}

// giveBack gives the place back. Later calls only tell the line of an answer.
func (p *place) giveBack(f fate) {
	l, now := p.l, p.l.clock.Monotonic()
	l.mu.Lock()
	l.ended(p, f, now)
	admitted := l.admit()
	l.mu.Unlock()
	admitted.start()
}

// ended notes how a request has ended, and that its place is free. Called with mu held.
func (l *line) ended(p *place, f fate, now time.Duration) {
	took, full := now-p.since, l.taken >= l.width.places
	switch {
	case f == answered:
		l.answer, l.newest = now, max(l.newest, p.since)
		l.width.answered(took, slowFrom(l.shortest()), full)
	case p.givenBack:
	case f == timedOut && !l.wasOvertaken(p, took):
		l.width.timedOut(took)
	default:
		l.width.unanswered(took)
	}
	if !p.givenBack {
		p.givenBack = true
		l.taken--
	}
}

// admissions are requests that have just got a place each. They are started once the line's
// mu is free.
type admissions []admission

type admission struct {
	t *ticket
	p *place
}

func (all admissions) start() {
	for _, a := range all {
		a.t.start(a.p)
	}
}

// admit gives free places to requests that wait. Called with mu held: give that up, then start
// them.
func (l *line) admit() (admitted admissions) {
	now := l.clock.Monotonic()
	for {
		t := l.next(now)
		if t == nil {
			break
		}
		p := &place{l: l, since: now}
		l.taken++
		l.inFlight = append(l.inFlight, p)
		admitted = append(admitted, admission{t, p})
	}
	for len(l.inFlight) > 0 && l.inFlight[0].givenBack {
		l.inFlight = l.inFlight[1:]
	}
	if len(l.inFlight) == 0 {
		l.inFlight = nil
	} else if l.isCrowded() && l.relieved {
		l.relieved = false
		l.schedule.set(&l.relief, max(l.inFlight[0].since+silence, now+silence/8), lease.Now(l.clock))
	}
	return admitted
}

// relieve takes the places of requests that have had no answer for long, if others wait.
func (l *line) relieve(now lease.Instant) {
	l.mu.Lock()
	l.relieved = true
	if l.isCrowded() {
		for _, p := range l.inFlight {
			if now.Mono-p.since < silence {
				break
			}
			if !p.givenBack && l.hasHung(p, now.Mono, silence) {
				l.ended(p, timedOut, now.Mono)
			}
		}
	}
	admitted := l.admit()
	l.mu.Unlock()
	admitted.start()
}

// hasHung tells a request that has hung from one of many slow ones. It has, where one
// that was sent well after it was answered before it, or where nothing has been
// answered for a while. Called with mu held.
func (l *line) hasHung(p *place, now, patience time.Duration) bool {
	return l.wasOvertaken(p, patience) || now-l.answer > patience/4
}

// wasOvertaken reports whether a request that was sent well after this one was answered before
// it. So this one has hung, and the others are not slow. Called with mu held.
func (l *line) wasOvertaken(p *place, patience time.Duration) bool {
	return l.newest > p.since+patience/4
}

// hasHung is for callers that don't hold the line's mu.
func (p *place) hasHung(patience time.Duration) bool {
	now := p.l.clock.Monotonic()
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	return p.l.hasHung(p, now, patience)
}

// next takes the one that goes next out of the line, or returns nil: nobody waits, or there is
// no place. Called with mu held.
func (l *line) next(now time.Duration) *ticket {
	l.firsts, l.callers = present(l.firsts), present(l.callers)
	if len(l.firsts) > 0 && l.taken < min(l.width.places+placesForFirsts, mostPlaces) {
		t := l.firsts[0]
		l.firsts = l.firsts[1:]
		t.gone = true
		return t
	}
	if l.taken >= l.width.places {
		return nil
	}
	for len(l.beats) > 0 && l.beats[0].until-now < 2*l.width.trip {
		l.late = append(l.late, heap.Pop(&l.beats).(*ticket))
	}
	urgent := len(l.beats) > 0 && now >= l.beats[0].spent
	var t *ticket
	switch {
	case len(l.callers) > 0 && !urgent && (l.turn || len(l.beats) == 0):
		t, l.callers = l.callers[0], l.callers[1:]
		l.turn = false
	case len(l.beats) > 0:
		t = heap.Pop(&l.beats).(*ticket)
		l.turn = true
	case len(l.late) > 0:
		t, l.late = l.late[0], l.late[1:]
	default:
		l.firsts, l.callers, l.late = nil, nil, nil
		return nil
	}
	t.gone = true
	return t
}

// present drops those at the front that wait no more.
func present(tickets []*ticket) []*ticket {
	for len(tickets) > 0 && tickets[0].gone {
		tickets = tickets[1:]
	}
	return tickets
}

// isCrowded reports whether a request waits for a place. Called with mu held.
func (l *line) isCrowded() bool {
	return len(l.beats)+len(l.late)+len(l.firsts)+len(l.callers) > 0
}

// crowded is isCrowded for callers that don't hold mu.
func (l *line) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isCrowded()
}

// beatQueue is a heap, the lease that runs out first on top.
type beatQueue []*ticket

func (q beatQueue) Len() int           { return len(q) }
func (q beatQueue) Less(i, j int) bool { return q[i].until < q[j].until }
func (q beatQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *beatQueue) Push(x any)        { *q = append(*q, x.(*ticket)) }
func (q *beatQueue) Pop() any {
	old := *q
	n := len(old) - 1
	t := old[n]
	old[n] = nil
	*q = old[:n]
	return t
}

// lines finds the line of each DynamoDB client in use, for as long as a lock uses it.
var lines sync.Map // lineKey -> weak.Pointer[line]

type lineKey struct {
	client dynamodbiface.DynamoDBAPI
	clock  lease.Clock
	bubble string
}

// lineOf returns the line that all locks with this client and clock share.
func lineOf(client dynamodbiface.DynamoDBAPI, clock lease.Clock) *line {
	if !reflect.ValueOf(client).Comparable() || !reflect.ValueOf(clock).Comparable() {
		return newLine(clock)
	}
	key := lineKey{client, clock, bubbleOfTest()}
	for {
		known, ok := lines.Load(key)
		if ok {
			if l := known.(weak.Pointer[line]).Value(); l != nil {
				return l
			}
			lines.CompareAndDelete(key, known)
		}
		l := newLine(clock)
		ours := weak.Make(l)
		if _, taken := lines.LoadOrStore(key, ours); !taken {
			runtime.AddCleanup(l, func(key lineKey) { lines.CompareAndDelete(key, ours) }, key)
			return l
		}
	}
}

// bubbleOfTest names the bubble of virtual time (testing/synctest) in which it is called;
// "": none. Timers and channels of one bubble are of no use in another, so that each has
// lines of its own, though a test's DynamoDB client may outlive its bubble.
func bubbleOfTest() string {
	if lease.System().Monotonic() >= 0 {
		return "" // a bubble's clocks start in the year 2000, before this process did
	}
	stack := make([]byte, 128)
	header, _, _ := bytes.Cut(stack[:runtime.Stack(stack, false)], []byte("\n"))
	_, bubble, _ := bytes.Cut(header, []byte("synctest bubble "))
	return string(bubble)
}

func newLine(clock lease.Clock) *line {
	l := &line{schedule: schedule{clock: clock}, takeovers: gate{clock: clock}, relieved: true, width: newWidth(), answer: clock.Monotonic()}
	l.newest = l.answer
	l.relief.call, l.relief.every = l.relieve, silence
	return l
}
