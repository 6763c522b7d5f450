package dynamolocal_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/onsi/ginkgo/v2"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamolocal"
)

// What NewServer takes.
var (
	_ dynamolocal.TestingT = (*testing.T)(nil)
	_ dynamolocal.TestingT = ginkgo.FullGinkgoTInterface(nil)
)

// In a program. Tests and ginkgo suites have NewServer.
func ExampleStart() {
	ctx := context.Background()
	server, err := dynamolocal.Start(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	if err := lockclient.EnsureTable(ctx, server.Client(), "locks"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(server, "has the table at", server.URL)
}
