package account

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

var yours = credentials.NewStaticCredentials("AKIDYOURS", "secret", "session")

// region is a DynamoDB that only your credentials open. Its tables take a while to be made and to
// be deleted.
type region struct {
	*httptest.Server
	arrived  atomic.Int64 // requests that came through
	notReady atomic.Int64 // how many looks at a table still show it as not ready
	leaving  atomic.Int64 // how many looks at a table that was deleted still show it
	stuck    atomic.Bool  // tables can't be deleted
}

func newRegion(t *testing.T) *region {
	r, engine := &region{}, dynamotest.New()
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		if request.Method == http.MethodPost && !signedByYou(request, body) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#UnrecognizedClientException","Message":"whose key is this?"}`)
			return
		}
		r.arrived.Add(1)
		target := request.Header.Get("X-Amz-Target")
		if r.stuck.Load() && strings.HasSuffix(target, ".DeleteTable") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not you"}`)
			return
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		engine.ServeHTTP(answer, request)
		text := answer.Body.String()
		if strings.HasSuffix(target, ".DescribeTable") && answer.Code != http.StatusOK && r.leaving.Add(-1) >= 0 {
			answer.Code, text = http.StatusOK, `{"Table":{"TableStatus":"DELETING"}}`
		}
		if strings.HasSuffix(target, ".DescribeTable") && r.notReady.Add(-1) >= 0 {
			text = strings.Replace(text, `"TableStatus":"ACTIVE"`, `"TableStatus":"CREATING"`, 1)
		}
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(answer.Code)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(r.Close)
	return r
}

// signedByYou signs the request again and compares.
func signedByYou(r *http.Request, body []byte) bool {
	when, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	again := r.Clone(context.Background())
	again.URL.Scheme, again.URL.Host, again.RequestURI = "http", r.Host, ""
	for _, name := range []string{"Authorization", "X-Amz-Security-Token", "Accept-Encoding"} {
		again.Header.Del(name)
	}
	_, err = v4.NewSigner(yours).Sign(again, bytes.NewReader(body), "dynamodb", "eu-west-1", when)
	return err == nil && again.Header.Get("Authorization") == r.Header.Get("Authorization")
}

func (r *region) open(t *testing.T) *Account {
	t.Helper()
	a, err := Open(t.Context(), Config{Endpoint: r.URL, Region: "eu-west-1", Credentials: yours, Poll: time.Millisecond, HTTPClient: r.Client()})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return a
}

// client is what a suite uses: it signs with a key that opens nothing.
func client(t *testing.T, a *Account) dynamodbiface.DynamoDBAPI {
	t.Helper()
	rt, _, done, err := wire.Engine(a.URL())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(done)
	return wire.NewClient(rt)
}

func TestASuiteThatSignsWithAnyKeyIsHeard(t *testing.T) {
	g, r := NewWithT(t), newRegion(t)
	a := r.open(t)
	defer func() { g.Expect(a.Close(context.Background())).To(Succeed()) }()
	api := client(t, a)
	r.notReady.Store(3)
	g.Expect(lockclient.EnsureTable(t.Context(), api, "mine")).To(Succeed())
	lock := &lockclient.DynamoDBLockClient{Client: api, TableName: "mine", LockName: "l", Identifier: "me", LeaseDuration: 20 * time.Second}
	held, err := lock.GetLock()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(held).To(BeTrue())
	g.Expect(lock.RemoveLock()).To(Succeed())

	used := a.Usage()
	g.Expect(used.Tables).To(Equal(1))
	g.Expect(used.Writes).To(BeNumerically(">=", 2))
	g.Expect(used.Dollars()).To(And(BeNumerically(">", 1e-6), BeNumerically("<", 1e-4)))
	g.Expect(used.String()).To(And(ContainSubstring("CreateTable"), ContainSubstring("dollars in us-east-1; 1 tables")))
}

