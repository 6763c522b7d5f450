package lockclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// ConditionCheck returns the condition "this tenure still holds the lock", to be put
// into the caller's own TransactWriteItems: the transaction then commits only if it
// is true, atomically with the rest. Make a new one for each transaction. Without a
// tenure it returns ErrNotHeld.
//
// The lock's item is only read. If the transaction and a heartbeat arrive at the same time,
// DynamoDB refuses one of them (TransactionConflict). The heartbeat is repeated automatically, and
// the transaction by TransactWrite, which waits while a heartbeat is being repeated.
func (c *DynamoDBLockClient) ConditionCheck() (*dynamodb.ConditionCheck, error) {
	k, err := c.heldTenure()
	if err != nil {
		return nil, err
	}
	return k.driver().requests.conditionCheck(k.fencingToken()), nil
}

// TransactWrite runs in as a transaction that commits only if this client's current
// tenure still holds the lock. It adds ConditionCheck (in is not changed and may have
// 99 items). After a conflict, a throttle or a lost reply it repeats the transaction with
// jittered backoff, always with the same ClientRequestToken, so that it is carried out
// once. While a heartbeat of the lock is being repeated, it waits.
//
// It returns ErrNotHeld when there is no tenure. ErrLockLost says that the lock's record is no
// longer this tenure's: nothing was written, and nothing will be, even if the network repeats the
// request. The SDK's *dynamodb.TransactionCanceledException says that a condition of the caller's
// own failed.
//
// ErrOutcomeUnknown says that the transaction may have been carried out, or may still be, but only
// if the lock was held then. ctx's error or the SDK's is in the chain too, and never ErrLockLost.
// Before that TransactWrite repeats the transaction for one lease after the end of the tenure,
// because a success or ErrLockLost settles the outcome of all attempts.
func (c *DynamoDBLockClient) TransactWrite(ctx context.Context, in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	k, err := c.heldTenure()
	if err != nil {
		return nil, err
	}
	if in == nil {
		return nil, fmt.Errorf("%w: the TransactWriteItemsInput is nil: give the transaction to guard", ErrInvalidConfig)
	}
	fenced := *in
	fenced.TransactItems = append(slices.Clone(in.TransactItems), &dynamodb.TransactWriteItem{ConditionCheck: k.driver().requests.conditionCheck(k.fencingToken())})
	if fenced.ClientRequestToken == nil {
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, fmt.Errorf("lockclient: make a ClientRequestToken: %w", err)
		}
		fenced.ClientRequestToken = aws.String(id.String())
	}
	t := &transaction{k: k, in: &fenced, check: len(fenced.TransactItems) - 1, passed: lease.StartOdometer(lease.Now(k.driver().clock))}
	return t.run(ctx)
}

// tokenMemory is how long a transaction is repeated. DynamoDB remembers a
// ClientRequestToken for 10 minutes, says its API reference. This is less, to leave time
// for clocks and a last attempt: a later repetition would be a second transaction.
const tokenMemory = 8 * time.Minute

// transaction is one fenced transaction, repeated until it is answered.
type transaction struct {
	k       holding
	in      *dynamodb.TransactWriteItemsInput
	check   int // the place of the tenure's check among the items
	passed  lease.Odometer
	ended   time.Duration // when the tenure was first seen to have ended; 0: not yet
	unknown bool          // an attempt got no answer, and may have been carried out
	left    bool          // an attempt has left this machine; the network may still deliver a copy of it
}

func (t *transaction) run(ctx context.Context) (*dynamodb.TransactWriteItemsOutput, error) {
	d := t.k.driver()
	var last error
	for failures := 0; ; failures++ {
		if failures > 0 && !d.sleep(ctx, backoff(failures, d.Heartbeat, d.jitter)) {
			return nil, t.withOutcome(contextError(ctx))
		}
		if err := t.k.untilCalm(ctx); err != nil {
			return nil, t.withOutcome(err)
		}
		if failures > 0 { // after the waits: they may take longer than a token is remembered
			if final := t.reasonToStop(last); final != nil {
				return nil, final
			}
		}
		out, err := ask(ctx, d, 0, func(ctx context.Context) (*dynamodb.TransactWriteItemsOutput, error) {
			return d.requests.client.TransactWriteItemsWithContext(ctx, t.in, once)
		})
		if err == nil {
			return out, nil
		}
		t.unknown = t.unknown || mayHaveCommitted(err)
		if ctx.Err() != nil {
			return nil, t.withOutcome(contextError(ctx))
		}
		if final := t.finalError(err); final != nil {
			return nil, final
		}
		t.left = t.left || t.unknown || statusOf(err) > 0
		last = err
		d.log.V(1).Info("fenced transaction failed, will retry", "failures", failures+1, "error", oneLine(err))
	}
}

