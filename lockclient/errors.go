package lockclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// What can go wrong, for errors.Is. The SDK's error stays in the chain.
var (
	// ErrLockHeld: another client holds the lock. The error is a *LockHeldError.
	ErrLockHeld = errors.New("lockclient: lock is held")
	// ErrLockLost: the tenure ended because the record is another's, was released or
	// deleted by someone else, or a fenced transaction found it so.
	ErrLockLost = errors.New("lockclient: lock lost")
	// ErrLeaseExpired: the tenure ended because no heartbeat was confirmed in time.
	ErrLeaseExpired = errors.New("lockclient: lease expired")
	// ErrNotHeld: the call needs a tenure and there is none.
	ErrNotHeld = errors.New("lockclient: lock is not held")
	// ErrInvalidConfig: fields that don't fit, all of them, each with its remedy.
	ErrInvalidConfig = errors.New("lockclient: invalid configuration")
	// ErrTableNotFound: the table doesn't exist, in this region and account.
	ErrTableNotFound = errors.New("lockclient: table not found")
	// ErrTableMismatch: the table's key is not the one that the client was given.
	ErrTableMismatch = errors.New("lockclient: table has another key")
	// ErrAccessDenied: the credentials don't allow the request.
	ErrAccessDenied = errors.New("lockclient: access denied")
	// ErrNotALock: the item under the lock's key is something else; nothing
	// was changed.
	ErrNotALock = errors.New("lockclient: item is not a lock")
	// ErrOutcomeUnknown: a fenced transaction may or may not have been carried out, and
	// nobody answers any more.
	ErrOutcomeUnknown = errors.New("lockclient: outcome of the transaction unknown")
	// ErrInterrupted: RemoveLock was called while the acquire was under way.
	ErrInterrupted = errors.New("lockclient: interrupted by RemoveLock")
)

// errAttemptTimeout is the cause of a request that took longer than the lease can
// spare.
var errAttemptTimeout = fmt.Errorf("lockclient: no answer in time: %w", context.DeadlineExceeded)

// configError is ErrInvalidConfig with what is wrong.
type configError struct{ fields error }

func (e *configError) Error() string { return ErrInvalidConfig.Error() + ": " + e.fields.Error() }

// Unwrap leads to ErrInvalidConfig and to the refused fields.
func (e *configError) Unwrap() []error { return []error{ErrInvalidConfig, e.fields} }

// Permanent is true: no retry can mend it.
func (e *configError) Permanent() bool { return true }

// LockHeldError says who holds the lock. errors.Is(err, ErrLockHeld) and the SDK's
// *dynamodb.ConditionalCheckFailedException are in its chain, and it is an
// awserr.Error of that code itself, which callers of dynamodb-lock-client-golang
// look for.
type LockHeldError struct {
	LockName string
	// Owner is the holder's Identifier.
	Owner string
	// FencingToken is the holder's; 0 where its client writes none.
	FencingToken int64
	// LeaseDuration is the one that is waited for: the recorded one, or what stands in
	// for it where the record has none that can be read.
	LeaseDuration time.Duration
	// RetryAfter is when the next attempt can tell anything new: after the holder's
	// next heartbeat is due, or when its lease will have run out unrenewed.
	RetryAfter time.Duration

	cause error
}

func (e *LockHeldError) Error() string {
	return fmt.Sprintf("lockclient: lock %q is held by %q (fencing token %d, lease %v)", e.LockName, e.Owner, e.FencingToken, e.LeaseDuration)
}

// Unwrap leads to ErrLockHeld and to the SDK's error where a write was refused; a
// poll that only read has none.
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

var _ awserr.Error = (*LockHeldError)(nil)

// requestError is a request that failed: what it was for, which lock, and what to
// do where something can be done.
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
		fmt.Fprintf(&b, ": %s", strings.ReplaceAll(e.cause.Error(), "\n", " "))
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

// Permanent reports whether no retry can mend it; packages that know this one
// through an interface only look for it.
func (e *requestError) Permanent() bool { return e.permanent }

