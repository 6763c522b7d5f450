package sdkv2_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	httpv2 "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/sdkv2"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// trouble is something that goes wrong with a request, the error that it becomes, and what
// lockclient makes of that.
type trouble struct {
	name      string
	configure func(*dynamodb.Options)
	fault     wire.Fault

	code    string
	status  int  // 0: no reply
	notSent bool // and nothing is sent
	// Of an acquire:
	kind      error // nil: nothing in particular
	permanent bool
	// Of a fenced transaction:
	settled bool // it has certainly not been carried out
}

func failingKeys(err error) func(*dynamodb.Options) {
	return func(o *dynamodb.Options) {
		o.Credentials = awsv2.NewCredentialsCache(awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
			return awsv2.Credentials{}, err
		}))
	}
}

func serviceError(service string, err error) error {
	return fmt.Errorf("no keys: %w", &smithy.OperationError{ServiceID: service, OperationName: "Any", Err: err})
}

var (
	errThrottled  = &smithy.GenericAPIError{Code: "ThrottlingException", Message: "slow down"}
	errForbidden  = &smithy.GenericAPIError{Code: "AccessDenied", Message: "not you"}
	errUnanswered = &httpError{}
)

// httpError is a network error as v2 sees it.
type httpError struct{}

func (*httpError) Error() string         { return "connection reset" }
func (*httpError) ConnectionError() bool { return true }

func inBuildStep(refusal error) func(*dynamodb.Options) {
	return dynamodb.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("refusing", func(context.Context, middleware.BuildInput, middleware.BuildHandler) (
			middleware.BuildOutput, middleware.Metadata, error,
		) {
			return middleware.BuildOutput{}, middleware.Metadata{}, refusal
		}), middleware.After)
	})
}

// slowly never answers until the client's own timeout.
func clientTimeout(o *dynamodb.Options) {
	client := *o.HTTPClient.(*http.Client)
	client.Timeout = 100 * time.Millisecond
	o.HTTPClient = &client
}

// bodyTimeout is the reply of v2's own HTTP client when a body stops coming.
func bodyTimeout(context.Context, *wire.Call) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: timingOut{}, ContentLength: -1}, nil
}

type timingOut struct{}

func (timingOut) Read([]byte) (int, error) {
	return 0, &httpv2.ResponseTimeoutError{TimeoutDur: time.Second}
}
func (timingOut) Close() error { return nil }

func wrongChecksum(ctx context.Context, c *wire.Call) (*http.Response, error) {
	reply, err := c.Deliver(ctx)
	if err == nil {
		reply.Header.Set("X-Amz-Crc32", "1")
	}
	return reply, err
}

func refusal(code string) wire.Fault { return wire.Answer(400, code, "the message") }

