package wire

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/defaults"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// NewClient returns a DynamoDB client whose requests go through rt. It has made-up credentials and reads nothing from the
// environment; the SDK's retries are as they are by default. configure may change its configuration.
func NewClient(rt http.RoundTripper, configure ...func(*aws.Config)) dynamodbiface.DynamoDBAPI {
	config := defaults.Config().
		WithEndpoint("http://wire.invalid").
		WithRegion("us-east-1").
		WithCredentials(credentials.NewStaticCredentials("wire", "wire", "")).
		WithHTTPClient(&http.Client{Transport: rt})
	for _, change := range configure {
		change(config)
	}
	return dynamodb.New(provider{config})
}

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

// Endpoint returns a RoundTripper that sends every request to the engine at address (such as http://127.0.0.1:8000), whatever
// its own URL says, and a function that closes its idle connections.
func Endpoint(address string) (rt http.RoundTripper, closeIdle func(), err error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, MaxIdleConns: 64}
	return endpoint{target, transport}, transport.CloseIdleConnections, nil
}

// Engine returns a RoundTripper to the engine at address, or to a dynamotest of its own where that is "". Suites give it
// DYNAMODB_ENDPOINT and print said, in which hack/test.sh finds the engine that it promised:
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
