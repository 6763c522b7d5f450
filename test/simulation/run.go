package simulation

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant Invariant
	Detail    string
	At        time.Duration
	Who       string
}

func (v *Violation) Error() string {
	if v.Who == "" {
		return fmt.Sprintf("%s (%s, at %v)", v.Invariant, v.Detail, v.At)
	}
	return fmt.Sprintf("%s (%s, at %v by %s)", v.Invariant, v.Detail, v.At, v.Who)
}

// Result is what became of a run.
type Result struct {
	Seed      uint64
	Violation *Violation // nil: every invariant held
	Figures   Figures
	timeline  timeline
	draws     int // how often a lock has asked for jitter
}

// Run makes the run that belongs to a seed, in a bubble of virtual time.
func Run(t *testing.T, seed uint64) *Result { return runPlan(t, seed, planOf(seed)) }

func runPlan(t *testing.T, seed uint64, p *plan) *Result {
	result := &Result{Seed: seed}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed, p)
		forgetBursts(w.server)
		w.play()
		result.Violation = w.violation
		result.Figures = *w.figures
		result.draws = w.draws
		result.timeline = w.timeline
		if result.Violation != nil {
			w.abandon()
			return
		}
		w.letGo()
	})
	return result
}

// letGo takes the locks away from the clients of a run that is over. A DynamoDB client of the
// simulation's leads to them, lockclient knows its clients for as long as one of them uses it, and
// so each run would keep its megabyte for ever.
func (w *world) letGo() {
	for _, c := range w.clients {
		c.DynamoDBLockClient, c.elector, c.news, c.session = nil, nil, nil, nil
	}
}

// Write prints the violation, how to see it again, and what led to it.
func (r *Result) Write(out io.Writer, last int) {
	fmt.Fprintf(out, "seed %d\n", r.Seed)
	r.timeline.write(out, last)
	if r.Violation != nil {
		fmt.Fprintf(out, "VIOLATION (seed %d): %v\nagain: hack/simulate.sh -seed %d -trace\n", r.Seed, r.Violation, r.Seed)
	}
}

func newWorld(seed uint64, p *plan) *world {
	w := &world{
		seed: seed, plan: p, start: time.Now(), figures: &Figures{Runs: 1},
		healed: make(chan struct{}), wake: make(chan struct{}, 1), versions: map[string]bool{},
		sessions: map[string]*seenSession{}, memberOf: map[grant]*seenSession{},
	}
	w.writes.seen, w.writes.stamps = map[int]int{}, make([]int64, p.locks)
	w.timeline.clients = &w.clients
	w.server = newServer(w)
	for lock := range p.locks {
		w.beliefs = append(w.beliefs, newBelief(w, lock))
	}
	for id, mp := range p.machines {
		w.machines = append(w.machines, newMachine(w, id, mp))
	}
	return w
}

// aftermath is how long the last traces of the faults may take to vanish.
const aftermath = 500 * time.Millisecond

// play is a run from its start to its end.
func (w *world) play() {
	goroutines := runtime.NumGoroutine()
	w.mu.Lock()
	for _, m := range w.machines {
		// Not all at once, or they would go on in step.
		delay := time.Duration(dice(w.seed, forMachine, uint64(m.id)).Int64N(int64(w.plan.lease)))
		w.at(delay, m.id, m.boot)
	}
	if p := w.plan.stranger; p != nil {
		w.stranger = w.newStranger(p)
		w.stranger.ended.Add(1)
		w.at(0, w.stranger.machine.id, func() { go w.stranger.live() })
	}
	for n, e := range w.plan.events {
		w.at(e.at, max(e.machine, 0), func() { w.happens(e, n) })
	}
	w.mu.Unlock()

	w.drive(w.plan.faults, nil)
	if !w.failed() {
		w.heal()
		synctest.Wait() // those whom that wakes send at this instant, all of them
		w.mustBeLedSoon()
	}
	if !w.failed() {
		w.closeLast()
		w.drive(w.now()+3*w.plan.lease, nil)
	}
	w.figures.Events = w.step
	w.figures.Virtual = w.now()
	if !w.failed() {
		w.end(goroutines)
	}
}

// boot starts the processes of a machine. It is an event.
func (m *machine) boot() {
	m.w.mu.Lock()
	m.down = false
	m.clients = nil
	process := m.newProcess()
	m.process = process
	if m.w.plan.sessions {
		process.newSession(m.plan.session)
	}
	for slot, p := range m.plan.clients {
		c := process.newClient(slot, p)
		process.clients = append(process.clients, c)
		m.clients = append(m.clients, c)
		m.w.clients = append(m.w.clients, c)
		c.noteLocked("starts", fmt.Sprintf("%q, lease %v, heartbeat %v", c.Identifier, p.lease, p.heartbeat))
	}
	clients := m.clients
	m.w.mu.Unlock()
	if c := process.keeper; process.session != nil {
		c.ended.Add(2)
		go c.keep()
		go c.waitForEnds()
		synctest.Wait()
	}
	for _, c := range clients {
		c.ended.Add(1)
		if c.plan.elector {
			c.newElector()
			c.ended.Add(1)
			go c.campaign()
			synctest.Wait() // one after the other, or their first steps would come in any order
			go c.resigns()
		} else if c.plan.crowd > 0 {
			c.ended.Add(c.plan.crowd - 1)
			for i := range c.plan.crowd {
				go c.jostle(i)
				synctest.Wait()
			}
		} else {
			go c.live()
		}
		synctest.Wait()
	}
}