var troubles = []trouble{
	// Before anything is sent.
	{name: "no credentials provider", configure: func(o *dynamodb.Options) { o.Credentials = nil },
		code: "NoCredentialProviders", notSent: true, kind: lockclient.ErrAccessDenied, permanent: true, settled: true},
	{name: "anonymous credentials", configure: func(o *dynamodb.Options) { o.Credentials = awsv2.AnonymousCredentials{} },
		code: "NoCredentialProviders", notSent: true, kind: lockclient.ErrAccessDenied, permanent: true, settled: true},
	{name: "a provider that has none", configure: failingKeys(errors.New("nothing configured")),
		code: "NoCredentialProviders", notSent: true, kind: lockclient.ErrAccessDenied, permanent: true, settled: true},
	{name: "empty credentials", configure: failingKeys(nil),
		code: "NoCredentialProviders", notSent: true, kind: lockclient.ErrAccessDenied, permanent: true, settled: true},
	{name: "no metadata service", configure: failingKeys(serviceError("ec2imds", errUnanswered)),
		code: "NoCredentialProviders", notSent: true, kind: lockclient.ErrAccessDenied, permanent: true, settled: true},
	{name: "a role that may not be assumed", configure: failingKeys(serviceError("STS", errForbidden)),
		code: "NoCredentialProviders", notSent: true, kind: lockclient.ErrAccessDenied, permanent: true, settled: true},
	{name: "a throttled token service", configure: failingKeys(serviceError("STS", errThrottled)),
		code: "RequestError", notSent: true, settled: true},
	{name: "a token service out of reach", configure: failingKeys(serviceError("STS", errUnanswered)),
		code: "RequestError", notSent: true, settled: true},
	{name: "no region", configure: func(o *dynamodb.Options) { o.Region, o.BaseEndpoint = "", nil },
		code: "MissingRegion", notSent: true, permanent: true, settled: true},
	{name: "a region that is none", configure: func(o *dynamodb.Options) { o.Region, o.BaseEndpoint = "us east", nil },
		code: "MissingEndpoint", notSent: true, permanent: true, settled: true},
	{name: "no account for an account's endpoint", configure: func(o *dynamodb.Options) {
		o.BaseEndpoint, o.AccountIDEndpointMode = nil, awsv2.AccountIDEndpointModeRequired
	}, code: "MissingEndpoint", notSent: true, permanent: true, settled: true},
	{name: "a middleware that refuses", configure: inBuildStep(errors.New("circuit breaker open")),
		code: "RequestError", notSent: true, settled: true},

	// Without a reply.
	{name: "connection reset before delivery", fault: wire.Refuse(), code: "RequestError"},
	{name: "reply lost", fault: wire.DropReply(), code: "RequestError"},
	{name: "no reply in the HTTP client's time", fault: wire.Hang(), configure: clientTimeout, code: "RequestError"},

	// With one.
	{name: "half a reply", fault: wire.CutReply(), code: "SerializationError", status: 200},
	{name: "a reply that stops", fault: bodyTimeout, code: "ResponseTimeout", status: 200},
	{name: "a reply with another checksum", fault: wrongChecksum, code: "CRC32CheckFailed", status: 200},
	{name: "a load balancer's page", fault: wire.AnswerBody(503, "text/html", "<html>busy</html>"), code: "SerializationError", status: 503},
	{name: "a proxy's timeout", fault: wire.AnswerBody(408, "text/html", "<html>timeout</html>"), code: "SerializationError", status: 408},
	{name: "an internal error", fault: wire.InternalError(), code: "InternalServerError", status: 500},
	{name: "unavailable", fault: wire.Unavailable(), code: "ServiceUnavailable", status: 503},
	{name: "throttled", fault: wire.Throttle(), code: "ProvisionedThroughputExceededException", status: 400, settled: true},
	{name: "the account throttled", fault: wire.ThrottleAccount(), code: "ThrottlingException", status: 400, settled: true},
	{name: "expired credentials", fault: wire.ExpiredToken(), code: "ExpiredTokenException", status: 400, settled: true},
	{name: "a conflict with another Region", fault: refusal("com.amazonaws.dynamodb.v20120810#ReplicatedWriteConflictException"),
		code: "ReplicatedWriteConflictException", status: 400, settled: true},
	{name: "no table", fault: refusal("com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"),
		code: "ResourceNotFoundException", status: 400, kind: lockclient.ErrTableNotFound, permanent: true, settled: true},
	{name: "access denied", fault: refusal("com.amazon.coral.service#AccessDeniedException"),
		code: "AccessDeniedException", status: 400, kind: lockclient.ErrAccessDenied, permanent: true, settled: true},
	{name: "unknown keys", fault: refusal("com.amazon.coral.service#UnrecognizedClientException"),
		code: "UnrecognizedClientException", status: 400, kind: lockclient.ErrAccessDenied, permanent: true, settled: true},
	{name: "a validation error", fault: refusal("com.amazon.coral.validate#ValidationException"),
		code: "ValidationException", status: 400, permanent: true, settled: true},
}

