package interop

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// lookEvery is the pause between two looks.
const lookEvery = 4 * time.Millisecond

// ours is a lock client of ours in this process, whose beliefs go to the ledger.
type ours struct {
	*lockclient.DynamoDBLockClient
	wire   *wire.Wire // its path to the engine
	ledger *ledger

	mu   sync.Mutex // guards stop
	stop func()     // ends the looking at the present tenure
}

// get is GetLock.
func (o *ours) get() (bool, error) { return o.took(o.GetLock()) }

// await is WaitForLock.
func (o *ours) await(ctx context.Context) error {
	err := o.WaitForLock(ctx)
	_, err = o.took(err == nil, err)
	return err
}

func (o *ours) took(held bool, err error) (bool, error) {
	if held {
		if token, ok := o.FencingToken(); ok {
			stop := lookAt(o.ledger, o.Identity(), token, o.DynamoDBLockClient, nil)
			o.mu.Lock()
			o.stop = stop
			o.mu.Unlock()
		}
	}
	return held, err
}

// free is RemoveLock.
func (o *ours) free() error {
	o.yields()
	return o.RemoveLock()
}

// yields tells the ledger that the present tenure is about to be given up.
func (o *ours) yields() {
	o.mu.Lock()
	stop := o.stop
	o.stop = nil
	o.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (o *ours) contend(d time.Duration, count counter) (tally, error) {
	return contend(d, count, contending{
		who: o.Identity(),
		take: func() (bool, error) {
			ctx, cancel := context.WithTimeout(context.Background(), o.LeaseDuration)
			defer cancel()
			err := o.await(ctx)
			if err != nil && ctx.Err() != nil {
				return false, nil
			}
			return err == nil, err
		},
		held: func() bool { held, _ := o.HasLock(); return held },
		free: o.free,
	})
}

// campaign contends through an elector: to lead is to hold the lock.
func (o *ours) campaign(ctx context.Context, count counter) (t tally, err error) {
	var elector *election.LeaderElector
	var failed error
	elector, err = election.NewLeaderElector(election.LeaderElectionConfig{
		Lock:            o.DynamoDBLockClient,
		ReleaseOnCancel: true,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				term, _ := election.TermFromContext(leading)
				stop := lookAt(o.ledger, o.Identity(), term.FencingToken, o.DynamoDBLockClient, func() bool { return elector.IsLeader() || leading.Err() == nil })
				defer stop()
				t.tenures++
				for hold := clock() + 150*time.Millisecond; clock() < hold && leading.Err() == nil; {
					if failed = t.increment(count, o.Identity(), func() bool { return leading.Err() == nil }); failed != nil {
						return
					}
					pause(5 * time.Millisecond)
				}
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return t, err
	}
	err = elector.Run(ctx)
	return t, errors.Join(err, failed)
}

// lookAt tells the ledger what a tenure believes, by HasLock or by anything else that might, until
// it no longer does or stop is called, which is the yield.
func lookAt(l *ledger, who string, token int64, lock *lockclient.DynamoDBLockClient, or func() bool) (stop func()) {
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(lookEvery)
		defer every.Stop()
		for {
			from := clock()
			held, _ := lock.HasLock()
			now, _ := lock.FencingToken()
			held = held && now == token
			var until time.Duration
			at := clock()
			if deadline, certain := lock.Deadline(); held && certain {
				until = at + time.Until(deadline)
			}
			if !held && or != nil {
				held = or()
			}
			to := clock()
			if !held {
				return
			}
			l.believes(who, token, from, to, until)
			select {
			case <-stopped:
				return
			case <-every.C:
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(stopped)
		<-done
		l.yields(who, token, clock())
	})
}
