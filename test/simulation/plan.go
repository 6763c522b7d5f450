package simulation

import (
	"math/rand/v2"
	"time"
)

// plan is all that is decided before a run begins.
type plan struct {
	lease    time.Duration // the usual one
	faults   time.Duration // how long things go wrong
	odds     odds
	machines []machinePlan
	locks    int
	events   []plannedEvent
	probing  bool // every client is asked after every event what it believes; else only its own work asks
	twins    bool // all clients have one Identifier

	wholeSDK        bool          // no short cuts
	otherSDK        bool          // nor this SDK, where another is linked in
	sharedClients   bool          // the locks of a process share a DynamoDB client
	transactionTime time.Duration // between prepare and commit
	stranger        *strangerPlan // nil: none
	sessions        bool          // some machines have sessions
	closesLast      []int         // machines that close theirs when the faults are over

	// What may be promised of the wall clocks decides what may be asked of what relies on them.
	exactWalls   bool          // they all show true time: tokens rise even over deleted items
	maxClockSkew time.Duration // > 0: they differ by less than this
	deletions    bool          // items may vanish: DeleteOnRelease, operators
}

// machinePlan is one machine's part.
type machinePlan struct {
	rate       float64
	uptime     time.Duration // what its monotonic clock shows at the start
	wallOffset time.Duration
	latency    time.Duration // one way, typically
	named      bool          // its processes keep their Identifier over restarts
	reclaim    bool
	session    *sessionPlan // nil: its processes have none
	clients    []clientPlan
}

// clientPlan is one client of each process of a machine.
type clientPlan struct {
	lock            int
	elector         bool
	lease           time.Duration
	heartbeat       time.Duration
	poll            time.Duration
	deleteOnRelease bool
	ttl             time.Duration
	tries, stamps   bool // a bare client that also uses TryLock, and Stamp
	stranger        bool // of another make
	member          bool // of its process's session
	crowd           int  // of goroutines that use one bare client; 0: one, which goes about it in an orderly way
	maxClockSkew    time.Duration

	// An elector's:
	renewDeadline, retryPeriod, drainTimeout time.Duration
	jitter                                   float64
	releaseOnCancel, oneTerm, notice         bool
	stubborn                                 time.Duration // how long its work may ignore that it should stop
}

// plannedEvent is something that happens to a machine, or that an operator does to a lock, at a
// time that is known beforehand.
type plannedEvent struct {
	at      time.Duration
	kind    fault
	machine int
	lock    int
	lasts   time.Duration
	by      time.Duration // a jump
	rate    float64
}

// The rates of any two machines differ by less than the 1 % that is promised.
const slowest, fastest = 0.9952, 1.0048

func aRate(d *rand.Rand) float64 {
	switch d.IntN(4) {
	case 0:
		return slowest
	case 1:
		return fastest
	}
	return slowest + d.Float64()*(fastest-slowest)
}

func planOf(seed uint64) *plan {
	d := dice(seed, forPlan)
	p := &plan{
		lease:   []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 10 * time.Second}[d.IntN(4)],
		odds:    mixedOdds(d),
		locks:   1,
		probing: d.IntN(3) > 0,
		twins:   d.IntN(12) == 0,
	}
	if d.IntN(4) == 0 {
		p.locks = 2
	}
	p.faults = time.Duration((5 + 7*d.Float64()) * float64(p.lease))
	switch d.IntN(5) {
	case 0:
		p.exactWalls = true
	case 1:
		p.maxClockSkew = between(d, 10*time.Millisecond, 2*p.lease)
	}
	p.deletions = d.IntN(4) == 0
	if p.twins && !p.exactWalls {
		p.deletions = false // equal names and equal tokens: nothing would be left to tell tenures by
	}
	n := 2 + d.IntN(3)
	for id := range n {
		p.machines = append(p.machines, p.machine(d, id))
	}
	p.everyLockIsWanted(d)
	p.plannedEvents(d)
	p.extras(dice(seed, forExtras))
	p.otherSDK = dice(seed, forSDK).IntN(2) == 0
	p.planSessions(dice(seed, forSessions))
	p.planNotices(dice(seed, forNotices))
	return p
}

// extras are what came to be simulated later. They have dice of their own, so that old seeds keep
// their meaning.
func (p *plan) extras(d *rand.Rand) {
	p.sharedClients = d.IntN(2) == 0
	if d.IntN(3) == 0 {
		p.transactionTime = between(d, time.Millisecond, p.lease/20)
	}
	p.planStranger(d)
	crowded := d.IntN(4) == 0
	p.wholeSDK = d.IntN(32) == 0
	for i := range p.machines {
		for j := range p.machines[i].clients {
			c := &p.machines[i].clients[j]
			if d.IntN(3) == 0 {
				c.ttl = time.Hour + time.Duration(d.Int64N(int64(time.Hour))).Round(time.Second)
			}
			c.tries, c.stamps = d.IntN(2) == 0, d.IntN(2) == 0
			if n := 2 + d.IntN(3); crowded && !c.elector && d.IntN(4) > 0 {
				c.crowd = n
			}
		}
	}
}

// planNotices has half of the electors hand over with notice. They have dice of their own, too.
func (p *plan) planNotices(d *rand.Rand) {
	for i := range p.machines {
		for j := range p.machines[i].clients {
			c := &p.machines[i].clients[j]
			c.notice = c.elector && d.IntN(2) == 0
		}
	}
}

