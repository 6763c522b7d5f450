package shards

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
	"github.com/leaderkit/leaderkit/test/nodeclock"
)

// A run is a function of its seed, although many goroutines wake at one instant and nobody can say
// which of them is first. So nothing of a run depends on that:
//
//   - Each decision has dice of its own, made from the seed and from what is decided. That is who
//     decides, what about, and when: the virtual time to the nanosecond. Two goroutines that ask
//     the same at one instant are told the same.
//   - A goroutine that wakes has to wait for a moment that is drawn for it (apart), so that those
//     which wake together go on one after the other.
//   - Where nothing else tells what is asked for, the place in the code does (site).
//   - There is no garbage collection during a run. lockclient remembers what it knows of another's
//     session for as long as that is in memory, and would look at the session once more.
//
// Of 60 seeds one, 55, sometimes differs from its repetition all the same.

// collectNoGarbage turns the garbage collector off, except where a run takes far more memory than
// runs do.
func collectNoGarbage() (again func()) {
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(1<<30)
	return func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	}
}

// dice are the random numbers of one decision. Each decision has its own, so that who comes first
// changes nobody's luck.
func (s *simulation) dice(decision ...any) *luck {
	return &luck{rand.New(rand.NewPCG(s.seed, mix(hashOf(fmt.Sprint(decision...)))))}
}

// luck is dice with durations.
type luck struct{ *rand.Rand }

func (l *luck) N(d time.Duration) time.Duration { return time.Duration(l.Int64N(int64(d))) }

func (l *luck) oneIn(n int) bool { return l.IntN(n) == 0 }

// farApart is how long those that wake at one instant are apart at most.
const farApart = 100 * time.Microsecond

// diceFor are the dice of something that a player does at this instant.
func (p *player) diceFor(what string) *luck {
	return p.s.dice(what, " of ", p.number, " at ", int64(p.s.now()))
}

// apart has those that wake at one instant go on one after the other.
func (p *player) apart(what string) {
	time.Sleep(p.diceFor(what).N(farApart)) // sleep: in a bubble
}

// diced is the clock of a machine whose jitter is that of the seed, and whose timers fire one after
// the other.
type diced struct {
	*nodeclock.Clock
	p *player
}

func (c diced) Jitter(upTo time.Duration) time.Duration {
	return c.p.diceFor("jitter " + site()).N(max(upTo, 0) + 1)
}

func (c diced) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	later := c.p.diceFor("timer " + site()).N(farApart)
	return c.Clock.AfterFunc(d, func() {
		time.Sleep(later) // sleep: in a bubble
		_ = c.AwaitRunning(context.Background())
		f()
	})
}

var _ lease.Clock = diced{}

// site names the place in the code that asks a clock for something: the functions that led there.
func site() string {
	var pcs [12]uintptr
	n := runtime.Callers(3, pcs[:])
	frames := runtime.CallersFrames(pcs[:n])
	var names []string
	for {
		frame, more := frames.Next()
		if name, ours := strings.CutPrefix(frame.Function, "github.com/leaderkit/leaderkit/"); ours {
			names = append(names, name)
		}
		if !more {
			return strings.Join(names, " ")
		}
	}
}

// serial makes the names of sessions and members those of the seed.
type serial struct {
	mu     sync.Mutex
	random *luck
}

func (s *serial) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range p {
		p[i] = byte(s.random.Uint32())
	}
	return len(p), nil
}

// named gives the members of a player ids of the seed.
type named struct {
	source
	p *player
}

func (n named) newID() (string, error) {
	return fmt.Sprintf("%016x-r%d", n.p.diceFor("id").Uint64(), n.p.number), nil
}

func (n named) lock(name string, deleted bool) lock {
	return apartLock{n.source.lock(name, deleted), n.p, name}
}

// apartLock is a lock whose requests begin and end apart from those of others.
type apartLock struct {
	lock
	p    *player
	name string
}

func (l apartLock) apart(do func()) {
	l.p.apart("begin " + l.name)
	do()
	l.p.apart("end " + l.name)
}

func (l apartLock) GetLockWithContext(ctx context.Context) (held bool, err error) {
	l.apart(func() { held, err = l.lock.GetLockWithContext(ctx) })
	return held, err
}

func (l apartLock) PollLock(ctx context.Context) (held bool, err error) {
	l.apart(func() { held, err = l.lock.PollLock(ctx) })
	return held, err
}

func (l apartLock) RemoveLockWithContext(ctx context.Context) (err error) {
	l.apart(func() { err = l.lock.RemoveLockWithContext(ctx) })
	return err
}

// plain names the items of a request, with the number of its player in the place of a session's
// uuid. Called with mu held.
func (p *player) plain(operation, names string) string {
	id, session := strings.CutPrefix(names, "leaderkit/session/")
	if !session {
		return names
	}
	if p.s.sessions[id] == "" && operation == "UpdateItem" {
		p.opened++
		p.s.sessions[id] = fmt.Sprint(p.opened, " of ", p)
	}
	return "session " + p.s.sessions[id]
}
