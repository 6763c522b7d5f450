// Command regions shows one lock in three Regions: what happens when the holder's Region is cut off
// from the others, first in a strongly consistent global table (MRSC), then in an eventually
// consistent one (MREC).
//
//	go run ./examples/regions
//
// It runs on Regions in memory, because it cuts one off. In the first table the lock moves on, and
// only one client holds it at a time. In the second table two clients believe that they hold it
// while the cut lasts: keep no lock there. The exit code is 0 if both were seen.
//
// This file is the client. It needs nothing special for several Regions: it gets the DynamoDB
// client of its own Region. story.go is the demo.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
)

const lockTable = "locks"

// contender is a client of the lock in one Region.
type contender struct {
	name string
	lock *lockclient.DynamoDBLockClient
	tell func(format string, args ...any)
}

func newContender(name string, region dynamodbiface.DynamoDBAPI, lease time.Duration, tell func(string, ...any)) *contender {
	return &contender{name: name, tell: tell, lock: &lockclient.DynamoDBLockClient{
		LockName: "the-lock", Identifier: name, LeaseDuration: lease, TableName: lockTable, Client: region,
	}}
}

// run wants the lock until ctx ends, and again whenever it is lost.
func (c *contender) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.lock.WaitForLock(ctx); err != nil {
			continue // ctx has ended, or something that will pass
		}
		token, _ := c.lock.FencingToken()
		c.tell("HOLDS the lock, with fencing token %d", token)
		select {
		case <-c.lock.Lost():
			why, _, _ := strings.Cut(c.lock.LockError().Error(), "\n") // the SDK adds lines of its own
			c.tell("holds it no longer: %s", why)
		case <-ctx.Done():
		}
	}
	// What is not released runs out by itself. ctx has ended, and the release gets a time of its
	// own.
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = c.lock.RemoveLockWithContext(release)
}

func (c *contender) believes() bool {
	held, _ := c.lock.HasLock()
	return held
}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	flags := flag.NewFlagSet("regions", flag.ContinueOnError)
	lease := flags.Duration("lease", 1500*time.Millisecond, "how long the lock outlives a holder that is not heard of any more")
	if err := flags.Parse(args); err != nil {
		return demo.ExitCode(err)
	}
	ctx, stop := demo.Context()
	defer stop()
	if err := tell(ctx, demo.NewStory(os.Stdout), *lease); err != nil {
		fmt.Fprintln(os.Stderr, "regions:", err)
		return 1
	}
	return 0
}