func (p *plan) machine(d *rand.Rand, id int) machinePlan {
	m := machinePlan{
		rate:       aRate(d),
		uptime:     time.Duration(d.Int64N(int64(2*time.Hour))) - time.Hour, // it counts from any moment, so that 0 is none that code may rely on
		wallOffset: time.Duration((d.Float64() - 0.5) * float64(time.Hour)),
		latency:    between(d, 500*time.Microsecond, p.lease/20),
		named:      d.IntN(2) == 0,
	}
	if d.IntN(3) == 0 {
		m.wallOffset = 0
	}
	m.reclaim = m.named && !p.twins && d.IntN(2) == 0
	switch {
	case p.exactWalls:
		m.rate, m.wallOffset = 1, 0
	case p.maxClockSkew > 0:
		m.rate = 1
		m.wallOffset = time.Duration((d.Float64() - 0.5) * 0.999 * float64(p.maxClockSkew))
	}
	for lock := range p.locks {
		if d.IntN(5) > 0 {
			m.clients = append(m.clients, p.client(d, lock))
		}
	}
	return m
}

func (p *plan) client(d *rand.Rand, lock int) clientPlan {
	c := clientPlan{
		lock:    lock,
		elector: d.IntN(2) == 0,
		lease:   []time.Duration{p.lease, p.lease, p.lease, p.lease / 2, p.lease * 2}[d.IntN(5)],
	}
	c.heartbeat = c.lease / []time.Duration{2, 3, 3, 4, 6}[d.IntN(5)]
	if d.IntN(3) == 0 {
		c.poll = between(d, c.heartbeat/4, c.lease)
	}
	c.deleteOnRelease = p.deletions && d.IntN(2) == 0
	if p.maxClockSkew > 0 && d.IntN(3) > 0 {
		c.maxClockSkew = p.maxClockSkew
	}
	if c.elector {
		c.planElector(d)
	}
	return c
}

// deadline is the elector's RenewDeadline, given or not.
func (c *clientPlan) deadline() time.Duration {
	if c.renewDeadline != 0 {
		return c.renewDeadline
	}
	return c.lease / 3 * 2
}

// drain is the elector's DrainTimeout, given or not.
func (c *clientPlan) drain() time.Duration {
	if c.drainTimeout != 0 {
		return c.drainTimeout
	}
	return c.lease
}

func (c *clientPlan) planElector(d *rand.Rand) {
	trusted := c.lease / 100 * 99
	share := func(a, b time.Duration) time.Duration {
		return (a + time.Duration(d.Float64()*float64(b-a))).Round(time.Microsecond)
	}
	if d.IntN(2) == 0 {
		c.renewDeadline = share(c.heartbeat+c.heartbeat/5, trusted-time.Millisecond)
		if d.IntN(3) == 0 {
			c.renewDeadline = trusted - time.Millisecond
		}
	}
	if d.IntN(2) == 0 {
		c.retryPeriod = share(c.heartbeat/8, c.heartbeat*9/10)
	}
	if d.IntN(2) == 0 {
		c.drainTimeout = share(c.heartbeat, 2*c.lease)
	}
	c.releaseOnCancel = d.IntN(2) == 0
	c.oneTerm = d.IntN(4) == 0
	if d.IntN(2) == 0 {
		c.stubborn = share(time.Millisecond, 2*c.lease)
	}
}

// everyLockIsWanted gives each lock two clients at least.
func (p *plan) everyLockIsWanted(d *rand.Rand) {
	for lock := range p.locks {
		wanted := 0
		for i := range p.machines {
			for _, c := range p.machines[i].clients {
				if c.lock == lock {
					wanted++
				}
			}
		}
		for i := 0; wanted < 2; i++ {
			m := &p.machines[i]
			has := false
			for _, c := range m.clients {
				has = has || c.lock == lock
			}
			if !has {
				m.clients = append(m.clients, p.client(d, lock))
				wanted++
			}
		}
	}
}

// plannedEvents choose what happens to the machines.
func (p *plan) plannedEvents(d *rand.Rand) {
	for id := range p.machines {
		p.machineEvents(d, id)
	}
	if d.IntN(5) > 0 {
		return
	}
	for range 1 + d.IntN(3) {
		e := plannedEvent{at: p.moment(d), kind: []fault{itemReleased, itemTouched, itemDeleted, itemReplaced}[d.IntN(4)], machine: -1, lock: d.IntN(p.locks)}
		if e.kind >= itemDeleted && !p.deletions && (e.kind == itemDeleted || e.kind == itemReplaced) {
			continue
		}
		p.events = append(p.events, e)
	}
}

func (p *plan) moment(d *rand.Rand) time.Duration {
	return time.Duration(d.Int64N(int64(p.faults)))
}

// machineEvents are those of one machine. A machine that is suspended in this run has its wall
// clock set back never, or the other way round: what both together do to it is not promised.
func (p *plan) machineEvents(d *rand.Rand, id int) {
	kinds := []fault{paused, crashed, cutOutwards, cutInwards, cutOff}
	sleeps := d.IntN(2) == 0
	if sleeps {
		kinds = append(kinds, suspended, suspended)
	}
	if !p.exactWalls && p.maxClockSkew == 0 {
		kinds = append(kinds, wallForward, rateChanged)
		if !sleeps {
			kinds = append(kinds, wallBack, wallBack)
		}
	}
	d.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	kinds = kinds[d.IntN(len(kinds)):] // fewer kinds here, more of each
	for range d.IntN(7) {
		e := plannedEvent{at: p.moment(d), kind: kinds[d.IntN(len(kinds))], machine: id, lasts: between(d, p.lease/20, 4*p.lease)}
		e.by = between(d, time.Millisecond, 100*p.lease)
		e.rate = aRate(d)
		p.events = append(p.events, e)
	}
}
