// Package stall reproduces a stall that users of other lock clients on DynamoDB have reported, in
// virtual time, beside what this client does.
//
// https://github.com/awslabs/amazon-kinesis-client/issues/1803: the leader is killed, and no other
// worker ever leads. Each worker asks now and then whether the lock has expired. Each time it reads
// the record anew, and its clock for the record starts with that reading: so at the moment of the
// question the record has always just been seen. Restarting workers does not help.
// https://github.com/awslabs/amazon-dynamodb-lock-client/issues/93 is the same in acquireLock with
// shouldSkipBlockingWait.
package stall

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

const (
	table   = "locks"
	leader  = "Leader"
	lease   = 2 * time.Minute
	askEach = time.Minute // how often a worker asks whether it leads
	day     = 24 * time.Hour
)

// inWorld runs a test in a bubble, with a lock whose holder was killed.
func inWorld(t *testing.T, test func(t *testing.T, client dynamodbiface.DynamoDBAPI)) {
	synctest.Test(t, func(t *testing.T) {
		client := dynamotest.NewClient(dynamotest.New())
		if err := lockclient.EnsureTable(t.Context(), client, table); err != nil {
			t.Fatal(err)
		}
		killed := newLock(client)
		if err := killed.WaitForLock(t.Context()); err != nil {
			t.Fatal(err)
		}
		killed.StopHeartbeat() // what the others see of SIGKILL
		test(t, client)
	})
}

func newLock(client dynamodbiface.DynamoDBAPI) *lockclient.DynamoDBLockClient {
	return &lockclient.DynamoDBLockClient{LockName: leader, TableName: table, LeaseDuration: lease, Client: client}
}

// seen is what the other client keeps of a record: its lease, and when it was read.
type seen struct {
	lookup time.Time
	lease  time.Duration
}

func (s seen) isExpired() bool { return time.Since(s.lookup) > s.lease }

// look is the other client's getLock: the clock of the record starts anew with each reading.
func look(t *testing.T, client dynamodbiface.DynamoDBAPI) seen {
	t.Helper()
	out, err := client.GetItem(&dynamodb.GetItemInput{
		TableName: aws.String(table), Key: map[string]*dynamodb.AttributeValue{"key": {S: aws.String(leader)}}, ConsistentRead: aws.Bool(true),
	})
	if err != nil || out.Item == nil {
		t.Fatalf("the record of the killed holder: %v, %v", out, err)
	}
	recorded, err := time.ParseDuration(aws.StringValue(out.Item["leaseDuration"].S) + "ms")
	if err != nil {
		t.Fatal(err)
	}
	return seen{lookup: time.Now(), lease: recorded}
}

func TestAClockThatEachReadingRestartsNeverFindsADeadHolder(t *testing.T) {
	inWorld(t, func(t *testing.T, client dynamodbiface.DynamoDBAPI) {
		for began := time.Now(); time.Since(began) < 2*day; time.Sleep(askEach) {
			if look(t, client).isExpired() {
				t.Fatalf("expired after %v: this does not reproduce the stall", time.Since(began))
			}
		}
	})
}

func TestOursFindsItWithinALeaseAndAPoll(t *testing.T) {
	inWorld(t, func(t *testing.T, client dynamodbiface.DynamoDBAPI) {
		worker, began := newLock(client), time.Now()
		for {
			leads, err := worker.GetLock() // one attempt, as the worker's question was one reading
			if leads {
				break
			}
			if time.Since(began) > day {
				t.Fatalf("nobody leads after a day: %v", err)
			}
			time.Sleep(askEach)
		}
		if took := time.Since(began); took > lease+lease/50+askEach {
			t.Errorf("it took %v, and the lease is %v", took, lease)
		}
		_ = worker.RemoveLock()
	})
}

// Replacing all workers loses what they have watched. Each new one begins again, and needs one
// lease.
func TestOursFindsItAlsoFromNewProcessesThatLiveForALeaseEach(t *testing.T) {
	inWorld(t, func(t *testing.T, client dynamodbiface.DynamoDBAPI) {
		began, worker := time.Now(), newLock(client)
		if err := worker.TryLock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > lease+lease/50 {
			t.Errorf("it took %v, and the lease is %v", took, lease)
		}
		_ = worker.RemoveLock()
	})
}

// With clocks that are known to be synchronised, a process that lives for one attempt is enough.
func TestOursFindsItInOneAttemptWhereClocksAreTrusted(t *testing.T) {
	inWorld(t, func(t *testing.T, client dynamodbiface.DynamoDBAPI) {
		time.Sleep(lease + 2*time.Second)
		worker := newLock(client)
		worker.MaxClockSkew = time.Second
		if leads, err := worker.GetLock(); !leads {
			t.Fatal(err)
		}
		_ = worker.RemoveLock()
	})
}
