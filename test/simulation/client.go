package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// process is one life of a machine's process. Its clients share a clock, and in some runs the
// DynamoDB client, too.
type process struct {
	w       *world
	machine *machine
	life    int           // counting from 0
	gone    chan struct{} // closed when the run has ended for a process that had crashed: its calls fail
	shared  dynamodbiface.DynamoDBAPI

	// Guarded by the world's mu:
	clients []*client
	dead    bool // it has crashed
	undead  bool // and the run has ended: what is left of it may go
	jitters uint64
	opened  int  // sessions
	closing bool // its session is being closed, or was

	session *lockclient.Session // nil: none
	keeper  *client             // which stands for it
}

func (m *machine) newProcess() *process {
	p := &process{w: m.w, machine: m, life: m.life, gone: make(chan struct{})}
	if m.w.plan.sharedClients {
		p.shared = newAPI(&transport{process: p})
	}
	return p
}

// otherSDK makes clients of another SDK. nil: none is linked in, as this module knows one only. The
// tests of lockclient/sdkv2 add a file that sets it, and then half of all seeds run on that.
var otherSDK func(*aws.Config) dynamodbiface.DynamoDBAPI

func newAPI(t *transport) dynamodbiface.DynamoDBAPI {
	if t.process.w.plan.otherSDK && otherSDK != nil {
		return otherSDK(wire.Config(t))
	}
	sdk := wire.NewClient(t, func(config *aws.Config) {
		config.Credentials = credentials.AnonymousCredentials // a signature costs more than all else
	})
	if t.process.w.plan.wholeSDK {
		return sdk
	}
	return &shortCut{sdk, t}
}

// key is what tells the process from all others, in every run of the seed.
func (p *process) key() uint64 { return uint64(p.machine.id)<<32 | uint64(p.life)<<8 }

// frozen: nothing of it runs any more. Called with mu held.
func (p *process) frozen() bool { return p.dead && !p.undead }

// client is one lock client, or one elector, of one process on one machine. It lives until its
// process crashes or the run ends.
type client struct {
	*lockclient.DynamoDBLockClient
	*process
	slot    int // its place among the clients of its process
	number  int // among all clients of the run
	plan    clientPlan
	api     dynamodbiface.DynamoDBAPI
	elector *election.LeaderElector // nil: bare
	news    *news                   // what that tells of who leads

	ctx    context.Context // done when the run ends
	cancel context.CancelFunc
	ended  sync.WaitGroup // for all goroutines of the client's own

	// Guarded by the world's mu:
	works     uint64
	known     int64 // the highest fencing token of its lock that an answer has shown it
	sent      [kinds]uint64
	term      *termSeen     // what its elector says of the term; nil: none
	serials   map[int64]int // how often it was given a token
	lax       int64         // token of a tenure whose heartbeats it has stopped itself
	acked     uint64        // number of the last heartbeat sent when one was acknowledged in time, or an acquire
	ackedAt   time.Duration
	ackedSent time.Duration // when that had been sent
	hold      *holdSeen     // what a bare client has won and not given up itself; nil: nothing
	working   bool          // its elector's work has begun and not returned
	waiting   bool          // it is in WaitForLock, for as long as it takes
	waits     int           // how often it has been
	refusals  []refusal     // of its heartbeats
}

// holdSeen is a tenure as a bare client sees it.
type holdSeen struct {
	token int64
	lost  <-chan struct{}
	aging <-chan struct{}
}

// refusal is the arrival of a heartbeat's refusal.
type refusal struct {
	sent time.Duration // the heartbeat
	step int
}

