package dynamolocal

import (
	"context"
	"errors"
	"os"
)

// Required is the name of an environment variable. If it is set, NewServer fails a test instead of
// skipping it.
const Required = "DYNAMODB_LOCAL_REQUIRED"

// TestingT is what NewServer needs of a test. *testing.T implements it, and so does ginkgo's
// GinkgoT().
type TestingT interface {
	Helper()
	Cleanup(func())
	Log(...any)
	Skip(...any)
	Fatal(...any)
}

// NewServer starts a server for a test, or for a suite if it is called in BeforeSuite, and closes
// it at the end. It skips the test on a machine that cannot run DynamoDB Local (see
// [ErrUnavailable] and [Required]), and fails it on any other error.
func NewServer(t TestingT, with ...Option) *Server {
	t.Helper()
	server, err := Start(context.Background(), with...)
	if errors.Is(err, ErrUnavailable) && os.Getenv(Required) == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	t.Log(server)
	return server
}