// engine is one with a table.
func engine(t *testing.T) http.RoundTripper {
	rt := dynamotest.Transport(dynamotest.New())
	if err := lockclient.EnsureTable(t.Context(), adapted(rt), "table"); err != nil {
		t.Fatal(err)
	}
	return rt
}

// client is a client of engine that has the trouble, and the wire that counts its requests.
func (tr trouble) client(engine http.RoundTripper) (dynamodbiface.DynamoDBAPI, *wire.Wire) {
	w := wire.New(engine)
	if tr.fault != nil {
		w.SetHook(func(*wire.Call) wire.Fault { return tr.fault })
	}
	var configure []func(*dynamodb.Options)
	if tr.configure != nil {
		configure = append(configure, tr.configure)
	}
	return adapted(w, configure...), w
}

func inEachTrouble(t *testing.T, check func(t *testing.T, tr trouble)) {
	for _, tr := range troubles {
		t.Run(tr.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { check(t, tr) })
		})
	}
}

func TestTroubleIsAnErrorOfV1(t *testing.T) {
	inEachTrouble(t, func(t *testing.T, tr trouble) {
		db, w := tr.client(engine(t))
		_, err := db.GetItemWithContext(t.Context(), getItem("k"))
		failure, ok := err.(awserr.Error)
		if !ok || failure.Code() != tr.code || notSent(err) != tr.notSent {
			t.Errorf("got %v (not sent: %v), want %s (%v)", err, notSent(err), tr.code, tr.notSent)
		}
		if answered, ok := err.(awserr.RequestFailure); ok != (tr.status > 0) || ok && answered.StatusCode() != tr.status {
			t.Errorf("%T is a RequestFailure: %v; want status %d", err, ok, tr.status)
		}
		want := 1
		if tr.notSent {
			want = 0
		}
		if w.Count("") != want {
			t.Errorf("%d requests, want %d", w.Count(""), want)
		}
	})
}

// lockOn is a lock on a table of its own.
func lockOn(t *testing.T, db dynamodbiface.DynamoDBAPI) *lockclient.DynamoDBLockClient {
	return &lockclient.DynamoDBLockClient{LockName: "lock", TableName: "table", Identifier: t.Name(), LeaseDuration: 10 * time.Second, Client: db}
}

func TestAnAcquireInTroubleIsReportedAsItIs(t *testing.T) {
	inEachTrouble(t, func(t *testing.T, tr trouble) {
		db, w := tr.client(engine(t))
		held, err := lockOn(t, db).GetLockWithContext(t.Context())
		w.Settle()
		permanent := false
		var p interface{ Permanent() bool }
		if errors.As(err, &p) {
			permanent = p.Permanent()
		}
		var coded awserr.Error
		if held || permanent != tr.permanent || tr.kind != nil && !errors.Is(err, tr.kind) || !errors.As(err, &coded) || coded.Code() != tr.code {
			t.Errorf("GetLock: %v, %v (permanent: %v); want %v and %s in the chain (permanent: %v)", held, err, permanent, tr.kind, tr.code, tr.permanent)
		}
	})
}

// transacting sends the transactions of a lock through another client than its heartbeats.
type transacting struct {
	dynamodbiface.DynamoDBAPI
	transactions dynamodbiface.DynamoDBAPI
}

func (c *transacting) TransactWriteItemsWithContext(ctx aws.Context, in *v1.TransactWriteItemsInput, options ...request.Option) (*v1.TransactWriteItemsOutput, error) {
	return c.transactions.TransactWriteItemsWithContext(ctx, in, options...)
}

func put(item map[string]*v1.AttributeValue) *v1.TransactWriteItemsInput {
	return &v1.TransactWriteItemsInput{TransactItems: []*v1.TransactWriteItem{{Put: &v1.Put{TableName: aws.String("table"), Item: item}}}}
}