func (p *process) newClient(slot int, plan clientPlan) *client {
	c := &client{process: p, slot: slot, number: len(p.w.clients), plan: plan, serials: map[int64]int{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if c.api = p.shared; c.api == nil && !plan.member {
		c.api = newAPI(&transport{process: p, client: c})
	}
	c.DynamoDBLockClient = &lockclient.DynamoDBLockClient{
		LockName:         lockName(plan.lock),
		TableName:        lockTable,
		Identifier:       c.identifier(),
		LeaseDuration:    plan.lease,
		HeartbeatPeriod:  plan.heartbeat,
		PollPeriod:       plan.poll,
		DeleteOnRelease:  plan.deleteOnRelease,
		TTL:              plan.ttl,
		MaxClockSkew:     plan.maxClockSkew,
		ReclaimOnRestart: p.machine.plan.reclaim,
		Client:           c.api,
		Clock:            view{p},
	}
	if plan.member {
		l := c.DynamoDBLockClient
		l.Session = p.session // which has all that is taken away here
		l.TableName, l.Identifier, l.LeaseDuration, l.HeartbeatPeriod, l.Client, l.Clock = "", "", 0, 0, nil, nil
		c.api = p.keeper.api
	}
	return c
}

func (c *client) identifier() string {
	switch {
	case c.w.plan.twins:
		return "twin"
	case c.machine.plan.named:
		return fmt.Sprintf("m%d", c.machine.id)
	default:
		return fmt.Sprintf("m%d-%d", c.machine.id, c.life)
	}
}

func (c *client) String() string {
	kind := "client"
	if c.plan.stranger {
		kind = "stranger"
	}
	if c.plan.elector {
		kind = "elector"
	}
	if c.plan.lock < 0 {
		return fmt.Sprintf("m%d.%d session", c.machine.id, c.life)
	}
	return fmt.Sprintf("m%d.%d %s of %s", c.machine.id, c.life, kind, lockName(c.plan.lock))
}

// key is what tells the client from all others, in every run of the seed.
func (c *client) key() uint64 {
	return c.process.key() | uint64(c.slot)
}

// luck is dice for the client's next own decision.
func (c *client) luck() *rand.Rand {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.works++
	return dice(c.w.seed, forWork, c.key(), c.works)
}

func (c *client) note(what, detail string) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.noteLocked(what, detail)
}

func (c *client) noteLocked(what, detail string) {
	c.w.timeline.add(c.w.now(), c.machine.id, c.number, what, detail)
}

// sleep waits on the machine's clock; false: ctx was done first.
func (c *client) sleep(ctx context.Context, d time.Duration) bool {
	woken := make(chan struct{})
	stop := view{c.process}.AfterFunc(d, func() { close(woken) })
	select {
	case <-woken:
		return true
	case <-ctx.Done():
		stop()
		return false
	}
}

// rest is sleep for a client that wants nothing; it ends with the faults.
func (c *client) rest(d time.Duration) {
	woken := make(chan struct{})
	stop := view{c.process}.AfterFunc(d, func() { close(woken) })
	defer stop()
	select {
	case <-woken:
	case <-c.ctx.Done():
	case <-c.w.healed:
	}
}

// within is context.WithTimeout on the machine's clock.
func (c *client) within(ctx context.Context, d time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := view{c.process}.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// live is the life of a bare client: it waits for the lock in one way or another, works, and lets
// go in one way or another, over and over.
func (c *client) live() {
	defer c.ended.Done()
	defer func() { _ = c.RemoveLock() }()
	for c.ctx.Err() == nil {
		d := c.luck()
		if c.acquire(d) {
			c.work(d)
			c.letGo(d)
		}
		if c.ctx.Err() == nil {
			c.rest(between(d, time.Millisecond, c.plan.lease))
		}
	}
}

// acquire reports whether the lock is held.
func (c *client) acquire(d *rand.Rand) bool {
	ctx := c.ctx
	if d.IntN(3) == 0 && !c.w.isHealing() {
		patience := between(d, c.plan.lease/10, 3*c.plan.lease)
		var cancel func()
		ctx, cancel = c.within(ctx, patience)
		defer cancel()
		defer c.mustReturnBy(c.w.now(), view{c.process}.Monotonic()+patience)
	}
	how := d.IntN(3)
	if c.plan.tries && d.IntN(2) == 0 {
		how = 3
	}
	switch how {
	case 3:
		err := c.TryLock(ctx)
		if err != nil && !errors.Is(err, lockclient.ErrLockHeld) {
			c.mustBeTransient(err)
		}
		return err == nil
	case 0:
		for ctx.Err() == nil {
			if held, err := c.GetLockWithContext(ctx); held || !c.again(ctx, err) {
				return held
			}
		}
		return false
	case 1:
		for ctx.Err() == nil {
			held, err := c.PollLock(ctx)
			if held {
				return true
			}
			var refused *lockclient.LockHeldError
			if errors.As(err, &refused) && c.sleep(ctx, refused.RetryAfter) {
				continue
			}
			if !c.again(ctx, err) {
				return false
			}
		}
		return false
	default:
		c.w.locked(func() { c.waiting, c.waits = ctx == c.ctx, c.waits+1 })
		err := c.WaitForLock(ctx)
		c.w.locked(func() { c.waiting = false })
		c.mustBeTransient(err)
		return err == nil
	}
}

// mustReturnBy: who has set a limit is kept waiting no longer than for the last answer and one
// release, whatever the network does.
func (c *client) mustReturnBy(began, due time.Duration) {
	due += min(c.plan.heartbeat, time.Second) + time.Millisecond
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if late := c.machine.mono() - due; late > 0 && c.machine.upset < began {
		c.w.violateLocked(c, ClientsEnd, fmt.Sprintf("an attempt has returned %v late", late))
	}
}

// again pauses before the next attempt.
func (c *client) again(ctx context.Context, err error) bool {
	c.mustBeTransient(err)
	return c.sleep(ctx, c.plan.heartbeat)
}

// mustBeTransient: none of the faults is permanent.
func (c *client) mustBeTransient(err error) {
	var p interface {
		error
		Permanent() bool
	}
	if errors.As(err, &p) && p.Permanent() && !c.isClosed(err) {
		c.w.violate(c, FaultsPass, err.Error())
	}
}

// work is what the holder of a lock does: now and then it looks whether it still holds it, and
// writes.
func (c *client) work(d *rand.Rand) {
	token, ok := c.FencingToken()
	if !ok {
		return
	}
	began := c.w.now()
	lost, aging := c.Lost(), c.Aging()
	c.w.locked(func() { c.hold = &holdSeen{token: token, lost: lost, aging: aging} })
	for range 1 + d.IntN(12) {
		if !c.sleep(c.ctx, between(d, time.Millisecond, c.plan.lease)) {
			return
		}
		held, why := c.HasLock()
		if now, _ := c.FencingToken(); !held || now != token {
			c.mustHaveLostWithReason(began, token, why)
			return
		}
		c.w.mu.Lock()
		c.w.believed(c, token, "HasLock")
		c.w.mu.Unlock()
		switch d.IntN(4) {
		case 0:
			c.writeGuarded(token, d)
		case 1:
			c.writeCareless(token)
		case 2:
			if c.plan.stamps {
				c.writeStamped()
			}
		}
		select {
		case <-lost:
			c.mustHaveLostWithReason(began, token, c.LockError())
			return
		default:
		}
	}
}

// mustHaveLostWithReason: while nothing goes wrong, nothing is lost.
func (c *client) mustHaveLostWithReason(began time.Duration, token int64, why error) {
	var lax bool
	c.w.locked(func() { lax = token == c.lax || c.endsWithSession(token) })
	if !lax && c.isCalmSince(began) && c.ctx.Err() == nil {
		c.w.violate(c, LossHasReason, fmt.Sprintf("a lock was lost though nothing had gone wrong since it was won: %v", why))
	}
}

// letGo ends a tenure.
func (c *client) letGo(d *rand.Rand) {
	defer c.w.locked(func() { c.hold = nil })
	if c.ctx.Err() != nil {
		return
	}
	ctx, cancel := c.within(c.ctx, c.plan.lease)
	defer cancel()
	switch d.IntN(8) {
	case 0:
		c.runOut()
		return
	case 1:
		c.relax()
		c.sleep(c.ctx, between(d, time.Millisecond, c.plan.lease))
		return // the next acquire resumes the heartbeats, or begins another tenure
	case 2:
		_ = c.AnnounceRelease(ctx)
		drain := between(d, time.Millisecond, c.plan.lease)
		if drain%2 == 0 {
			c.runOut() // of which the announcement has renewed nothing
			return
		}
		c.sleep(ctx, drain)
	case 3:
		ctx, cancel = c.within(ctx, between(d, time.Millisecond, c.plan.lease))
		defer cancel()
	case 4:
		if err := c.ReleaseTo(ctx, c.heir(d)); err != nil {
			c.mustBeTransient(err)
		}
		return
	}
	if err := c.RemoveLockWithContext(ctx); err != nil {
		c.mustBeTransient(err)
		if d.IntN(2) == 0 {
			_ = c.RemoveLock()
		}
	}
}

// heir is the name of another client, which may be gone, may never have been, or may want another
// lock.
func (c *client) heir(d *rand.Rand) string {
	heir := "nobody"
	c.w.locked(func() {
		if other := c.w.clients[d.IntN(len(c.w.clients))]; other.DynamoDBLockClient != nil && other.Identifier != c.Identifier {
			heir = other.Identifier
		}
	})
	return heir
}

// runOut has the lease run out, and stays until it has.
func (c *client) runOut() {
	c.relax()
	select {
	case <-c.Lost():
	case <-c.ctx.Done():
	}
}

// relax stops the heartbeats.
func (c *client) relax() {
	if token, ok := c.FencingToken(); ok {
		c.w.locked(func() { c.lax = token })
	}
	c.StopHeartbeat()
}

func (w *world) isHealing() bool {
	select {
	case <-w.healed:
		return true
	default:
		return false
	}
}

// isCalmSince reports whether all that went wrong was over by then.
func (w *world) isCalmSince(then time.Duration) bool {
	return w.isHealing() && then > w.plan.faults+aftermath
}

// isCalmSince reports whether nothing has gone wrong for a tenure that began then. A member's
// tenure begins on a lease of its session that may be nearly over.
func (c *client) isCalmSince(began time.Duration) bool {
	if c.plan.member {
		began -= c.machine.plan.session.lease
	}
	return c.w.isCalmSince(began)
}
