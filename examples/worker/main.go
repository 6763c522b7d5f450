// Command worker is a replicated service with a leader, as it is deployed: every replica answers requests, and one of them,
// the leader, also keeps a ledger that nobody else may write.
//
//	go run ./examples/worker                                        shows itself: three replicas, one killed, one drained
//	go run ./examples/worker -endpoint http://localhost:8000        the same on DynamoDB Local
//	worker -replica -table locks -listen :8080                      is the program, as deployment.yaml runs it (README.md)
//
// This file is the program and the order in which it ends. ledger.go is the leader's work, whose writes go through the fence.
// demo.go runs three replicas and checks the ledger.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
)

// replica is the program.
type replica struct {
	identity string // unique among the live replicas: the pod's name, the task's id
	listen   string
	book     string // which ledger to keep; its lock has the same name
	lease    time.Duration
	drain    time.Duration // how long the leader's work may take to end
	notice   time.Duration // how long to go on answering after SIGTERM, until load balancers have noticed

	table  string
	client dynamodbiface.DynamoDBAPI
	log    *log.Logger
	logger logr.Logger

	draining atomic.Bool
}

// run serves until ctx ends, that is until SIGTERM. Then, in this order: the replica is not ready any more, the leader's work
// ends, the lock is released, requests under way are answered, run returns.
func (r *replica) run(ctx context.Context) error {
	health := election.NewLeaderHealthzAdaptor(r.lease)
	ledger := &ledger{book: r.book, writer: r.identity, table: r.table, client: r.client, log: r.log}
	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{
			LockName:      r.book,
			Identifier:    r.identity,
			LeaseDuration: r.lease,
			TableName:     r.table,
			Client:        r.client,
			Logger:        r.logger,
		},
		ReleaseOnCancel: true,
		DrainTimeout:    r.drain,
		WatchDog:        health,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: ledger.keep,
			OnStoppedLeading: func() { r.log.Print("stopped leading; the ledger is closed") },
			OnNewLeader:      func(identity string) { r.log.Printf("the leader is %s", identity) },
		},
		Name:   r.book,
		Logger: r.logger,
	})
	if err != nil {
		return err
	}

	listener, err := net.Listen("tcp", r.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: r.routes(elector, health), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	r.log.Printf("serving on http://%s", listener.Addr())

	// The elector runs beside the server. Where it can't run at all (no table, no permission) the replica had better not
	// pretend to: it ends, and whoever deployed it sees why.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	elected := make(chan error, 1)
	go func() {
		err := elector.Run(ctx)
		if err != nil {
			cancel(err)
		}
		elected <- err
	}()

	var broken error
	select {
	case <-ctx.Done():
	case broken = <-failed:
		cancel(broken)
	}
	r.draining.Store(true)
	r.log.Print("draining")
	noticed := time.After(r.notice)
	broken = errors.Join(broken, <-elected)
	<-noticed

	ending, stop := context.WithTimeout(context.Background(), r.drain)
	defer stop()
	if err := server.Shutdown(ending); err != nil {
		broken = errors.Join(broken, fmt.Errorf("requests cut off: %w", err))
	}
	r.log.Print("drained")
	return broken
}

func (r *replica) routes(elector *election.LeaderElector, health *election.HealthzAdaptor) http.Handler {
	mux := http.NewServeMux()
	// The liveness probe: fails when only a restart can help, that is when the leader's work has outlived its lease. It doesn't
	// where the store denies a permission or has no such table: a restart mends neither, and would end the plain work, too.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, req *http.Request) {
		if err := health.Check(req); errors.Is(err, election.ErrCannotCampaign) {
			fmt.Fprintln(w, "ok, but", err)
			return
		} else if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	// The readiness probe: fails from SIGTERM on, and not because another leads.
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if r.draining.Load() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /leader", elector.Handler())
	// The plain work, which every replica does, whoever leads.
	mux.HandleFunc("GET /work", func(w http.ResponseWriter, req *http.Request) {
		select {
		case <-time.After(100 * time.Millisecond):
			fmt.Fprintln(w, "done by", r.identity)
		case <-req.Context().Done():
		}
	})
	return mux
}

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
		return 2
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
