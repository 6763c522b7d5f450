package election

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrInvalidConfig is in the chain of every error of NewLeaderElector. The text names each bad
	// field, its value and the remedy. Nothing was started and no request was sent.
	ErrInvalidConfig = errors.New("election: invalid configuration")

	// ErrAlreadyRunning is returned by Run while another Run of the same elector is under way.
	ErrAlreadyRunning = errors.New("election: this elector is already running")

	// ErrLeaseExpired is the cause of a leading context that ended because no renewal was confirmed
	// within RenewDeadline.
	ErrLeaseExpired = errors.New("election: lease not renewed within RenewDeadline")

	// ErrLockLost is the cause of a leading context that ended because the lock is no longer the
	// term's: it was taken over, deleted or edited, or is held under another fencing token. The
	// lock's own LockError is in the chain.
	ErrLockLost = errors.New("election: lock lost")

	// ErrCannotCampaign is in the chain of what Check returns while the store's latest answer is a
	// permanent error (no table, no permission). The store's error is in the chain too. A restart
	// of the process does not help.
	ErrCannotCampaign = errors.New("election: can't campaign")

	// ErrNoContact is in the chain of what Check returns while the store has not answered for
	// longer than MaxSilence.
	ErrNoContact = errors.New("election: the store has not answered")

	// ErrNotLeading is returned by TransferTo if there is no term to hand over.
	ErrNotLeading = errors.New("election: not leading")

	// ErrResigned is the cause of a leading context that ended because Resign or TransferTo was
	// called or OnStartedLeading returned.
	ErrResigned = errors.New("election: resigned")
)

// errLeftToRunOut is what Resign returns if the lock was not released because ReleaseOnCancel is
// false.
var errLeftToRunOut = errors.New("election: lock not released, its lease runs out by itself: Run's context ended, without ReleaseOnCancel, before the term was resigned")

// errNoAnswer is the cause of a context that ended because a request took longer than the elector
// allows.
var errNoAnswer = fmt.Errorf("election: no answer in time: %w", context.DeadlineExceeded)

// timeoutError replaces an error that only says that ctx was cancelled, if the elector itself has
// cancelled it.
type timeoutError struct {
	after time.Duration
	err   error
}

func (e *timeoutError) Error() string   { return fmt.Sprintf("no answer within %v", e.after) }
func (e *timeoutError) Unwrap() []error { return []error{errNoAnswer, e.err} }

// inTime returns err, or a timeoutError if the elector cancelled the request for taking too long.
func inTime(ctx context.Context, err error, patience time.Duration) error {
	if err != nil && errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), errNoAnswer) {
		return &timeoutError{patience, err}
	}
	return err
}

// heldError is an error of PollLock that says that another client holds the lock.
type heldError interface {
	error
	HeldBy() (owner string, fencingToken int64)
	NextPoll() time.Duration
}

// watchedError is a heldError that also says for how long this client has seen the holder's record
// unchanged, and the record's lease. The elector uses it to tell how one leader followed another.
type watchedError interface {
	Watched() (unchanged, lease time.Duration)
}

// permanentError is an error of PollLock that may be permanent: no retry can help.
type permanentError interface {
	error
	Permanent() bool
}

func isPermanent(err error) bool {
	var p permanentError
	return errors.As(err, &p) && p.Permanent()
}

// endError says why a term ended, if the elector ended it. Otherwise the cause is that of Run's
// context.
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
