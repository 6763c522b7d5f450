package wire

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/defaults"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// NewClient returns a DynamoDB client whose requests go through rt. It has made-up credentials and
// reads nothing from the environment; the SDK's retries are as they are by default. configure may
// change its configuration.
func NewClient(rt http.RoundTripper, configure ...func(*aws.Config)) dynamodbiface.DynamoDBAPI {
	return Make(Config(rt, configure...))
}

// Config is the configuration that NewClient gives to Make.
func Config(rt http.RoundTripper, configure ...func(*aws.Config)) *aws.Config {
	config := defaults.Config().
		WithEndpoint("http://wire.invalid").
		WithRegion("us-east-1").
		WithCredentials(credentials.NewStaticCredentials("wire", "wire", "")).
		WithHTTPClient(&http.Client{Transport: rt})
	for _, change := range configure {
		change(config)
	}
	return config
}

// Make makes the clients that NewClient returns. The tests of another SDK's adapter put theirs here
// before any other test runs, so that whole suites run on it.
var Make = func(config *aws.Config) dynamodbiface.DynamoDBAPI { return dynamodb.New(provider{config}) }

// provider takes the place of a session, which would read the environment.
type provider struct{ config *aws.Config }

func (p provider) ClientConfig(string, ...*aws.Config) client.Config {
	return client.Config{
		Config:        p.config,
		Handlers:      defaults.Handlers(),
		Endpoint:      aws.StringValue(p.config.Endpoint),
		SigningRegion: aws.StringValue(p.config.Region),
		SigningName:   dynamodb.EndpointsID,
	}
}

// Endpoint returns a RoundTripper that sends every request to the engine at address (such as
// http://127.0.0.1:8000), whatever its own URL says, and a function that closes its idle
// connections.
func Endpoint(address string) (rt http.RoundTripper, closeIdle func(), err error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, MaxIdleConns: 64}
	return endpoint{target, transport}, transport.CloseIdleConnections, nil
}

// Engine returns a RoundTripper to the engine at address, or to a dynamotest of its own where that
// is "". Suites give it DYNAMODB_ENDPOINT and print said, in which hack/test.sh finds the engine
// that it promised:
//
//	leaderkit-engine: dynamotest
//	leaderkit-engine: endpoint http://127.0.0.1:8000 (the Server header that it answers with)
//
// close ends what it keeps open. An engine that does not answer is an error.
func Engine(address string) (rt http.RoundTripper, said string, close func(), err error) {
	if address == "" {
		return dynamotest.Transport(dynamotest.New()), "leaderkit-engine: dynamotest", func() {}, nil
	}
	rt, close, err = Endpoint(address)
	if err != nil {
		return nil, "", nil, err
	}
	reply, err := (&http.Client{Transport: rt}).Get(address)
	if err != nil {
		return nil, "", nil, fmt.Errorf("no engine answers at %s: %w", address, err)
	}
	_ = reply.Body.Close()
	return rt, fmt.Sprintf("leaderkit-engine: endpoint %s (%s)", address, reply.Header.Get("Server")), close, nil
}

type endpoint struct {
	target    *url.URL
	transport *http.Transport
}

func (e endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	redirected := r.Clone(r.Context())
	redirected.URL.Scheme, redirected.URL.Host = e.target.Scheme, e.target.Host
	redirected.Host = e.target.Host
	return e.transport.RoundTrip(redirected)
}

// Far returns a RoundTripper whose requests and replies take half of roundTrip each on their way to
// next and back. The time is virtual in a testing/synctest bubble. A request that its client has
// given up does not arrive.
func Far(next http.RoundTripper, roundTrip time.Duration) http.RoundTripper {
	return far{next, roundTrip / 2}
}

type far struct {
	next   http.RoundTripper
	oneWay time.Duration
}

func (f far) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := Sleep(r.Context(), f.oneWay); err != nil {
		return nil, err
	}
	reply, err := f.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := Sleep(r.Context(), f.oneWay); err != nil {
		_ = reply.Body.Close()
		return nil, err
	}
	return reply, nil
}
