package lockclient

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	if _, err := c.lock(); err != nil {
		return nil, err
	}
	t := c.tenure()
	if t == nil {
		return nil, fmt.Errorf("%w: lock %q", ErrNotHeld, c.LockName)
	}
	held, err := t.holds()
	switch {
	case held:
		return t, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotHeld, err)
	default:
		return nil, fmt.Errorf("%w: lock %q was released", ErrNotHeld, c.LockName)
	}
}

// TransactWrite runs in as a transaction that commits only if this client's current
// tenure still holds the lock. It adds ConditionCheck (in is not changed and may have
// 99 items), and repeats the transaction with jittered backoff while nothing but a
// conflict, a throttle or a lost reply stands in its way, always under one
// ClientRequestToken, so that it is carried out once.
//
// It returns ErrNotHeld when there is no tenure, ErrLockLost when the lock turned out
// to be another's (the tenure has then ended and nothing was written), ctx's error, or
// the SDK's *dynamodb.TransactionCanceledException when a condition of the caller's
// own failed. After ctx's error, or ErrLeaseExpired, the transaction may or may not
// have been carried out: what it wrote then was written while the lock was held.
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
	for failures := 1; ; failures++ {
		out, err := ask(ctx, l, func(ctx context.Context) (*dynamodb.TransactWriteItemsOutput, error) {
			return l.store.client.TransactWriteItemsWithContext(ctx, &fenced, once)
		})
		if err == nil {
			return out, nil
		}
		if ctx.Err() != nil {
			return nil, contextError(ctx)
		}
		if lost := TransactionError(err, len(fenced.TransactItems)-1); lost != nil {
			t.refuted(reasonRecord(err, len(fenced.TransactItems)-1), err)
			return nil, lost
		}
		if !transactionRetriable(err) {
			if errorCode(err) == dynamodb.ErrCodeTransactionCanceledException {
				return nil, err
			}
			if failure := l.store.failure("transaction guarded by", err); isPermanent(failure) {
				return nil, failure
			}
		}
		l.log.V(1).Info("fenced transaction failed, will retry", "failures", failures, "error", err.Error())
		if !l.sleep(ctx, backoff(failures, l.heartbeat)) {
			return nil, contextError(ctx)
		}
		if held, why := t.holds(); !held {
			if why == nil {
				why = ErrNotHeld
			}
			return nil, fmt.Errorf("%w (the transaction's last answer: %w)", why, err)
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
