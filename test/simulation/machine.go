package simulation

import (
	"math"
	"slices"
	"time"
)

// machine is one node: a clock that may lie, a network connection that may be cut, and a process
// that may stand still or die.
//
// test/nodeclock is the same for tests that look at one clock at a time; here each timer is an
// event of the world's queue, so that those that come due together, as after a pause, fire one
// after the other in an order that the seed decides.
//
// The world's mu guards everything below the plan.
type machine struct {
	w    *world
	id   int
	plan machinePlan

	rate      float64       // of both clocks
	mark      time.Duration // when the next two were right: at the last change
	monoThen  time.Duration
	wallThen  time.Time
	paused    time.Duration // until then; 0: not
	suspended time.Duration // until then; 0: not
	timers    []*timer      // not fired, oldest first
	upset     time.Duration // when last it had stood still until, or its wall clock was set
	waking    []func()      // what happens when it runs again: requests leave, replies arrive
	wakes     uint64

	cutOut, cutIn time.Duration // until then; 0: not
	life          int           // of its process, counting from 0
	down          bool          // not started, or crashed and not restarted
	clients       []*client     // of the present process
	process       *process
}

type timer struct {
	process *process
	due     time.Duration // on the monotonic clock
	f       func()
	event   *event // nil while the clock stands
}

func newMachine(w *world, id int, p machinePlan) *machine {
	return &machine{w: w, id: id, plan: p, rate: p.rate, monoThen: p.uptime, wallThen: w.start.Round(0).Add(p.wallOffset), down: true}
}

// passed is the time since mark by the machine's own pace. Called with mu held, as all that
// follows.
func (m *machine) passed() time.Duration {
	return time.Duration(float64(m.w.now()-m.mark) * m.rate)
}

func (m *machine) mono() time.Duration {
	if m.suspended != 0 {
		return m.monoThen
	}
	return m.monoThen + m.passed()
}

func (m *machine) wall() time.Time { return m.wallThen.Add(m.passed()) }

func (m *machine) stands() bool { return m.paused != 0 || m.suspended != 0 }

// change carries out what happens to the machine and sets its timers anew. Where it runs again
// after having stood still, everything that is overdue happens a nanosecond apart, in an order of
// its own each time.
func (m *machine) change(what func()) {
	m.monoThen, m.wallThen, m.mark = m.mono(), m.wall(), m.w.now()
	stood := m.stands()
	what()
	for _, t := range m.timers {
		m.disarm(t)
	}
	if m.stands() {
		return
	}
	if !stood {
		for _, t := range m.timers {
			m.arm(t)
		}
		return
	}
	m.wakes++
	m.upset = m.w.now()
	d := dice(m.w.seed, forWaking, uint64(m.id), m.wakes)
	late := 0
	for _, t := range m.timers {
		if t.due <= m.mono() && !t.process.frozen() {
			late++
		} else {
			m.arm(t)
		}
	}
	order := d.Perm(late + len(m.waking))
	place := 0
	when := func() time.Duration {
		place++
		return m.w.now() + time.Duration(1+order[place-1])
	}
	for _, t := range m.timers {
		if t.due <= m.mono() && !t.process.frozen() {
			m.armAt(t, when())
		}
	}
	waking := m.waking
	m.waking = nil
	for _, do := range waking {
		m.w.at(when(), m.id, do)
	}
}

func (m *machine) arm(t *timer) {
	if m.stands() || t.process.frozen() {
		return
	}
	wait := time.Duration(math.Ceil(float64(t.due-m.mono()) / m.rate))
	m.armAt(t, m.w.now()+max(wait, 0))
}

func (m *machine) armAt(t *timer, when time.Duration) {
	t.event = m.w.at(when, m.id, func() { m.fire(t) })
}

func (m *machine) disarm(t *timer) {
	if t.event != nil {
		t.event.dropped = true
		t.event = nil
	}
}

// fire is called without mu, by the driver.
func (m *machine) fire(t *timer) {
	m.w.mu.Lock()
	if m.stands() || t.process.frozen() || !slices.Contains(m.timers, t) {
		m.w.mu.Unlock()
		return
	}
	if t.due > m.mono() { // a rounding
		m.arm(t)
		m.w.mu.Unlock()
		return
	}
	m.drop(t)
	m.w.mu.Unlock()
	go t.f()
}

func (m *machine) drop(t *timer) bool {
	i := slices.Index(m.timers, t)
	if i < 0 {
		return false
	}
	m.timers = slices.Delete(m.timers, i, i+1)
	m.disarm(t)
	return true
}

// pause stops the process for a while: time passes, and nothing runs.
func (m *machine) pause(d time.Duration) {
	until := m.w.now() + d
	if until <= m.paused {
		return
	}
	m.note("paused", d.String())
	m.change(func() { m.paused = until })
	m.w.at(until, m.id, func() { m.w.locked(m.wakeUp) })
}

// suspend puts the machine to sleep: its monotonic clock and its timers stand.
func (m *machine) suspend(d time.Duration) {
	until := m.w.now() + d
	if until <= m.suspended {
		return
	}
	m.note("suspended", d.String())
	m.change(func() { m.suspended = until })
	m.w.at(until, m.id, func() { m.w.locked(m.wakeUp) })
}

// wakeUp ends what is over by now.
func (m *machine) wakeUp() {
	now := m.w.now()
	over := func(until time.Duration) bool { return until != 0 && (until <= now || m.w.healing) }
	if !over(m.paused) && !over(m.suspended) {
		return
	}
	m.change(func() {
		if over(m.paused) {
			m.paused = 0
		}
		if over(m.suspended) {
			m.suspended = 0
		}
	})
	if !m.stands() {
		m.note("runs again", "")
	}
}

func (m *machine) note(what, detail string) { m.w.timeline.add(m.w.now(), m.id, -1, what, detail) }

// locked runs do with mu held.
func (w *world) locked(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// view is the machine's clock as one process sees it: lockclient.Clock and election.Clock. Its
// Jitter makes that of the lock a function of the seed.
type view struct{ p *process }

func (v view) Monotonic() time.Duration {
	v.p.w.mu.Lock()
	defer v.p.w.mu.Unlock()
	return v.p.machine.mono()
}

func (v view) Wall() time.Time {
	v.p.w.mu.Lock()
	defer v.p.w.mu.Unlock()
	return v.p.machine.wall()
}

func (v view) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	m := v.p.machine
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	t := &timer{process: v.p, due: m.mono() + max(d, 0), f: f}
	m.timers = append(m.timers, t)
	m.arm(t)
	return func() bool {
		m.w.mu.Lock()
		defer m.w.mu.Unlock()
		return m.drop(t)
	}
}

func (v view) Jitter(upTo time.Duration) time.Duration {
	p := v.p
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.undead {
		return upTo / 2 // what is left of it wakes all at one instant, and asks in no certain order
	}
	p.jitters++
	p.w.draws++
	return time.Duration(dice(p.w.seed, forJitter, p.key(), p.jitters).Int64N(int64(upTo) + 1))
}
