package cron

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/election"
)

// State says how far a tick is, or how it ended.
type State string

// The states of a Record.
const (
	Waiting     State = "waiting"     // no tick was started yet
	Running     State = "running"     // started, and not finished: now, or by a leader that has crashed
	Done        State = "done"        // Run returned nil
	Failed      State = "failed"      // Run returned an error
	Interrupted State = "interrupted" // Run returned an error after its term had ended
	Lost        State = "lost"        // interrupted, and not to be run again
)

// Record is what is known of a job's latest tick.
type Record struct {
	Job string
	// Tick is the latest tick that was started. While Waiting: when the job was first seen.
	Tick  time.Time
	State State
	// Attempt counts the runs of this tick, from 1. 0 while Waiting.
	Attempt int
	// FencingToken and Runner are those of the term that started the run.
	FencingToken int64
	Runner       string
	// Started and Ended are by the runner's clock. Ended is zero while Running, and Started is zero
	// while Waiting.
	Started, Ended time.Time
	// Error is what Run returned, cut to 1 KiB.
	Error string
	// Runs counts all runs of the job.
	Runs int64

	run string // names the attempt: no two have the same
}

// The attributes of a record. key is the table's.
const (
	attrTick    = "tick" // nanoseconds since 1970
	attrTickAt  = "tickAt"
	attrState   = "state"
	attrAttempt = "attempt"
	attrFence   = "fence"
	attrRunner  = "runner"
	attrStarted = "startedAt" // milliseconds since 1970
	attrEnded   = "endedAt"
	attrError   = "error"
	attrRuns    = "runs"
	attrRun     = "run"
)

// store reads and writes the records. Every write has a condition that names what it replaces, so a
// write that arrives late, or twice, changes nothing.
type store struct {
	client        dynamodbiface.DynamoDBAPI
	table, prefix string
	keyName       string
}

const (
	requestPatience = 5 * time.Second
	longestError    = 1 << 10
)

var (
	errFenced  = errors.New("cron: the term does not hold the lock any more")
	errChanged = errors.New("cron: the record is not as it was")
)

func (s *store) key(job string) map[string]*dynamodb.AttributeValue {
	return map[string]*dynamodb.AttributeValue{s.keyName: text(s.prefix + job)}
}

// read returns a job's record; nil: there is none yet.
func (s *store) read(ctx context.Context, job string) (*Record, error) {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	out, err := s.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: s.key(job), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read the record of job %q in table %q: %w", job, s.table, err)
	}
	if len(out.Item) == 0 {
		return nil, nil
	}
	r := &Record{
		Job: job, Tick: time.Unix(0, integerOf(out.Item[attrTick])).UTC(), State: State(stringOf(out.Item[attrState])),
		Attempt: int(integerOf(out.Item[attrAttempt])), FencingToken: integerOf(out.Item[attrFence]), Runner: stringOf(out.Item[attrRunner]),
		Started: timeOf(out.Item[attrStarted]), Ended: timeOf(out.Item[attrEnded]),
		Error: stringOf(out.Item[attrError]), Runs: integerOf(out.Item[attrRuns]), run: stringOf(out.Item[attrRun]),
	}
	if integerOf(out.Item[attrTick]) == 0 || r.State == "" {
		return nil, fmt.Errorf("%w: key %q in table %q has no %s and %s: name the job otherwise, or set Config.Prefix",
			ErrNotARecord, s.prefix+job, s.table, attrTick, attrState)
	}
	return r, nil
}

// create makes the record of a job that is seen for the first time: ticks count from now on.
func (s *store) create(ctx context.Context, term election.Term, job string, now time.Time) error {
	return s.commit(ctx, term, job, &dynamodb.Update{
		ConditionExpression:      aws.String("attribute_not_exists(#key)"),
		UpdateExpression:         aws.String("SET #tick = :tick, #tickAt = :tickAt, #state = :state, #run = :run"),
		ExpressionAttributeNames: names("key", s.keyName, "tick", attrTick, "tickAt", attrTickAt, "state", attrState, "run", attrRun),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":tick": number(now.UnixNano()), ":tickAt": text(stamp(now)), ":state": text(string(Waiting)), ":run": text(uuid.NewString()),
		},
	})
}

// begin makes next the job's record, in place of before, and only while the term holds the lock.
// Both a new tick and a new attempt of the same begin so.
func (s *store) begin(ctx context.Context, term election.Term, before, next *Record) error {
	return s.commit(ctx, term, next.Job, &dynamodb.Update{
		ConditionExpression: aws.String("#run = :before AND #state = :stateBefore AND #tick = :tickBefore"),
		UpdateExpression: aws.String("SET #tick = :tick, #tickAt = :tickAt, #state = :state, #run = :run, #attempt = :attempt, " +
			"#fence = :fence, #runner = :runner, #started = :started REMOVE #ended, #error ADD #runs :one"),
		ExpressionAttributeNames: names("tick", attrTick, "tickAt", attrTickAt, "state", attrState, "run", attrRun, "attempt", attrAttempt,
			"fence", attrFence, "runner", attrRunner, "started", attrStarted, "ended", attrEnded, "error", attrError, "runs", attrRuns),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":before": text(before.run), ":stateBefore": text(string(before.State)), ":tickBefore": number(before.Tick.UnixNano()),
			":tick": number(next.Tick.UnixNano()), ":tickAt": text(stamp(next.Tick)), ":state": text(string(Running)), ":run": text(next.run),
			":attempt": number(int64(next.Attempt)), ":fence": number(next.FencingToken), ":runner": text(next.Runner),
			":started": number(next.Started.UnixMilli()), ":one": number(1),
		},
	})
}

