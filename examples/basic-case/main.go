// Command basic-case takes a lock, works under it for some seconds, and releases it: the example of
// dynamodb-lock-client-golang, with the same calls.
//
//	go run ./examples/basic-case                                             on a DynamoDB in memory
//	go run ./examples/basic-case -endpoint http://localhost:8000             on DynamoDB Local
//	AWS_REGION=eu-west-1 go run ./examples/basic-case -endpoint aws          on AWS
//
// Run it in two terminals on one endpoint: the second waits until the first is done, or, if you
// kill the first with SIGKILL, until its lease has expired.
//
// action.go is the part to copy.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-logr/stdr"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
)

func main() {
	ctx, stop := demo.Context()
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "basic-case:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	f := demo.Flags{Endpoint: os.Getenv("DYNAMODB_ENDPOINT")}
	flags := flag.NewFlagSet("basic-case", flag.ExitOnError)
	f.Register(flags, "LockTable")
	steps := flags.Int("steps", 5, "seconds of work to do under the lock")
	_ = flags.Parse(os.Args[1:]) // exits if the flags are wrong

	engine, err := demo.Open(ctx, f)
	if err != nil {
		return err
	}
	defer engine.Close()
	fmt.Printf("on %s, table %q\n", engine, engine.Table)

	if f.Verbose {
		stdr.SetVerbosity(1) // 0: tenures begin and end; 1: heartbeats, too
	}
	lock := &lockclient.DynamoDBLockClient{
		LockName:        "my-unique-lock-name",
		LeaseDuration:   5 * time.Second,
		HeartbeatPeriod: time.Second,
		TableName:       engine.Table,
		Client:          engine.Client,
		Logger:          stdr.New(log.New(os.Stderr, "  ", log.Ltime|log.Lmicroseconds)),
	}
	if err := actionThatRequiresLock(ctx, lock, *steps); err != nil {
		return err
	}

	fmt.Println("the lock is free and no heartbeats are left")
	return nil
}
