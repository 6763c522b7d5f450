package main

// This file and ledger.go are the program, ready to be copied: they need only lockclient and
// election.

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
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

// run serves until ctx ends, which is at SIGTERM. Then the replica stops being ready, the leader's
// work ends, the lock is released, and requests under way are answered, in this order.
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

	// The elector runs beside the server. If it can't run at all (no table, no permission), the
	// replica ends and says why.
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
	// The liveness probe fails only if a restart helps: the leader's work has outlived its lease.
	// It does not fail if the table or a permission is missing. A restart would not help, and would
	// end the plain work too.
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
	// The readiness probe fails after SIGTERM. It does not depend on who leads.
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
