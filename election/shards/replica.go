package shards

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election/internal/courier"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Config says which shards to lead, and how. New copies it; later changes have no effect.
type Config struct {
	// Session keeps the locks. It also says in which table they are, and how long a lease is.
	// Required.
	Session *lockclient.Session

	// Group names the replicas that share the shards, in the lock's table. The locks of the shards
	// are named Group/shard. Required, and without a slash.
	Group string

	// Names are the shards; the order does not matter. All replicas should give the same. Either
	// Names or Count.
	Names []string
	// Count is the number of shards, which are then named "0" to Count-1.
	Count int

	// MaxPerReplica is the most shards that one replica leads, the same for all replicas. The works
	// of more than so many never run at once in this replica, also not while some of them still
	// return. Shards that no replica has room for are led by nobody. 1 makes a semaphore of the
	// shards: Count slots, each held by one replica. With a limit, replicas keep what they lead as
	// far as their parts allow, and Assignment says so. 0: no limit.
	MaxPerReplica int

	// Weight is the size of this replica's part, relative to the others': a replica of weight 2
	// leads twice as many shards as one of weight 1. 0: 1.
	Weight int

	// MovesAtOnce is the most shards of this replica that move to others at a time. 0: a quarter of
	// those that it leads.
	MovesAtOnce int

	// Callbacks are the work. Required.
	Callbacks Callbacks

	// RenewDeadline is how long after the session's last confirmed heartbeat leading stops. The
	// rest of the lease is the time that the work has to stop before another can lead. 0: two
	// thirds of the lease.
	RenewDeadline time.Duration

	// DrainTimeout is how long after the end of a term its lock is still kept while the work
	// returns. Then the lock runs out within a lease. 0: the lease.
	DrainTimeout time.Duration

	// MaxSilence makes Check fail (ErrNoContact) when the group's item could not be read for longer
	// than this. At least the lease. 0: Check does not look at it.
	MaxSilence time.Duration

	// Name stands in logs, metrics and health checks for the group. "": Group.
	Name string

	// Logger gets, at V(0), joins, leaves, dead members, and how many shards this replica has; at
	// V(1), each shard, and errors that are retried; and as errors what an operator must act on.
	// README.md explains each message. A Logger that blocks delays nothing. The zero Logger is
	// silent.
	Logger logr.Logger

	// Metrics gets the replica's metrics. nil: none.
	Metrics Metrics
}

// Replica leads its part of a group's shards. Make one with New. All methods may be called from any
// goroutine at any time.
type Replica struct {
	settings
	source  source
	group   *group
	clock   lease.Clock
	made    time.Duration   // when the replica was made, on the monotonic clock
	verbose bool            // the Logger wants V(1)
	sinks   courier.Courier // calls the Logger and the metrics
	board   board

	mu      sync.Mutex // guards what follows; no request and no callback is made under it
	current *run       // the Run under way; nil: none
	names   []string   // of the shards, sorted; never changed in place
	plan    string     // stands for names and MaxPerReplica
	contact lease.Instant
	trouble error // the permanent error that is the latest answer to a join; nil: it is none
}

// newReplica is New on any source of locks.
func newReplica(c Config, s source) (*Replica, error) {
	var bad refusals
	timing, err := s.timing()
	if err != nil {
		bad.add("Session is not usable: %v", err)
	}
	settings := c.settings(timing, &bad)
	names := c.shardNamesOf(&bad)
	if err := bad.err(); err != nil {
		return nil, err
	}
	if settings.name == "" {
		settings.name = c.Group
	}
	settings.logger = c.Logger.WithValues("name", settings.name, "identity", s.identity())
	r := &Replica{
		settings: settings, source: s, clock: s.clock(),
		group: &group{table: s.table(), group: c.Group, clock: s.clock(), patience: timing.Heartbeat},
		names: names, plan: planOf(names, settings.most),
	}
	r.made = r.clock.Monotonic()
	r.sinks.Panicked = r.sinkPanicked
	r.verbose = !c.Logger.IsZero() && c.Logger.V(1).Enabled()
	return r, nil
}

// Run joins the group and leads this replica's part of the shards until ctx ends. Then it leaves
// the group, hands its shards over, and returns when the work of all has returned and their locks
// are released. No goroutine of the replica is left. The session stays open.
//
// A replica that leaves goes on leading for one heartbeat, so that the others know, and hands over
// then. If no other is in the group, it stops at once.
//
// nil: ctx ended. ErrAlreadyRunning: another Run of this replica is under way. An error with
// Permanent() true: the store's first answer was a permanent error, such as a missing table or
// permission.
func (r *Replica) Run(ctx context.Context) error {
	run, err := r.start(ctx)
	if err != nil {
		return err
	}
	return run.do()
}

// Leading returns the shards that this replica leads at this moment, sorted. It looks at the lease
// of each then and there.
func (r *Replica) Leading() []string {
	leading := []string{}
	for _, t := range r.terms() {
		if t.leads() {
			leading = append(leading, t.shard)
		}
	}
	slices.Sort(leading)
	return leading
}

// terms are those of the shards that are led.
func (r *Replica) terms() []*term {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		return nil
	}
	terms := make([]*term, 0, len(r.current.shards))
	for _, s := range r.current.shards {
		if s.stage == leading {
			terms = append(terms, s.term)
		}
	}
	return terms
}

// Assignment returns which replica each shard belongs to, by the identities of their sessions, as
// this replica computes it now. That is the replica that should lead it. Shards that no replica has
// room for are left out. It is empty while the replica does not serve.
func (r *Replica) Assignment() map[string]string {
	r.mu.Lock()
	var v *view
	if r.current != nil {
		v = r.current.view
	}
	r.mu.Unlock()
	owners := map[string]string{}
	if v != nil {
		for i, name := range v.names {
			if owner := v.owners[i]; owner != nobody {
				owners[name] = v.identities[owner]
			}
		}
	}
	return owners
}

// Resize changes which shards there are, as if all replicas had been made with these names. A shard
// that is not among them any more is released. Call it on all replicas: until the last one has
// changed, those with the old names and those with the new names share their shards separately (see
// the package comment). The error is ErrInvalidConfig, and nothing is changed then.
func (r *Replica) Resize(names []string) error {
	var bad refusals
	sorted := sortedNames(names, r.settings.group, &bad)
	if err := bad.err(); err != nil {
		return err
	}
	r.mu.Lock()
	r.names, r.plan = sorted, planOf(sorted, r.most)
	run := r.current
	r.mu.Unlock()
	if run != nil {
		nudge(run.nudged)
	}
	return nil
}

// uptime is the time since the replica was made, on the monotonic clock. It is more than 0, which
// stands for never.
func (r *Replica) uptime() time.Duration { return r.clock.Monotonic() - r.made + 1 }

// nudge wakes the goroutine that waits for ch, now or the next time.
func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
