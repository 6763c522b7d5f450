package main

import (
	"fmt"
	"time"
)

// schedule says when the job is due: at every multiple of the period, as time.Truncate counts them, so that all replicas, which
// have only their clocks in common, call one tick by one name. A replica whose clock is wrong runs ticks early or late, never twice.
type schedule struct {
	period time.Duration
	missed policy
}

// tick is one time at which the job is due, in seconds since the Unix epoch.
type tick int64

func (t tick) time() time.Time { return time.Unix(int64(t), 0) }
func (t tick) String() string  { return t.time().UTC().Format("15:04:05") }

// policy says what is done about ticks at which there was no leader, or at which the job before took too long.
type policy string

const (
	skip    policy = "skip" // they are left out
	runOnce policy = "once" // the latest of them is run, in place of all
	runAll  policy = "all"  // each of them is run, in order
)

// mostMissed bounds what runAll makes up for after a long outage; older ticks are left out.
const mostMissed = 100

func (p *policy) String() string { return string(*p) }

// Set makes a policy a flag.
func (p *policy) Set(text string) error {
	switch policy(text) {
	case skip, runOnce, runAll:
		*p = policy(text)
		return nil
	}
	return fmt.Errorf("%q is none of skip, once, all", text)
}

// after is the first tick later than t.
func (s schedule) after(t time.Time) tick { return tick(t.Truncate(s.period).Add(s.period).Unix()) }

// onTime says that a tick is not missed yet: it is not older than a quarter of the period.
func (s schedule) onTime(t tick, now time.Time) bool { return now.Sub(t.time()) <= s.period/4 }

// due gives the ticks to run now, in order, if last was the latest one begun (0: there is none).
func (s schedule) due(last tick, now time.Time) []tick {
	if last == 0 {
		return nil // what was before the first tick ever was not missed
	}
	latest := tick(now.Truncate(s.period).Unix())
	if latest <= last || s.missed == skip && !s.onTime(latest, now) {
		return nil
	}
	if s.missed != runAll {
		return []tick{latest}
	}
	step := tick(s.period / time.Second)
	first := max(s.after(last.time()), latest-(mostMissed-1)*step)
	var ticks []tick
	for t := first; t <= latest; t += step {
		ticks = append(ticks, t)
	}
	return ticks
}
