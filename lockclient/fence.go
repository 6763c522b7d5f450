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
)

// ConditionCheck returns the condition "this tenure still holds the lock", to be put
// into the caller's own TransactWriteItems: the transaction then commits only if it
// is true, atomically with the rest. Make a new one for each transaction. Without a
// tenure it returns ErrNotHeld.
//
// The lock's item is only read, so transactions and heartbeats don't wait for each
// other; DynamoDB refuses one of two that meet (TransactionConflict), the heartbeat
// is repeated by itself, and the transaction by TransactWrite.
func (c *DynamoDBLockClient) ConditionCheck() (*dynamodb.ConditionCheck, error) {
	t, err := c.heldTenure()
	if err != nil {
		return nil, err
	}
	return t.lock.store.conditionCheck(t.token), nil
}

// heldTenure is the current tenure, or an error that wraps ErrNotHeld and why the
// last one ended.
func (c *DynamoDBLockClient) heldTenure() (*tenure, error) {
	l, err := c.lock()
	if err != nil {
		return nil, err
	}
	t := l.current.Load()
	if t == nil {
		return nil, fmt.Errorf("%w: lock %q", ErrNotHeld, l.name)
	}
	held, err := t.holds()
	switch {
	case held:
		return t, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotHeld, err)
	default:
		return nil, fmt.Errorf("%w: lock %q was released", ErrNotHeld, l.name)
	}
}

// TransactWrite runs in as a transaction that commits only if this client's current
// tenure still holds the lock. It adds ConditionCheck (in is not changed and may have
// 99 items), and repeats the transaction with jittered backoff while nothing but a
// conflict, a throttle or a lost reply stands in its way, always under one
// ClientRequestToken, so that it is carried out once.
//
// It returns ErrNotHeld when there is no tenure, ErrLockLost when the lock turned out
// to be another's (the tenure has then ended and nothing was written), or the SDK's
// *dynamodb.TransactionCanceledException when a condition of the caller's own failed.
// ErrOutcomeUnknown, with ctx's error or the SDK's beside it and never ErrLockLost, says
// that an attempt went unanswered: the transaction may have been carried out or may yet
// be, while the lock was held and only then. Before it says so it asks on for a lease after
// the tenure has ended, since the server's answer settles what the lost one said.
func (c *DynamoDBLockClient) TransactWrite(ctx context.Context, in *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	t, err := c.heldTenure()
	if err != nil {
		return nil, err
	}
	l := t.lock
	fenced := *in
	fenced.TransactItems = append(slices.Clone(in.TransactItems), &dynamodb.TransactWriteItem{ConditionCheck: l.store.conditionCheck(t.token)})
	if fenced.ClientRequestToken == nil {
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, fmt.Errorf("lockclient: make a ClientRequestToken: %w", err)
		}
		fenced.ClientRequestToken = aws.String(id.String())
	}
	return t.transact(ctx, &fenced)
}

// tokenMemory is how long DynamoDB knows a ClientRequestToken again (10 minutes, by its
// API reference), less what clocks and a last attempt may take. A repetition after that
// would be another transaction.
const tokenMemory = 8 * time.Minute

// transact sends a transaction whose last item is this tenure's check until it is
// answered.
func (t *tenure) transact(ctx context.Context, fenced *dynamodb.TransactWriteItemsInput) (*dynamodb.TransactWriteItemsOutput, error) {
	l, check := t.lock, len(fenced.TransactItems)-1
	began, ended := odometer{mark: now(l.clock)}, time.Duration(0)
	unknown := false // an attempt may have been carried out without our having heard
	gaveUp := func(why error) error {
		if unknown {
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, why)
		}
		return why
	}
	for failures := 1; ; failures++ {
		out, err := ask(ctx, l, func(ctx context.Context) (*dynamodb.TransactWriteItemsOutput, error) {
			return l.store.client.TransactWriteItemsWithContext(ctx, fenced, once)
		})
		if err == nil {
			return out, nil
		}
		unknown = unknown || mayHaveCommitted(err)
		if ctx.Err() != nil {
			return nil, gaveUp(contextError(ctx))
		}
		// Had an earlier attempt been carried out, DynamoDB would have known its token again and
		// not looked at any condition; and one that is still under way will find the same. So this
		// says for certain that nothing was written.
		if lost := TransactionError(err, check); lost != nil {
			t.refuted(reasonRecord(err, check), err)
			return nil, lost
		}
		if !transactionRetriable(err) {
			if errorCode(err) == dynamodb.ErrCodeTransactionCanceledException {
				return nil, gaveUp(err) // an earlier attempt may yet arrive, and find the caller's own conditions met
			}
			if failure := l.store.failure("transaction guarded by", err); isPermanent(failure) {
				return nil, gaveUp(failure)
			}
		}
		l.log.V(1).Info("fenced transaction failed, will retry", "failures", failures, "error", err.Error())
		if !l.sleep(ctx, l.backoff(failures, l.heartbeat)) {
			return nil, gaveUp(contextError(ctx))
		}
		passed := began.fold(now(l.clock))
		held, why := t.holds()
		switch {
		case passed > tokenMemory:
			return nil, gaveUp(fmt.Errorf("lockclient: transaction guarded by lock %q: no answer for %v: %w", l.name, passed, err))
		case held:
			continue
		case why == nil:
			why = ErrNotHeld
		}
		if ended == 0 {
			ended = passed
		}
		switch {
		case !unknown:
			return nil, fmt.Errorf("%w (the transaction's last answer: %w)", why, err)
		case passed-ended > l.lease:
			return nil, gaveUp(fmt.Errorf("%s (last answer: %w)", why, err)) // the loss alone would say that nothing was written
		}
	}
}

// TransactionError reads the answer to a transaction that the caller sent with a
// ConditionCheck of its own at place check (counting from 0 in TransactItems). It
// returns an error that wraps ErrLockLost and err when that check has failed, which
// means that nothing was written and the tenure is over, and nil for everything else.
func TransactionError(err error, check int) error {
	reason := cancellationReason(err, check)
	if reason == nil || aws.StringValue(reason.Code) != "ConditionalCheckFailed" {
		return nil
	}
	found := decodeRecord(reason.Item)
	if found.version.dialect != dialectAWS {
		return fmt.Errorf("%w: the transaction was refused: %w", ErrLockLost, err)
	}
	return fmt.Errorf("%w: the transaction was refused; the record is %q's (fencing token %d): %w",
		ErrLockLost, found.item.Owner, found.item.FencingToken, err)
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
