package dynamotest

import (
	"net/http"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/defaults"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// NewClient returns a client that calls the handler directly, without a socket; see Transport. It
// needs no credentials and no configuration, and nothing in the AWS environment or in the user's
// AWS files can change it or make it fail. The handler may be an Engine or anything wrapped around
// one.
func NewClient(h http.Handler) dynamodbiface.DynamoDBAPI {
	return newClient("http://dynamotest.invalid", region, &http.Client{Transport: Transport(h)})
}

func newClient(url, region string, httpClient *http.Client) dynamodbiface.DynamoDBAPI {
	return dynamodb.New(fixedConfig{url, region, httpClient})
}

// fixedConfig takes the place of a session, which would read the environment.
type fixedConfig struct {
	url        string
	region     string
	httpClient *http.Client
}

const region = "us-east-1" // of an engine that is alone

func (f fixedConfig) ClientConfig(string, ...*aws.Config) client.Config {
	config := defaults.Config().
		WithRegion(f.region).
		WithCredentials(credentials.NewStaticCredentials("dynamotest", "dynamotest", "")).
		WithHTTPClient(f.httpClient)
	return client.Config{
		Config:        config,
		Handlers:      defaults.Handlers(),
		Endpoint:      f.url,
		SigningRegion: f.region,
		SigningName:   dynamodb.EndpointsID,
	}
}
