package main

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

// ledger is what the processes report: who held which lock when, and how many requests they sent.
type ledger struct {
	demo.Stints[int]
	locks int

	mu     sync.Mutex // guards what follows
	counts map[string]counts
}

// counts are the requests of a process since it began.
type counts struct{ reads, writes int64 }

func (c counts) minus(other counts) counts {
	return counts{c.reads - other.reads, c.writes - other.writes}
}

func newLedger(locks int) *ledger { return &ledger{locks: locks, counts: map[string]counts{}} }

// take takes in what a process reports.
func (l *ledger) take(holder string, r report) {
	l.count(holder, r)
	switch {
	case r.Token == 0 || r.Lock < 0 || r.Lock >= l.locks:
	case r.Event == holds:
		l.Begin(r.Lock, holder, r.Token, r.At)
	default:
		l.End(r.Lock, holder, r.Token, r.At, r.Event == lost)
	}
}

func (l *ledger) count(holder string, r report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.counts[holder]
	l.counts[holder] = counts{max(known.reads, r.Reads), max(known.writes, r.Writes)}
}

// requests is a copy of counts.
func (l *ledger) requests() map[string]counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

// lost is how many times a process lost a lock.
func (l *ledger) lost() (n int) {
	l.Each(func(stints []*demo.Stint) {
		for _, s := range stints {
			if s.Lost {
				n++
			}
		}
	})
	return n
}

// takenSince are the times after which locks got a holder since then, the first one first.
func (l *ledger) takenSince(then time.Time) (after []time.Duration) {
	l.Each(func(stints []*demo.Stint) {
		for _, s := range stints {
			if s.From >= then.UnixNano() {
				after = append(after, time.Duration(s.From-then.UnixNano()))
			}
		}
	})
	slices.Sort(after)
	return after
}

// lastStop is when the process stopped its last work.
func (l *ledger) lastStop(holder string) time.Time {
	last := int64(0)
	l.Each(func(stints []*demo.Stint) {
		for _, s := range stints {
			if s.Holder == holder {
				last = max(last, s.Until)
			}
		}
	})
	return time.Unix(0, last)
}

// err says which locks had two holders at a time.
func (l *ledger) err() error { return l.Err("lock") }