// withOutcome adds ErrOutcomeUnknown to why the transaction ends, if an attempt got no
// answer.
func (t *transaction) withOutcome(why error) error {
	if t.unknown {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, why)
	}
	return why
}

// finalError returns the caller's error for an answer, or nil if the transaction should be
// repeated.
func (t *transaction) finalError(err error) error {
	// If an earlier attempt, or a copy of one, had been carried out, DynamoDB would have recognised
	// its token and checked no condition. One that is still in flight will fail the same check. So
	// it is certain that nothing was written, unless this process was paused until DynamoDB had
	// forgotten the token.
	if lost := TransactionError(err, t.check); lost != nil {
		t.k.lose(reasonRecord(err, t.check), err)
		if t.left && t.passed.Fold(lease.Now(t.k.driver().clock)) > tokenMemory {
			return fmt.Errorf("%w: %s", ErrOutcomeUnknown, lost) // not wrapped: ErrLockLost would say that nothing was written
		}
		return lost
	}
	if transactionRetriable(err) {
		return nil
	}
	switch errorCode(err) {
	case dynamodb.ErrCodeTransactionCanceledException:
		return t.withOutcome(err) // an earlier attempt may still arrive, and find the caller's own conditions met
	case dynamodb.ErrCodeResourceNotFoundException:
		return t.withOutcome(fmt.Errorf("lockclient: transaction guarded by lock %q: a table that it names does not exist: %w", t.k.driver().name, brief(err)))
	}
	if failure := t.k.driver().requests.transactionFailure(err); isPermanent(failure) {
		return t.withOutcome(failure)
	}
	return nil
}

// reasonToStop returns why the transaction should not be repeated, or nil. last is the
// error of its last attempt.
func (t *transaction) reasonToStop(last error) error {
	passed := t.passed.Fold(lease.Now(t.k.driver().clock))
	held, why := t.k.holds()
	switch {
	case passed > tokenMemory:
		return t.withOutcome(fmt.Errorf("lockclient: transaction guarded by lock %q: repeated for %v without success, the last answer: %w", t.k.driver().name, passed.Round(time.Second), brief(last)))
	case held:
		return nil
	case why == nil:
		why = ErrNotHeld
	}
	if t.ended == 0 {
		t.ended = passed
	}
	switch {
	case !t.left:
		return fmt.Errorf("%w (the transaction's last answer: %w)", why, brief(last))
	case passed-t.ended > t.k.driver().Lease:
		return fmt.Errorf("%w: %s (last answer: %w)", ErrOutcomeUnknown, why, brief(last)) // why is not wrapped: ErrLockLost would say that nothing was written
	}
	// A refusal says nothing about a copy of the request. The next answer does: it is a success if
	// a copy was carried out, and otherwise the lock's condition fails for all copies.
	return nil
}

// TransactionError reads the answer to a transaction that the caller sent with a
// ConditionCheck of its own at place check (counting from 0 in TransactItems). It
// returns an error that wraps ErrLockLost and err when that check has failed, and nil for
// everything else. A failed check means that the tenure is over and that nothing was
// written, also by earlier attempts with the same ClientRequestToken, if the first of them
// was sent less than 10 minutes ago.
func TransactionError(err error, check int) error {
	reason := cancellationReason(err, check)
	if reason == nil || aws.StringValue(reason.Code) != "ConditionalCheckFailed" {
		return nil
	}
	found := decodeRecord(reason.Item)
	if found.version.dialect != dialectAWS {
		return fmt.Errorf("%w: the transaction was refused: %w", ErrLockLost, brief(err))
	}
	return fmt.Errorf("%w: the transaction was refused; the record is %q's (fencing token %d): %w",
		ErrLockLost, found.item.Owner, found.item.FencingToken, brief(err))
}

// cancellationReason is the reason at place i of a cancelled transaction, or nil.
func cancellationReason(err error, i int) *dynamodb.CancellationReason {
	var cancelled *dynamodb.TransactionCanceledException
	if !errors.As(err, &cancelled) || i < 0 || i >= len(cancelled.CancellationReasons) {
		return nil
	}
	return cancelled.CancellationReasons[i]
}

func reasonRecord(err error, i int) *record {
	if reason := cancellationReason(err, i); reason != nil {
		return decodeRecord(reason.Item)
	}
	return decodeRecord(nil)
}

// transactionRetriable reports whether a transaction was cancelled for reasons that
// pass: it met another write, or a throttle, and no condition failed.
func transactionRetriable(err error) bool {
	if errorCode(err) == dynamodb.ErrCodeTransactionInProgressException {
		return true
	}
	var cancelled *dynamodb.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return false
	}
	passing := false
	for _, reason := range cancelled.CancellationReasons {
		switch aws.StringValue(reason.Code) {
		case "", "None":
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			passing = true
		default:
			return false
		}
	}
	return passing
}
