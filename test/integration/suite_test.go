// Package integration is the specification of lockclient as its users meet it: each promise of its
// documentation is the sentence of a spec here, and is kept or broken over the wire.
//
// The suite runs on dynamotest, or on the engine at DYNAMODB_ENDPOINT if that is set, and says
// which. Promises about time, and about faults at one exact moment, are tested in
// lockclient/virtual_*_test.go. Those tests run in virtual time.
package integration

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

func TestLockClientKeepsItsPromises(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "lockclient")
}

var (
	server    http.RoundTripper // the engine under test
	closeIdle = func() {}
	admin     dynamodbiface.DynamoDBAPI // straight to the engine
	table     string                    // made by lockclient.EnsureTable, with the key "key"
	locks     atomic.Int64
)

var _ = BeforeSuite(func(ctx SpecContext) {
	var said string
	var err error
	server, said, closeIdle, err = wire.Engine(os.Getenv("DYNAMODB_ENDPOINT"))
	Expect(err).NotTo(HaveOccurred(), "DYNAMODB_ENDPOINT")
	fmt.Println(said)
	admin = wire.NewClient(server)
	table = uniqueTable()
	Expect(lockclient.EnsureTable(ctx, admin, table)).To(Succeed())
	DeferCleanup(func() {
		_, err := admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &table})
		Expect(err).NotTo(HaveOccurred())
		closeIdle()
	})
})

// Nothing that a spec starts may outlive it.
var _ = BeforeEach(func() {
	before := gleak.Goroutines()
	DeferCleanup(func() {
		closeIdle()
		Eventually(gleak.Goroutines).WithTimeout(5 * time.Second).ShouldNot(gleak.HaveLeaked(before))
	})
})

func uniqueTable() string { return "integration-" + uuid.NewString() }

// makeTable makes a table with EnsureTable and deletes it after the spec.
func makeTable(ctx context.Context, options ...lockclient.TableOption) string {
	GinkgoHelper()
	name := uniqueTable()
	Expect(lockclient.EnsureTable(ctx, admin, name, options...)).To(Succeed())
	DeferCleanup(func() { _, _ = admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name}) })
	return name
}

func dropTable(name string) error {
	_, err := admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name})
	return err
}

// uniqueLock names a lock that no other spec uses.
func uniqueLock() string { return fmt.Sprintf("lock-%d", locks.Add(1)) }

// contender is a client with a wire of its own.
type contender struct {
	*lockclient.DynamoDBLockClient
	wire *wire.Wire
}

// contend makes a client for a lock and releases whatever it holds after the spec. Its lease is
// long enough not to matter: change it where it does.
func contend(lock, identifier string, change ...func(*lockclient.DynamoDBLockClient)) *contender {
	w := wire.New(server)
	c := &contender{
		DynamoDBLockClient: &lockclient.DynamoDBLockClient{
			LockName: lock, TableName: table, Identifier: identifier, LeaseDuration: time.Minute, Client: wire.NewClient(w),
		},
		wire: w,
	}
	for _, f := range change {
		f(c.DynamoDBLockClient)
	}
	DeferCleanup(func() {
		w.SetHook(nil)
		if _, err := c.Timing(); err == nil {
			_ = c.RemoveLock()
		}
		w.Settle()
	})
	return c
}

func lease(d time.Duration) func(*lockclient.DynamoDBLockClient) {
	return func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration = d }
}

func data(text string) func(*lockclient.DynamoDBLockClient) {
	return func(c *lockclient.DynamoDBLockClient) { c.Data = []byte(text) }
}

// item is a record as it is in the table, nil if there is none.
func item(lock string) map[string]*dynamodb.AttributeValue {
	GinkgoHelper()
	out, err := admin.GetItem(&dynamodb.GetItemInput{TableName: &table, Key: key(lock), ConsistentRead: aws.Bool(true)})
	Expect(err).NotTo(HaveOccurred())
	return out.Item
}

// put writes an item as another program would; its key is added.
func put(lock string, attributes map[string]*dynamodb.AttributeValue) {
	GinkgoHelper()
	attributes["key"] = &dynamodb.AttributeValue{S: &lock}
	_, err := admin.PutItem(&dynamodb.PutItemInput{TableName: &table, Item: attributes})
	Expect(err).NotTo(HaveOccurred())
}

func key(lock string) map[string]*dynamodb.AttributeValue {
	return map[string]*dynamodb.AttributeValue{"key": {S: &lock}}
}

func s(text string) *dynamodb.AttributeValue   { return &dynamodb.AttributeValue{S: &text} }
func n(number string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{N: &number} }

// mustGet acquires or fails the spec.
func mustGet(c *contender) int64 {
	GinkgoHelper()
	held, err := c.GetLock()
	Expect(err).NotTo(HaveOccurred())
	Expect(held).To(BeTrue())
	token, ok := c.FencingToken()
	Expect(ok).To(BeTrue())
	return token
}

// mustBeRefused tries to acquire and returns the refusal.
func mustBeRefused(c *contender) *lockclient.LockHeldError {
	GinkgoHelper()
	held, err := c.GetLock()
	Expect(held).To(BeFalse())
	var refused *lockclient.LockHeldError
	Expect(err).To(BeAssignableToTypeOf(refused))
	refused = err.(*lockclient.LockHeldError)
	return refused
}
