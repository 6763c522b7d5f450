package election

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// The real lock is a Lock, as it is.
var (
	_ Lock         = (*lockclient.DynamoDBLockClient)(nil)
	_ heirReleaser = (*lockclient.DynamoDBLockClient)(nil)
)

const (
	testTable = "locks"
	testName  = "leader"
)

// realStore is the record of one lock in a DynamoDB engine.
type realStore struct {
	client dynamodbiface.DynamoDBAPI

	mu    sync.Mutex
	polls int
}

func newRealStore(client dynamodbiface.DynamoDBAPI) (*realStore, error) {
	return &realStore{client: client}, lockclient.EnsureTable(context.Background(), client, testTable, lockclient.WithoutTTL())
}

func (s *realStore) pollCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls
}

func (s *realStore) item() *lockclient.LockItem {
	item, err := (&lockclient.DynamoDBLockClient{
		LockName: testName, TableName: testTable, LeaseDuration: testLease, Client: s.client,
	}).Peek(context.Background())
	if err != nil {
		panic(err)
	}
	return item
}

func (s *realStore) holder() string {
	if item := s.item(); !item.Released {
		return item.Owner
	}
	return ""
}

func (s *realStore) seize(owner string) {
	version := aws.String(uuid.NewString())
	item := map[string]*dynamodb.AttributeValue{
		"key":                 {S: aws.String(testName)},
		"ownerName":           {S: aws.String(owner)},
		"leaseDuration":       {S: aws.String(strconv.FormatInt(testLease.Milliseconds(), 10))},
		"recordVersionNumber": {S: version},
		"ourVersion":          {S: version}, // a holder of our own kind, which is given no more than its lease
		"fencingToken":        {N: aws.String(strconv.FormatInt(s.item().FencingToken+1, 10))},
		"heartbeatCount":      {N: aws.String("1")},
	}
	if owner == "" {
		item["ownerName"] = &dynamodb.AttributeValue{S: aws.String("an operator")}
		item["isReleased"] = &dynamodb.AttributeValue{S: aws.String("1")}
	}
	if _, err := s.client.PutItem(&dynamodb.PutItemInput{TableName: aws.String(testTable), Item: item}); err != nil {
		panic(err)
	}
}

// realLock is the real lock with a journal, on a client with faults.
type realLock struct {
	*lockclient.DynamoDBLockClient
	*wire
}

func newRealLock(n *node, s *realStore) realLock {
	w := &wire{DynamoDBAPI: s.client, store: s, clock: n.clock, journal: n.journal}
	return realLock{&lockclient.DynamoDBLockClient{
		LockName: testName, TableName: testTable, Identifier: n.id, LeaseDuration: testLease, HeartbeatPeriod: testHeartbeat,
		Client: w, Clock: n.clock,
	}, w}
}

func (l realLock) StopHeartbeat() {
	l.journal.add("heartbeats stopped")
	l.DynamoDBLockClient.StopHeartbeat()
}

// wire is a node's way to the engine, with faults before and after each request is carried out;
// they see the requests of the protocol by what they are for. A stopped node neither sends nor
// receives.
type wire struct {
	dynamodbiface.DynamoDBAPI
	store   *realStore
	clock   *nodeClock
	journal *journal

	mu            sync.Mutex
	before, after func(ctx context.Context, op operation) error
}

func (w *wire) setBefore(f func(ctx context.Context, op operation) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = f
}

func (w *wire) setAfter(f func(ctx context.Context, op operation) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after = f
}

func (w *wire) request(ctx context.Context, op operation, send func() error) error {
	w.clock.awake()
	defer w.clock.awake()
	w.mu.Lock()
	before, after := w.before, w.after
	w.mu.Unlock()
	if op == opPoll {
		w.store.mu.Lock()
		w.store.polls++
		w.store.mu.Unlock()
	}
	if before != nil {
		if err := before(ctx, op); err != nil {
			return err
		}
	}
	if err := send(); err != nil {
		return err
	}
	if op == opRelease {
		w.journal.add("released")
	}
	if after != nil {
		return after(ctx, op)
	}
	return nil
}

func (w *wire) GetItemWithContext(ctx context.Context, in *dynamodb.GetItemInput, o ...request.Option) (out *dynamodb.GetItemOutput, err error) {
	err = w.request(ctx, opPoll, func() error {
		out, err = w.DynamoDBAPI.GetItemWithContext(ctx, in, o...)
		return err
	})
	return out, err
}

func (w *wire) UpdateItemWithContext(ctx context.Context, in *dynamodb.UpdateItemInput, o ...request.Option) (out *dynamodb.UpdateItemOutput, err error) {
	err = w.request(ctx, purpose(in), func() error {
		out, err = w.DynamoDBAPI.UpdateItemWithContext(ctx, in, o...)
		return err
	})
	return out, err
}

// purpose tells the writes of the protocol apart: only an acquire sets the heartbeat's period, and
// only a heartbeat adds to heartbeatCount.
func purpose(in *dynamodb.UpdateItemInput) operation {
	switch update := *in.UpdateExpression; {
	case strings.Contains(update, " ADD "):
		return opRenew
	case strings.Contains(update, "heartbeatPeriod"):
		return opPoll
	case strings.Contains(update, "isReleasing"):
		return opAnnounce
	default:
		return opRelease
	}
}

// engine is an in-memory DynamoDB without a socket, for use in virtual time.
func engine() dynamodbiface.DynamoDBAPI { return dynamotest.NewClient(dynamotest.New()) }
