package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

// ledger is who led which shard when, by what the replicas report.
type ledger struct {
	demo.Stints[string]
	count int
	since int64 // when the present scene began
}

func newLedger(count int) *ledger { return &ledger{count: count} }

// take takes in what a replica reports.
func (l *ledger) take(replica string, r report) {
	if r.Leads {
		l.Begin(r.Shard, replica, r.Token, r.At)
	} else {
		l.End(r.Shard, replica, 0, r.At, false)
	}
}

// even reports whether all shards are led, by these replicas and evenly.
func (l *ledger) even(replicas []string) bool {
	parts := l.Held()
	least, most, sum := l.count, 0, 0
	for _, name := range replicas {
		least, most, sum = min(least, parts[name]), max(most, parts[name]), sum+parts[name]
	}
	return sum == l.count && most-least <= 1
}

// scene ends a scene, and says how long shards were without a leader in it.
func (l *ledger) scene() string {
	var gaps []time.Duration
	l.Each(func(stints []*demo.Stint) {
		for i, s := range stints {
			if i > 0 && s.From >= l.since && stints[i-1].Until > 0 {
				gaps = append(gaps, time.Duration(s.From-stints[i-1].Until))
			}
		}
	})
	l.since = time.Now().UnixNano()
	if len(gaps) == 0 {
		return "no shard changed its leader"
	}
	slices.Sort(gaps)
	return fmt.Sprintf("%d shards changed their leader, without one for %v (p50), %v (p99)", len(gaps),
		gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)*99/100].Round(time.Millisecond))
}

// err says which shards had two leaders at a time.
func (l *ledger) err() error { return l.Err("shard") }

// barWidth is how long the bar of a replica that leads everything would be.
const barWidth = 72

// bars draws how many shards each replica leads.
func (l *ledger) bars(replicas []string) string {
	parts := l.Held()
	var b strings.Builder
	sum := 0
	for _, name := range replicas {
		n := parts[name]
		sum += n
		fmt.Fprintf(&b, "%s %s%4d  ", name, strings.Repeat("█", (n*barWidth+l.count-1)/l.count), n)
	}
	if vacant := l.count - sum; vacant > 0 {
		fmt.Fprintf(&b, "%s%4d without a leader", strings.Repeat("·", (vacant*barWidth+l.count-1)/l.count), vacant)
	}
	return strings.TrimRight(b.String(), " ")
}
