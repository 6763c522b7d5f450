package election

import (
	"context"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

// What a program pays that asks before each step whether it leads: no request, no allocation.
func BenchmarkIsLeader(b *testing.B) {
	client := engine()
	if err := lockclient.EnsureTable(context.Background(), client, testTable, lockclient.WithoutTTL()); err != nil {
		b.Fatal(err)
	}
	leading := make(chan context.Context)
	e, err := NewLeaderElector(LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{LockName: testName, TableName: testTable, LeaseDuration: testLease, Client: client},
		Callbacks: LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { leading <- ctx; <-ctx.Done() },
			OnStoppedLeading: func() {},
		},
		ReleaseOnCancel: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	term := <-leading
	defer func() {
		cancel()
		<-done
	}()

	b.Run("IsLeader", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !e.IsLeader() {
				b.Fatal("it leads")
			}
		}
		if n := testing.AllocsPerRun(100, func() { e.IsLeader() }); n != 0 {
			b.Fatalf("%v allocations", n)
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
