package shards

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Group is the group as one replica sees it. The zero Group: the replica does not serve.
type Group struct {
	// Members share the shards, this replica among them.
	Members []Member
	// Shards is how many there are.
	Shards int
	// Leading is how many of them this replica leads.
	Leading int
}

// Member is a replica that shares the shards.
type Member struct {
	// Identity is that of its session.
	Identity string
	// Weight is its Config.Weight.
	Weight int
	// Shards is how many belong to it.
	Shards int
	// Self reports whether it is this replica.
	Self bool
}

// Observe returns a channel that receives each change of the group and of the number of shards that
// this replica leads, beginning with the current state. Each call returns a channel of its own. A
// slow observer delays nothing: it receives the latest state and misses those in between. The
// channel is closed when ctx ends and only then: it stays open between two Runs.
func (r *Replica) Observe(ctx context.Context) <-chan Group {
	ch := r.board.subscribe()
	context.AfterFunc(ctx, func() { r.board.unsubscribe(ch) })
	return ch
}

// board holds what the replica sees. The replica writes it, and any goroutine may read it.
type board struct {
	mu        sync.Mutex // guards what follows; nothing is called and nothing blocks under it
	group     Group
	observers map[chan Group]struct{}
}

func (b *board) write(g Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.group = g
	b.offer()
}

// leads takes in how many shards this replica leads.
func (b *board) leads(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.group.Leading = n
	b.offer()
}

// offer replaces what the observers have not taken yet. Called with mu held; nothing else sends.
func (b *board) offer() {
	for ch := range b.observers {
		select {
		case <-ch:
		default:
		}
		ch <- b.copy()
	}
}

func (b *board) copy() Group {
	g := b.group
	g.Members = slices.Clone(g.Members)
	return g
}

func (b *board) read() Group {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.copy()
}

func (b *board) subscribe() chan Group {
	ch := make(chan Group, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.observers == nil {
		b.observers = map[chan Group]struct{}{}
	}
	b.observers[ch] = struct{}{}
	ch <- b.copy()
	return ch
}

func (b *board) unsubscribe(ch chan Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.observers, ch)
	close(ch)
}

// Check is the health of the replica, for a probe. It returns an error if the work of a shard has
// outlived its lock by more than maxTolerableExpiredLease: another may lead the shard meanwhile,
// and only a restart ends that. It returns ErrCannotServe while the store's latest answer to a join
// is a permanent error, which a restart does not fix. It returns ErrNoContact if the group's item
// could not be read for longer than MaxSilence, if that is set. It returns nil if the replica does
// not run.
func (r *Replica) Check(maxTolerableExpiredLease time.Duration) error {
	r.mu.Lock()
	run, trouble := r.current, r.trouble
	now := lease.Now(r.clock)
	silence := now.Since(r.contact)
	var shard string
	var over time.Duration
	if run != nil {
		for s := range run.draining {
			if lost := s.term.lost; lost != nil && now.Since(*lost) >= over {
				shard, over = s.name, now.Since(*lost)
			}
		}
	}
	r.mu.Unlock()
	switch {
	case run == nil:
		return nil
	case shard != "" && over > maxTolerableExpiredLease:
		return fmt.Errorf("shards %q: the work of shard %q has outlived its lock by %v: it does not return although its context has ended", r.name, shard, short(over))
	case trouble != nil:
		return fmt.Errorf("shards %q: %w: %w", r.name, ErrCannotServe, trouble)
	case r.maxSilence > 0 && silence > r.maxSilence:
		return fmt.Errorf("shards %q: %w for %v", r.name, ErrNoContact, short(silence))
	}
	return nil
}
