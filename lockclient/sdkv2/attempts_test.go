package sdkv2_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"hash/crc32"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/aws/smithy-go/middleware"

	"github.com/leaderkit/leaderkit/lockclient/sdkv2"
	"github.com/leaderkit/leaderkit/test/wire"
)

// eager are configurations of clients that would repeat a failed request.
var eager = map[string]func(*dynamodb.Options){
	"as by default":  func(*dynamodb.Options) {},
	"seven attempts": func(o *dynamodb.Options) { o.RetryMaxAttempts = 7 },
	"adaptive":       func(o *dynamodb.Options) { o.Retryer = retry.NewAdaptiveMode() },
	"a retryer of its own": func(o *dynamodb.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.Backoff = 5, retry.BackoffDelayerFunc(noDelay) })
	},
	"a middleware that repeats": dynamodb.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("twice", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
			middleware.FinalizeOutput, middleware.Metadata, error,
		) {
			if out, metadata, err := next.HandleFinalize(ctx, in); err == nil {
				return out, metadata, nil
			}
			return next.HandleFinalize(ctx, in)
		}), middleware.After)
	}),
}

func noDelay(int, error) (time.Duration, error) { return 0, nil }

// overTCP is a client of a server, with v2's own HTTP client.
func overTCP(url string, configure func(*dynamodb.Options)) dynamodbiface.DynamoDBAPI {
	return sdkv2.New(dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: staticKeys}, configure))
}

func putItem() *v1.PutItemInput {
	return &v1.PutItemInput{TableName: aws.String("table"), Item: map[string]*v1.AttributeValue{"key": {S: aws.String("k")}}}
}

func TestOneCallIsOneRequestToAServerThatFails(t *testing.T) {
	for name, configure := range eager {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.WriteHeader(http.StatusInternalServerError)
				_, _ = w.Write([]byte(`{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}`))
			}))
			defer server.Close()
			db := overTCP(server.URL, configure)
			for i := range int32(3) {
				if _, err := db.PutItem(putItem()); err == nil || notSent(err) {
					t.Errorf("PutItem: %v", err)
				}
				if requests.Load() != i+1 {
					t.Fatalf("%d calls were %d requests", i+1, requests.Load())
				}
			}
		})
	}
}

func TestOneCallIsOneRequestToAServerThatDropsIt(t *testing.T) {
	for name, configure := range eager {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := requests.Add(1)
				if r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.GetItem" {
					_, _ = w.Write([]byte("{}")) // the connection is then a used one, which invites to try another
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				if n%2 == 0 {
					_ = conn.(*net.TCPConn).SetLinger(0) // reset, instead of an orderly end
				}
				_ = conn.Close()
			}))
			server.Listener = listener
			server.Start()
			defer server.Close()
			db := overTCP("http://"+listener.Addr().String(), configure)
			for i := range int32(4) {
				if _, err := db.GetItem(getItem("k")); err != nil {
					t.Fatal(err)
				}
				if _, err := db.PutItem(putItem()); err == nil || notSent(err) {
					t.Errorf("PutItem: %v", err)
				}
				if requests.Load() != 2*i+2 {
					t.Fatalf("%d calls were %d requests", 2*i+2, requests.Load())
				}
			}
		})
	}
}

// Endpoint discovery would ask for endpoints, in a goroutine that outlives the call.
func TestEndpointDiscoveryIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &script{reply: func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second) // in a synctest bubble
			return answer(200, []byte("{}"))(r)
		}}
		db := adapted(server, func(o *dynamodb.Options) {
			o.BaseEndpoint = nil
			o.EndpointDiscovery.EnableEndpointDiscovery = awsv2.EndpointDiscoveryEnabled
		})
		for range 3 {
			if _, err := db.GetItem(getItem("k")); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
		if server.count() != 3 {
			t.Errorf("3 calls were %d requests", server.count())
		}
	})
}

func TestACallerMayGiveARequestARetryerOfItsOwn(t *testing.T) {
	retryer := func(r *request.Request) {
		r.Retryer = client.DefaultRetryer{NumMaxRetries: 2, MinRetryDelay: time.Millisecond}
	}
	for code, status := range map[string]int{"InternalServerError": 500, "ExpiredTokenException": 400} {
		server := &script{reply: answer(status, []byte(`{"__type":"com.amazon.coral.service#`+code+`"}`))}
		if _, err := adapted(server).GetItemWithContext(t.Context(), getItem("k"), retryer); err == nil || server.count() != 3 {
			t.Errorf("%s: %v after %d requests, want 3", code, err, server.count())
		}
	}
}

