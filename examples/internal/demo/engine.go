package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// AWS is the endpoint that stands for DynamoDB itself, in the region that the environment names.
const AWS = "aws"

// Flags are those that all examples have.
type Flags struct {
	Endpoint string
	Table    string
	Verbose  bool
}

// Register adds -endpoint, -table and -v to a flag set.
func (f *Flags) Register(flags *flag.FlagSet, table string) {
	flags.StringVar(&f.Endpoint, "endpoint", f.Endpoint,
		"`URL` of a DynamoDB, for example http://localhost:8000 for DynamoDB Local,\n"+
			"or \"aws\" for AWS in the region of AWS_REGION; without one: a DynamoDB in memory")
	flags.StringVar(&f.Table, "table", table, "`name` of the table; it is created if there is none")
	flags.BoolVar(&f.Verbose, "v", false, "show the log of the library, too")
}

// ExitCode is the exit code of a program that was asked for help, or whose flags are wrong.
func ExitCode(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	return 2
}

// Args are the same flags for a replica.
func (f Flags) Args() []string {
	return []string{"-endpoint", f.Endpoint, "-table", f.Table, fmt.Sprintf("-v=%t", f.Verbose)}
}

// Engine is a DynamoDB with the example's table in it.
type Engine struct {
	Client dynamodbiface.DynamoDBAPI
	// Flags name the engine as it is: a replica that is given them uses the same one.
	Flags

	server *dynamotest.Server // nil: not ours
}

// Open connects to the endpoint of the flags, or starts a DynamoDB in memory if they name none, and
// makes sure that the table is there. Close it when done.
func Open(ctx context.Context, f Flags) (*Engine, error) {
	e := &Engine{Flags: f}
	if f.Endpoint == "" {
		e.server = dynamotest.NewServer()
		e.Endpoint = e.server.URL
	}
	var err error
	if e.Client, err = Connect(e.Endpoint); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := lockclient.EnsureTable(ctx, e.Client, e.Table); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// String names the engine for a reader.
func (e *Engine) String() string {
	switch {
	case e.server != nil:
		return "a DynamoDB in memory at " + e.Endpoint
	case e.Endpoint == AWS:
		return "DynamoDB on AWS"
	default:
		return "the DynamoDB at " + e.Endpoint
	}
}

// Close stops what Open has started. Tables elsewhere stay.
func (e *Engine) Close() {
	if e.server != nil {
		e.server.Close()
	}
}

// Connect makes a client for an endpoint: a URL, or AWS (as is ""). On AWS the region and the
// credentials are those of the environment. On a loopback address they are not checked, and may be
// missing.
func Connect(endpoint string) (dynamodbiface.DynamoDBAPI, error) {
	config := aws.NewConfig().WithMaxRetries(3)
	if endpoint == "" || endpoint == AWS {
		s, err := session.NewSessionWithOptions(session.Options{Config: *config, SharedConfigState: session.SharedConfigEnable})
		if err != nil {
			return nil, fmt.Errorf("configure the AWS SDK: %w", err)
		}
		if aws.StringValue(s.Config.Region) == "" {
			return nil, errors.New("no AWS region: set AWS_REGION, or give -endpoint the URL of a DynamoDB Local")
		}
		return dynamodb.New(s), nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("-endpoint %q is not a URL: give for example http://localhost:8000, or aws", endpoint)
	}
	config.WithEndpoint(endpoint)
	if isLoopback(u.Hostname()) {
		config.WithRegion(regionOr("us-east-1")).WithCredentials(credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvProvider{}, &credentials.SharedCredentialsProvider{},
			&credentials.StaticProvider{Value: credentials.Value{AccessKeyID: "local", SecretAccessKey: "local"}},
		}))
	}
	s, err := session.NewSession(config)
	if err != nil {
		return nil, fmt.Errorf("configure the AWS SDK: %w", err)
	}
	if aws.StringValue(s.Config.Region) == "" {
		return nil, fmt.Errorf("no AWS region for %s: set AWS_REGION", endpoint)
	}
	return dynamodb.New(s), nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func regionOr(other string) string {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if region := os.Getenv(name); region != "" {
			return region
		}
	}
	return other
}
