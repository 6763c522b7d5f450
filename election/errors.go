package election

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrInvalidConfig is in the chain of every error of NewLeaderElector. The error's text names each bad field, its value
	// and the remedy; nothing was started and no request was sent.
	ErrInvalidConfig = errors.New("election: invalid configuration")

	// ErrAlreadyRunning is what Run returns while another Run of the same elector is under way.
	ErrAlreadyRunning = errors.New("election: this elector is already running")

	// ErrLeaseExpired is the cause of a leading context that ended because no renewal was confirmed within RenewDeadline.
	ErrLeaseExpired = errors.New("election: lease not renewed within RenewDeadline")

	// ErrLockLost is the cause of a leading context that ended because the lock is no longer the term's: taken over, deleted or
	// edited by somebody, or held under another fencing token. The lock's own LockError is in the chain.
	ErrLockLost = errors.New("election: lock lost")

	// ErrCannotCampaign is in what Check returns while the store's latest answer is one that no retry can mend (no table, no
	// permission); the store's error is in the chain, too. Restarting the process does not mend it either.
	ErrCannotCampaign = errors.New("election: can't campaign")

	// ErrResigned is the cause of a leading context that ended because Resign was called or OnStartedLeading returned.
	ErrResigned = errors.New("election: resigned")
)

// errLeftToRunOut is what Resign is told of a lock that is not released because nobody asked for it.
var errLeftToRunOut = errors.New("election: lock not released, its lease runs out by itself: Run's context ended, without ReleaseOnCancel, before the term was resigned")

// heldError is what PollLock's error offers when another client holds the lock.
type heldError interface {
	error
	HeldBy() (owner string, fencingToken int64)
	NextPoll() time.Duration
}

// permanentError is what PollLock's error offers when it may be one that no retry can mend.
type permanentError interface {
	error
	Permanent() bool
}

func isPermanent(err error) bool {
	var p permanentError
	return errors.As(err, &p) && p.Permanent()
}

// endError says why a term ended when the reason is the elector's own; any other cause is that of Run's context.
type endError struct {
	reason error // one of the sentinels above
	detail string
	lock   error // the lock's LockError; nil: it had none
}

func (e *endError) Error() string {
	text := e.reason.Error()
	if e.detail != "" {
		text += ": " + e.detail
	}
	if e.lock != nil {
		text += ": " + e.lock.Error()
	}
	return text
}

func (e *endError) Unwrap() []error {
	if e.lock == nil {
		return []error{e.reason}
	}
	return []error{e.reason, e.lock}
}

// panicError is the cause of the contexts that end because a callback panicked.
type panicError struct {
	callback string
	value    any
}

func (e *panicError) Error() string {
	return fmt.Sprintf("election: %s panicked: %v", e.callback, e.value)
}
