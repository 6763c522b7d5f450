// Command shards shows 512 shards led by three replicas: a start, a kill, a join, and a rolling
// restart, as a picture in the terminal with a bar for each replica.
//
//	go run ./examples/shards                                      on a DynamoDB in memory
//	go run ./examples/shards -endpoint http://localhost:8000      on DynamoDB Local
//	AWS_REGION=eu-west-1 go run ./examples/shards -endpoint aws   on AWS
//
// replica.go is what a program needs in order to lead its part of the shards. story.go is the demo
// around it: it starts replicas as processes of their own, kills and stops them, and draws what
// they report. verdict.go checks their reports: no shard may ever have two leaders, and each
// replica must lead its even part. The exit code is 0 if that was so.
package main

import (
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
	flags := flag.NewFlagSet("shards", flag.ContinueOnError)
	f.Register(flags, "leaderkit-demo")
	count := flags.Int("count", 512, "number of shards")
	group := flags.String("group", "", "`name` of the group; without one: another for each run")
	lease := flags.Duration("lease", 3*time.Second, "how long a replica outlives its last heartbeat")
	if err := flags.Parse(args); err != nil {
		return demo.ExitCode(err)
	}
	if *group == "" {
		*group = fmt.Sprintf("demo-%d", time.Now().UnixNano())
	}
	ctx, stop := demo.Context()
	defer stop()

	var err error
	if name := demo.ReplicaName(); name != "" {
		_, logger := demo.Loggers(f.Verbose)
		r := replica{name: name, table: f.Table, group: *group, count: *count, lease: *lease, logger: logger}
		if r.client, err = demo.Connect(f.Endpoint); err == nil {
			err = r.run(ctx)
		}
	} else {
		err = tell(ctx, os.Stdout, f, setting{group: *group, count: *count, lease: *lease})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "shards:", err)
		return 1
	}
	return 0
}
