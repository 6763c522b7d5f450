package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
)

// contest is how the contenders for one lock are set up.
type contest struct {
	who              string // ByLock or ByElector
	lease, heartbeat time.Duration
	lock             string
}

func (c contest) client(n *node) *lockclient.DynamoDBLockClient {
	return &lockclient.DynamoDBLockClient{
		LockName: c.lock, TableName: table, LeaseDuration: c.lease, HeartbeatPeriod: c.heartbeat, Client: n.client(),
	}
}

// contender is a process that wants the lock, holds it, and lets it go.
type contender struct {
	node *node
	lock *lockclient.DynamoDBLockClient
	won  chan time.Time // when it knows that it holds the lock, once
	quit context.CancelFunc
	done chan error
}

// enter starts a contender, which campaigns until it holds the lock, and holds it until leave.
func (c contest) enter(n *node) *contender {
	ctx, cancel := context.WithCancel(context.Background())
	x := &contender{node: n, lock: c.client(n), won: make(chan time.Time, 1), quit: cancel, done: make(chan error, 1)}
	if c.who == ByElector {
		elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
			Lock: x.lock,
			Callbacks: election.LeaderCallbacks{
				OnStartedLeading: func(leading context.Context) {
					select {
					case x.won <- time.Now():
					default:
					}
					<-leading.Done()
				},
				OnStoppedLeading: func() {},
			},
			ReleaseOnCancel: true,
		})
		if err != nil {
			x.done <- err
			return x
		}
		go func() { x.done <- elector.Run(ctx) }()
		return x
	}
	go func() {
		err := x.lock.WaitForLock(ctx)
		if err == nil {
			x.won <- time.Now()
		}
		x.done <- err
	}()
	return x
}

// wins waits until the contender holds the lock.
func (x *contender) wins(patience time.Duration) (time.Time, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case at := <-x.won:
		return at, nil
	case err := <-x.done:
		x.done <- err
		select {
		case at := <-x.won: // both at once
			return at, nil
		default:
			return time.Time{}, fmt.Errorf("stopped campaigning: %w", err)
		}
	case <-timer.C:
		return time.Time{}, fmt.Errorf("did not win within %v", patience)
	}
}

// leave ends the contender and releases what it holds.
func (x *contender) leave() error {
	x.quit()
	if err := <-x.done; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return x.lock.RemoveLock()
}
