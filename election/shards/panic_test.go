package shards

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// doomedVariable tells a process of this test to panic, and where its DynamoDB is.
const (
	doomedVariable = "LEADERKIT_DOOMED"
	doomedEndpoint = "LEADERKIT_DOOMED_ENDPOINT"
	doomedStuck    = "LEADERKIT_DOOMED_STUCK" // not empty: the work of shard 0 never returns
)

// TestDoomed is the process that panics.
func TestDoomed(t *testing.T) {
	callback := os.Getenv(doomedVariable)
	if callback == "" {
		t.Skip("it is run by TestAPanicReleasesAllShardsAndGoesOn")
	}
	engine, _, err := wire.Endpoint(os.Getenv(doomedEndpoint))
	if err != nil {
		t.Fatal(err)
	}
	session := &lockclient.Session{TableName: theTable, Client: wire.NewClient(engine), LeaseDuration: 3 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	var both sync.WaitGroup
	both.Add(2)
	replica, err := New(Config{
		Session: session, Group: theGroup, Count: 2, DrainTimeout: time.Second,
		Callbacks: Callbacks{
			OnStarted: func(ctx context.Context, shard string) {
				both.Done()
				both.Wait()
				if shard == "1" && callback == "OnStarted" {
					panic("boom")
				}
				if callback == "OnStopped" {
					cancel()
				}
				<-ctx.Done()
				if shard == "0" && os.Getenv(doomedStuck) != "" {
					select {}
				}
				os.Stdout.WriteString("the work of " + shard + " returns\n")
			},
			OnStopped: func(shard string) {
				if shard == "1" && callback == "OnStopped" {
					panic("boom")
				}
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = replica.Run(ctx)
	t.Error("Run returned")
}

func TestAPanicReleasesAllShardsAndGoesOn(t *testing.T) {
	for _, callback := range []string{"OnStarted", "OnStopped"} {
		t.Run(callback, func(t *testing.T) {
			server := dynamotest.NewServer()
			defer server.Close()
			if err := lockclient.EnsureTable(t.Context(), server.Client(), theTable, lockclient.WithoutTTL()); err != nil {
				t.Fatal(err)
			}
			doomed := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDoomed$", "-test.timeout=1m")
			doomed.Env = append(os.Environ(), doomedVariable+"="+callback, doomedEndpoint+"="+server.URL)
			said, err := doomed.CombinedOutput()
			if err == nil || !strings.Contains(string(said), "panic: boom") {
				t.Errorf("it ended with %v and said\n%s", err, said)
			}
			if !strings.Contains(string(said), "the work of 0 returns") {
				t.Errorf("the other work was not awaited:\n%s", said)
			}
			for _, shard := range []string{"0", "1"} {
				if item := peek(t, server.Client(), theGroup+"/"+shard); !item.Released {
					t.Errorf("the lock of %s is still held by %s", shard, item.Owner)
				}
			}
		})
	}
}

// A work that does not return must not hide the panic of another for ever.
func TestAPanicGoesOnThoughAWorkDoesNotReturn(t *testing.T) {
	server := dynamotest.NewServer()
	defer server.Close()
	if err := lockclient.EnsureTable(t.Context(), server.Client(), theTable, lockclient.WithoutTTL()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	doomed := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDoomed$")
	doomed.Env = append(os.Environ(), doomedVariable+"=OnStarted", doomedEndpoint+"="+server.URL, doomedStuck+"=yes")
	if said, err := doomed.CombinedOutput(); err == nil || !strings.Contains(string(said), "panic: boom") {
		t.Errorf("it ended with %v and said\n%s", err, said)
	}
	if item := peek(t, server.Client(), theGroup+"/1"); !item.Released {
		t.Error("the lock of 1, whose work has panicked, is still held")
	}
}

func peek(t *testing.T, client dynamodbiface.DynamoDBAPI, name string) *lockclient.LockItem {
	t.Helper()
	item, err := (&lockclient.DynamoDBLockClient{LockName: name, TableName: theTable, LeaseDuration: theLease, Client: client}).Peek(aws.BackgroundContext())
	if err != nil {
		t.Fatal(err)
	}
	return item
}
