package shards

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

const (
	maxWeight = 1000
	maxShards = 100_000
	maxName   = 2048 // bytes of a lock's name
)

// Callbacks are the work of the shards. Both are required.
//
// A panic in either ends all terms of the replica: the leading contexts are cancelled, the work
// returns, or DrainTimeout is over, and the locks are released. Then the panic goes on in the
// goroutine where it began, with its original value, and ends the process. OnStopped is not called
// any more.
type Callbacks struct {
	// OnStarted is the work of a shard's leader. It runs in its own goroutine, once for each term
	// and never twice at once for one shard, and must return soon after ctx is done.
	// context.Cause(ctx) says why the term ended: ErrMoved, election.ErrLeaseExpired,
	// election.ErrLockLost, or the cause of Run's context. election.TermFromContext(ctx) gives the
	// fencing token of the shard's lock.
	//
	// ctx.Err() judges the lease at the moment of the call, so it is the check to make before each
	// step that only a leader may take.
	//
	// If it returns before ctx ends, the shard is released, and led again after a pause.
	OnStarted func(ctx context.Context, shard string)

	// OnStopped runs once for each OnStarted, after that has returned and before the shard's lock
	// is released, in the same goroutine. It should be short.
	OnStopped func(shard string)
}

// settings are what a replica works with, validated and defaulted.
type settings struct {
	lease.Timing  // the session's
	group         string
	weight        int
	most          int
	movesAtOnce   int
	renewDeadline time.Duration
	drainTimeout  time.Duration
	maxSilence    time.Duration
	callbacks     Callbacks
	name          string
	logger        logr.Logger
	metrics       Metrics
}

// refusals collects what is wrong, so that one error names it all.
type refusals []string

func (r *refusals) add(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

func (r refusals) err() error {
	if len(r) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrInvalidConfig, strings.Join(r, "; "))
}

// settings checks the configuration against the timing of its session.
func (c *Config) settings(timing lease.Timing, bad *refusals) settings {
	s := settings{
		Timing: timing, group: c.Group, weight: c.Weight, most: c.MaxPerReplica, movesAtOnce: c.MovesAtOnce,
		renewDeadline: c.RenewDeadline, drainTimeout: c.DrainTimeout, maxSilence: c.MaxSilence,
		callbacks: c.Callbacks, name: c.Name, logger: c.Logger, metrics: c.Metrics,
	}
	switch {
	case c.Group == "" || len(c.Group) > maxName/2 || !utf8.ValidString(c.Group):
		bad.add("Group (%q) is not a name: give 1 to %d bytes of UTF-8, the same for all replicas", c.Group, maxName/2)
	case strings.Contains(c.Group, "/") || c.Group == "leaderkit":
		bad.add("Group (%q) has a slash or is %q: locks are named Group/shard, so another group's might be the same", c.Group, "leaderkit")
	}
	if s.weight == 0 {
		s.weight = 1
	}
	if s.weight < 1 || s.weight > maxWeight {
		bad.add("Weight (%d) is not between 1 and %d: give the size of this replica's part relative to the others', or 0 for 1", c.Weight, maxWeight)
	}
	if c.MaxPerReplica < 0 {
		bad.add("MaxPerReplica (%d) is negative: give the most shards that a replica may lead, or 0 for no limit", c.MaxPerReplica)
	}
	if c.MovesAtOnce < 0 {
		bad.add("MovesAtOnce (%d) is negative: give the most shards that move at a time, or 0 for a quarter of the replica's own", c.MovesAtOnce)
	}
	if c.Callbacks.OnStarted == nil {
		bad.add("Callbacks.OnStarted is nil: give the function that does the work of a shard")
	}
	if c.Callbacks.OnStopped == nil {
		bad.add("Callbacks.OnStopped is nil: give a function, which may be empty")
	}
	s.durations(c, bad)
	return s
}

func (s *settings) durations(c *Config, bad *refusals) {
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"RenewDeadline", c.RenewDeadline}, {"DrainTimeout", c.DrainTimeout}, {"MaxSilence", c.MaxSilence}} {
		if d.value < 0 {
			bad.add("%s (%v) is negative: give a positive duration, or 0 for the default", d.field, d.value)
		}
	}
	if s.Lease <= 0 {
		return // the session is refused already
	}
	if s.drainTimeout == 0 {
		s.drainTimeout = s.Lease
	}
	if s.renewDeadline == 0 {
		s.renewDeadline = max(s.Lease/3*2, s.Heartbeat*6/5)
	}
	if c.RenewDeadline >= 0 && (s.renewDeadline >= s.Window || s.renewDeadline < s.Heartbeat*6/5) {
		bad.add("RenewDeadline (%v) is not between 1.2 x the session's HeartbeatPeriod (%v) and %v, as long as a lease of %v is trusted: change it, or the session's durations",
			s.renewDeadline, s.Heartbeat, s.Window, s.Lease)
	}
	if c.MaxSilence > 0 && c.MaxSilence < s.Lease {
		bad.add("MaxSilence (%v) is less than the session's LeaseDuration (%v): raise it, or give 0 for no such check", c.MaxSilence, s.Lease)
	}
}

// shardNamesOf are the names that a configuration means, sorted.
func (c *Config) shardNamesOf(bad *refusals) []string {
	switch {
	case len(c.Names) > 0 && c.Count != 0:
		bad.add("Names and Count (%d) are both given: give one of them", c.Count)
		return nil
	case len(c.Names) > 0:
		return sortedNames(c.Names, c.Group, bad)
	case c.Count < 1 || c.Count > maxShards:
		bad.add("Count (%d) is not between 1 and %d: give the number of shards, or their Names", c.Count, maxShards)
		return nil
	}
	names := make([]string, c.Count)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return sortedNames(names, c.Group, bad)
}

func sortedNames(names []string, group string, bad *refusals) []string {
	if len(names) == 0 || len(names) > maxShards {
		bad.add("Names has %d names: give 1 to %d", len(names), maxShards)
		return nil
	}
	sorted := slices.Sorted(slices.Values(names))
	for i, name := range sorted {
		switch longest := maxName - len(group) - 1; {
		case name == "" || len(name) > longest || !utf8.ValidString(name):
			bad.add("Names has %q: give names of 1 to %d bytes of UTF-8", name, longest)
			return nil
		case i > 0 && name == sorted[i-1]:
			bad.add("Names has %q twice: give each shard once", name)
			return nil
		}
	}
	return sorted
}

// planOf names what replicas must agree on to compute the same assignment.
func planOf(sorted []string, most int) string {
	h := sha256.New()
	fmt.Fprintln(h, most)
	for _, name := range sorted {
		fmt.Fprintf(h, "%q\n", name)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
