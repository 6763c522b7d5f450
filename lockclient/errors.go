package lockclient

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// What can go wrong, for errors.Is. The SDK's error stays in the chain.
var (
	// ErrLockHeld: another client holds the lock. The error is a *LockHeldError.
	ErrLockHeld = errors.New("lockclient: lock is held")
	// ErrLockLost: the tenure ended because another client has the record, has released it or has
	// deleted it. A heartbeat or a fenced transaction found this.
	ErrLockLost = errors.New("lockclient: lock lost")
	// ErrLeaseExpired: the tenure ended because no heartbeat was confirmed in time.
	ErrLeaseExpired = errors.New("lockclient: lease expired")
	// ErrNotHeld: the call needs a tenure and there is none.
	ErrNotHeld = errors.New("lockclient: lock is not held")
	// ErrInvalidConfig: some fields are invalid. The error names all of them, each with its
	// remedy.
	ErrInvalidConfig = errors.New("lockclient: invalid configuration")
	// ErrTableNotFound: the table doesn't exist, in this region and account.
	ErrTableNotFound = errors.New("lockclient: table not found")
	// ErrTableMismatch: the table's key is not the configured one.
	ErrTableMismatch = errors.New("lockclient: table has another key")
	// ErrAccessDenied: the credentials don't allow the request.
	ErrAccessDenied = errors.New("lockclient: access denied")
	// ErrNotALock: the item under the lock's key is not a lock. It was not changed.
	ErrNotALock = errors.New("lockclient: item is not a lock")
	// ErrOutcomeUnknown: a fenced transaction may have been carried out, and no answer came in time
	// that says so.
	ErrOutcomeUnknown = errors.New("lockclient: outcome of the transaction unknown")
	// ErrInterrupted: RemoveLock was called while the acquire was under way.
	ErrInterrupted = errors.New("lockclient: interrupted by RemoveLock")
)

// errNoAnswer marks a request that took longer than the lease can spare.
var errNoAnswer = fmt.Errorf("lockclient: no answer in time: %w", context.DeadlineExceeded)

// configError is ErrInvalidConfig with what is wrong.
type configError struct{ fields error }

func (e *configError) Error() string { return ErrInvalidConfig.Error() + ": " + e.fields.Error() }

// Unwrap returns ErrInvalidConfig and the errors of the fields.
func (e *configError) Unwrap() []error { return []error{ErrInvalidConfig, e.fields} }

// Permanent is true: a retry does not help.
func (e *configError) Permanent() bool { return true }

// LockHeldError says who holds the lock. ErrLockHeld and the SDK's
// *dynamodb.ConditionalCheckFailedException are in its chain. It is also an awserr.Error with the
// code of that exception, which callers of dynamodb-lock-client-golang look for.
type LockHeldError struct {
	LockName string
	// Owner is the holder's Identifier. "": nobody holds the lock, but it was released to
	// Heir and is left to it for one heartbeat (ReleaseTo).
	Owner string
	// Heir is the Identifier of the client that the lock was released to; "" while it is held.
	Heir string
	// FencingToken is the holder's; 0 where its client writes none.
	FencingToken int64
	// LeaseDuration is how long the record is watched: the recorded lease, or this client's own or
	// a minute, whichever is longer, if the record has no readable lease.
	LeaseDuration time.Duration
	// RetryAfter is the time until the next attempt can show a change: after the holder's next
	// heartbeat, at the end of its lease, or at the end of Heir's time.
	RetryAfter time.Duration
	// Unchanged is for how long this client has seen the record as it is now.
	Unchanged time.Duration

	cause error
}

func (e *LockHeldError) Error() string {
	if e.Heir != "" {
		return fmt.Sprintf("lockclient: lock %q was released to %q; if that client does not take it, others may in %v", e.LockName, e.Heir, e.RetryAfter)
	}
	return fmt.Sprintf("lockclient: lock %q is held by %q (fencing token %d, lease %v); if its holder has crashed, TryLock or WaitForLock takes it over",
		e.LockName, e.Owner, e.FencingToken, e.LeaseDuration)
}

