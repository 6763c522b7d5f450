package lockclient

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// holderRun is a waiter's polls against a holder whose heartbeats are known, without
// any request.
type holderRun struct {
	period, lease    time.Duration
	lateness, travel func() time.Duration
	alone            func() time.Duration // lateness of one heartbeat that the next doesn't share; nil: none
	heartbeats       int
	recorded         time.Duration // what the record says of the period
}

// watch polls until the holder has made all its heartbeats and returns how long after
// each renewal it was first seen, and how many polls that took.
func (h holderRun) watch() (lags []time.Duration, polls int) {
	commits := make([]time.Duration, 0, h.heartbeats)
	for at := time.Duration(0); len(commits) < h.heartbeats; at += h.period + h.lateness() {
		commit := at + h.travel()
		if h.alone != nil {
			commit += h.alone()
		}
		commits = append(commits, commit)
	}
	shown := func(at time.Duration) int { // index of the last renewal written by then
		n, _ := slices.BinarySearch(commits, at+1)
		return n - 1
	}
	start := h.period/3 + commits[0]
	arrived := start + h.travel()
	seen := shown(arrived)
	p := newPhase(h.recorded, h.lease, start, arrived)
	jitter := func(most time.Duration) time.Duration { return roll(most + 1) }
	for seen < h.heartbeats-1 {
		sent := max(p.next(jitter), arrived)
		served := sent + h.travel()
		arrived = served + h.travel()
		polls++
		if n := shown(served); n > seen {
			lags = append(lags, arrived-commits[n])
			p.renewed(sent, arrived, int64(n-seen))
			seen = n
		} else {
			p.unchanged(sent)
		}
	}
	return lags, polls
}

// dice are those of the tests of the phase. They fall the same way each time: what the tests judge
// is a hundredth part of a few hundred polls.
var dice = rand.New(rand.NewPCG(1, 1))

func roll[N ~int | ~int64](n N) N { return N(dice.Int64N(int64(n))) }

func upTo(d time.Duration) func() time.Duration {
	return func() time.Duration { return roll(d + 1) }
}

func TestPollsFollowTheHoldersHeartbeatsAtOneAndAQuarterReadsEach(t *testing.T) {
	for _, c := range []struct {
		name             string
		period, lease    time.Duration
		lateness, travel func() time.Duration
		most             time.Duration // the longest travel
	}{
		{"a steady holder nearby", time.Second, 3 * time.Second, upTo(0), upTo(time.Millisecond), time.Millisecond},
		{"a holder that drifts", time.Second, 3 * time.Second, upTo(4 * time.Millisecond), upTo(5 * time.Millisecond), 5 * time.Millisecond},
		{"a long lease far away", 5 * time.Second, 15 * time.Second, upTo(5 * time.Millisecond), upTo(80 * time.Millisecond), 80 * time.Millisecond},
		{"two heartbeats a lease", 5 * time.Second, 10 * time.Second, upTo(2 * time.Millisecond), upTo(20 * time.Millisecond), 20 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := holderRun{period: c.period, recorded: c.period, lease: c.lease, lateness: c.lateness, travel: c.travel, heartbeats: 400}
			lags, polls := h.watch()
			if perHeartbeat := float64(polls) / float64(h.heartbeats); perHeartbeat > 1.25 {
				t.Errorf("%.2f polls a heartbeat", perHeartbeat)
			}
			settled := slices.Sorted(slices.Values(lags[8:])) // the first ones narrow the interval
			if lag, want := settled[len(settled)/2], c.lease*2/100+2*c.most; lag > want {
				t.Errorf("half of the renewals are seen more than %v late, want %v", lag, want)
			}
			if lag, want := settled[len(settled)*99/100], c.lease*5/100+2*c.most; lag > want {
				t.Errorf("one renewal in a hundred is seen more than %v late, want %v", lag, want)
			}
		})
	}
}

// judge compares what a run of polls found with the most that it may: late as parts of the lease.
func (h holderRun) judge(t *testing.T, p50, p99, perHeartbeat float64) {
	t.Helper()
	lags, polls := h.watch()
	settled := slices.Sorted(slices.Values(lags[8:]))
	half := float64(settled[len(settled)/2]) / float64(h.lease)
	most := float64(settled[len(settled)*99/100]) / float64(h.lease)
	each := float64(polls) / float64(h.heartbeats)
	t.Logf("seen late by p50 %.3f, p99 %.3f of the lease, with %.3f polls a heartbeat", half, most, each)
	if half > p50 || most > p99 || each > perHeartbeat {
		t.Errorf("at most p50 %.3f, p99 %.3f, and %.3f polls", p50, p99, perHeartbeat)
	}
}

