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
	heartbeats       int
	recorded         time.Duration // what the record says of the period
}

// watch polls until the holder has made all its heartbeats and returns how long after
// each renewal it was first seen, and how many polls that took.
func (h holderRun) watch() (lags []time.Duration, polls int) {
	commits := make([]time.Duration, 0, h.heartbeats)
	for at := time.Duration(0); len(commits) < h.heartbeats; at += h.period + h.lateness() {
		commits = append(commits, at+h.travel())
	}
	shown := func(at time.Duration) int { // index of the last renewal written by then
		n, _ := slices.BinarySearch(commits, at+1)
		return n - 1
	}
	start := h.period/3 + commits[0]
	arrived := start + h.travel()
	seen := shown(arrived)
	p := newPhase(h.recorded, h.lease, start, arrived)
	jitter := (&lock{clock: systemClock{}}).jitter
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

func upTo(d time.Duration) func() time.Duration {
	return func() time.Duration { return rand.N(d + 1) }
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

// A holder whose clock is faster than the waiter's renews ever earlier, and every poll that comes just after the moment that was
// foretold shows exactly one renewal more. Quartzes differ by some 50 millionths; 1 % is the most that the protocol bears.
func TestPollsFollowAHolderWhoseClockIsFaster(t *testing.T) {
	for perMillion, most := range map[time.Duration]struct{ p50, p99, polls float64 }{
		50:     {0.02, 0.05, 1.1},
		200:    {0.02, 0.05, 1.1},
		1000:   {0.02, 0.05, 1.25},
		10_000: {0.02, 0.08, 1.3},
	} {
		t.Run(fmt.Sprintf("by %d millionths", perMillion), func(t *testing.T) {
			const recorded, lease = 5 * time.Second, 15 * time.Second
			h := holderRun{period: recorded - recorded*perMillion/1_000_000, recorded: recorded, lease: lease,
				lateness: upTo(0), travel: upTo(5 * time.Millisecond), heartbeats: 20_000}
			lags, polls := h.watch()
			settled := slices.Sorted(slices.Values(lags[8:]))
			p50 := float64(settled[len(settled)/2]) / float64(lease)
			p99 := float64(settled[len(settled)*99/100]) / float64(lease)
			perHeartbeat := float64(polls) / float64(h.heartbeats)
			if p50 > most.p50 || p99 > most.p99 || perHeartbeat > most.polls {
				t.Errorf("seen late by p50 %.3f, p99 %.3f of the lease, with %.3f polls a heartbeat; at most %+v", p50, p99, perHeartbeat, most)
			}
		})
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
		at = p.next((&lock{clock: systemClock{}}).jitter)
		p.unchanged(at)
	}
	if polls < 3 || polls > 12 {
		t.Errorf("%d polls within the lease of a dead holder, want 3 to 12", polls)
	}
}