// abandon notes that a run of an earlier term is not repeated. Only a term that holds the lock may.
func (s *store) abandon(ctx context.Context, term election.Term, r *Record, now time.Time) error {
	return s.commit(ctx, term, r.Job, &dynamodb.Update{
		ConditionExpression:      aws.String("#run = :run AND #state = :before"),
		UpdateExpression:         aws.String("SET #state = :lost, #ended = :ended"),
		ExpressionAttributeNames: names("run", attrRun, "state", attrState, "ended", attrEnded),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":run": text(r.run), ":before": text(string(r.State)), ":lost": text(string(Lost)), ":ended": number(now.UnixMilli()),
		},
	})
}

// end records the end of a run, if the record is still the run's.
func (s *store) end(ctx context.Context, r *Record, state State, now time.Time, said string) error {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	in := &dynamodb.UpdateItemInput{
		TableName: &s.table, Key: s.key(r.Job),
		ConditionExpression:      aws.String("#run = :run AND #state = :before"),
		UpdateExpression:         aws.String("SET #state = :state, #ended = :ended, #attempt = :attempt"),
		ExpressionAttributeNames: names("run", attrRun, "state", attrState, "ended", attrEnded, "attempt", attrAttempt),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":run": text(r.run), ":before": text(string(r.State)), ":state": text(string(state)), ":ended": number(now.UnixMilli()),
			":attempt": number(int64(r.Attempt)),
		},
	}
	if said != "" {
		*in.UpdateExpression += ", #error = :error"
		in.ExpressionAttributeNames["#error"] = aws.String(attrError)
		in.ExpressionAttributeValues[":error"] = text(strings.ToValidUTF8(said[:min(len(said), longestError)], ""))
	}
	_, err := s.client.UpdateItemWithContext(ctx, in)
	if isCode(err, dynamodb.ErrCodeConditionalCheckFailedException) {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}

// commit sends a write in one transaction with the check that the term holds the lock.
func (s *store) commit(ctx context.Context, term election.Term, job string, update *dynamodb.Update) error {
	check, err := term.ConditionCheck()
	if err != nil {
		return fmt.Errorf("%w: %w", errFenced, err)
	}
	update.TableName, update.Key = &s.table, s.key(job)
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	_, err = s.client.TransactWriteItemsWithContext(ctx, &dynamodb.TransactWriteItemsInput{
		ClientRequestToken: aws.String(uuid.NewString()), // so that the SDK's repetitions are one transaction
		TransactItems:      []*dynamodb.TransactWriteItem{{ConditionCheck: check}, {Update: update}},
	})
	var cancelled *dynamodb.TransactionCanceledException
	if !errors.As(err, &cancelled) || len(cancelled.CancellationReasons) != 2 {
		return err
	}
	const failed = "ConditionalCheckFailed"
	switch {
	case aws.StringValue(cancelled.CancellationReasons[0].Code) == failed:
		return fmt.Errorf("%w: %w", errFenced, err)
	case aws.StringValue(cancelled.CancellationReasons[1].Code) == failed:
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}

// isConflict says whether a write met another one of the same item, such as a heartbeat of the
// lock. It passes in milliseconds.
func isConflict(err error) bool {
	var cancelled *dynamodb.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return isCode(err, dynamodb.ErrCodeTransactionConflictException) || isCode(err, dynamodb.ErrCodeTransactionInProgressException)
	}
	for _, reason := range cancelled.CancellationReasons {
		if aws.StringValue(reason.Code) == "TransactionConflict" {
			return true
		}
	}
	return false
}

func isCode(err error, code string) bool {
	var coded awserr.Error
	return errors.As(err, &coded) && coded.Code() == code
}

// names gives each placeholder its attribute.
func names(pairs ...string) map[string]*string {
	all := make(map[string]*string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		all["#"+pairs[i]] = &pairs[i+1]
	}
	return all
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func text(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

func stringOf(v *dynamodb.AttributeValue) string {
	if v == nil {
		return ""
	}
	return aws.StringValue(v.S)
}

// integerOf reads what number wrote; 0 for anything else.
func integerOf(v *dynamodb.AttributeValue) int64 {
	if v == nil {
		return 0
	}
	n, _ := strconv.ParseInt(aws.StringValue(v.N), 10, 64)
	return n
}

func timeOf(v *dynamodb.AttributeValue) time.Time {
	if ms := integerOf(v); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}