// cached are credentials as config.LoadDefaultConfig makes them, which count how often they are
// fetched.
type cached struct {
	*awsv2.CredentialsCache
	fetched atomic.Int32
}

func newCached() *cached {
	c := &cached{}
	c.CredentialsCache = awsv2.NewCredentialsCache(awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		return awsv2.Credentials{AccessKeyID: "key", SecretAccessKey: "secret", SessionToken: strconv.Itoa(int(c.fetched.Add(1)))}, nil
	}))
	return c
}

func TestExpiredCredentialsAreDroppedAndFetchedAgain(t *testing.T) {
	for _, code := range []string{"ExpiredTokenException", "ExpiredToken", "RequestExpired"} {
		t.Run(code, func(t *testing.T) {
			keys := newCached()
			server := &script{}
			server.reply = func(r *http.Request) (*http.Response, error) {
				if r.Header.Get("X-Amz-Security-Token") != "2" {
					return answer(400, []byte(`{"__type":"com.amazon.coral.service#`+code+`","message":"expired"}`))(r)
				}
				return answer(200, []byte("{}"))(r)
			}
			db := adapted(server, func(o *dynamodb.Options) { o.Credentials = keys.CredentialsCache })
			if _, err := db.GetItem(getItem("k")); err == nil {
				t.Error("the expired credentials were accepted")
			}
			for range 3 {
				if _, err := db.GetItem(getItem("k")); err != nil {
					t.Error(err)
				}
			}
			if keys.fetched.Load() != 2 {
				t.Errorf("fetched %d times, want 2", keys.fetched.Load())
			}
		})
	}
}

// A thousand locks whose credentials expire together must not fetch new ones a thousand times.
func TestCredentialsThatExpireUnderManyRequestsAreFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := newCached()
		arrived := 0.0
		server := &script{}
		server.reply = func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("X-Amz-Security-Token") == "1" {
				arrived++
				time.Sleep(time.Duration(arrived) * time.Second) // in a synctest bubble: one after the other
				return answer(400, []byte(`{"__type":"com.amazon.coral.service#ExpiredTokenException"}`))(r)
			}
			return answer(200, []byte("{}"))(r)
		}
		db := adapted(server, func(o *dynamodb.Options) { o.Credentials = keys.CredentialsCache })
		failed := make(chan error, 20)
		for range cap(failed) {
			go func() {
				_, first := db.GetItem(getItem("k"))
				_, second := db.GetItem(getItem("k"))
				failed <- errors.Join(second, map[bool]error{true: errors.New("accepted")}[first == nil])
			}()
			synctest.Wait()
		}
		for range cap(failed) {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		if keys.fetched.Load() != 2 {
			t.Errorf("fetched %d times, want 2", keys.fetched.Load())
		}
	})
}

func TestCredentialsWithoutACacheAreFetchedForEachRequest(t *testing.T) {
	server := &script{reply: answer(400, []byte(`{"__type":"com.amazon.coral.service#ExpiredTokenException"}`))}
	_, err := adapted(server).GetItem(getItem("k"))
	if err == nil || server.count() != 1 {
		t.Errorf("%v after %d requests", err, server.count())
	}
}

func TestPagesComeOneRequestEach(t *testing.T) {
	rt := engine(t)
	db, w := trouble{}.client(rt)
	for i := range 5 {
		if _, err := db.PutItem(&v1.PutItemInput{TableName: aws.String("table"), Item: map[string]*v1.AttributeValue{"key": {S: aws.String(strconv.Itoa(i))}}}); err != nil {
			t.Fatal(err)
		}
	}
	w.Reset()
	found := 0
	err := db.ScanPagesWithContext(t.Context(), &v1.ScanInput{TableName: aws.String("table"), Limit: aws.Int64(2)}, func(page *v1.ScanOutput, last bool) bool {
		found += len(page.Items)
		return true
	})
	if err != nil || found != 5 || w.Count("Scan") != 3 {
		t.Errorf("ScanPages: %v, %d items in %d requests", err, found, w.Count("Scan"))
	}
	found = 0
	err = db.QueryPages(&v1.QueryInput{
		TableName: aws.String("table"), KeyConditionExpression: aws.String("#k = :k"), ExpressionAttributeNames: map[string]*string{"#k": aws.String("key")},
		ExpressionAttributeValues: map[string]*v1.AttributeValue{":k": {S: aws.String("3")}},
	}, func(page *v1.QueryOutput, last bool) bool {
		found += int(*page.Count)
		return true
	})
	if err != nil || found != 1 || w.Count("Query") != 1 {
		t.Errorf("QueryPages: %v, %d items in %d requests", err, found, w.Count("Query"))
	}
}

