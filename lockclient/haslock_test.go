package lockclient_test

import (
	"context"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

func heldLock(t testing.TB) *lockclient.DynamoDBLockClient {
	t.Helper()
	client := dynamotest.NewClient(dynamotest.New())
	if err := lockclient.EnsureTable(context.Background(), client, "locks"); err != nil {
		t.Fatal(err)
	}
	c := &lockclient.DynamoDBLockClient{LockName: "lock", TableName: "locks", LeaseDuration: time.Hour, Client: client}
	if held, err := c.GetLock(); !held {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.RemoveLock() })
	return c
}

func TestHasLockAllocatesNothing(t *testing.T) {
	c := heldLock(t)
	for name, call := range map[string]func(){
		"HasLock":      func() { _, _ = c.HasLock() },
		"LeaseAge":     func() { c.LeaseAge() },
		"FencingToken": func() { c.FencingToken() },
		"Lost":         func() { c.Lost() },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkHasLock(b *testing.B) {
	c := heldLock(b)
	b.ReportAllocs()
	for b.Loop() {
		if held, err := c.HasLock(); !held {
			b.Fatal(err)
		}
	}
}