// crash ends the machine's processes, wherever they are. Called with mu held.
func (m *machine) crash(down time.Duration) {
	if m.down {
		return
	}
	m.note("crashes", "")
	m.down = true
	m.process.dead = true
	m.change(func() { m.paused = 0 })
	m.waking = nil
	restart := restartedNew
	if m.plan.named || m.w.plan.twins {
		restart = restartedSame
	}
	life := m.life
	m.w.at(m.w.now()+down, m.id, func() { m.restart(life, restart) })
}

// restart is an event.
func (m *machine) restart(life int, how fault) {
	m.w.mu.Lock()
	if !m.down || m.life != life || m.w.ending {
		m.w.mu.Unlock()
		return
	}
	m.life++
	m.w.figures.Faults[how]++
	m.change(func() { m.suspended = 0 })
	m.note("restarts", "")
	m.w.mu.Unlock()
	m.boot()
}

// happens carries out a planned event.
func (w *world) happens(e plannedEvent, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.machine < 0 {
		w.server.operate(e.kind, e.lock, n)
		return
	}
	m := w.machines[e.machine]
	w.figures.Faults[e.kind]++
	switch e.kind {
	case paused:
		m.pause(e.lasts)
	case suspended:
		m.suspend(e.lasts)
	case crashed:
		m.crash(e.lasts)
	case sessionClosed:
		w.figures.Faults[e.kind]-- // counted if there is one
		m.close(e.lasts)
	case sessionDeleted:
		w.figures.Faults[e.kind]--
		w.server.deleteSession(m.process)
	case cutOutwards:
		m.cut(&m.cutOut, e)
	case cutInwards:
		m.cut(&m.cutIn, e)
	case cutOff:
		m.cut(&m.cutOut, e)
		m.cut(&m.cutIn, e)
	case wallForward:
		m.note("wall clock set forward", e.by.String())
		m.change(func() { m.wallThen, m.upset = m.wallThen.Add(e.by), m.w.now() })
	case wallBack:
		m.note("wall clock set back", e.by.String())
		m.change(func() { m.wallThen, m.upset = m.wallThen.Add(-e.by), m.w.now() })
	case rateChanged:
		m.note("clock rate", fmt.Sprint(e.rate))
		m.change(func() { m.rate = e.rate })
	}
}

func (m *machine) cut(direction *time.Duration, e plannedEvent) {
	m.note(e.kind.String(), e.lasts.String())
	*direction = max(*direction, m.w.now()+e.lasts)
}

// heal ends all faults: machines run, connections work, and what is still in the network arrives
// now or never.
func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.healing = true
	close(w.healed)
	w.timeline.add(w.now(), -1, -1, "the faults end", "")
	if w.stranger != nil {
		w.stranger.cancel()
	}
	for _, m := range w.machines {
		m.wakeUp()
		if m.down {
			life, how := m.life, restartedNew
			if m.plan.named {
				how = restartedSame
			}
			w.at(w.now()+time.Millisecond, m.id, func() { m.restart(life, how) })
		}
	}
	d := dice(w.seed, forWaking)
	for _, e := range w.underWay {
		if !e.dropped && e.at > w.now() {
			e.dropped = true
			w.at(min(e.at, w.now()+time.Duration(d.Int64N(int64(aftermath/4)))), e.machine, e.do)
		}
	}
	w.underWay = nil
}

// mustBeLedSoon: after the faults, every lock is held within the lease that stands in its record,
// one back-off, one poll and one request that hangs.
func (w *world) mustBeLedSoon() {
	healed, step := w.now(), w.step
	led := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, b := range w.beliefs {
			// What a network repeats after it was refused may take a lock for nobody. A lease would
			// run out, a session lives: see lockclient.Session.
			if r := w.server.records[b.lock]; r.orphan && r.holder != nil && !w.memberOf[*r.holder].marked {
				continue
			}
			if b.led <= step {
				return false
			}
		}
		return true
	}
	var bound time.Duration
	for _, b := range w.beliefs {
		bound = max(bound, w.bound(b.lock))
	}
	if !w.drive(healed+bound, led) && !w.failed() {
		w.violate(nil, LedAgain, fmt.Sprintf("nobody leads for %v after the faults", bound))
	}
}

