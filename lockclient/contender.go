package lockclient

import (
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// contender is what a client that does not hold the lock knows of the record. It
// decides what the client does next. It is pure: it reads no clock and sends nothing.
// Records and the times at which they arrived go in. Steps and pauses come out.
//
//	              the record is free or ours,
//	┌──────┐      or the watched lease has run out         ┌─────────┐  won   ┌────────┐
//	│ read ├──────────────────────────────────────────────►│ acquire ├───────►│ tenure │
//	└─▲──┬─┘                                               └────┬────┘        └────────┘
//	  │  │ held by another                                      │ refused: the reply
//	  │  ▼                                                      │ shows the record, too
//	┌─┴────┐◄───────────────────────────────────────────────────┘
//	│ wait │ until the next poll can show anything new (pause)
//	└──────┘
//
// The driver calls next and does what it says: it sends a read or an acquire and hands
// the answer to readShowed, refusalShowed or hasWon, until next says stepWait.
type contender struct {
	rules        *rules
	watch        *watch // what the record looked like; nil: no look yet, or it was ours
	highestToken int64  // the highest fencing token seen on this lock, or given to an attempt
	// handovers counts polls, up to a limit, that found another tenure than the poll
	// before. Each of them missed the moment at which the lock was free.
	handovers int
}

// watch is a record that another client holds, and since when it has not changed. Its
// holder is dead when the version has stayed the same for the whole recorded lease.
type watch struct {
	record *record
	// since is when the reply that first showed this version had *arrived*, on the
	// monotonic clock. The holder counts its lease from before it sent that version, so
	// the holder's count ends first.
	since       time.Duration
	lease       time.Duration
	margin      time.Duration // how much longer it is watched
	phase       phase
	announced   bool          // its holder has announced a release
	announcedAt time.Duration // when that was first seen
	// announcements is how many announcements were seen, where the record says so.
	announcements int64
	showedOlder   bool          // the last read showed a released record that is older than this one
	looked        time.Duration // when the latest consistent look that showed this version was sent
	following     following     // what is known of the session that holds the lock, if one does
	dead          bool          // known without watching: MaxClockSkew or ReclaimOnRestart says so
	reserved      bool          // nobody holds it: it was released to an heir, who may take it first
}

// sighting is when and how a record was seen.
type sighting struct {
	sent       time.Duration // before the request left, on the monotonic clock
	arrived    lease.Instant // after its reply arrived
	consistent bool          // false: an eventually consistent read, which may be old
	again      bool          // the same attempt has read the record just before
}

// bid is one attempt at the lock: at most two writes. The zero value polls.
type bid struct {
	eager       bool // write first: GetLock. false: read first while a live holder is watched
	writes      int
	hasRead     bool // a read was answered
	wasRefused  bool // the latest write was refused
	replaceable bool // the latest sighting showed a record that a write may replace
	hasFollowed bool // the session that holds the lock was looked at
}

// step is what an attempt does next.
type step int

const (
	stepRead    step = iota // read the record
	stepAcquire             // write the record
	stepFollow              // look at the session that holds the lock
	stepWait                // another client holds the lock: pause says how long to wait
)

// next decides what an attempt does next.
func (c *contender) next(b *bid, g *ledger, now time.Duration) step {
	switch {
	case g.unheard && !b.hasRead:
		return stepRead
	case c.heldByMember() && !b.replaceable:
		return c.nextForMember(b)
	case b.wasRefused:
		if b.writes < 2 && (b.replaceable || c.holderIsDead(now)) {
			return stepAcquire // it was released meanwhile, or its holder is dead
		}
		return stepWait
	case b.replaceable:
		return stepAcquire
	case c.watch != nil && c.watch.reserved && !b.hasRead:
		return stepRead // the heir may have taken it meanwhile, and even released it
	case c.holdsBack(now):
		return stepWait
	case b.eager && !b.hasRead, c.watch == nil, c.holderIsDead(now), c.changesHands():
		return stepAcquire
	case !b.hasRead:
		return stepRead
	default:
		return stepWait
	}
}

// heldByMember reports whether the watched record is held under a session.
func (c *contender) heldByMember() bool { return c.watch != nil && c.watch.record.session != "" }

// nextForMember decides what an attempt does next while a session holds the lock. Only the
// session's item says whether its holder lives. The record is read again when the session
// has let a lock go since the record was read. Where that finds ever new tenures, a write
// takes the place of the read.
func (c *contender) nextForMember(b *bid) step {
	f := c.watch.following
	switch {
	case f.over && b.writes < 2, (b.eager || c.changesHands()) && b.writes == 0 && !b.hasRead:
		return stepAcquire
	case f.over:
		return stepWait
	case f.due && !b.hasFollowed:
		return stepFollow
	case f.changed > c.watch.looked:
		return stepRead
	default:
		return stepWait
	}
}

// holderVersion changes when the holder renews: its record's version or, under a session,
// that of the session's item. The zero value is that of a holder not seen yet.
type holderVersion struct{ lock, session version }

func (c *contender) seenOfHolder() holderVersion {
	switch {
	case c.watch == nil, c.watch.record.released(), c.heldByMember() && c.watch.following.version == (version{}):
		return holderVersion{}
	default:
		return holderVersion{c.watch.record.version, c.watch.following.version}
	}
}

// claims are the records that an acquire may replace. It may always replace a missing
// and a released one.
type claims struct {
	ownWrites
	expired *version // watched unchanged for a whole lease; nil: none
}

// none reports that an acquire may replace nothing more than that.
func (c claims) none() bool { return c.expired == nil && len(c.versions) == 0 && c.token == 0 }

// claims returns what an acquire that leaves now may replace.
func (c *contender) claims(g *ledger, now time.Duration) claims {
	var found claims
	if g.mayReplaceOwn() {
		found.ownWrites = g.ownWrites()
	}
	if c.holderIsDead(now) {
		found.expired = &c.watch.record.version
	}
	return found
}

// readShowed takes in the answer to a read.
func (c *contender) readShowed(b *bid, g *ledger, found *record, l sighting) {
	b.hasRead = true
	c.noteToken(found.token)
	w := c.watch
	// A released record that is older than the watched one may come from a replica that
	// lags. It may also be the present one: after a deletion, tokens restart from a clock
	// that may be behind. So the second such read in a row counts. The write that follows
	// it is consistent, and settles the question.
	late := found.released() && !l.consistent && w != nil && found.olderThan(w.record) && !w.showedOlder
	switch found.version.dialect {
	case dialectEmpty, dialectNone:
		b.replaceable = true
		return
	}
	if b.replaceable = !late && (found.released() && !found.isReservedForOther(c.rules.identity) || g.mayReplaceOwn() && g.lists(found, c.rules.identity)); b.replaceable {
		return
	}
	c.saw(found, l)
	c.watch.showedOlder = late
}

// refusalShowed takes in the record that a refused write has found.
func (c *contender) refusalShowed(b *bid, found *record, l sighting) {
	b.wasRefused, b.replaceable = true, found.released() && !found.isReservedForOther(c.rules.identity)
	l.again = b.hasRead
	c.saw(found, l)
}

// hasReleased takes in that the record is released, to that heir if it is not "". After
// a release to an heir this client holds back like the others.
func (c *contender) hasReleased(number, heir string, at lease.Instant) {
	c.watch = nil // our release has replaced the watched record
	if heir == "" {
		return
	}
	found := &record{bound: true, version: version{dialect: dialectAWS, number: number}}
	found.item.Released, found.item.Heir, found.item.HeartbeatPeriod = true, heir, c.rules.Heartbeat
	c.saw(found, sighting{sent: at.Mono, arrived: at, consistent: true})
}

// hasWon takes in that our acquire has won: there is no holder to watch.
func (c *contender) hasWon() {
	c.watch, c.handovers = nil, 0
}

// token is the fencing token of an acquire that leaves now: our clock in milliseconds, or
// one more than the highest known token if our clock is behind that.
func (c *contender) token(wall time.Time) int64 {
	return max(wall.UnixMilli(), c.highestToken+1, 1)
}

// newToken gives a token out. No two attempts have the same.
func (c *contender) newToken(wall time.Time) int64 {
	token := c.token(wall)
	c.noteToken(token)
	return token
}

// noteToken remembers the highest token. Our next one is above it. A token beyond the
// limit was not given out by a client. It is ignored, so that the item can be deleted and
// created again with a usable token.
func (c *contender) noteToken(token int64) {
	if token < tokenLimit {
		c.highestToken = max(c.highestToken, token)
	}
}

// saw takes in a record that another client holds. A read that was not consistent may
// show an older record than the watched one. Such a read tells nothing.
func (c *contender) saw(found *record, l sighting) {
	c.noteToken(found.token)
	if c.watch == nil {
		c.watch = &watch{}
	}
	w := c.watch
	switch {
	case w.record != nil && found.version == w.record.version,
		w.record != nil && !l.consistent && found.olderThan(w.record):
		w.phase.unchanged(l.sent)
		if found.version == w.record.version {
			w.noteAnnouncement(found, l.arrived.Mono)
			c.sawSameTenure(l)
		}
	default:
		*w = c.newWatch(found, w, l)
	}
	if l.consistent && found.version == w.record.version {
		w.looked = max(w.looked, l.sent)
	}
	c.checkDead(w, l.arrived)
}

// newWatch begins to watch a version that was not seen before.
func (c *contender) newWatch(found *record, was *watch, l sighting) watch {
	next := watch{record: found, since: l.arrived.Mono, looked: before, following: following{changed: before}, lease: found.item.LeaseDuration}
	if next.lease <= 0 {
		next.lease = max(c.rules.Lease, unknownLease)
	}
	if found.version.dialect == dialectV010 {
		// v0.1.0 records no lease, only when it ends. That end may lengthen the watch: its
		// holder may renew as rarely as that. It must not shorten it, since clocks differ.
		next.lease = max(next.lease, min(found.expiresAt.Sub(time.Unix(0, l.arrived.Wall)), maxLease))
	}
	if !found.bound {
		// Not ours. Other clients trust their lease to its last millisecond, and leave no
		// margin for clocks whose rates differ.
		next.margin = next.lease/100 + 2*time.Millisecond
	}
	if next.reserved = found.isReservedForOther(c.rules.identity); next.reserved {
		// This wait is short. The record could contain any period, so our own lease limits it.
		next.lease, next.margin = min(found.item.HeartbeatPeriod, c.rules.Lease), 0
		return next
	}
	if renewals := found.renewalsSince(was.record); renewals > 0 {
		next.phase, next.announcements = was.phase, was.announcements
		next.announced, next.announcedAt = was.announced && found.releasing, was.announcedAt
		next.phase.renewed(l.sent, l.arrived.Mono, renewals)
		c.sawSameTenure(l)
	} else {
		next.phase = newPhase(c.predictable(found.item.HeartbeatPeriod), next.lease, l.sent, l.arrived.Mono)
		if was := was.record; was != nil && was.bound && found.bound && was.token != found.token {
			c.handovers = min(c.handovers+1, maxHandovers)
		}
	}
	next.noteAnnouncement(found, l.arrived.Mono)
	return next
}

// predictable returns the holder's heartbeat period, or 0 if following it would take
// far more polls than our own poll period.
func (c *contender) predictable(period time.Duration) time.Duration {
	if period < c.rules.poll/16 {
		return 0
	}
	return period
}

// checkDead notes whether the holder is known to be dead without being watched.
func (c *contender) checkDead(w *watch, at lease.Instant) {
	r := w.record
	if w.reserved {
		return // there is no holder
	}
	if r.session != "" {
		return // its session is what lives or not
	}
	if c.rules.reclaim && r.item.Owner == c.rules.identity && r.version.dialect == dialectAWS {
		w.dead = true // an earlier run of this process left it behind
	}
	if c.rules.skew > 0 && r.bound && !r.expiresAt.IsZero() && time.Unix(0, at.Wall).Sub(r.expiresAt) > c.rules.skew {
		w.dead = true
	}
}

func (w *watch) noteAnnouncement(found *record, arrived time.Duration) {
	if found.releasing && (!w.announced || found.announcements > w.announcements) {
		w.announced, w.announcedAt = true, arrived
		w.announcements = max(w.announcements, found.announcements)
	}
}

// remaining returns how much longer the record must stay unchanged until its holder
// counts as dead.
func (w *watch) remaining(now time.Duration) time.Duration {
	return w.lease + w.margin - (now - w.since)
}

// holderIsDead reports whether the watched holder is dead, or the watched reservation is
// over.
func (c *contender) holderIsDead(now time.Duration) bool {
	if c.heldByMember() {
		return c.watch.following.over
	}
	return c.watch != nil && (c.watch.dead || c.watch.remaining(now) <= 0)
}

// holdsBack reports whether the lock is free but still reserved for another client.
func (c *contender) holdsBack(now time.Duration) bool {
	return c.watch != nil && c.watch.reserved && !c.holderIsDead(now)
}

// Each poll that finds another tenure adds one to handovers, up to the maximum, and each
// that finds the same tenure takes one away.
const (
	changesHandsAfter = 2
	maxHandovers      = 4
)

// changesHands reports whether the lock changes hands between our polls. A read that
// finds it free is too late where the holder releases and acquires again at once. A
// write that finds it free wins it.
func (c *contender) changesHands() bool { return c.handovers >= changesHandsAfter }

// sawSameTenure does not count a refusal that follows a read in the same attempt. It comes
// milliseconds later, so it finds the same tenure however often the lock changes hands. If it
// counted, a waiter would never begin to poll more often, and its polls could miss each release.
func (c *contender) sawSameTenure(l sighting) {
	if !l.again {
		c.handovers = max(c.handovers-1, 0)
	}
}

// closePoll is the pause between polls right after a holder announced its release.
const closePoll = 40 * time.Millisecond

// pause returns how long to wait until a poll can show anything new. If the holder's
// next heartbeat can be predicted, that is just after it. Else it is one poll period,
// less some jitter that spreads the waiters. It is never longer than what remains of the
// watched lease, or than a PollPeriod that was given.
func (c *contender) pause(now time.Duration, jitter jitter) time.Duration {
	w, poll := c.watch, c.rules.poll
	pause := poll - jitter(poll/5)
	switch {
	case w == nil:
		return max(pause, time.Millisecond)
	case c.heldByMember() && c.watch.following.over: // it was refused, because another client was faster
		return max(poll/8+jitter(poll/8), time.Millisecond)
	case c.heldByMember() && c.changesHands():
		return max(min(c.watch.following.pause, poll/8+jitter(poll/8)), time.Millisecond)
	case c.heldByMember():
		return max(c.watch.following.pause, time.Millisecond)
	}
	if w.record.released() && !w.reserved {
		// It was free, but its token was above ours, twice in a row: clients whose clocks are
		// ahead of ours take turns.
		return max(min(pause, closePoll-jitter(closePoll/2)), time.Millisecond)
	}
	if w.phase.period > 0 {
		predicted := w.phase.next(jitter) - now
		if c.rules.pollFixed {
			predicted = min(predicted, pause)
		}
		pause = predicted
	}
	if w.reserved {
		pause = w.remaining(now)
	}
	if c.changesHands() {
		pause = min(pause, poll/8+jitter(poll/8))
	}
	if w.announced {
		// Poll closely at first: most work ends soon after it was told to. Then poll less
		// often, so that a holder that announced and stays costs little. A holder that misses
		// its heartbeat is polled less closely still. The predicted moment may have passed.
		drained, overdue := now-w.announcedAt, w.phase.overdue(now)
		pause = max(min(pause, max(closePoll, drained/56, min(drained, overdue)/4)), 0)
		pause -= jitter(pause / 4)
	}
	if c.holderIsDead(now) {
		return max(pause, poll/2, time.Millisecond) // refused though the holder is dead: the item can't be taken
	}
	return max(min(pause, w.remaining(now)), time.Millisecond)
}
