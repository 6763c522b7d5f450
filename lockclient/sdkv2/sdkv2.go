package sdkv2

import (
	"slices"
	"strings"

	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/corehandlers"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// operations are what a client made by New carries out.
var operations = map[string]operation{
	"BatchGetItem":       through((*v2.Client).BatchGetItem),
	"CreateTable":        through((*v2.Client).CreateTable),
	"DeleteItem":         through((*v2.Client).DeleteItem),
	"DeleteTable":        through((*v2.Client).DeleteTable),
	"DescribeTable":      through((*v2.Client).DescribeTable),
	"DescribeTimeToLive": through((*v2.Client).DescribeTimeToLive),
	"GetItem":            through((*v2.Client).GetItem),
	"PutItem":            through((*v2.Client).PutItem),
	"Query":              through((*v2.Client).Query),
	"Scan":               through((*v2.Client).Scan),
	"TransactWriteItems": through((*v2.Client).TransactWriteItems),
	"UpdateItem":         through((*v2.Client).UpdateItem),
	"UpdateTimeToLive":   through((*v2.Client).UpdateTimeToLive),
}

// New returns a client with the API of aws-sdk-go v1 that sends its requests through
// client. It never fails: a client that can't send, such as nil, shows in the error of
// each operation. The result is safe for concurrent use and keeps nothing open.
func New(client *v2.Client) dynamodbiface.DynamoDBAPI {
	a := &adapter{client: client}
	switch {
	case client == nil:
		a.unusable = "New was given a nil client: give it a *dynamodb.Client, e.g. dynamodb.NewFromConfig(cfg)"
	case client.Options().HTTPClient == nil:
		// The zero Client panics when it is used.
		a.unusable = "New was given an empty client: make it with dynamodb.NewFromConfig(cfg) or dynamodb.New"
	default:
		options := client.Options()
		a.region, a.credentials = options.Region, options.Credentials
	}
	db := v1.New(configuration{a.region})
	h := &db.Handlers
	h.Clear()
	h.Validate.AfterEachFn = request.HandlerListStopOnError
	h.Validate.PushBack(a.refuse)
	h.Validate.PushBackNamed(corehandlers.ValidateParametersHandler)
	h.Sign.PushBack(refusePresigned)
	h.Send.PushBack(a.send)
	// For callers who give a request a Retryer of their own; there is none otherwise.
	h.AfterRetry.PushBackNamed(corehandlers.AfterRetryHandler)
	return database{db}
}

// configuration takes the place of a v1 session, which would read the environment.
type configuration struct{ region string }

func (c configuration) ClientConfig(string, ...*aws.Config) client.Config {
	return client.Config{
		Config: &aws.Config{
			Region:  &c.region,
			Retryer: client.NoOpRetryer{},
			// Never used to sign. Handlers of v1 call its Expire.
			Credentials:             credentials.NewStaticCredentials("", "", ""),
			EnableEndpointDiscovery: aws.Bool(false),
		},
		SigningRegion: c.region,
		SigningName:   v1.EndpointsID,
	}
}

// refuse ends requests that can't be carried out, whatever their parameters.
func (a *adapter) refuse(r *request.Request) {
	if a.unusable != "" {
		r.Error = &failure{code: request.InvalidParameterErrCode, message: "sdkv2: " + a.unusable, notSent: true}
		return
	}
	if operations[r.Operation.Name] == nil {
		r.Error = &failure{
			code: "UnknownOperationException",
			message: "sdkv2: " + r.Operation.Name + " is not among the operations of this adapter (" + operationNames() +
				"): call it on the aws-sdk-go-v2 client",
			notSent: true,
		}
	}
}

func operationNames() string {
	names := make([]string, 0, len(operations))
	for name := range operations {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// refusePresigned keeps Presign from returning a URL without a signature.
func refusePresigned(r *request.Request) {
	if r.IsPresigned() {
		r.Error = &failure{code: "UnsupportedOperation", message: "sdkv2: requests can't be presigned", notSent: true}
	}
}