// Unwrap leads to ErrLockHeld and, from GetLock or after a refused write, to the SDK's
// ConditionalCheckFailedException. A poll that only read has none.
func (e *LockHeldError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrLockHeld}
	}
	return []error{ErrLockHeld, e.cause}
}

// Code is ConditionalCheckFailedException, as for the write that is refused.
func (e *LockHeldError) Code() string { return dynamodb.ErrCodeConditionalCheckFailedException }

// Message is Error.
func (e *LockHeldError) Message() string { return e.Error() }

// OrigErr is the SDK's error, or nil.
func (e *LockHeldError) OrigErr() error { return e.cause }

// HeldBy returns Owner and FencingToken, for packages that know this one through an
// interface only.
func (e *LockHeldError) HeldBy() (owner string, fencingToken int64) { return e.Owner, e.FencingToken }

// NextPoll returns RetryAfter, for the same packages.
func (e *LockHeldError) NextPoll() time.Duration { return e.RetryAfter }

// Watched returns Unchanged and LeaseDuration, for the same packages.
func (e *LockHeldError) Watched() (unchanged, lease time.Duration) {
	return e.Unchanged, e.LeaseDuration
}

var _ awserr.Error = (*LockHeldError)(nil)

// requestError is a request that failed: its purpose, the lock, and the remedy if there is one.
type requestError struct {
	doing, lock, table string
	kind               error // a sentinel, or nil
	cause              error
	remedy             string
	permanent          bool
}

func (e *requestError) Error() string {
	var b strings.Builder
	if e.kind != nil {
		b.WriteString(e.kind.Error())
	} else {
		b.WriteString("lockclient: request failed")
	}
	fmt.Fprintf(&b, ": %s", e.doing)
	if e.lock != "" {
		fmt.Fprintf(&b, " lock %q in", e.lock)
	}
	fmt.Fprintf(&b, " table %q", e.table)
	if e.remedy != "" {
		fmt.Fprintf(&b, ": %s", e.remedy)
	}
	if e.cause != nil {
		b.WriteString(": " + oneLine(e.cause))
	}
	return b.String()
}

func (e *requestError) Unwrap() []error {
	var chain []error
	for _, err := range []error{e.kind, e.cause} {
		if err != nil {
			chain = append(chain, err)
		}
	}
	return chain
}

// Permanent reports whether retrying can't help. Packages that know this one only
// through an interface look for this method.
func (e *requestError) Permanent() bool { return e.permanent }

// brief is err with a text of one line, for the end of a message. err stays in the chain.
func brief(err error) error { return briefError{err} }

type briefError struct{ error }

func (e briefError) Error() string { return oneLine(e.error) }

func (e briefError) Unwrap() error { return e.error }

// oneLine is the text of err in one line, without the items that the SDK prints after a failed
// condition. They are long, and have the Data of the lock or the caller's own attributes in them.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n{")
	return strings.Join(strings.Fields(text), " ")
}

// clientPanic is a request in which the DynamoDB client panicked, as a mock without the
// method does.
type clientPanic struct {
	value any
	where string // the function that panicked
	ended bool   // no panic: it ended the goroutine
}

func (e *clientPanic) Error() string {
	if e.ended {
		return "the DynamoDB client ended the request's goroutine (runtime.Goexit)"
	}
	return fmt.Sprintf("the DynamoDB client panicked in %s: %v", e.where, e.value)
}

// Unwrap returns the value of the panic if it is an error.
func (e *clientPanic) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// panickedIn names the function that has panicked. Called by a deferred function.
func panickedIn() string {
	stack := make([]uintptr, 32)
	frames := runtime.CallersFrames(stack[:runtime.Callers(1, stack)])
	for thrown := false; ; {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			thrown = true
		case thrown && !strings.HasPrefix(frame.Function, "runtime."):
			return frame.Function
		}
		if !more {
			return "an unknown function"
		}
	}
}
