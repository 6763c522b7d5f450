package lockclient_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	. "github.com/onsi/ginkgo/v2"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamolocal"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// What README.md shows is in these functions, line by line, so that it compiles.

func readmeWait(ctx context.Context, db dynamodbiface.DynamoDBAPI, pages []string, write func(string)) error {
	lock := &lockclient.DynamoDBLockClient{
		LockName:      "nightly-report",
		LeaseDuration: 15 * time.Second, // a crashed holder is replaced this long after its last renewal
		TableName:     "locks",
		Client:        db,
	}
	if err := lock.WaitForLock(ctx); err != nil {
		return err
	}
	defer lock.RemoveLock()

	for _, page := range pages {
		if held, err := lock.HasLock(); !held { // local: no request
			return err
		}
		write(page)
	}
	return nil
}

func readmeTry(ctx context.Context, lock *lockclient.DynamoDBLockClient) error {
	err := lock.TryLock(ctx)
	if errors.Is(err, lockclient.ErrLockHeld) {
		return nil // another process does the work
	}
	return err
}

func readmeAging(lock *lockclient.DynamoDBLockClient, pause func(), done <-chan struct{}) error {
	select {
	case <-lock.Aging():
		pause() // take no new work
	case <-lock.Lost():
		return lock.LockError()
	case <-done:
	}
	return nil
}

func readmeTransaction(ctx context.Context, lock *lockclient.DynamoDBLockClient, items []*dynamodb.TransactWriteItem) error {
	_, err := lock.TransactWrite(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	switch {
	case errors.Is(err, lockclient.ErrOutcomeUnknown):
		// no answer says what happened; if it was written, the lock was held at that moment
	case errors.Is(err, lockclient.ErrLockLost):
		// this tenure is over; nothing was written, and nothing will be
	}
	return err
}

func readmeStamp(ctx context.Context, db dynamodbiface.DynamoDBAPI, lock *lockclient.DynamoDBLockClient, key, values map[string]*dynamodb.AttributeValue) error {
	stamped, err := lock.Stamp(&dynamodb.UpdateItemInput{
		TableName:                 aws.String("reports"),
		Key:                       key,
		UpdateExpression:          aws.String("SET pages = :pages"),
		ExpressionAttributeValues: values,
	})
	if err != nil {
		return err // the lock is not held
	}
	_, err = db.UpdateItemWithContext(ctx, stamped)
	if lost := lockclient.StampError(err, stamped); lost != nil {
		return lost // a later tenure has written the item
	}
	return err
}

func readmeTable(ctx context.Context, db dynamodbiface.DynamoDBAPI) error {
	err := lockclient.EnsureTable(ctx, db, "locks")
	return err
}

func readmeGlobalTable(ctx context.Context, db dynamodbiface.DynamoDBAPI) error {
	err := lockclient.EnsureTable(ctx, db, "locks", lockclient.WithoutTTL())
	return err
}

func readmeClient() dynamodbiface.DynamoDBAPI {
	sess := session.Must(session.NewSession(&aws.Config{HTTPClient: lockclient.NewHTTPClient()}))
	db := dynamodb.New(sess)
	return db
}

func readmeSession(ctx context.Context, db dynamodbiface.DynamoDBAPI) error {
	session := &lockclient.Session{TableName: "locks", Client: db, LeaseDuration: 15 * time.Second}
	locks := make([]*lockclient.DynamoDBLockClient, 1000)
	for i := range locks {
		locks[i] = &lockclient.DynamoDBLockClient{LockName: fmt.Sprint("shard-", i), Session: session}
	}
	// acquire, check and release each as any lock
	err := session.Close(ctx) // frees all of them with one write
	return err
}

func readmeErrors(err error) {
	var coded awserr.Error
	if errors.As(err, &coded) {
		log.Println(coded.Code())
	}
}

func readmeDynamotest(ctx context.Context) error {
	server := dynamotest.NewServer()
	defer server.Close()
	err := lockclient.EnsureTable(ctx, server.Client(), "locks")
	return err
}

func readmeDynamolocal(db dynamodbiface.DynamoDBAPI) dynamodbiface.DynamoDBAPI {
	var _ = BeforeSuite(func() {
		server := dynamolocal.NewServer(GinkgoT()) // or t
		db = server.Client()
	})
	return db
}

var _ = []any{readmeWait, readmeTry, readmeAging, readmeTransaction, readmeStamp, readmeTable, readmeGlobalTable, readmeClient, readmeSession, readmeErrors,
	readmeDynamotest, readmeDynamolocal}

func TestEachGoBlockOfTheReadmeCompiles(t *testing.T) {
	compiled := flush(readFile(t, "readme_test.go"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readFile(t, "README.md"), -1)
	if len(blocks) != 12 {
		t.Errorf("README.md has %d Go blocks", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(compiled, flush(block[1])) {
			t.Errorf("this block of README.md is not in readme_test.go:\n%s", block[1])
		}
	}
}

// flush is text without its indentation and blank lines.
func flush(text string) string {
	return regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(text, "")
}

func readFile(t *testing.T, name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