// failure explains a failed request. A failed condition is not one: its callers
// look at the record first.
func (s *store) failure(doing string, err error) error {
	e := &requestError{doing: doing, lock: s.name, table: s.table, cause: err}
	if status := statusOf(err); status >= 500 || status > 0 && status < 400 {
		return e // whatever the body said: the server, or something before it, had a bad moment
	}
	switch code := errorCode(err); code {
	case dynamodb.ErrCodeResourceNotFoundException:
		e.kind, e.permanent = ErrTableNotFound, true
		e.remedy = "create it (lockclient.EnsureTable does) or mend TableName, region or account"
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation":
		e.kind, e.permanent = ErrAccessDenied, true
		e.remedy = "allow dynamodb:UpdateItem, GetItem and, where they are used, DeleteItem (DeleteOnRelease) and ConditionCheckItem (fenced transactions) on the table"
	case "NoCredentialProviders":
		// Nobody has configured any, or one look for them has failed: credentials that were there
		// once can come back.
		e.kind, e.permanent = ErrAccessDenied, !s.answered.Load()
		e.remedy = "give the client credentials"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "IncompleteSignature",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired":
		e.kind, e.permanent = ErrAccessDenied, true
		e.remedy = "give the client working credentials for this region (and check this machine's clock)"
	case "ValidationException":
		e.permanent = true
		message := strings.ToLower(err.Error())
		switch {
		case strings.Contains(message, "key element") || strings.Contains(message, "required keys") || strings.Contains(message, "number of conditions on the keys") ||
			strings.Contains(message, "provided key") || strings.Contains(message, "type mismatch for key"):
			e.kind = ErrTableMismatch
			e.remedy = fmt.Sprintf("this client uses %s; set PartitionKeyName, SortKeyName and SortKeyValue to the table's key, which must be of type S", s.keyText())
		case strings.Contains(message, "operand"):
			e.kind = ErrNotALock
			e.remedy = "an attribute of the record has a type that no lock client writes; look at the item"
		}
	case "MissingRegion", "MissingEndpoint", "SerializationException", "UnknownOperationException", "ParamRequiredError",
		"InvalidParameter", dynamodb.ErrCodeIdempotentParameterMismatchException, dynamodb.ErrCodeItemCollectionSizeLimitExceededException:
		e.permanent = true
		e.remedy = "mend the request or the DynamoDB client's configuration"
	}
	return e
}

// notALock is the error for an item that no lock client wrote.
func (s *store) notALock() error {
	return &requestError{doing: "acquire", lock: s.name, table: s.table, kind: ErrNotALock, permanent: true,
		remedy: "the item under this key has no " + attrVersion + " and is left as it is; choose another LockName, or delete the item"}
}

// errorCode is the SDK's code for err, or "".
func errorCode(err error) string {
	var coded awserr.Error
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return ""
}

// isPermanent reports whether err is one that no retry can mend.
func isPermanent(err error) bool {
	var p interface {
		error
		Permanent() bool
	}
	return errors.As(err, &p) && p.Permanent()
}

// conditionFailed returns the SDK's error when err is a failed condition.
func conditionFailed(err error) (*dynamodb.ConditionalCheckFailedException, bool) {
	var failed *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return failed, true
	}
	// Wrappers of the SDK and test doubles return the code without the type.
	if errorCode(err) == dynamodb.ErrCodeConditionalCheckFailedException {
		return &dynamodb.ConditionalCheckFailedException{}, true
	}
	return nil, false
}

// mayHaveCommitted reports whether a write that ended in err can have been, or
// can yet be, carried out: not after a refusal, which the server answers with a
// status of the 400s. 408 is a proxy's, which has given up waiting for the server.
func mayHaveCommitted(err error) bool {
	if err == nil {
		return true
	}
	if status := statusOf(err); status >= 400 && status < 500 && status != http.StatusRequestTimeout {
		return false
	}
	return !errors.Is(err, errNotSent)
}

// statusOf is the HTTP status that came with err; 0 when there was no reply.
func statusOf(err error) int {
	var reply awserr.RequestFailure
	if errors.As(err, &reply) {
		return reply.StatusCode()
	}
	return 0
}

// errNotSent marks a request that was given up before it left.
var errNotSent = errors.New("lockclient: not sent")

// contextError is ctx's cause, with its error in the chain also where the two
// differ.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, errAttemptTimeout) {
		return cause // ours: nobody has cancelled anything
	}
	if cause == nil || errors.Is(cause, err) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
