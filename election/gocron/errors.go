package gocron

import (
	"errors"
	"fmt"

	"github.com/leaderkit/leaderkit/lockclient"
)

// What can go wrong, for errors.Is. That another scheduler holds a job's lock is
// lockclient.ErrLockHeld. The errors of Lock and IsLeader reach gocron, which skips the run;
// gocron.AfterLockError hands those of Lock to the caller's own function.
var (
	// ErrInvalidConfig: NewLocker refuses the configuration. The text names each bad field, its
	// value and the remedy.
	ErrInvalidConfig = errors.New("election/gocron: invalid configuration")
	// ErrBusy: this process has the job's lock already. An earlier run goes on, or its MinimumHold
	// is not over. lockclient.ErrLockHeld is in the chain.
	ErrBusy = errors.New("election/gocron: this process has the lock already")
	// ErrClosed: Lock was called after Close.
	ErrClosed = errors.New("election/gocron: the locker is closed")
	// ErrUnnamed: a job whose task was made by Locker.Task has no name. All such jobs would share
	// one lock.
	ErrUnnamed = errors.New("election/gocron: the job has no name: give NewJob the option gocron.WithName")
	// ErrNotLocked: a task made by Locker.Task was started without a lock of that Locker, and was
	// not run.
	ErrNotLocked = errors.New("election/gocron: the run has no lock, so it was not started: " +
		"give the Locker of its Task to gocron.WithDistributedLocker or WithDistributedJobLocker, and no Elector to the same scheduler")
	// ErrHeldTooLong is the cause of a run's context when the run has lasted for MaximumHold.
	ErrHeldTooLong = errors.New("election/gocron: the run took longer than MaximumHold")
	// ErrNotLeader: IsLeader was asked, or a task made by Elector.Task was started, while this
	// process does not lead.
	ErrNotLeader = errors.New("election/gocron: not the leader")
)

// busyError is ErrBusy, and lockclient.ErrLockHeld for callers that only want to distinguish "held"
// from a failure.
func busyError(key, why string) error {
	return fmt.Errorf("%w: job %q: %s (%w)", ErrBusy, key, why, lockclient.ErrLockHeld)
}