// bound is how long a lock may stay without a holder after the faults.
func (w *world) bound(lock int) time.Duration {
	lease, each := w.plan.lease, time.Duration(0)
	for _, m := range w.machines {
		for _, c := range m.plan.clients {
			if c.lock != lock {
				continue
			}
			lease = max(lease, c.lease)
			hang := min(max(c.lease/2, time.Second), 5*time.Second, c.lease)
			pause := max(c.lease, c.poll) // a back-off at its longest; a release is noticed within a poll
			if c.elector {
				pause += c.lease // one that has resigned stands aside
			}
			if w.plan.sessions {
				pause += 2 * (hang + c.heartbeat) // a session to follow, and to mark; one that has to free what nobody believes in
			}
			each = max(each, hang+pause+c.stubborn+c.heartbeat)
		}
	}
	return lease*102/100 + each*102/100 + aftermath
}

// end ends every client and sees that nothing is left of it.
func (w *world) end(goroutines int) {
	w.mu.Lock()
	w.ending = true
	clients := w.clients
	w.mu.Unlock()
	for _, c := range clients {
		if !c.dead {
			c.cancel()
			synctest.Wait()
		}
	}
	var longest time.Duration
	for _, c := range clients {
		longest = max(longest, c.plan.lease+c.plan.stubborn)
	}
	patience := 2*longest + 10*time.Second
	if w.plan.sessions {
		patience += 2 * longest // they are closed when all else has ended
	}
	if c := w.awaitEnd(patience, func(c *client) bool { return !c.dead }); c != nil {
		w.violate(c, ClientsEnd, fmt.Sprintf("it has not returned for %v", patience))
		return
	}
	w.bury(clients)
	if c := w.awaitEnd(patience, func(c *client) bool { return true }); c != nil {
		w.violate(c, ClientsEnd, fmt.Sprintf("what a crash left of it has not returned for %v", patience))
		return
	}
	w.drive(w.now()+patience, nil)
	if runtime.NumGoroutine() <= goroutines { // cheap, but counts what the runtime starts as well
		return
	}
	if left := othersInBubble(); len(left) > 0 {
		w.violate(nil, NothingLeft, fmt.Sprintf("%d goroutines\n%s", len(left), strings.Join(left, "\n\n")))
	}
}

// othersInBubble are the stacks of the goroutines that are in the bubble of the caller, but for
// itself and those that make the bubble.
func othersInBubble() []string {
	all := make([]byte, 1<<20)
	stacks := strings.Split(string(all[:runtime.Stack(all, true)]), "\n\n")
	head := func(stack string) string { return strings.SplitN(stack, "\n", 2)[0] }
	_, bubble, _ := strings.Cut(head(stacks[0]), "synctest ")
	return slices.DeleteFunc(stacks[1:], func(stack string) bool {
		return !strings.Contains(head(stack), bubble) || strings.Contains(stack, "testing/synctest.")
	})
}

// bury lets what is left of crashed processes end: their clocks go on, all they send fails.
func (w *world) bury(clients []*client) {
	w.mu.Lock()
	for _, c := range clients {
		if p := c.process; p.dead && !p.undead {
			p.undead = true
			close(p.gone)
		}
	}
	for _, m := range w.machines {
		m.change(func() {})
	}
	w.mu.Unlock()
	for _, c := range clients {
		c.cancel()
		synctest.Wait()
	}
}

// awaitEnd lets things happen until every client of those has returned; it gives one that hasn't.
func (w *world) awaitEnd(patience time.Duration, those func(*client) bool) *client {
	until := w.now() + patience
	for _, c := range w.clients {
		if !those(c) {
			continue
		}
		ended := false
		go func() {
			c.ended.Wait()
			ended = true
		}()
		synctest.Wait()
		if !ended && !w.drive(until, func() bool { return ended }) {
			return c
		}
	}
	return nil
}

// abandon ends a run in which an invariant was violated: whatever is left must end, or the bubble
// can't be left.
func (w *world) abandon() {
	if !w.isHealing() {
		close(w.healed)
	}
	w.mu.Lock()
	w.violation, w.ending, w.over, w.healing = nil, true, true, true
	w.queue = nil // what happens to them from now on is not used
	clients := w.clients
	for _, c := range clients {
		c.dead = true
	}
	for _, m := range w.machines {
		m.wakeUp()
	}
	w.mu.Unlock()
	w.bury(clients)
	w.drive(w.now()+time.Minute, nil)
}

func (w *world) violate(c *client, invariant Invariant, detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violateLocked(c, invariant, detail)
}

// violateLocked notes that an invariant did not hold; only the first counts.
func (w *world) violateLocked(c *client, invariant Invariant, detail string) {
	if w.violation != nil || w.over || c != nil && c.dead {
		return
	}
	v := &Violation{Invariant: invariant, Detail: detail, At: w.now()}
	if c != nil {
		v.Who = c.String()
	}
	w.violation = v
	number, machine := -1, -1
	if c != nil {
		number, machine = c.number, c.machine.id
	}
	w.timeline.add(w.now(), machine, number, "VIOLATION: "+string(invariant), detail)
}