// A holder whose clock is faster than the waiter's renews ever earlier, and every poll that comes
// just after the moment that was predicted shows exactly one renewal more. Quartzes differ by some
// 50 millionths; 1 % is the most that the protocol bears. Far away, a poll that is sent before the
// renewal is answered after it.
func TestPollsFollowAHolderWhoseClockIsFasterOrSlower(t *testing.T) {
	for _, at := range []struct {
		lease, recorded time.Duration
		oneWay, jitter  time.Duration
	}{
		{15 * time.Second, 5 * time.Second, 0, 5 * time.Millisecond},
		{15 * time.Second, 5 * time.Second, 40 * time.Millisecond, time.Millisecond},
		{15 * time.Second, 5 * time.Second, 40 * time.Millisecond, 40 * time.Millisecond},
		{10 * time.Second, 5 * time.Second, 28 * time.Millisecond, time.Millisecond},
		{3 * time.Second, time.Second, 0, 5 * time.Millisecond},
		{3 * time.Second, time.Second, 8 * time.Millisecond, time.Millisecond},
		{60 * time.Second, 20 * time.Second, 0, 80 * time.Millisecond},
	} {
		for _, perMillion := range []time.Duration{-1000, -200, -50, 0, 50, 100, 200, 300, 1000, 10_000} {
			t.Run(fmt.Sprintf("%v %v %v by %d millionths", at.recorded, at.oneWay, at.jitter, perMillion), func(t *testing.T) {
				h := holderRun{period: at.recorded - at.recorded*perMillion/1_000_000, recorded: at.recorded, lease: at.lease,
					lateness: upTo(0), travel: func() time.Duration { return at.oneWay + roll(at.jitter) }, heartbeats: 10_000}
				trips := 2 * float64(at.oneWay+at.jitter) / float64(at.lease)
				if perMillion == 10_000 {
					h.judge(t, 0.03+trips, 0.13+trips, 1.5)
				} else {
					h.judge(t, 0.02+trips, 0.05+trips, 1.25)
				}
			})
		}
	}
}

// A heartbeat that had to be repeated, or whose commit took long, is followed by one where the
// rhythm has it; they come alone or several in a row.
func TestPollsKeepToTheRhythmThroughLateHeartbeats(t *testing.T) {
	for _, odds := range []int{1000, 100, 40} {
		for _, inARow := range []int{1, 2, 3} {
			for _, late := range []time.Duration{40 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond} {
				t.Run(fmt.Sprintf("%d of up to %v one time in %d", inARow, late, odds), func(t *testing.T) {
					left := 0
					h := holderRun{period: time.Second, recorded: time.Second, lease: 3 * time.Second,
						lateness: upTo(0), travel: upTo(5 * time.Millisecond), heartbeats: 10_000,
						alone: func() time.Duration {
							if left == 0 && roll(odds*inARow) == 0 {
								left = inARow
							}
							if left == 0 {
								return roll(2 * time.Millisecond)
							}
							left--
							return late/2 + roll(late/2)
						}}
					// What is late itself is seen early enough, but not at once.
					h.judge(t, 0.02, 0.05+float64(late)/float64(h.lease)*3/4, 1.25)
				})
			}
		}
	}
}

// A waiter's machine that has slept finds more renewals than its clock says there was time for, and
// knows nothing of the phase.
func TestPollsAfterASleepSearchForTheRhythmAnew(t *testing.T) {
	p := newPhase(time.Second, 3*time.Second, 0, time.Millisecond)
	p.after = p.by - 5*time.Millisecond
	p.renewed(time.Second, time.Second+time.Millisecond, 7)
	if p.by-p.after != time.Second || p.wasNarrow {
		t.Errorf("it believes in (%v, %v]", p.after, p.by)
	}
}

func TestPollsFindAHolderThatChangedItsRhythm(t *testing.T) {
	h := holderRun{period: 700 * time.Millisecond, recorded: time.Second, lease: 3 * time.Second,
		lateness: upTo(time.Millisecond), travel: upTo(time.Millisecond), heartbeats: 200}
	if _, polls := h.watch(); polls > 2*h.heartbeats {
		t.Errorf("%d polls for %d heartbeats that come sooner than recorded", polls, h.heartbeats)
	}
	h.period = 1300 * time.Millisecond
	if _, polls := h.watch(); polls > 8*h.heartbeats {
		t.Errorf("%d polls for %d heartbeats that come later than recorded", polls, h.heartbeats)
	}
}

func TestADeadHolderIsPolledWithGrowingGaps(t *testing.T) {
	p := newPhase(time.Second, 3*time.Second, 0, time.Millisecond)
	polls := 0
	for at := time.Duration(0); at < 3*time.Second; polls++ {
		at = p.next(randomJitter)
		p.unchanged(at)
	}
	if polls < 3 || polls > 12 {
		t.Errorf("%d polls within the lease of a dead holder, want 3 to 12", polls)
	}
}
