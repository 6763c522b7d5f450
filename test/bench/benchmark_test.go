package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// Each benchmark that sends requests has its floor beside it, by=bare-sdk: the very request that
// the lock client sends, taken off the wire and sent by the SDK alone, as often.

// measuring has allocations reported and, when the returned function is called, the CPU time of
// this process: that is steadier than elapsed time where others use the machine too.
func measuring(b *testing.B) (stop func()) {
	b.ReportAllocs()
	before := cpuTime()
	return func() { b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op") }
}

// bed is one engine with a client for the work and one whose requests are recorded.
type bed struct {
	engine engine
	client dynamodbiface.DynamoDBAPI // what is measured sends through this
	wire   *wire.Wire                // what goes through this is taken down
}

func onEngines(b *testing.B, run func(b *testing.B, bed *bed)) {
	for _, e := range engines(b) {
		b.Run("engine="+e.name, func(b *testing.B) {
			bed := &bed{engine: e, client: wire.NewClient(e.rt), wire: wire.New(e.rt)}
			ensureTable(b, bed.client)
			run(b, bed)
		})
	}
}

// lock is a client of the named lock whose lease no benchmark outlives.
func (bed *bed) lock(name string, client dynamodbiface.DynamoDBAPI) *lockclient.DynamoDBLockClient {
	return &lockclient.DynamoDBLockClient{LockName: name, TableName: table, LeaseDuration: time.Hour, Client: client}
}

// held is a held lock, released at the end of the benchmark.
func (bed *bed) held(b *testing.B, name string) *lockclient.DynamoDBLockClient {
	b.Helper()
	lock := bed.lock(name, bed.client)
	mustHold(b, lock)
	b.Cleanup(func() { _ = lock.RemoveLock() })
	return lock
}

func mustHold(b *testing.B, lock *lockclient.DynamoDBLockClient) {
	b.Helper()
	if held, err := lock.GetLock(); !held {
		b.Fatalf("the lock is not held: %v", err)
	}
}

// beatingLock is a lock whose every heartbeat is followed by the next at once.
func (bed *bed) beatingLock(name string, client dynamodbiface.DynamoDBAPI) *lockclient.DynamoDBLockClient {
	lock := bed.lock(name, client)
	lock.HeartbeatPeriod = time.Millisecond
	lock.Clock = impatientClock{&leapingClock{}}
	return lock
}

// impatientClock leaps to where a heartbeat is due: none of a lock's other timers is as short as a
// millisecond.
type impatientClock struct{ *leapingClock }

func (c impatientClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	if d <= time.Millisecond {
		c.leap.Add(int64(d))
		d = 0
	}
	return c.leapingClock.AfterFunc(d, f)
}

// takeDown returns the last request of a kind that what sends.
func takeDown[Input any](b *testing.B, bed *bed, kind wire.Kind, what func(client dynamodbiface.DynamoDBAPI)) *Input {
	b.Helper()
	bed.wire.Reset()
	what(wire.NewClient(bed.wire))
	input, err := lastRequest[Input](bed.wire, kind)
	if err != nil {
		b.Fatal(err)
	}
	return input
}

// lastRequest is the last one of a kind that went over the wire.
func lastRequest[Input any](w *wire.Wire, kind wire.Kind) (*Input, error) {
	var body []byte
	for _, call := range w.Calls() {
		if call.Kind() == kind {
			body = call.Body
		}
	}
	if body == nil {
		return nil, fmt.Errorf("no %s went over the wire: %v", kind, w.Kinds())
	}
	var input Input
	return &input, json.Unmarshal(body, &input)
}

// updates sends a request over and over.
func updates(b *testing.B, client dynamodbiface.DynamoDBAPI, input *dynamodb.UpdateItemInput, want func(error) bool) {
	defer measuring(b)()
	for b.Loop() {
		if _, err := client.UpdateItemWithContext(context.Background(), input); !want(err) {
			b.Fatal(err)
		}
	}
}

func success(err error) bool { return err == nil }

func refusal(err error) bool {
	var failed *dynamodb.ConditionalCheckFailedException
	return errors.As(err, &failed)
}

func gets(b *testing.B, client dynamodbiface.DynamoDBAPI, input *dynamodb.GetItemInput) {
	defer measuring(b)()
	for b.Loop() {
		if out, err := client.GetItemWithContext(context.Background(), input); err != nil || len(out.Item) == 0 {
			b.Fatal(out, err)
		}
	}
}

func BenchmarkHasLock(b *testing.B) {
	bed := &bed{client: wire.NewClient(canned{})}
	lock := bed.held(b, uniqueLock())
	defer measuring(b)()
	for b.Loop() {
		if held, err := lock.HasLock(); !held {
			b.Fatal(err)
		}
	}
}

// heldMember is a held lock of a session.
func heldMember(b *testing.B) *lockclient.DynamoDBLockClient {
	b.Helper()
	session := &lockclient.Session{TableName: table, LeaseDuration: time.Hour, Client: wire.NewClient(dynamotest.Transport(dynamotest.New()))}
	ensureTable(b, session.Client)
	lock := &lockclient.DynamoDBLockClient{LockName: uniqueLock(), Session: session}
	mustHold(b, lock)
	b.Cleanup(func() { _ = session.Close(context.Background()) })
	return lock
}

func BenchmarkHasLockOfAMember(b *testing.B) {
	lock := heldMember(b)
	defer measuring(b)()
	for b.Loop() {
		if held, err := lock.HasLock(); !held {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeaseAgeOfAMember(b *testing.B) {
	lock := heldMember(b)
	defer measuring(b)()
	for b.Loop() {
		if _, held := lock.LeaseAge(); !held {
			b.Fatal("not held")
		}
	}
}

func BenchmarkIsLeader(b *testing.B) {
	bed := &bed{client: wire.NewClient(canned{})}
	leading := make(chan struct{})
	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Lock: bed.lock(uniqueLock(), bed.client),
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { close(leading); <-ctx.Done() },
			OnStoppedLeading: func() {},
		},
		ReleaseOnCancel: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- elector.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	<-leading
	defer measuring(b)()
	for b.Loop() {
		if !elector.IsLeader() {
			b.Fatal("not the leader")
		}
	}
}

// acquireAndRelease is the lock client's own work.
func (bed *bed) acquireAndRelease(b *testing.B) {
	lock := bed.lock(uniqueLock(), bed.client)
	defer measuring(b)()
	for b.Loop() {
		if held, err := lock.GetLock(); !held {
			b.Fatal(err)
		}
		if err := lock.RemoveLock(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAcquireReleaseAgainstMinimal has another floor: two UpdateItems that set one attribute
// on no condition, the least that any lock could send.
func BenchmarkAcquireReleaseAgainstMinimal(b *testing.B) {
	onEngines(b, func(b *testing.B, bed *bed) {
		b.Run("by=leaderkit", bed.acquireAndRelease)
		b.Run("by=bare-sdk", func(b *testing.B) {
			minimal := &dynamodb.UpdateItemInput{
				TableName: aws.String(table), Key: map[string]*dynamodb.AttributeValue{"key": {S: aws.String(uniqueLock())}},
				UpdateExpression:         aws.String("SET #a = :v"),
				ExpressionAttributeNames: map[string]*string{"#a": aws.String("a")},
			}
			defer measuring(b)()
			for n := 0; b.Loop(); n++ {
				for half := range 2 {
					value := fmt.Sprintf("%036d", 2*n+half) // as long as a version
					minimal.ExpressionAttributeValues = map[string]*dynamodb.AttributeValue{":v": {S: &value}}
					if _, err := bed.client.UpdateItemWithContext(context.Background(), minimal); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	})
}

func BenchmarkAcquireRelease(b *testing.B) {
	onEngines(b, func(b *testing.B, bed *bed) {
		b.Run("by=leaderkit", bed.acquireAndRelease)
		b.Run("by=bare-sdk", func(b *testing.B) {
			name := uniqueLock()
			var release *dynamodb.UpdateItemInput
			acquire := takeDown[dynamodb.UpdateItemInput](b, bed, wire.Acquire, func(client dynamodbiface.DynamoDBAPI) {
				release = takeDown[dynamodb.UpdateItemInput](b, bed, wire.Release, func(dynamodbiface.DynamoDBAPI) {
					lock := bed.lock(name, client)
					mustHold(b, lock)
					if err := lock.RemoveLock(); err != nil {
						b.Fatal(err)
					}
				})
			})
			chosen, named := acquire.ExpressionAttributeValues[":token"], tokenIn(b, release)
			token := numberIn(b, chosen)
			defer measuring(b)()
			for b.Loop() {
				token++ // each tenure has one of its own, and the release's condition names it
				chosen.N = aws.String(strconv.FormatInt(token, 10))
				named.N = chosen.N
				if _, err := bed.client.UpdateItemWithContext(context.Background(), acquire); err != nil {
					b.Fatal(err)
				}
				if _, err := bed.client.UpdateItemWithContext(context.Background(), release); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func numberIn(b *testing.B, value *dynamodb.AttributeValue) int64 {
	b.Helper()
	n, err := strconv.ParseInt(aws.StringValue(value.N), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// tokenIn finds the value in a release that is compared with the fencing token.
func tokenIn(b *testing.B, release *dynamodb.UpdateItemInput) *dynamodb.AttributeValue {
	b.Helper()
	var token *dynamodb.AttributeValue
	for _, value := range release.ExpressionAttributeValues {
		if value.N != nil {
			if token != nil {
				b.Fatal("a release has two numbers")
			}
			token = value
		}
	}
	if token == nil {
		b.Fatal("a release names no fencing token")
	}
	return token
}

// beats is the lock client's own work.
func (bed *bed) beats(b *testing.B) {
	lock := bed.beatingLock(uniqueLock(), bed.client)
	beats := make(chan error, 1)
	resume := make(chan struct{})
	defer lock.ObserveHeartbeats(func(_ time.Duration, err error) { beats <- err; <-resume })()
	mustHold(b, lock)
	stop := measuring(b)
	for b.Loop() {
		if err := <-beats; err != nil {
			b.Fatal(err)
		}
		resume <- struct{}{}
	}
	stop()
	done := make(chan struct{})
	go func() { // lets go of those that are under way
		defer close(done)
		_ = lock.RemoveLock()
	}()
	for {
		select {
		case <-beats:
		case resume <- struct{}{}:
		case <-done:
			return
		}
	}
}

// BenchmarkHeartbeatAgainstV010 has another floor: what v0.1.0 documents, a PutItem of name,
// identifier and expiry on the condition that the identifier is its own.
func BenchmarkHeartbeatAgainstV010(b *testing.B) {
	onEngines(b, func(b *testing.B, bed *bed) {
		b.Run("by=leaderkit", bed.beats)
		b.Run("by=bare-sdk", func(b *testing.B) {
			owner, name := aws.String("6f9619ff-8b86-4011-b42d-00c04fc964ff"), aws.String(uniqueLock())
			put := &dynamodb.PutItemInput{
				TableName:                 aws.String(table),
				ConditionExpression:       aws.String("attribute_not_exists(#key) OR identifier = :identifier"),
				ExpressionAttributeNames:  map[string]*string{"#key": aws.String("key")},
				ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":identifier": {S: owner}},
			}
			defer measuring(b)()
			for b.Loop() {
				expiry := strconv.FormatInt(time.Now().Add(time.Hour).UnixNano(), 10)
				put.Item = map[string]*dynamodb.AttributeValue{"key": {S: name}, "identifier": {S: owner}, "expiry": {N: &expiry}}
				if _, err := bed.client.PutItemWithContext(context.Background(), put); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkHeartbeat(b *testing.B) {
	onEngines(b, func(b *testing.B, bed *bed) {
		b.Run("by=leaderkit", bed.beats)
		b.Run("by=bare-sdk", func(b *testing.B) {
			input := takeDown[dynamodb.UpdateItemInput](b, bed, wire.Heartbeat, func(client dynamodbiface.DynamoDBAPI) {
				lock := bed.lock(uniqueLock(), client)
				lock.HeartbeatPeriod = 200 * time.Millisecond // so that it is stopped before a second one is sent
				beat := make(chan struct{}, 1)
				defer lock.ObserveHeartbeats(func(time.Duration, error) {
					select {
					case beat <- struct{}{}:
					default:
					}
				})()
				mustHold(b, lock)
				<-beat
				lock.StopHeartbeat()
			})
			updates(b, bed.client, input, success)
		})
	})
}

func BenchmarkRefusedAttempt(b *testing.B) {
	onEngines(b, func(b *testing.B, bed *bed) {
		name := "refuse-" + uniqueLock()
		if bed.engine.name != EngineNone {
			bed.held(b, name)
		}
		b.Run("by=leaderkit", func(b *testing.B) {
			lock := bed.lock(name, bed.client)
			defer measuring(b)()
			for b.Loop() {
				if held, err := lock.GetLock(); held || !errors.Is(err, lockclient.ErrLockHeld) {
					b.Fatal(held, err)
				}
			}
		})
		b.Run("by=bare-sdk", func(b *testing.B) {
			input := takeDown[dynamodb.UpdateItemInput](b, bed, wire.Acquire, func(client dynamodbiface.DynamoDBAPI) {
				_, _ = bed.lock(name, client).GetLock()
			})
			updates(b, bed.client, input, refusal)
		})
	})
}

func BenchmarkPeek(b *testing.B) {
	onEngines(b, func(b *testing.B, bed *bed) {
		name := uniqueLock()
		bed.held(b, name)
		b.Run("by=leaderkit", func(b *testing.B) {
			lock := bed.lock(name, bed.client)
			defer measuring(b)()
			for b.Loop() {
				if item, err := lock.Peek(context.Background()); err != nil || item.Released {
					b.Fatal(item, err)
				}
			}
		})
		b.Run("by=bare-sdk", func(b *testing.B) {
			input := takeDown[dynamodb.GetItemInput](b, bed, wire.Poll, func(client dynamodbiface.DynamoDBAPI) {
				if _, err := bed.lock(name, client).Peek(context.Background()); err != nil {
					b.Fatal(err)
				}
			})
			gets(b, bed.client, input)
		})
	})
}

// A watch step is PollLock while a live holder is being watched.
func BenchmarkWatchStep(b *testing.B) {
	onEngines(b, func(b *testing.B, bed *bed) {
		name := "refuse-" + uniqueLock()
		if bed.engine.name != EngineNone {
			bed.held(b, name)
		}
		step := func(lock *lockclient.DynamoDBLockClient) {
			if held, err := lock.PollLock(context.Background()); held || !errors.Is(err, lockclient.ErrLockHeld) {
				b.Fatal(held, err)
			}
		}
		b.Run("by=leaderkit", func(b *testing.B) {
			lock := bed.lock(name, bed.client)
			step(lock) // the first is an attempt to acquire
			defer measuring(b)()
			for b.Loop() {
				step(lock)
			}
		})
		b.Run("by=bare-sdk", func(b *testing.B) {
			input := takeDown[dynamodb.GetItemInput](b, bed, wire.Poll, func(client dynamodbiface.DynamoDBAPI) {
				lock := bed.lock(name, client)
				step(lock)
				step(lock)
			})
			if aws.BoolValue(input.ConsistentRead) {
				b.Fatal("a watch step reads consistently")
			}
			gets(b, bed.client, input)
		})
	})
}
