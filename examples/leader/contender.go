package main

// This file is the part to copy: it needs only lockclient and election.

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
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
		// When ctx ends, the lock is released as soon as the work has returned. Without this the
		// others wait until the lease has expired.
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

// lead is the leader's work. No other contender leads until it has returned, or until this process
// could not renew its lease until it expired. In that case ctx has ended before.
func (c *contender) lead(ctx context.Context) {
	term, _ := election.TermFromContext(ctx)
	c.report(report{Kind: leads, Token: term.FencingToken})

	// Real work goes here. This work only reports that it leads, so that the demo can check it.
	for ctx.Err() == nil {
		c.reportBelief(term)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	c.report(report{Kind: stopping, Token: term.FencingToken, Cause: context.Cause(ctx).Error()})

	// This stands for work that takes a while to finish. The lease is renewed meanwhile, and no
	// other contender leads.
	time.Sleep(c.lease * 2 / 5)
}
