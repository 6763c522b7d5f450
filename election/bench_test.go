package election

import (
	"context"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

// inOffice runs an elector until the end of the test, and returns it with the context of its term.
func inOffice(t testing.TB) (*LeaderElector, context.Context) {
	t.Helper()
	client := engine()
	if err := lockclient.EnsureTable(context.Background(), client, testTable, lockclient.WithoutTTL()); err != nil {
		t.Fatal(err)
	}
	started := make(chan context.Context)
	e, err := NewLeaderElector(LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{LockName: testName, TableName: testTable, LeaseDuration: testLease, Client: client},
		Callbacks: LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { started <- ctx; <-ctx.Done() },
			OnStoppedLeading: func() {},
		},
		ReleaseOnCancel: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return e, <-started
}

// A program asks before each step whether it leads.
func TestIsLeaderAllocatesNothing(t *testing.T) {
	e, _ := inOffice(t)
	if n := testing.AllocsPerRun(100, func() { e.IsLeader() }); n != 0 {
		t.Errorf("IsLeader allocates %v times", n)
	}
}

func BenchmarkIsLeader(b *testing.B) {
	e, term := inOffice(b)
	b.Run("IsLeader", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !e.IsLeader() {
				b.Fatal("it leads")
			}
		}
	})
	b.Run("Err of the leading context", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if term.Err() != nil {
				b.Fatal("it leads")
			}
		}
	})
}
