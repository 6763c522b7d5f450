package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
)

const (
	pause        = 100 * time.Millisecond // between two entries
	preparation  = 250 * time.Millisecond // what an entry takes
	writeTimeout = 5 * time.Second        // for one request
)

// ledger is what only the leader may write: numbered entries without a gap, each with the fencing
// token under which it was written. It is in the lock table, under its own keys. It could be in any
// other table of the same account and region.
type ledger struct {
	book   string
	writer string
	table  string
	client dynamodbiface.DynamoDBAPI
	log    *log.Logger
}

// entry is one line of the ledger.
type entry struct {
	Number int64
	Writer string
	Token  int64
}

// keep is the leader's work. When ctx ends it finishes the entry under way, and returns.
func (l *ledger) keep(ctx context.Context) {
	term, _ := election.TermFromContext(ctx)
	l.log.Printf("leading, fencing token %d", term.FencingToken)
	written := 0
	for ctx.Err() == nil {
		err := l.add(ctx, term)
		switch {
		case err == nil:
			written++
		case errors.Is(err, election.ErrLockLost), errors.Is(err, lockclient.ErrLockLost):
			l.log.Printf("refused by the check of the lock, nothing was written: %v", err)
			return // the elector has noticed, too, or is about to
		default:
			l.log.Printf("entry not written, trying again: %v", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	l.log.Printf("the term ends (%[2]v); entries written in it: %[1]d", written, context.Cause(ctx))
}

// add writes the next entry: one transaction that commits only if this term still holds the lock,
// only if the entry is the next one, and then as a whole.
func (l *ledger) add(ctx context.Context, term election.Term) error {
	// An entry that was begun is finished. The lease is renewed meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	last, err := l.last(ctx)
	if err != nil {
		return err
	}
	time.Sleep(preparation) // here something is computed, billed, sent, ...

	// IsLeader would not be enough here: this process may be suspended between the check and the
	// write, and continue when another leads.
	fence, err := term.ConditionCheck()
	if err != nil {
		return err
	}
	next := number(last + 1)
	_, err = l.client.TransactWriteItemsWithContext(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: []*dynamodb.TransactWriteItem{
			{ConditionCheck: fence},
			{Update: &dynamodb.Update{
				TableName:                 &l.table,
				Key:                       l.key("last"),
				UpdateExpression:          aws.String("SET lastEntry = :next"),
				ConditionExpression:       aws.String("attribute_not_exists(lastEntry) OR lastEntry = :last"),
				ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":next": next, ":last": number(last)},
			}},
			{Put: &dynamodb.Put{
				TableName: &l.table,
				Item: map[string]*dynamodb.AttributeValue{
					"key": l.key(*next.N)["key"], "entry": next, "writer": {S: &l.writer}, "fence": number(term.FencingToken),
				},
			}},
		},
	})
	// The fence is item 0. Other refusals, such as a conflict with a heartbeat, are temporary: the
	// next round tries again.
	if lost := lockclient.TransactionError(err, 0); lost != nil {
		return lost
	}
	return err
}

// last is the number of the newest entry, 0 if there is none.
func (l *ledger) last(ctx context.Context) (int64, error) {
	out, err := l.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{TableName: &l.table, Key: l.key("last"), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return 0, err
	}
	return integer(out.Item["lastEntry"]), nil
}

// read gives all entries in order.
func (l *ledger) read(ctx context.Context) ([]entry, error) {
	last, err := l.last(ctx)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for i := int64(1); i <= last; i++ {
		out, err := l.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{
			TableName: &l.table, Key: l.key(strconv.FormatInt(i, 10)), ConsistentRead: aws.Bool(true)})
		switch {
		case err != nil:
			return nil, err
		case out.Item == nil:
			return nil, fmt.Errorf("the ledger has no entry %d of %d", i, last)
		}
		entries = append(entries, entry{Number: integer(out.Item["entry"]), Writer: aws.StringValue(out.Item["writer"].S), Token: integer(out.Item["fence"])})
	}
	return entries, nil
}

func (l *ledger) key(part string) map[string]*dynamodb.AttributeValue {
	return map[string]*dynamodb.AttributeValue{"key": {S: aws.String(l.book + "/ledger/" + part)}}
}

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

// integer reads a number that number wrote; 0 if there is none.
func integer(v *dynamodb.AttributeValue) int64 {
	if v == nil {
		return 0
	}
	n, _ := strconv.ParseInt(aws.StringValue(v.N), 10, 64)
	return n
}
