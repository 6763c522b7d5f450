// Command leader shows an election. Three processes contend. The leader is killed, another takes
// over, is told to stop, and hands over.
//
//	go run ./examples/leader                                              on a DynamoDB in memory
//	go run ./examples/leader -endpoint http://localhost:8000              on DynamoDB Local
//	AWS_REGION=eu-west-1 go run ./examples/leader -endpoint aws           on AWS
//
// contender.go is all that a program needs to take part in an election. story.go is the demo: it
// starts three contenders as processes, kills and stops them, and prints what they report.
// verdict.go checks their reports against the promises of package election. The exit code is 0 if
// all were kept.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	f := demo.Flags{Endpoint: os.Getenv("DYNAMODB_ENDPOINT")}
	flags := flag.NewFlagSet("leader", flag.ContinueOnError)
	f.Register(flags, "leaderkit-demo")
	lease := flags.Duration("lease", 3*time.Second, "how long the lock outlives a leader that has crashed")
	if err := flags.Parse(args); err != nil {
		return demo.ExitCode(err)
	}
	ctx, stop := demo.Context()
	defer stop()

	var err error
	if demo.IsReplica() {
		err = contend(ctx, f, *lease)
	} else {
		err = tell(ctx, os.Stdout, f, *lease)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "leader:", err)
		return 1
	}
	return 0
}

// contend is what a process started by the demo does.
func contend(ctx context.Context, f demo.Flags, lease time.Duration) error {
	client, err := demo.Connect(f.Endpoint)
	if err != nil {
		return err
	}
	_, logger := demo.Loggers(f.Verbose)
	c := contender{name: demo.ReplicaName(), client: client, table: f.Table, lease: lease, logger: logger}
	return c.run(ctx)
}
