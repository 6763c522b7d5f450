package lockclient

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// TestATakeoverNamesTheVersionThatWasWatched: whoever holds the record may have renewed since it
// was last seen, whatever its make.
func TestATakeoverNamesTheVersionThatWasWatched(t *testing.T) {
	type item = map[string]*dynamodb.AttributeValue
	for name, c := range map[string]struct{ watched, renewed item }{
		"ours": {
			item{attrVersion: text("1"), attrOurVersion: text("1"), attrCount: numeral("7"), attrToken: numeral("5")},
			item{attrVersion: text("2"), attrOurVersion: text("2"), attrCount: numeral("8"), attrToken: numeral("5")},
		},
		"ours, repeated by the network": {
			item{attrVersion: text("1"), attrOurVersion: text("1"), attrCount: numeral("7"), attrToken: numeral("5")},
			item{attrVersion: text("1"), attrOurVersion: text("1"), attrCount: numeral("8"), attrToken: numeral("5")},
		},
		"Java":                          {item{attrVersion: text("1")}, item{attrVersion: text("2")}},
		"Java, replaced by ours":        {item{attrVersion: text("1")}, item{attrVersion: text("1"), attrCount: numeral("1")}},
		"v0.1.0":                        {item{attrV010Owner: text("a"), attrV010Expiry: numeral("10")}, item{attrV010Owner: text("a"), attrV010Expiry: numeral("11")}},
		"v0.1.0, of another":            {item{attrV010Owner: text("a"), attrV010Expiry: numeral("10")}, item{attrV010Owner: text("b"), attrV010Expiry: numeral("10")}},
		"v0.1.0, replaced by Java":      {item{attrV010Owner: text("a"), attrV010Expiry: numeral("10")}, item{attrV010Owner: text("a"), attrV010Expiry: numeral("10"), attrVersion: text("1")}},
		"v0.1.0, whose clock went back": {item{attrV010Owner: text("a"), attrV010Expiry: numeral("10")}, item{attrV010Owner: text("a"), attrV010Expiry: numeral("9")}},
	} {
		t.Run(name, func(t *testing.T) {
			c.watched["key"], c.renewed["key"] = text("lock"), text("lock")
			d, db := onEngine(t)
			put := func(i item) {
				if _, err := db.PutItem(&dynamodb.PutItemInput{TableName: aws.String("locks"), Item: i}); err != nil {
					t.Fatal(err)
				}
			}
			watched := decodeRecord(c.watched)
			a := acquisition{version: "new", token: 100, claims: claims{expired: &watched.version}, wall: time.Now()}
			put(c.renewed)
			if err := d.requests.acquire(t.Context(), a); err == nil {
				t.Error("it has replaced a version that it had not watched")
			}
			put(c.watched)
			if err := d.requests.acquire(t.Context(), a); err != nil {
				t.Errorf("it was refused the version that it had watched: %v", err)
			}
		})
	}
}

// TestOurTenureIsToldFromWhatOthersLeaveOfIt: a client that updates our record in place, under our
// own name, leaves our token in it.
func TestOurTenureIsToldFromWhatOthersLeaveOfIt(t *testing.T) {
	d, db := onEngine(t)
	const token = 7
	if err := d.requests.acquire(t.Context(), acquisition{version: "1", token: token, wall: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := d.requests.renew(t.Context(), token, time.Now()); err != nil {
		t.Fatalf("a heartbeat of our own record: %v", err)
	}
	_, err := db.UpdateItem(&dynamodb.UpdateItemInput{
		TableName: aws.String("locks"), Key: d.requests.key(), UpdateExpression: aws.String("SET recordVersionNumber = :java"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":java": text("java")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.requests.renew(t.Context(), token, time.Now()); err == nil {
		t.Error("a heartbeat has renewed the record of a client of another make")
	}
	if _, err := d.requests.release(t.Context(), ownWrites{token: token}, "", time.Now()); err == nil {
		t.Error("a release has freed the record of a client of another make")
	}
}

// TestALateCopyOfAnAcquireTakesNothing: the network may deliver it when its tenure, or a later one,
// has been released.
func TestALateCopyOfAnAcquireTakesNothing(t *testing.T) {
	d, _ := onEngine(t)
	first := acquisition{version: "1", token: 7, wall: time.Now()}
	second := acquisition{version: "2", token: 8, wall: time.Now()}
	for _, a := range []acquisition{first, second} {
		if err := d.requests.acquire(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if _, err := d.requests.release(t.Context(), ownWrites{token: a.token}, "", time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := d.requests.acquire(t.Context(), a); err == nil {
			t.Errorf("a copy of the acquire with token %d has taken the lock that its tenure had released", a.token)
		}
	}
	if err := d.requests.acquire(t.Context(), first); err == nil {
		t.Error("a copy of the first acquire has taken the lock that the second had released")
	}
}

// TestNoTwoAttemptsHaveOneToken: what is known of one says nothing about another.
func TestNoTwoAttemptsHaveOneToken(t *testing.T) {
	c := contender{rules: &rules{}}
	var last int64
	for _, wall := range []int64{1000, 1000, 999, -5, 2000, 0} {
		token := c.newToken(time.UnixMilli(wall))
		if token <= last {
			t.Errorf("token %d after %d", token, last)
		}
		last = token
	}
}

// TestATokenThatWasSeenIsRemembered: an item that is made anew begins above it.
func TestATokenThatWasSeenIsRemembered(t *testing.T) {
	for name, found := range map[string]*record{
		"held":     {version: version{dialect: dialectAWS, number: "1"}, token: 7},
		"released": {version: version{dialect: dialectAWS, number: "1"}, token: 7, item: LockItem{Released: true}},
	} {
		c := contender{rules: &rules{}}
		c.readShowed(&bid{}, &ledger{}, found, sighting{})
		if c.highestToken != 7 {
			t.Errorf("%s: after a look that showed token 7 the highest is %d", name, c.highestToken)
		}
	}
}

// onEngine returns the driver of a lock on an engine of its own.
func onEngine(t *testing.T) (*driver, interface {
	PutItem(*dynamodb.PutItemInput) (*dynamodb.PutItemOutput, error)
	UpdateItem(*dynamodb.UpdateItemInput) (*dynamodb.UpdateItemOutput, error)
}) {
	t.Helper()
	db := dynamotest.NewClient(dynamotest.New())
	if err := EnsureTable(t.Context(), db, "locks"); err != nil {
		t.Fatal(err)
	}
	c := &DynamoDBLockClient{LockName: "lock", TableName: "locks", Identifier: "us", LeaseDuration: time.Second, Client: db}
	d, err := c.driver()
	if err != nil {
		t.Fatal(err)
	}
	return d, db
}

// TestATransactionWaitsWhileAHeartbeatIsRepeated: DynamoDB would refuse the heartbeat because of
// it.
func TestATransactionWaitsWhileAHeartbeatIsRepeated(t *testing.T) {
	d, _ := onEngine(t)
	k := &keeper{d: d, tenure: tenure{rules: &d.rules, failures: 1}}
	given, up := context.WithCancel(t.Context())
	up()
	if err := k.untilCalm(given); err == nil {
		t.Error("a transaction goes out while a heartbeat is being repeated")
	}
	waited := make(chan error, 1)
	go func() { waited <- k.untilCalm(t.Context()) }()
	d.mu.Lock()
	k.tenure.failures = 0
	k.landed(nil)
	d.mu.Unlock()
	if err := <-waited; err != nil {
		t.Errorf("it is held up when none is repeated any more: %v", err)
	}
}
