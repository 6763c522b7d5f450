package dynamotest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// slow delays a handler by virtual time, before it or after it.
type slow struct {
	before, after time.Duration
	handler       http.Handler
}

func (s slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(s.before)
	s.handler.ServeHTTP(w, r)
	time.Sleep(s.after)
}

func TestTheWholeSDKRunsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		start := time.Now()
		client := dynamotest.NewClient(slow{before: time.Hour, handler: dynamotest.New()})
		sdkTable(g, client)
		out, err := client.DescribeTable(&dynamodb.DescribeTableInput{TableName: aws.String("locks")})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(time.Since(start)).To(Equal(2 * time.Hour))
		g.Expect(*out.Table.CreationDateTime).To(BeTemporally("==", start.Add(time.Hour)), "the engine's clock is the bubble's")
		// synctest.Test itself fails when a goroutine is left, or when one blocks on anything
		// outside the bubble.
	})
}

func TestAHungHandlerIsLeftWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		release := make(chan struct{})
		hung := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
		client := dynamotest.NewClient(hung)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := client.DescribeTableWithContext(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("locks")})
		g.Expect(time.Since(start)).To(Equal(3 * time.Second))
		g.Expect(err).To(MatchError(ContainSubstring(request.CanceledErrorCode)))
		close(release) // the handler's goroutine ends with the handler
	})
}

func TestALateAnswerIsLostButDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		engine := dynamotest.New()
		sdkTable(g, dynamotest.NewClient(engine))
		late := dynamotest.NewClient(slow{after: time.Minute, handler: engine})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := late.PutItemWithContext(ctx, &dynamodb.PutItemInput{TableName: aws.String("locks"), Item: sdkKey("a")})
		g.Expect(err).To(HaveOccurred())
		out, err := dynamotest.NewClient(engine).GetItem(&dynamodb.GetItemInput{TableName: aws.String("locks"), Key: sdkKey("a")})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(out.Item).To(Equal(sdkKey("a")))
		time.Sleep(time.Hour) // virtual: lets the handler end
	})
}

func TestTokensLastTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		ours := inMemory()
		ours.createNamedTable("table", "k:S")
		transaction := func(key string) string {
			return ours.call("TransactWriteItems", `{"ClientRequestToken":"token","TransactItems":[{"Put":{"TableName":"table","Item":{"k":{"S":"`+key+`"}}}}]}`).Type
		}
		g.Expect(transaction("a")).To(BeEmpty())
		time.Sleep(10 * time.Minute)
		g.Expect(transaction("b")).To(Equal("IdempotentParameterMismatchException"))
		time.Sleep(time.Second)
		g.Expect(transaction("b")).To(BeEmpty())
	})
}

func TestTransport(t *testing.T) {
	g := NewWithT(t)
	var seen *http.Request
	var body string
	transport := dynamotest.Transport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		raw, _ := io.ReadAll(r.Body)
		body = string(raw)
		w.Header().Set("X-Early", "1")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Late", "1")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "short")
	}))
	client := &http.Client{Transport: transport}

	reply, err := client.Post("http://any.invalid/path?q=1", "text/plain", strings.NewReader("hello"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(body).To(Equal("hello"))
	g.Expect(seen.RequestURI).To(Equal("/path?q=1"))
	g.Expect(reply.StatusCode).To(Equal(http.StatusTeapot), "the first status counts")
	g.Expect(reply.Header).To(And(HaveKey("X-Early"), Not(HaveKey("X-Late"))))
	raw, err := io.ReadAll(reply.Body)
	g.Expect(string(raw), err).To(Equal("short"))
	g.Expect(reply.ContentLength).To(BeEquivalentTo(5))

	seen = nil
	over, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := http.NewRequestWithContext(over, http.MethodGet, "http://any.invalid/", nil)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = transport.RoundTrip(r)
	g.Expect(err).To(MatchError(context.Canceled))
	g.Expect(seen).To(BeNil(), "a request whose context is over is not sent")
}

func TestServerLeavesNothingBehind(t *testing.T) {
	g := NewWithT(t)
	before := gleak.Goroutines()
	server := dynamotest.NewServer()
	sdkTable(g, server.Client())
	other := &wire{url: server.URL, client: &http.Client{Transport: &http.Transport{}}}
	g.Expect(other.call("DescribeTable", object{"TableName": "locks"}).Status).To(Equal(200), "all clients of a server see the same tables")
	other.client.CloseIdleConnections()
	server.Close()
	g.Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(before))
	g.Expect(other.call("DescribeTable", object{"TableName": "locks"}).Type).To(Equal("no answer"))
}