func TestWaitersAskUntilTheTableIsThereOrGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, w := trouble{}.client(engine(t))
		table := &v1.DescribeTableInput{TableName: aws.String("table")}
		w.SetHook(wire.Nth(wire.Other, 1, refusal("com.amazonaws.dynamodb.v20120810#ResourceNotFoundException")))
		if err := db.WaitUntilTableExistsWithContext(t.Context(), table); err != nil || w.Count("DescribeTable") != 2 {
			t.Errorf("%v after %d requests", err, w.Count("DescribeTable"))
		}
		if _, err := db.DeleteTable(&v1.DeleteTableInput{TableName: aws.String("table")}); err != nil {
			t.Error(err)
		}
		if err := db.WaitUntilTableNotExists(table); err != nil {
			t.Error(err)
		}
		w.SetHook(func(*wire.Call) wire.Fault { return wire.InternalError() })
		began := time.Now()
		err := db.WaitUntilTableExists(table)
		if failure, ok := err.(awserr.Error); !ok || failure.Code() != request.WaiterResourceNotReadyErrorCode || time.Since(began) != 24*20*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// The endpoint may depend on the account of the credentials, which the adapter has in its hands.
func TestTheEndpointIsTheOneThatTheClientWouldUse(t *testing.T) {
	for want, configure := range map[string]func(*dynamodb.Options){
		"https://dynamodb.us-east-1.amazonaws.com/":         func(o *dynamodb.Options) { o.AccountIDEndpointMode = awsv2.AccountIDEndpointModeDisabled },
		"https://123456789012.ddb.us-east-1.amazonaws.com/": func(o *dynamodb.Options) { o.AccountIDEndpointMode = awsv2.AccountIDEndpointModePreferred },
		"https://dynamodb-fips.us-east-1.amazonaws.com/":    func(o *dynamodb.Options) { o.EndpointOptions.UseFIPSEndpoint = awsv2.FIPSEndpointStateEnabled },
		"http://elsewhere.invalid/":                         func(o *dynamodb.Options) { o.BaseEndpoint = aws.String("http://elsewhere.invalid") },
	} {
		got := ""
		server := &script{reply: func(r *http.Request) (*http.Response, error) {
			got = r.URL.String()
			return answer(200, []byte("{}"))(r)
		}}
		_, err := adapted(server, func(o *dynamodb.Options) {
			o.BaseEndpoint = nil
			o.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
				return awsv2.Credentials{AccessKeyID: "key", SecretAccessKey: "secret", AccountID: "123456789012"}, nil
			})
		}, configure).GetItem(getItem("k"))
		if err != nil || got != want || server.count() != 1 {
			t.Errorf("%v, %d requests to %s, want 1 to %s", err, server.count(), got, want)
		}
	}
}

func TestACompressedReplyIsCheckedAndRead(t *testing.T) {
	var body bytes.Buffer
	w := gzip.NewWriter(&body)
	_, _ = w.Write([]byte(`{"Item":{"a":{"N":"1"}}}`))
	_ = w.Close()
	for sum, readable := range map[uint32]bool{crc32.ChecksumIEEE(body.Bytes()): true, 1: false} {
		server := &script{reply: func(r *http.Request) (*http.Response, error) {
			reply, err := answer(200, body.Bytes())(r)
			reply.Header.Set("Content-Encoding", "gzip")
			reply.Header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(sum), 10))
			return reply, err
		}}
		out, err := adapted(server, func(o *dynamodb.Options) { o.EnableAcceptEncodingGzip = true }).GetItem(getItem("k"))
		if (err == nil) != readable || readable && *out.Item["a"].N != "1" || server.count() != 1 {
			t.Errorf("checksum %d: %v, %v after %d requests", sum, out, err, server.count())
		}
	}
}