// transactInTrouble holds a lock and sends a transaction under it that has the trouble, for at most
// two seconds. It returns the number of requests that the transaction took, too.
func transactInTrouble(t *testing.T, tr trouble, in *v1.TransactWriteItemsInput) (int, error) {
	t.Helper()
	rt := engine(t)
	troubled, w := tr.client(rt)
	defer w.Settle()
	lock := lockOn(t, &transacting{adapted(rt), troubled})
	if held, err := lock.GetLock(); !held {
		t.Fatal(err)
	}
	defer func() { _ = lock.RemoveLock() }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := lock.TransactWrite(ctx, in)
	if err == nil {
		t.Fatal("the transaction was carried out")
	}
	return w.Count(""), err
}

func TestATransactionInTroubleHasAnUnknownOutcomeOnlyIfItMayHaveBeenCarriedOut(t *testing.T) {
	inEachTrouble(t, func(t *testing.T, tr trouble) {
		_, err := transactInTrouble(t, tr, put(map[string]*v1.AttributeValue{"key": {S: aws.String("counter")}}))
		if unknown := errors.Is(err, lockclient.ErrOutcomeUnknown); unknown == tr.settled {
			t.Errorf("TransactWrite: %v; outcome unknown: %v", err, unknown)
		}
	})
}

func TestATransactionThatIsRefusedHereHasAKnownOutcome(t *testing.T) {
	for name, in := range map[string]*v1.TransactWriteItemsInput{
		"by v1":             {TransactItems: []*v1.TransactWriteItem{{Put: &v1.Put{}}}},
		"by the conversion": put(map[string]*v1.AttributeValue{"key": {}}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests, err := transactInTrouble(t, trouble{}, in)
				var coded awserr.Error
				if errors.Is(err, lockclient.ErrOutcomeUnknown) || !errors.As(err, &coded) || coded.Code() != "InvalidParameter" || requests != 0 {
					t.Errorf("TransactWrite: %v after %d requests", err, requests)
				}
			})
		})
	}
}

func TestACancelledContextIsV1sRequestCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, w := trouble{fault: wire.Hang()}.client(engine(t))
		check := func(ctx context.Context, cause error, local bool) {
			t.Helper()
			_, err := db.GetItemWithContext(ctx, getItem("k"))
			failure, ok := err.(awserr.Error)
			if !ok || failure.Code() != request.CanceledErrorCode || !errors.Is(err, cause) || notSent(err) != local {
				t.Errorf("got %v (not sent: %v)", err, notSent(err))
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		check(ctx, context.Canceled, false)
		check(ctx, context.Canceled, true) // before the call
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		check(ctx, context.DeadlineExceeded, false)
		if w.Count("") != 2 {
			t.Errorf("%d requests, want 2", w.Count(""))
		}

		slow := awsv2.CredentialsProviderFunc(func(ctx context.Context) (awsv2.Credentials, error) {
			<-ctx.Done()
			return awsv2.Credentials{}, ctx.Err()
		})
		db = adapted(w, func(o *dynamodb.Options) { o.Credentials = slow })
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		check(ctx, context.DeadlineExceeded, true)
	})
}

func TestWithoutAUsableClientEveryCallSaysWhatIsMissing(t *testing.T) {
	for want, client := range map[string]*dynamodb.Client{
		"InvalidParameter: sdkv2: New was given a nil client: give it a *dynamodb.Client, e.g. dynamodb.NewFromConfig(cfg)": nil,
		"InvalidParameter: sdkv2: New was given an empty client: make it with dynamodb.NewFromConfig(cfg) or dynamodb.New":  {},
	} {
		db := sdkv2.New(client)
		_, err := db.GetItem(getItem("k"))
		if err == nil || err.Error() != want || !notSent(err) {
			t.Errorf("got %v, want %s", err, want)
		}
		_, err = lockOn(t, db).GetLock()
		var p interface{ Permanent() bool }
		if !errors.As(err, &p) || !p.Permanent() {
			t.Errorf("GetLock: %v is not permanent", err)
		}
		if err := lockclient.EnsureTable(t.Context(), db, "table"); err == nil {
			t.Error("EnsureTable succeeded")
		}
	}
}
