// Command leader shows an election: three processes contend, the leader is killed, another takes over, is told to stop, and
// hands over.
//
//	go run ./examples/leader                                              on a DynamoDB in memory
//	go run ./examples/leader -endpoint http://localhost:8000              on DynamoDB Local
//	AWS_REGION=eu-west-1 go run ./examples/leader -endpoint aws           on AWS
//
// This file is the contender, which is all that a program needs in order to take part in an election. story.go is the demo
// around it: it starts three contenders as processes of their own, kills and stops them, and prints what they report.
// verdict.go checks their reports against the promises of package election; the exit code is 0 if all were kept.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
)

// contender is one candidate in the election.
type contender struct {
	name   string
	client dynamodbiface.DynamoDBAPI
	table  string
	lease  time.Duration
	logger logr.Logger

	lock    *lockclient.DynamoDBLockClient
	elector *election.LeaderElector
}

// run takes part in the election until ctx ends.
func (c *contender) run(ctx context.Context) (err error) {
	c.lock = &lockclient.DynamoDBLockClient{
		LockName:      "leader-demo",
		Identifier:    c.name,
		LeaseDuration: c.lease,
		TableName:     c.table,
		Client:        c.client,
		Logger:        c.logger,
	}
	c.elector, err = election.NewLeaderElector(election.LeaderElectionConfig{
		Lock: c.lock,
		// When ctx ends, let the next one in as soon as the work has returned. Without it they wait for the lease to run out.
		ReleaseOnCancel: true,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: c.lead,
			OnStoppedLeading: func() { c.report(report{Kind: stopped}) },
			OnNewLeader: func(identity string) {
				if identity != c.name {
					c.report(report{Kind: follows, Leader: identity})
				}
			},
		},
		Name:   "leader-demo",
		Logger: c.logger,
	})
	if err != nil {
		return err
	}
	return c.elector.Run(ctx)
}

// lead is the leader's work. Nobody else does it until it has returned, or until this process has been out of touch for so long
// that the lease has run out; then ctx has ended before.
func (c *contender) lead(ctx context.Context) {
	term, _ := election.TermFromContext(ctx)
	c.report(report{Kind: leads, Token: term.FencingToken})

	// Real work goes here. This work says over and over that it believes to lead, so that the demo can check it.
	for ctx.Err() == nil {
		c.reportBelief(term)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	c.report(report{Kind: windsDown, Token: term.FencingToken, Cause: context.Cause(ctx).Error()})

	// And this stands for what takes a while to finish. The lease is renewed meanwhile, and nobody else leads.
	time.Sleep(c.lease * 2 / 5)
}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	var f demo.Flags
	flags := flag.NewFlagSet("leader", flag.ContinueOnError)
	f.Register(flags, "leaderkit-demo")
	lease := flags.Duration("lease", 3*time.Second, "how long the lock outlives a leader that has crashed")
	if err := flags.Parse(args); err != nil {
		return 2
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
