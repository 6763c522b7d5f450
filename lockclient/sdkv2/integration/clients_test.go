package integration

// This file is compiled four times: here, and into the three packages of tests that run_test.go
// adds it to.

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	_ "github.com/onsi/ginkgo/v2"    // the suites', so that go.sum has it
	_ "github.com/onsi/gomega/gleak" // likewise

	"github.com/leaderkit/leaderkit/lockclient/sdkv2"
	"github.com/leaderkit/leaderkit/test/wire"
)

func init() { wire.Make = newClientV2 }

// newClientV2 makes a client of v2 with a v1 configuration. Its retries are on: the adapter has to
// turn them off.
func newClientV2(config *aws.Config) dynamodbiface.DynamoDBAPI {
	return sdkv2.New(dynamodb.New(dynamodb.Options{
		Region:       aws.StringValue(config.Region),
		BaseEndpoint: config.Endpoint,
		Credentials:  keys{config.Credentials},
		HTTPClient:   counted{config.HTTPClient},
	}))
}

// keys has a v2 client use v1's credentials, which the specs rotate. Like v2's CredentialsCache it
// can be told to drop what it has.
type keys struct{ of *credentials.Credentials }

func (k keys) Retrieve(ctx context.Context) (awsv2.Credentials, error) {
	value, err := k.of.GetWithContext(ctx)
	return awsv2.Credentials{AccessKeyID: value.AccessKeyID, SecretAccessKey: value.SecretAccessKey, SessionToken: value.SessionToken}, err
}

func (k keys) Invalidate() { k.of.Expire() }

// counted counts the requests that v2 has signed.
type counted struct{ next *http.Client }

var requestsOfV2 atomic.Int64

func (c counted) Do(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.UserAgent(), "aws-sdk-go-v2/") && r.Header.Get("Authorization") != "" {
		requestsOfV2.Add(1)
	}
	return c.next.Do(r)
}

// TestMain says which SDK sent the requests, and fails if it was not v2.
func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Println("\nleaderkit-client: aws-sdk-go-v2 sent", requestsOfV2.Load(), "requests")
	if asked := os.Getenv("LEADERKIT_V2_REQUIRED") != ""; asked && requestsOfV2.Load() < 100 && code == 0 {
		code = 1
	}
	os.Exit(code)
}
