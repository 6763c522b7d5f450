// Command worker is a replicated service with a leader, as it is deployed. Every replica answers
// requests. One of them, the leader, also keeps a ledger that no other replica may write.
//
//	go run ./examples/worker                                    the demo: three replicas, one killed, one drained
//	go run ./examples/worker -endpoint http://localhost:8000    the same on DynamoDB Local
//	worker -replica -table locks -listen :8080                  the program, as deployment.yaml runs it (README.md)
//
// replica.go is the program and the order in which it ends. ledger.go is the leader's work, whose
// writes are fenced. Copy these two. demo.go runs three replicas and checks the ledger.
package main

import (
	"cmp"
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
	host, _ := os.Hostname()
	f := demo.Flags{Endpoint: os.Getenv("DYNAMODB_ENDPOINT")}
	r := replica{}
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	f.Register(flags, cmp.Or(os.Getenv("LOCK_TABLE"), "leaderkit-demo"))
	isReplica := flags.Bool("replica", false, "be one replica (without it: demonstrate three)")
	flags.StringVar(&r.identity, "identity", cmp.Or(os.Getenv("POD_NAME"), host), "`name` of this replica, unique among those alive (POD_NAME, or the host's name)")
	flags.StringVar(&r.listen, "listen", cmp.Or(os.Getenv("LISTEN"), ":8080"), "`address` to serve on (LISTEN)")
	flags.StringVar(&r.book, "book", cmp.Or(os.Getenv("BOOK"), "worker"), "`name` of the ledger and of its lock (BOOK)")
	flags.DurationVar(&r.lease, "lease", 15*time.Second, "how long the lock outlives a leader that has crashed")
	flags.DurationVar(&r.drain, "drain", 20*time.Second, "how long the leader's work may take to end")
	flags.DurationVar(&r.notice, "notice", 5*time.Second, "how long to go on serving after SIGTERM, until load balancers have noticed")
	if err := flags.Parse(args); err != nil {
		return demo.ExitCode(err)
	}
	ctx, stop := demo.Context()
	defer stop()

	var err error
	if *isReplica {
		r.log, r.logger = demo.Loggers(f.Verbose)
		r.table = f.Table
		if r.client, err = demo.Connect(f.Endpoint); err == nil {
			err = r.run(ctx)
		}
	} else {
		err = demonstrate(ctx, os.Stdout, f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}
