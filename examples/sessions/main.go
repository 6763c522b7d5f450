// Command sessions shows 1,000 locks that three processes hold with one heartbeat each. One process
// is killed, and the others take over its locks. Another is told to stop, and hands its locks over.
// The program prints how many requests that took, and how long.
//
//	go run ./examples/sessions                                      on a DynamoDB in memory
//	go run ./examples/sessions -endpoint http://localhost:8000      on DynamoDB Local
//	AWS_REGION=eu-west-1 go run ./examples/sessions -endpoint aws   on AWS
//
// holder.go is what a program needs in order to hold many locks with one session. story.go is the
// demo around it: it starts the processes, kills and stops them, and prints what they report.
// ledger.go checks their reports: no lock may ever have two holders. The exit code is 0 if that was
// so.
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
	flags := flag.NewFlagSet("sessions", flag.ContinueOnError)
	f.Register(flags, "leaderkit-demo")
	count := flags.Int("count", 1000, "number of locks")
	prefix := flags.String("prefix", "", "`text` at the beginning of the locks' names; without one: another for each run")
	lease := flags.Duration("lease", 3*time.Second, "how long a process outlives its last heartbeat")
	contended := flags.Bool("contended", false, "all processes want all locks at once, instead of a third each first")
	if err := flags.Parse(args); err != nil {
		return demo.ExitCode(err)
	}
	if *count < 3 {
		fmt.Fprintf(os.Stderr, "sessions: -count is %d: give 3 or more, one lock for each process\n", *count)
		return 2
	}
	if *prefix == "" {
		*prefix = fmt.Sprintf("demo-%d-", time.Now().UnixNano())
	}
	ctx, stop := demo.Context()
	defer stop()

	var err error
	if name := demo.ReplicaName(); name != "" {
		err = hold(ctx, f, holder{name: name, prefix: *prefix, count: *count, lease: *lease, contended: *contended})
	} else {
		err = tell(ctx, os.Stdout, f, setting{prefix: *prefix, count: *count, lease: *lease, contended: *contended})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sessions:", err)
		return 1
	}
	return 0
}

// hold is one of the processes.
func hold(ctx context.Context, f demo.Flags, h holder) error {
	db, err := demo.Connect(f.Endpoint)
	if err != nil {
		return err
	}
	_, h.logger = demo.Loggers(f.Verbose)
	requests := &counter{DynamoDBAPI: db}
	h.client, h.table = requests, f.Table
	reports := newReporter(os.Stdout, requests)
	h.report = reports.event
	defer reports.counts()
	return h.run(ctx)
}
