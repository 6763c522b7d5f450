package sdkv2_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient/sdkv2"
	"github.com/leaderkit/leaderkit/test/wire"
)

// staticKeys are credentials that never change.
var staticKeys = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
	return awsv2.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
})

// clientV2 is a client of aws-sdk-go-v2 whose requests go through rt, with its retries as they are
// by default.
func clientV2(rt http.RoundTripper, configure ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String("http://wire.invalid"),
		Credentials:  staticKeys,
		HTTPClient:   &http.Client{Transport: rt},
	}, configure...)
}

func adapted(rt http.RoundTripper, configure ...func(*dynamodb.Options)) dynamodbiface.DynamoDBAPI {
	return sdkv2.New(clientV2(rt, configure...))
}

// script is a server that keeps what it is sent and answers as it is told.
type script struct {
	reply func(*http.Request) (*http.Response, error)

	mu     sync.Mutex
	bodies []string
	heads  []http.Header
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.bodies, s.heads = append(s.bodies, string(body)), append(s.heads, r.Header.Clone())
	s.mu.Unlock()
	return s.reply(r)
}

// count is how many requests came.
func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bodies)
}

// answer replies with a status and a body of DynamoDB's protocol.
func answer(status int, body []byte) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status,
			ProtoMajor: 1, ProtoMinor: 1,
			Header:        http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amzn-Requestid": {"request-1"}},
			Body:          io.NopCloser(bytes.NewReader(body)),
			ContentLength: int64(len(body)),
			Request:       r,
		}, nil
	}
}

// pair is a client of each SDK, in front of servers that answer alike.
type pair struct {
	first, second     dynamodbiface.DynamoDBAPI // v1 itself, and v2 behind the adapter
	toFirst, toSecond *script
}

func newPair(reply func(*http.Request) (*http.Response, error)) *pair {
	p := &pair{toFirst: &script{reply: reply}, toSecond: &script{reply: reply}}
	p.first = wire.NewClient(p.toFirst, func(c *aws.Config) { c.MaxRetries = aws.Int(0) })
	p.second = adapted(p.toSecond)
	return p
}

// notSent is what an error says of its request.
func notSent(err error) bool {
	var local interface {
		error
		NotSent() bool
	}
	return errors.As(err, &local) && local.NotSent()
}