func TestATableIsThereWhenCreateTableAnswersAndGoneWhenDeleteTableDoes(t *testing.T) {
	g, r := NewWithT(t), newRegion(t)
	a := r.open(t)
	defer func() { g.Expect(a.Close(context.Background())).To(Succeed()) }()
	api := client(t, a)
	r.notReady.Store(5)
	made, err := api.CreateTable(table("mine"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(aws.StringValue(made.TableDescription.TableStatus)).To(Equal("ACTIVE"))
	g.Expect(r.notReady.Load()).To(BeNumerically("<", 0), "it was not looked at until it was ready")
	r.leaving.Store(5)
	_, err = api.DeleteTable(&dynamodb.DeleteTableInput{TableName: aws.String("mine")})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = api.DescribeTable(&dynamodb.DescribeTableInput{TableName: aws.String("mine")})
	g.Expect(err).To(MatchError(ContainSubstring("ResourceNotFoundException")))
}

func table(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: aws.String("PAY_PER_REQUEST"),
		KeySchema:            []*dynamodb.KeySchemaElement{{AttributeName: aws.String("key"), KeyType: aws.String("HASH")}},
		AttributeDefinitions: []*dynamodb.AttributeDefinition{{AttributeName: aws.String("key"), AttributeType: aws.String("S")}},
	}
}

func TestTheTablesThatWereThereAreNotTouched(t *testing.T) {
	g, r := NewWithT(t), newRegion(t)
	before := r.open(t)
	const names = 230 // more than a page of ListTables
	for i := range names {
		_, err := before.call(t.Context(), "CreateTable", table(fmt.Sprintf("precious-%03d", i)))
		g.Expect(err).NotTo(HaveOccurred())
	}
	a := r.open(t)
	defer func() { g.Expect(a.Close(context.Background())).To(Succeed()) }()
	arrived := r.arrived.Load()
	const last = "precious-229"
	for operation, body := range map[string]string{
		"PutItem":            `{"TableName":"` + last + `","Item":{"key":{"S":"k"}}}`,
		"GetItem":            `{"TableName":"arn:aws:dynamodb:eu-west-1:1:table/` + last + `","Key":{"key":{"S":"k"}}}`,
		"CreateTable":        `{"TableName":"` + last + `"}`,
		"DeleteTable":        `{"TableName":"` + last + `"}`,
		"UpdateTimeToLive":   `{"TableName":"` + last + `","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"x"}}`,
		"BatchWriteItem":     `{"RequestItems":{"new":[],"` + last + `":[{"DeleteRequest":{"Key":{"key":{"S":"k"}}}}]}}`,
		"TransactWriteItems": `{"TransactItems":[{"Delete":{"TableName":"` + last + `","Key":{"key":{"S":"k"}}}}]}`,
		"DeleteBackup":       `{"BackupArn":"arn:aws:dynamodb:eu-west-1:1:table/x/backup/1"}`,
		"ExecuteStatement":   `{"Statement":"DELETE FROM \"` + last + `\" WHERE key = 'k'"}`,
		"TagResource":        `{"ResourceArn":"arn:aws:dynamodb:eu-west-1:1:table/` + last + `"}`,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL(), strings.NewReader(body))
		g.Expect(err).NotTo(HaveOccurred())
		request.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
		answer, err := http.DefaultClient.Do(request)
		g.Expect(err).NotTo(HaveOccurred())
		said, err := io.ReadAll(answer.Body)
		g.Expect(err).NotTo(HaveOccurred())
		_ = answer.Body.Close()
		g.Expect(string(said)).To(Or(ContainSubstring("AccessDeniedException"), ContainSubstring("UnknownOperationException")), operation)
	}
	g.Expect(r.arrived.Load()).To(Equal(arrived), "a request has come through")
}

func TestWhatTheTestsLeaveIsDeletedAndWhatCannotBeIsNamed(t *testing.T) {
	g, r := NewWithT(t), newRegion(t)
	a := r.open(t)
	api := client(t, a)
	for _, name := range []string{"one", "two"} {
		_, err := api.CreateTable(table(name))
		g.Expect(err).NotTo(HaveOccurred())
	}
	r.stuck.Store(true)
	g.Expect(a.Close(t.Context())).To(MatchError(And(ContainSubstring("table one is still there"), ContainSubstring("table two"), ContainSubstring("not you"))))
	r.stuck.Store(false)
	g.Expect(a.Close(t.Context())).To(Succeed())
	_, err := a.call(t.Context(), "DescribeTable", map[string]string{"TableName": "one"})
	g.Expect(err).To(MatchError(ContainSubstring("ResourceNotFoundException")))
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	g := NewWithT(t)
	whole := Config{Endpoint: "http://127.0.0.1:1", Region: "eu-west-1", Credentials: yours}
	for field, change := range map[string]func(*Config){
		"Config.Endpoint is missing":    func(c *Config) { c.Endpoint = "" },
		`Config.Endpoint is "dynamodb"`: func(c *Config) { c.Endpoint = "dynamodb" },
		"Config.Region is missing":      func(c *Config) { c.Region = "" },
		"Config.Credentials is missing": func(c *Config) { c.Credentials = nil },
		"list the tables that are":      func(*Config) {},
	} {
		config := whole
		change(&config)
		_, err := Open(t.Context(), config)
		g.Expect(err).To(MatchError(ContainSubstring(field)))
	}
}
