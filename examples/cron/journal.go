package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
)

// journal is how far the job came: one item for each tick, and the job's product. It is in the lock
// table, under keys of its own. Every write is one transaction, which commits only if the writer's
// term still holds the lock, and only if the item is as the writer believes it to be. So no step is
// done twice.
type journal struct {
	job    string
	client dynamodbiface.DynamoDBAPI
	table  string
}

// tick is one time at which the job is due, in seconds since the Unix epoch.
type tick int64

func tickOf(t time.Time) tick  { return tick(t.Unix()) }
func (t tick) time() time.Time { return time.Unix(int64(t), 0) }
func (t tick) String() string  { return t.time().UTC().Format("15:04:05") }

// progress is how far the job came in one tick.
type progress struct {
	Tick   tick
	Step   int64 // the last step that is done
	Token  int64 // of the term that has it, or had it last
	Runner string
	Terms  int64 // how many terms have worked on it: more than 1, and it was cut off and resumed
}

func (p *progress) finished() bool { return p.Step == steps }

const writeTimeout = 5 * time.Second // for one request

// read gives the progress of a tick; nil: nobody has begun with it.
func (j *journal) read(ctx context.Context, t tick) (*progress, error) {
	item, err := j.get(ctx, t.key())
	if err != nil || item == nil {
		return nil, err
	}
	p := &progress{Tick: t, Step: integer(item["step"]), Token: integer(item["fence"]), Terms: integer(item["terms"])}
	if v := item["runner"]; v != nil {
		p.Runner = aws.StringValue(v.S)
	}
	return p, nil
}

// product is how many steps of all ticks together have taken effect.
func (j *journal) product(ctx context.Context) (int64, error) {
	item, err := j.get(ctx, "product")
	return integer(item["steps"]), err
}

// begin gives this term the tick to work on, wherever an earlier one has left it.
func (j *journal) begin(ctx context.Context, term election.Term, t tick) (*progress, error) {
	p, err := j.read(ctx, t)
	if err != nil {
		return nil, err
	}
	if p == nil {
		p = &progress{Tick: t}
	}
	err = j.commit(ctx, term, &dynamodb.TransactWriteItem{Update: &dynamodb.Update{
		TableName:           &j.table,
		Key:                 j.key(t.key()),
		ConditionExpression: aws.String("attribute_not_exists(fence) OR fence = :before"),
		UpdateExpression:    aws.String("SET step = :step, fence = :mine, runner = :runner ADD terms :one"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":before": number(p.Token), ":step": number(p.Step), ":mine": number(term.FencingToken), ":runner": text(term.Identity), ":one": number(1),
		},
	}})
	if err != nil {
		return nil, fmt.Errorf("begin with tick %v: %w", t, err)
	}
	p.Token, p.Runner, p.Terms = term.FencingToken, term.Identity, p.Terms+1
	return p, nil
}

// stepDone notes that the next step is done. What the step changes, here the product, changes in
// the same transaction, and so exactly once.
func (j *journal) stepDone(ctx context.Context, term election.Term, p *progress) error {
	err := j.commit(ctx, term,
		&dynamodb.TransactWriteItem{Update: &dynamodb.Update{
			TableName:           &j.table,
			Key:                 j.key(p.Tick.key()),
			ConditionExpression: aws.String("step = :step AND fence = :token"),
			UpdateExpression:    aws.String("SET step = :next"),
			ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
				":step": number(p.Step), ":token": number(p.Token), ":next": number(p.Step + 1)},
		}},
		&dynamodb.TransactWriteItem{Update: &dynamodb.Update{
			TableName:                 &j.table,
			Key:                       j.key("product"),
			UpdateExpression:          aws.String("ADD steps :one"),
			ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":one": number(1)},
		}})
	if err != nil {
		return fmt.Errorf("step %d of tick %v: %w", p.Step+1, p.Tick, err)
	}
	p.Step++
	return nil
}

// commit writes all of it or, if the term does not hold the lock any more, nothing.
func (j *journal) commit(ctx context.Context, term election.Term, writes ...*dynamodb.TransactWriteItem) error {
	// What was begun is written down also when the term is ending: the lease is still renewed while
	// the work stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	fence, err := term.ConditionCheck()
	if err != nil {
		return err
	}
	_, err = j.client.TransactWriteItemsWithContext(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: append([]*dynamodb.TransactWriteItem{{ConditionCheck: fence}}, writes...),
	})
	if lost := lockclient.TransactionError(err, 0); lost != nil {
		return lost
	}
	return err
}

func (j *journal) get(ctx context.Context, part string) (map[string]*dynamodb.AttributeValue, error) {
	out, err := j.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{TableName: &j.table, Key: j.key(part), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

func (j *journal) key(part string) map[string]*dynamodb.AttributeValue {
	return map[string]*dynamodb.AttributeValue{"key": text(j.job + "/" + part)}
}

func (t tick) key() string { return "tick/" + strconv.FormatInt(int64(t), 10) }

func text(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

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
