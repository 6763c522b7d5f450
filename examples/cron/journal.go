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

// journal is what is known of the job's runs: one record for each tick that was begun, the latest such tick, and the job's
// product. It is in the lock table, under keys of its own. Every write is one transaction, which commits only if the writer's term still
// holds the lock, and only if the record is as the writer believes it to be: so no tick can be begun twice and no step done twice.
type journal struct {
	job    string
	client dynamodbiface.DynamoDBAPI
	table  string
}

// run is the record of one tick.
type run struct {
	Tick     tick
	Finished bool
	Step     int64 // the last step that is done
	Token    int64 // of the term that has it, or had it last
	Runner   string
	Terms    int64 // how many terms have worked on it: more than 1, and it was cut off and resumed
}

const writeTimeout = 5 * time.Second // for one request

// latest is the record of the latest tick that was begun; nil: none ever was.
func (j *journal) latest(ctx context.Context) (*run, error) {
	item, err := j.get(ctx, "latest")
	if err != nil || item == nil {
		return nil, err
	}
	return j.read(ctx, tick(integer(item["tick"])))
}

// read gives the record of a tick; nil: it was not begun.
func (j *journal) read(ctx context.Context, t tick) (*run, error) {
	item, err := j.get(ctx, t.key())
	if err != nil || item == nil {
		return nil, err
	}
	r := &run{Tick: t, Step: integer(item["step"]), Token: integer(item["fence"]), Terms: integer(item["terms"])}
	if v := item["progress"]; v != nil {
		r.Finished = aws.StringValue(v.S) == "finished"
	}
	if v := item["runner"]; v != nil {
		r.Runner = aws.StringValue(v.S)
	}
	return r, nil
}

// product is how many steps of all ticks together have taken effect.
func (j *journal) product(ctx context.Context) (int64, error) {
	item, err := j.get(ctx, "product")
	return integer(item["steps"]), err
}

// begin makes the record of a tick. It fails if there is one, or if a later tick was begun.
func (j *journal) begin(ctx context.Context, term election.Term, t tick) (*run, error) {
	err := j.commit(ctx, term,
		&dynamodb.TransactWriteItem{Put: &dynamodb.Put{
			TableName:           &j.table,
			ConditionExpression: aws.String("attribute_not_exists(#key)"),
			ExpressionAttributeNames: map[string]*string{
				"#key": aws.String("key"),
			},
			Item: map[string]*dynamodb.AttributeValue{
				"key": j.key(t.key())["key"], "progress": text("started"), "step": number(0),
				"fence": number(term.FencingToken), "runner": text(term.Identity), "terms": number(1),
			},
		}},
		&dynamodb.TransactWriteItem{Update: &dynamodb.Update{
			TableName:                 &j.table,
			Key:                       j.key("latest"),
			ConditionExpression:       aws.String("attribute_not_exists(tick) OR tick < :tick"),
			UpdateExpression:          aws.String("SET tick = :tick"),
			ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":tick": number(int64(t))},
		}})
	if err != nil {
		return nil, fmt.Errorf("begin tick %v: %w", t, err)
	}
	return &run{Tick: t, Token: term.FencingToken, Runner: term.Identity, Terms: 1}, nil
}

// takeOver makes this term the one that works on a run that an earlier one left half done.
func (j *journal) takeOver(ctx context.Context, term election.Term, r *run) error {
	err := j.update(ctx, term, r, "SET fence = :mine, runner = :runner ADD terms :one", map[string]*dynamodb.AttributeValue{
		":mine": number(term.FencingToken), ":runner": text(term.Identity), ":one": number(1),
	})
	if err != nil {
		return fmt.Errorf("resume tick %v: %w", r.Tick, err)
	}
	r.Token, r.Runner, r.Terms = term.FencingToken, term.Identity, r.Terms+1
	return nil
}

// stepDone notes that the next step is done. What the step changes, here the product, changes in the same transaction, and so
// exactly once.
func (j *journal) stepDone(ctx context.Context, term election.Term, r *run) error {
	err := j.update(ctx, term, r, "SET step = :next", map[string]*dynamodb.AttributeValue{":next": number(r.Step + 1)},
		&dynamodb.TransactWriteItem{Update: &dynamodb.Update{
			TableName:                 &j.table,
			Key:                       j.key("product"),
			UpdateExpression:          aws.String("ADD steps :one"),
			ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":one": number(1)},
		}})
	if err != nil {
		return fmt.Errorf("step %d of tick %v: %w", r.Step+1, r.Tick, err)
	}
	r.Step++
	return nil
}

// finish notes that all steps are done.
func (j *journal) finish(ctx context.Context, term election.Term, r *run) error {
	err := j.update(ctx, term, r, "SET progress = :finished", map[string]*dynamodb.AttributeValue{":finished": text("finished")})
	if err != nil {
		return fmt.Errorf("finish tick %v: %w", r.Tick, err)
	}
	r.Finished = true
	return nil
}

// update changes the record of a run that is under way, on condition that it is as r says.
func (j *journal) update(ctx context.Context, term election.Term, r *run, expression string, values map[string]*dynamodb.AttributeValue, more ...*dynamodb.TransactWriteItem) error {
	values[":started"], values[":step"], values[":token"] = text("started"), number(r.Step), number(r.Token)
	return j.commit(ctx, term, append(more, &dynamodb.TransactWriteItem{Update: &dynamodb.Update{
		TableName:                 &j.table,
		Key:                       j.key(r.Tick.key()),
		ConditionExpression:       aws.String("progress = :started AND step = :step AND fence = :token"),
		UpdateExpression:          aws.String(expression),
		ExpressionAttributeValues: values,
	}})...)
}

// commit writes all of it or, if the term does not hold the lock any more, nothing.
func (j *journal) commit(ctx context.Context, term election.Term, writes ...*dynamodb.TransactWriteItem) error {
	// What was begun is written down also when the term is ending: the lease is still renewed while the work winds down.
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
