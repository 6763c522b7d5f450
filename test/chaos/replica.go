package chaos

import (
	"context"
	"slices"
	"strings"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/election/shards"
)

// leadShards is the life of a worker that is a replica of a group of shards.
func (w *worker) leadShards(ctx context.Context) error {
	names := make([]string, len(w.Locks))
	for i, lock := range w.Locks {
		names[i] = strings.TrimPrefix(lock, w.Group+"/")
	}
	replica, err := shards.New(shards.Config{
		Session: w.session,
		Group:   w.Group,
		Names:   names,
		Callbacks: shards.Callbacks{
			OnStarted: w.leadShard,
			OnStopped: func(string) {},
		},
	})
	if err != nil {
		return err
	}
	return replica.Run(ctx)
}

// leadShard is one term of one shard.
func (w *worker) leadShard(leading context.Context, shard string) {
	name := w.Group + "/" + shard
	c := &contention{worker: w, name: name, random: w.dice(slices.Index(w.Locks, name))}
	term, _ := election.TermFromContext(leading)
	look, work := func() Entry { return lookAt(leading, term) }, leading
	if w.Mistake != "" {
		late, cancel := w.leadOn(leading)
		defer cancel()
		work = late
		if w.Mistake == LeadsOn {
			look = func() Entry { return lookAt(late, term) }
		}
	}
	stopSampling := c.sampleWhile(work, term.FencingToken, look)
	c.workThrough(work, term)
	stopSampling()
	c.write(Entry{Kind: Yield, From: Monotonic(), Token: term.FencingToken})
}

// leadOn is the mistaken context of a term: it lives two leases longer.
func (w *worker) leadOn(leading context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(leading))
	context.AfterFunc(leading, func() {
		w.pause(late, 2*w.Lease)
		cancel()
	})
	return late, cancel
}

// lookAt asks a leading context whether it is alive. Its Err looks at the lease, so it is held to
// the same rule as HasLock; its Done is a timer's.
func lookAt(leading context.Context, term election.Term) Entry {
	e := Entry{Kind: Belief, From: Monotonic(), Token: term.FencingToken}
	select {
	case <-leading.Done():
	default:
		e.Alive = true
	}
	e.Leads = leading.Err() == nil
	e.To = Monotonic()
	return e
}
