// Package sdkv2 lets programs that hold an aws-sdk-go-v2 client use leaderkit, whose API takes
// aws-sdk-go v1's interface.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	...
//	lock := &lockclient.DynamoDBLockClient{
//		LockName:      "nightly-report",
//		LeaseDuration: 15 * time.Second,
//		TableName:     "locks",
//		Client:        sdkv2.New(dynamodb.NewFromConfig(cfg)),
//	}
//
// No v1 session, configuration or credentials are involved. A request goes this way:
//
//	lockclient ──► v1 method ──► parameters checked ──► converted ──► v2 client: endpoint, credentials, signature, HTTP
//	lockclient ◄── v1 output, v1 error ◄────────────── converted ◄──────────┘
//
// # Operations
//
// BatchGetItem, CreateTable, DeleteItem, DeleteTable, DescribeTable, DescribeTimeToLive, GetItem,
// PutItem, Query, Scan, TransactWriteItems, UpdateItem and UpdateTimeToLive, in all forms that v1
// has: plain, WithContext, Request, Pages, and the waiters WaitUntilTableExists and
// WaitUntilTableNotExists. Every other operation returns an error that names it, with the code
// UnknownOperationException, and sends nothing. As in v1, WithContext methods panic if the context
// is nil.
//
// # One call, one request
//
// The v2 client's retries are off for these calls, whatever its configuration says, and so is its
// endpoint discovery: leaderkit repeats requests itself, each time with a new body. A middleware of
// the client that repeats a request gets an error instead. The client's own calls elsewhere keep
// their retries. Credential providers send what they need.
//
// # Request options
//
// A request.Option of v1 acts on a real v1 request, of which this package replaces the sending.
// Honoured are the context, the Retryer (none unless an option sets one), headers set on
// HTTPRequest except User-Agent, and handlers on Validate, Build, Sign, Send, Retry, AfterRetry,
// CompleteAttempt and Complete, which find Params, Data, Error, RequestID, and the status and
// headers of HTTPResponse. Not honoured are v1's configuration of the request (Config: log level,
// endpoint, credentials), its body, and unmarshal handlers. Log and trace with the v2 client's
// options and middleware, which all apply.
//
// # Errors
//
// Where v1 has a type for what DynamoDB said, the error is of that type
// (ConditionalCheckFailedException with Item, TransactionCanceledException with its reasons, ...).
// Every other error is an awserr.Error with v1's code, an awserr.RequestFailure too if there was a
// reply, and has the v2 client's error in its chain. It has a method NotSent, which tells whether
// it is certain that the request never left this process; lockclient asks it. The README has the
// table.
//
// Credentials that DynamoDB calls expired are dropped from the client's aws.CredentialsCache, so
// that the next request fetches new ones.
package sdkv2
