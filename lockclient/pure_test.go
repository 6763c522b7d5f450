package lockclient

import (
	"errors"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// The edges of what the pure types decide. What they decide in the course of a scenario is in
// testdata/stories.

const (
	ms     = time.Millisecond
	second = time.Second
)

func at(mono time.Duration) lease.Instant {
	return lease.Instant{Mono: mono, Wall: storyWall + int64(mono)}
}

// rulesOf are those of a lock with this lease and heartbeat, whose window is 99 % of the lease.
func rulesOf(leaseDuration, heartbeat time.Duration) *rules {
	return &rules{name: "the lock", identity: "me", Timing: lease.NewTiming(leaseDuration, heartbeat), poll: heartbeat}
}

// tenureAt is one that was acquired at 0 s, with a window of 9.9 s and a heartbeat of 3 s, as it is
// at that moment.
func tenureAt(now time.Duration) *tenure {
	t := newTenure(rulesOf(10*second, 3*second), 7, at(0), at(now), 3*second)
	return &t
}

func TestTenureIsTrustedUntilItsWindowCloses(t *testing.T) {
	g := NewWithT(t)
	const window = 9900 * ms
	g.Expect(tenureAt(window - 1).ended).To(BeFalse())
	late := tenureAt(window)
	g.Expect(late.ended).To(BeTrue(), "the reply took the whole window")
	g.Expect(late.why).To(MatchError(ErrLeaseExpired))

	held := tenureAt(0)
	age, ok := held.age(at(window - 1))
	g.Expect(age).To(Equal(window - 1))
	g.Expect(ok).To(BeTrue())
	age, ok = held.age(at(window))
	g.Expect(age).To(BeZero())
	g.Expect(ok).To(BeFalse())
	held.renewed = 2 * second
	g.Expect(held.trustedUntil(at(5 * second))).To(Equal(11900 * ms))

	for at9, want := range map[time.Duration]action{window - 1: actNothing, window: actEnd} {
		held := tenureAt(0)
		held.stopped = true
		act, _ := held.next(at(at9))
		g.Expect(act).To(Equal(want))
		b, _ := held.send(at(at9))
		g.Expect(b).To(BeNil(), "stopped")
		held.stopped = false
		b, _ = held.send(at(at9))
		g.Expect(b != nil).To(Equal(want == actNothing), "sent at %v", at9)
	}
	held.renewed = 0
	b := &heartbeat{sent: second}
	g.Expect(tenureAt(0).confirmed(b, at(window-1))).To(BeTrue())
	g.Expect(tenureAt(0).confirmed(b, at(window))).To(BeFalse(), "the window closed before the answer came")
	held.end(nil)
	g.Expect(held.confirmed(b, at(second))).To(BeFalse())
	g.Expect(held.end(errors.New("again"))).To(BeFalse())
	g.Expect(held.why).NotTo(HaveOccurred())
	b, crowded := held.send(at(4 * second))
	g.Expect(b == nil && crowded == nil).To(BeTrue())
}

func TestTenureIsLookedAtAgainInTime(t *testing.T) {
	g := NewWithT(t)
	held := tenureAt(0)
	wakes := func(now time.Duration) time.Duration {
		_, wake := held.next(at(now))
		return wake
	}
	g.Expect(wakes(second)).To(Equal(3*second), "the first heartbeat")
	held.queued = true
	g.Expect(wakes(second)).To(Equal(6450*ms), "the warning, halfway between the heartbeat and the end")
	g.Expect(wakes(6450*ms)).To(Equal(9900*ms), "the end")
	g.Expect(wakes(7 * second)).To(Equal(9900 * ms))
	g.Expect(tenureAt(0).isAging(at(6450*ms - 1))).To(BeFalse())
	g.Expect(tenureAt(0).isAging(at(6450 * ms))).To(BeTrue())
	g.Expect(tenureAt(0).isAging(at(20 * second))).To(BeTrue())
	held.queued = false
	held.dueAt(8 * second)
	held.renewed = 3 * second
	act, wake := held.next(at(7 * second))
	g.Expect(act).To(Equal(actNothing))
	g.Expect(wake).To(Equal(8 * second))
	act, _ = held.next(at(8 * second))
	g.Expect(act).To(Equal(actRenew))
}

// A heartbeat is waited for half of the time that is left, but neither so short that a slow answer
// never comes, nor longer than any healthy one takes, nor than there is time.
func TestTenureWaitsForAHeartbeat(t *testing.T) {
	for _, c := range []struct {
		lease, heartbeat, age, want time.Duration
	}{
		{10 * second, 3 * second, 3 * second, 3450 * ms},
		{100 * second, 30 * second, 30 * second, 5 * second},
		{10 * second, 3 * second, 9400 * ms, 375 * ms},
		{10 * second, 3 * second, 9700 * ms, 200 * ms},
		{10 * second, 3 * second, 9897 * ms, 5 * ms},
	} {
		g := NewWithT(t)
		held := newTenure(rulesOf(c.lease, c.heartbeat), 7, at(0), at(0), c.heartbeat)
		b, crowded := held.send(at(c.age))
		g.Expect(b.patience).To(Equal(c.want), "at %v of %v", c.age, c.lease)
		g.Expect(crowded).To(BeNil())
		g.Expect(held.inFlight).To(Equal([]*heartbeat{b}))
		g.Expect(held.due).To(Equal(never))
	}
}

func TestTenureBearsWithAnswersThatAreAllSlow(t *testing.T) {
	for _, c := range []struct {
		heartbeat, waited, patience time.Duration
		hung, counted               bool
		want                        time.Duration
	}{
		{3 * second, 2 * second, 2 * second, false, false, 2375 * ms},
		{8 * ms, 2 * second, 2 * second, false, false, 2005 * ms},
		{3 * second, 2*second - 1, 2 * second, false, false, 2 * second},
		{3 * second, 3 * second, 2 * second, true, false, 2 * second},
		{3 * second, 2 * second, 2 * second, true, false, 2 * second},
		{3 * second, 3 * second, 2 * second, false, true, 2 * second},
	} {
		g := NewWithT(t)
		held := newTenure(rulesOf(10*second, c.heartbeat), 7, at(0), at(0), c.heartbeat)
		b := &heartbeat{sent: second, patience: c.patience, counted: c.counted}
		held.inFlight = []*heartbeat{b}
		held.waitLonger(at(second+c.waited), func(*heartbeat) bool { return c.hung })
		g.Expect(b.patience).To(Equal(c.want), "%+v", c)

		overdue := held.overdue(at(second + c.waited))
		if c.waited >= c.want && !c.counted {
			g.Expect(overdue).To(Equal([]*heartbeat{b}))
			g.Expect(b.counted).To(BeTrue())
			g.Expect(held.failures).To(Equal(1))
			g.Expect(held.due).To(Equal(second+c.waited), "at once")
			g.Expect(held.overdue(at(second+c.waited))).To(BeEmpty(), "once")
		} else {
			g.Expect(overdue).To(BeEmpty(), "%+v", c)
		}
	}
}

func TestTenureCountsEachAnswerOnce(t *testing.T) {
	g := NewWithT(t)
	held := tenureAt(0)
	first, _ := held.send(at(3 * second))
	held.odometer.Fold(at(3 * second))
	held.failed(first, at(4*second), errors.New("first"), middle)
	g.Expect(first.counted).To(BeTrue())
	g.Expect(held.failures).To(Equal(1))
	g.Expect(held.repeating()).To(BeTrue())
	held.failed(first, at(4*second), errors.New("again"), middle)
	g.Expect(held.failures).To(Equal(1))
	held.landed(first)
	g.Expect(held.inFlight).To(BeNil())

	second5, _ := held.send(at(5 * second))
	g.Expect(held.confirmed(second5, at(5100*ms))).To(BeTrue())
	g.Expect(held.renewed).To(Equal(5 * second))
	g.Expect(held.failures).To(BeZero())
	g.Expect(held.fault).NotTo(HaveOccurred())
	g.Expect(held.due).To(Equal(6*second), "in rhythm")
	g.Expect(held.repeating()).To(BeFalse())
	g.Expect(held.confirmed(first, at(5200*ms))).To(BeTrue(), "a late answer to an older one")
	g.Expect(held.renewed).To(Equal(5*second), "an older one does not set the window back")
	g.Expect(held.due).To(Equal(6 * second))

	held.failures = 1 // the repetition of a failed one was planned, and an answer to an older one comes
	held.dueAt(5500 * ms)
	held.confirmed(&heartbeat{sent: 4 * second, counted: true, next: 9 * second}, at(5300*ms))
	g.Expect(held.due).To(Equal(9*second), "needless now")
	held.due = never // one is in flight
	held.failures = 1
	held.confirmed(&heartbeat{sent: 4 * second, counted: true, next: 12 * second}, at(5300*ms))
	g.Expect(held.due).To(Equal(never))
	held.dueAt(9 * second)
	held.confirmed(&heartbeat{sent: 4 * second, counted: true, next: 12 * second}, at(5300*ms))
	g.Expect(held.due).To(Equal(9*second), "nothing had failed")

	held.failures = 1
	held.stopped = true
	g.Expect(held.repeating()).To(BeFalse(), "stopped")
	held.stopped = false
	held.end(nil)
	g.Expect(held.repeating()).To(BeFalse(), "ended")
	held.failed(&heartbeat{}, at(6*second), errors.New("after the end"), middle)
	g.Expect(held.failures).To(Equal(1))
	g.Expect(held.due).To(Equal(never))
}

func TestTenureNeverSetsTheRecordedWallClockBack(t *testing.T) {
	g := NewWithT(t)
	held := tenureAt(0)
	b, _ := held.send(at(3 * second))
	g.Expect(b.wall.UnixNano()).To(Equal(at(3 * second).Wall))
	held.landed(b)
	held.confirmed(b, at(3*second))
	back := at(6 * second)
	back.Wall -= int64(time.Hour)
	b, _ = held.send(back)
	g.Expect(b.wall.UnixNano()).To(Equal(at(3 * second).Wall))
}

func TestTenureHasTwoHeartbeatsInFlightAtMost(t *testing.T) {
	g := NewWithT(t)
	held := tenureAt(0)
	first, _ := held.send(at(3 * second))
	held.queued = true
	held.next(at(6500 * ms))
	held.overdue(at(6500 * ms))
	next, crowded := held.send(at(6500 * ms))
	g.Expect(held.queued).To(BeFalse())
	g.Expect(crowded).To(BeNil())
	held.next(at(9 * second))
	held.overdue(at(9 * second))
	last, crowded := held.send(at(9 * second))
	g.Expect(last).NotTo(BeNil())
	g.Expect(crowded).To(BeIdenticalTo(first))
	g.Expect(held.inFlight).To(Equal([]*heartbeat{next, last}))
	g.Expect(held.latest).To(BeIdenticalTo(last))
	act, _ := held.next(at(9001 * ms))
	g.Expect(act).To(Equal(actNothing), "the newest has not had its time")
}

func TestTenureKeepsTheRhythmOfItsSlot(t *testing.T) {
	g := NewWithT(t)
	held := newTenure(rulesOf(10*second, 3*second), 7, at(second), at(second), 2*second)
	b, _ := held.send(at(3100 * ms))
	g.Expect(b.next).To(Equal(6 * second))
}

// Regular heartbeats are due by the monotonic clock: a wall clock that is set does not shift them,
// a sleep that makes the lease old does. Repeated ones are due by whichever clock has gone further.
func TestTenureIsRenewedInTimeWhenTheMachineHasSlept(t *testing.T) {
	slept := func(now, ahead time.Duration) lease.Instant {
		i := at(now)
		i.Wall += int64(ahead)
		return i
	}
	for _, c := range []struct {
		failures int
		ahead    time.Duration
		want     action
	}{
		{0, 0, actNothing}, {0, 2 * second, actNothing}, {0, 4450*ms - 1, actNothing}, {0, 4450 * ms, actRenew},
		{1, 0, actNothing}, {1, second - 1, actNothing}, {1, second, actRenew}, {1, 2 * second, actRenew},
	} {
		held := tenureAt(0)
		held.failures = c.failures
		act, _ := held.next(slept(2*second, c.ahead))
		NewWithT(t).Expect(act).To(Equal(c.want), "%+v", c)
	}
}

// Whichever comes first: the repetition of a failed one, or the end of the patience with another.
func TestTenureRepeatsAtTheEarlierOfTwoMoments(t *testing.T) {
	g := NewWithT(t)
	held := tenureAt(0)
	held.odometer.Fold(at(3 * second))
	held.inFlight = []*heartbeat{{sent: 3 * second, patience: 2 * second}}
	held.dueAt(4 * second)
	g.Expect(held.untilDue(3 * second)).To(Equal(second))
	held.dueAt(6 * second)
	g.Expect(held.untilDue(3 * second)).To(Equal(2 * second))
}

func TestTenureThatIsLostSaysToWhom(t *testing.T) {
	g := NewWithT(t)
	cause := errors.New("refused")
	say := func(r *record) string { return lostTo("the lock", r, cause).Error() }
	g.Expect(say(&record{version: version{dialect: dialectEmpty}, item: LockItem{Released: true}})).To(ContainSubstring("deleted or changed"))
	g.Expect(say(&record{version: version{dialect: dialectAWS}, item: LockItem{Released: true, Owner: "b"}})).To(ContainSubstring(`released by "b"`))
	g.Expect(say(&record{version: version{dialect: dialectAWS}, item: LockItem{Owner: "b"}})).To(ContainSubstring(`held by "b"`))
}

func TestLedgerForgetsNeitherTheFirstNorTheLatestAttempts(t *testing.T) {
	g := NewWithT(t)
	var l ledger
	for i := range maxUnanswered + 10 {
		l.sent(strconv.Itoa(i), time.Duration(i))
		g.Expect(l.attempts).To(HaveLen(min(i+1, maxUnanswered)))
	}
	own := l.ownWrites().versions
	g.Expect(own[:32]).To(HaveEach(WithTransform(func(v string) bool { i, _ := strconv.Atoi(v); return i < 32 }, BeTrue())))
	g.Expect(own[32]).To(Equal("42"), "ten in the middle are forgotten")
	g.Expect(own[maxUnanswered-1]).To(Equal(strconv.Itoa(maxUnanswered + 9)))

	l.forgetBefore(32)
	g.Expect(l.attempts[0].version).To(Equal("42"))
	l.forgetBefore(42)
	g.Expect(l.attempts[0].version).To(Equal("42"), "sent at that moment, not before it")
	l.forgetBefore(1000)
	g.Expect(l.attempts).To(BeNil())
	g.Expect(l.empty()).To(BeTrue())
}

func TestLedgerListsATenureOnceItHasEnded(t *testing.T) {
	g := NewWithT(t)
	var l ledger
	record := &record{bound: true, token: 7, item: LockItem{Owner: "me"}, version: version{dialect: dialectAWS, number: "v"}}
	g.Expect(l.empty()).To(BeTrue())
	g.Expect(l.lists(record, "me")).To(BeFalse())
	l.sent("u", 0)
	l.sent("v", 0)
	g.Expect(l.empty()).To(BeFalse())
	g.Expect(l.lists(record, "me")).To(BeTrue(), "by the version of an attempt")
	l.won("v", 7)
	g.Expect(l.empty()).To(BeFalse(), "the other attempt")
	l.ruleOut("u")
	g.Expect(l.empty()).To(BeTrue(), "a live tenure is not to be released")
	g.Expect(l.ownWrites().token).To(BeZero())
	g.Expect(l.lists(record, "me")).To(BeFalse())
	l.ended(6)
	g.Expect(l.empty()).To(BeTrue(), "another tenure")
	l.ended(7)
	g.Expect(l.empty()).To(BeFalse())
	g.Expect(l.ownWrites().token).To(Equal(int64(7)))
	g.Expect(l.lists(record, "me")).To(BeTrue())
	g.Expect(l.lists(record, "you")).To(BeFalse())
	l.gone(6)
	g.Expect(l.empty()).To(BeFalse())
	l.won("w", 8)
	l.gone(8)
	g.Expect(l.live).To(BeFalse())
	g.Expect(l.empty()).To(BeTrue())
	g.Expect(l.lists(record, "me")).To(BeFalse())
	record.token = 0
	g.Expect(l.lists(record, "me")).To(BeFalse(), "a record without a token is nobody's tenure")
}

func TestLedgerStopsReplacingWhatGoesUnansweredInARow(t *testing.T) {
	g := NewWithT(t)
	var l ledger
	for range maxUnansweredInRow - 1 {
		l.acquireUnanswered()
	}
	g.Expect(l.unheard).To(BeTrue())
	g.Expect(l.mayReplaceOwn()).To(BeTrue())
	l.acquireUnanswered()
	g.Expect(l.mayReplaceOwn()).To(BeFalse())
	l.readAnswered()
	g.Expect(l.unheard).To(BeFalse())
	g.Expect(l.mayReplaceOwn()).To(BeFalse(), "a read tells nothing of writes")
	l.writeUnanswered()
	l.writeAnswered()
	g.Expect(l.unheard).To(BeFalse())
	for range maxUnansweredInRow - 1 {
		l.acquireUnanswered()
	}
	g.Expect(l.mayReplaceOwn()).To(BeTrue(), "counted from the last answer")
}

// theirs is a record that another client holds.
func theirs(token, count int64, change ...func(*record)) *record {
	r := &record{bound: true, token: token, count: count, version: version{dialect: dialectAWS, number: strconv.FormatInt(token, 10), count: strconv.FormatInt(count, 10)}}
	r.item = LockItem{Owner: "you", FencingToken: token, LeaseDuration: 10 * second, HeartbeatPeriod: 3 * second}
	for _, f := range change {
		f(r)
	}
	return r
}

func TestContenderWatchesForTheRecordedLease(t *testing.T) {
	java := func(r *record) { r.bound = false }
	unreadable := func(r *record) { r.item.LeaseDuration = 0 }
	v010 := func(ends time.Duration) func(*record) {
		return func(r *record) {
			r.bound, r.version.dialect, r.item.LeaseDuration, r.expiresAt = false, dialectV010, 0, time.Unix(0, at(ends).Wall)
		}
	}
	for _, c := range []struct {
		name   string
		own    time.Duration
		change func(*record)
		want   time.Duration
	}{
		{"ours", 10 * second, func(*record) {}, 10 * second},
		{"java", 10 * second, java, 10*second + 102*ms},
		{"unreadable, and our lease is short", 10 * second, unreadable, time.Minute},
		{"unreadable, and our lease is long", time.Hour, unreadable, time.Hour},
		{"of a nanosecond", 10 * second, func(r *record) { r.item.LeaseDuration = 1 }, 1},
		{"v0.1.0, which ends soon", 10 * second, v010(20 * second), time.Minute + 602*ms},
		{"v0.1.0, which ends late", 10 * second, v010(101 * second), 101*second + 1010*ms + 2*ms - second - 10*ms},
		{"v0.1.0, which ends in a thousand years", 10 * second, v010(200 * 365 * 24 * time.Hour), maxLease + maxLease/100 + 2*ms},
	} {
		g := NewWithT(t)
		contender := &contender{rules: rulesOf(c.own, 3*second)}
		contender.saw(theirs(41, 1, c.change), sighting{sent: second - 10*ms, arrived: at(second), consistent: true})
		g.Expect(contender.watch.remaining(second)).To(Equal(c.want), c.name)
		g.Expect(contender.holderIsDead(second+c.want-1)).To(BeFalse(), c.name)
		g.Expect(contender.holderIsDead(second+c.want)).To(BeTrue(), c.name)
	}
}

func TestContenderComparesWallClocksOnlyBeyondTheSkew(t *testing.T) {
	g := NewWithT(t)
	for _, c := range []struct {
		skew, late time.Duration
		dead       bool
	}{{500 * ms, 500 * ms, false}, {500 * ms, 500*ms + 1, true}, {0, time.Hour, false}, {1, 2, true}} {
		contender := &contender{rules: rulesOf(10*second, 3*second)}
		contender.rules.skew = c.skew
		contender.saw(theirs(41, 1, func(r *record) { r.expiresAt = time.Unix(0, at(second).Wall) }), sighting{arrived: at(second + c.late), consistent: true})
		g.Expect(contender.holderIsDead(second+c.late)).To(Equal(c.dead), "%+v", c)
	}
}

func TestContenderRemembersTheHighestTokenThatAClientCanHaveGivenOut(t *testing.T) {
	g := NewWithT(t)
	c := &contender{rules: rulesOf(10*second, 3*second)}
	c.noteToken(50)
	c.noteToken(40)
	g.Expect(c.highestToken).To(Equal(int64(50)))
	c.noteToken(tokenLimit)
	g.Expect(c.highestToken).To(Equal(int64(50)))
	c.noteToken(tokenLimit - 1)
	g.Expect(c.highestToken).To(Equal(int64(tokenLimit - 1)))
	c.highestToken = 0
	g.Expect(c.token(time.UnixMilli(0))).To(Equal(int64(1)))
	g.Expect(c.token(time.UnixMilli(9))).To(Equal(int64(9)))
	c.highestToken = 9
	g.Expect(c.token(time.UnixMilli(9))).To(Equal(int64(10)))
}

func TestContenderKnowsALockThatChangesHands(t *testing.T) {
	g := NewWithT(t)
	c := &contender{rules: rulesOf(10*second, 3*second)}
	token := int64(40)
	see := func(another bool) int {
		if another {
			token++
		}
		c.saw(theirs(token, 1), sighting{arrived: at(0), consistent: true})
		return c.handovers
	}
	var seen []int
	for range 7 {
		seen = append(seen, see(true))
	}
	for range 6 {
		seen = append(seen, see(false))
	}
	g.Expect(seen).To(Equal([]int{0, 1, 2, 3, 4, 4, 4, 3, 2, 1, 0, 0, 0}))
	see(true)
	c.saw(theirs(token, 2), sighting{arrived: at(second), consistent: true})
	g.Expect(c.handovers).To(BeZero(), "a renewal is the same tenure")
	g.Expect(c.changesHands()).To(BeFalse())
	see(true)
	see(true)
	g.Expect(c.changesHands()).To(BeTrue())
}

func TestContenderThatReleasesToAnHeirHoldsBack(t *testing.T) {
	g := NewWithT(t)
	c := &contender{rules: rulesOf(10*second, 3*second)}
	c.saw(theirs(41, 1), sighting{arrived: at(0), consistent: true})
	c.hasReleased("v", "", at(second))
	g.Expect(c.watch).To(BeNil())
	c.hasReleased("v", "you", at(second))
	g.Expect(c.holdsBack(second)).To(BeTrue())
	g.Expect(c.holdsBack(4*second - 1)).To(BeTrue())
	g.Expect(c.holdsBack(4 * second)).To(BeFalse())
	g.Expect(c.watch.looked).To(Equal(second))
	c.hasReleased("w", "me", at(5*second))
	g.Expect(c.holdsBack(5 * second)).To(BeFalse())
}

func TestContenderPauses(t *testing.T) {
	unpredictable := func(r *record) { r.item.HeartbeatPeriod = 0 }
	for _, c := range []struct {
		name   string
		poll   time.Duration
		fixed  bool
		record *record
		now    time.Duration
		change func(*contender)
		want   time.Duration
	}{
		{name: "nothing is known", poll: 3 * second, want: 2700 * ms},
		{name: "nothing is known, and the pause is short", poll: 500 * time.Microsecond, want: ms},
		{name: "an unpredictable holder", poll: 3 * second, record: theirs(41, 1, unpredictable), want: 2700 * ms},
		{name: "a predictable one", poll: 3 * second, record: theirs(41, 1), want: 1500 * ms},
		{name: "and a shorter PollPeriod", poll: second, fixed: true, record: theirs(41, 1), want: 900 * ms},
		{name: "and a longer PollPeriod", poll: 4 * second, fixed: true, record: theirs(41, 1), want: 1500 * ms},
		{name: "a heartbeat that is hardly worth following", poll: 3 * second, record: theirs(41, 1, func(r *record) { r.item.HeartbeatPeriod = 3 * second / 16 }), want: 3 * second / 32},
		{name: "one that is not", poll: 3 * second, record: theirs(41, 1, func(r *record) { r.item.HeartbeatPeriod = 3*second/16 - 1 }), want: 2700 * ms},
		{name: "a lease that ends sooner", poll: 3 * second, record: theirs(41, 1, unpredictable), now: 9 * second, want: second},
		{name: "a lease that ends at once", poll: 3 * second, record: theirs(41, 1, unpredictable), now: 10*second - 1, want: ms},
		{name: "a dead holder whose item can't be taken", poll: 3 * second, record: theirs(41, 1, unpredictable), now: 11 * second, want: 2700 * ms},
		{name: "and whose next heartbeat was due", poll: 3 * second, record: theirs(41, 1), now: 11 * second, want: 1500 * ms},
		{name: "and a short poll", poll: ms, record: theirs(41, 1, unpredictable), now: 11 * second, want: ms},
		{name: "changing hands", poll: 3 * second, record: theirs(41, 1, unpredictable), change: func(c *contender) { c.handovers = 2 }, want: 562500 * time.Microsecond},
		{name: "changing hands, and renewed soon", poll: 30 * second, record: theirs(41, 1), change: func(c *contender) { c.handovers = 2 }, want: 1500 * ms},
		{name: "announced just now", poll: 3 * second, record: theirs(41, 1, unpredictable, func(r *record) { r.releasing = true }), want: 35 * ms},
		{name: "announced 5.6 s ago", poll: 3 * second, record: theirs(41, 1, unpredictable, func(r *record) { r.releasing = true }), now: 5600 * ms, want: 87500 * time.Microsecond},
		{name: "of a session that is over", poll: 3 * second, record: theirs(41, 1, byMember), change: func(c *contender) { c.watch.following.over = true }, want: 562500 * time.Microsecond},
		{name: "of a session that is over, and a short poll", poll: 4 * ms, record: theirs(41, 1, byMember), change: func(c *contender) { c.watch.following.over = true }, want: ms},
		{name: "of a session", poll: 3 * second, record: theirs(41, 1, byMember), change: func(c *contender) { c.watch.following.pause = 5 * second }, want: 5 * second},
		{name: "of a session to be looked at now", poll: 3 * second, record: theirs(41, 1, byMember), want: ms},
		{name: "free, and hardly a poll", poll: 100 * time.Microsecond, record: theirs(41, 1, func(r *record) { r.item.Released = true }), want: ms},
		{name: "left to an heir", poll: 3 * second, record: theirs(41, 1, func(r *record) { r.item.Released, r.item.Heir = true, "b" }), now: 1200 * ms, want: 1800 * ms},
		{name: "free, but with a token above ours", poll: 3 * second, record: theirs(41, 1, func(r *record) { r.item.Released = true }), want: 30 * ms},
		{name: "free, and a short poll", poll: 10 * ms, record: theirs(41, 1, func(r *record) { r.item.Released = true }), want: 9 * ms},
	} {
		g := NewWithT(t)
		contender := &contender{rules: rulesOf(10*second, 3*second)}
		contender.rules.poll, contender.rules.pollFixed = c.poll, c.fixed
		if c.record != nil {
			contender.saw(c.record, sighting{arrived: at(0), consistent: true})
		}
		if c.change != nil {
			c.change(contender)
		}
		g.Expect(contender.pause(c.now, middle)).To(Equal(c.want), c.name)
	}
}

// byMember has a session hold a record.
func byMember(r *record) { r.session = "s" }

func TestContenderFollowsTheSessionThatHoldsTheLock(t *testing.T) {
	for _, c := range []struct {
		name   string
		bid    bid
		follow following
		looked time.Duration
		want   step
	}{
		{name: "GetLock writes first", bid: bid{eager: true}, want: stepAcquire},
		{name: "not after a read", bid: bid{eager: true, hasRead: true}, want: stepWait},
		{name: "nor a second time", bid: bid{eager: true, writes: 1, wasRefused: true}, want: stepWait},
		{name: "a poll waits", want: stepWait},
		{name: "the session is over", follow: following{over: true}, want: stepAcquire},
		{name: "a second write", bid: bid{writes: 1}, follow: following{over: true}, want: stepAcquire},
		{name: "no third one", bid: bid{writes: 2}, follow: following{over: true, due: true}, want: stepWait},
		{name: "its item can tell something new", follow: following{due: true}, want: stepFollow},
		{name: "once", bid: bid{hasFollowed: true}, follow: following{due: true}, want: stepWait},
		{name: "it has let a lock go since", follow: following{changed: 2 * second}, looked: second, want: stepRead},
		{name: "not since", follow: following{changed: 2 * second}, looked: 2 * second, want: stepWait},
		{name: "the lock was seen free", bid: bid{replaceable: true, hasRead: true}, want: stepAcquire},
	} {
		g := NewWithT(t)
		contender := &contender{rules: rulesOf(10*second, 3*second)}
		contender.saw(theirs(41, 1, byMember), sighting{arrived: at(0), consistent: true})
		contender.watch.following, contender.watch.looked = c.follow, c.looked
		g.Expect(contender.next(&c.bid, &ledger{}, second)).To(Equal(c.want), c.name)
	}
}

func TestContenderKnowsAHolderByWhatItRenews(t *testing.T) {
	g := NewWithT(t)
	c := &contender{rules: rulesOf(10*second, 3*second)}
	g.Expect(c.seenOfHolder()).To(BeZero())
	held, free := theirs(41, 1), theirs(41, 1, func(r *record) { r.item.Released = true })
	c.watch = &watch{record: free}
	g.Expect(c.seenOfHolder()).To(BeZero())
	c.watch = &watch{record: held}
	g.Expect(c.seenOfHolder()).To(Equal(holderVersion{lock: held.version}))
	member, session := theirs(41, 1, byMember), version{dialect: dialectAWS, number: "s"}
	c.watch = &watch{record: member}
	g.Expect(c.seenOfHolder()).To(BeZero(), "the session was not seen yet")
	c.watch.following.version = session
	g.Expect(c.seenOfHolder()).To(Equal(holderVersion{member.version, session}))

	g.Expect(claims{}.none()).To(BeTrue())
	g.Expect(claims{expired: &session}.none()).To(BeFalse())
	g.Expect(claims{ownWrites: ownWrites{versions: []string{"v"}}}.none()).To(BeFalse())
	g.Expect(claims{ownWrites: ownWrites{token: 1}}.none()).To(BeFalse())
}

func TestContenderTakesAMissingItemAtOnce(t *testing.T) {
	g := NewWithT(t)
	c := &contender{rules: rulesOf(10*second, 3*second)}
	c.saw(theirs(41, 1), sighting{arrived: at(0), consistent: true})
	var b bid
	c.readShowed(&b, &ledger{}, &record{version: version{dialect: dialectEmpty}, item: LockItem{Released: true}}, sighting{arrived: at(second)})
	g.Expect(b.hasRead && b.replaceable).To(BeTrue())
	g.Expect(c.next(&b, &ledger{}, second)).To(Equal(stepAcquire))
}

func TestPhaseOfAHolderThatIsLate(t *testing.T) {
	g := NewWithT(t)
	p := newPhase(3*second, 10*second, 0, 0)
	g.Expect(p.overdue(3 * second)).To(BeZero())
	g.Expect(p.overdue(2 * second)).To(BeZero())
	g.Expect(p.overdue(3500 * ms)).To(Equal(500 * ms))
	unknown := phase{by: second}
	g.Expect(unknown.overdue(time.Hour)).To(BeZero(), "nothing can be predicted")

	for _, c := range []struct{ lease, period, want time.Duration }{
		{10 * second, 3 * second, 100 * ms}, {10 * second, 500 * ms, 50 * ms}, {50 * ms, 20 * ms, ms}, {time.Hour, 3 * second, 300 * ms},
	} {
		g.Expect(newPhase(c.period, c.lease, 0, 0).tolerance).To(Equal(c.want), "%+v", c)
	}
}

// A poll without the next renewal shows that the one before came later, as far as it was not
// overdue.
func TestPhaseNarrowsByPollsThatComeTooEarly(t *testing.T) {
	for sent, want := range map[time.Duration]time.Duration{
		13 * second: 10 * second, 13*second + 1: 10*second + 1, 13500 * ms: 10500 * ms, 14*second - 1: 11*second - 1, 14 * second: 10 * second, 12 * second: 10 * second,
	} {
		p := phase{period: 3 * second, after: 10 * second, by: 11 * second}
		p.unchanged(sent)
		NewWithT(t).Expect(p.after).To(Equal(want), "a poll at %v", sent)
		NewWithT(t).Expect(p.early).To(Equal(1))
		NewWithT(t).Expect(p.polled).To(Equal(sent))
	}
}
