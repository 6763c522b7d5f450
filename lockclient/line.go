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
// bounds how many are under way, so that a machine that is asked for more than it can
// do goes on doing as much as it can. What finds no room waits in line, and is neither
// counted as sent nor timed until it leaves.
//
// Heartbeats go in the order in which their leases run out. One whose lease can't be
// saved any more goes last. All other requests go in the order in which they came, and
// take turns with the heartbeats until one of these has spent half its lease: from then
// on heartbeats go first.
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
	callers  []*ticket     // all else that waits
	turn     bool          // the next place is for a caller, if one waits
	width    int           // how many places there are at present
	trip     time.Duration // how long requests took lately
	answer   time.Duration // when one was answered last
	newest   time.Duration // when the latest of those that were answered had been sent
	relief   wakeup        // of relieve
	relieved bool          // relief is not set
}

const (
	// mostPlaces is how many requests of one DynamoDB client are under way at most. More
	// would not be answered sooner by a machine that is busy, and fewer are enough for
	// thousands of requests a second. Where answers take longer than slowTrip, there are
	// fewer places, down to fewestPlaces: they would only wait elsewhere.
	mostPlaces   = 128
	fewestPlaces = 16
	slowTrip     = time.Second
	// silence is how long a request goes unanswered until it counts no more, if others
	// wait: a part of the network that is dead must not hold the rest up.
	silence = 2 * time.Second
)

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
// trusted until then, for window in all. start is called at once, or later in another
// goroutine. It must not block.
func (l *line) beat(until, window time.Duration, start func(*place)) {
	l.mu.Lock()
	heap.Push(&l.beats, &ticket{start: start, until: until, spent: until - window/2})
	admitted := l.admit()
	l.mu.Unlock()
	admitted.start()
}

// enter waits for a place until ctx is done.
func (l *line) enter(ctx context.Context) (*place, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, contextError(ctx))
	}
	in := make(chan *place, 1)
	t := &ticket{start: func(p *place) { in <- p }}
	l.mu.Lock()
	l.callers = append(l.callers, t)
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

// giveBack gives the place back. Later calls do nothing. answered says that the request was
// answered, and so how long one takes at present.
func (p *place) giveBack(answered bool) {
	l, now := p.l, p.l.clock.Monotonic()
	l.mu.Lock()
	// One slow answer says little. Many raise the estimate fast enough. One that was
	// cancelled, because its lease ran out meanwhile, would have taken longer still.
	if took := min(now-p.since, 2*l.trip+20*time.Millisecond); answered || !p.givenBack && took > l.trip {
		l.trip += (took - l.trip) / 8
	}
	if answered {
		l.answer, l.newest = now, max(l.newest, p.since)
		if l.trip > slowTrip {
			l.width = max(l.width-1, fewestPlaces)
		} else {
			l.width = min(l.width+1, mostPlaces)
		}
	}
	if !p.givenBack {
		p.givenBack = true
		l.taken--
	}
	admitted := l.admit()
	l.mu.Unlock()
	admitted.start()
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

// admit gives free places to those who wait. Called with mu held: give that up, then start
// them.
func (l *line) admit() (admitted admissions) {
	now := l.clock.Monotonic()
	for l.taken < l.width {
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

// relieve takes the places of requests that have gone unanswered for long, if others
// wait for them.
func (l *line) relieve(now lease.Instant) {
	l.mu.Lock()
	l.relieved = true
	if l.isCrowded() {
		for _, p := range l.inFlight {
			if now.Mono-p.since < silence {
				break
			}
			if !p.givenBack && l.hasHung(p, now.Mono, silence) {
				p.givenBack = true
				l.taken--
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
	return l.newest > p.since+patience/4 || now-l.answer > patience/4
}

// hasHung is the line's, for those who don't hold its mu.
func (p *place) hasHung(patience time.Duration) bool {
	now := p.l.clock.Monotonic()
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	return p.l.hasHung(p, now, patience)
}

// next takes the one that goes next out of the line, or returns nil. Called with mu
// held.
func (l *line) next(now time.Duration) *ticket {
	for len(l.beats) > 0 && l.beats[0].until-now < 2*l.trip {
		l.late = append(l.late, heap.Pop(&l.beats).(*ticket))
	}
	for len(l.callers) > 0 && l.callers[0].gone {
		l.callers = l.callers[1:]
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
		l.callers, l.late = nil, nil
		return nil
	}
	t.gone = true
	return t
}

// isCrowded reports whether a request waits for a place. Called with mu held.
func (l *line) isCrowded() bool { return len(l.beats)+len(l.late)+len(l.callers) > 0 }

// crowded is isCrowded for those who don't hold mu.
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
	l := &line{schedule: schedule{clock: clock}, relieved: true, width: mostPlaces, answer: clock.Monotonic()}
	l.newest = l.answer
	l.relief.call, l.relief.every = l.relieve, silence
	return l
}
