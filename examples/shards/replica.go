package main

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/election/shards"
	"github.com/leaderkit/leaderkit/lockclient"
)

// replica is one process that leads its part of the shards.
type replica struct {
	name   string
	client dynamodbiface.DynamoDBAPI
	table  string
	group  string
	count  int
	lease  time.Duration
	logger logr.Logger

	mu sync.Mutex // guards standard output
}

// run leads shards until ctx ends, and then hands them over.
func (r *replica) run(ctx context.Context) error {
	session := &lockclient.Session{
		TableName:     r.table,
		Client:        r.client,
		LeaseDuration: r.lease,
		Identifier:    r.name,
	}
	replica, err := shards.New(shards.Config{
		Session: session,
		Group:   r.group,
		Count:   r.count,
		Callbacks: shards.Callbacks{
			OnStarted: r.lead,
			OnStopped: func(shard string) { r.report(report{Shard: shard}) },
		},
		Logger: r.logger,
	})
	if err != nil {
		return err
	}
	if err := replica.Run(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.lease)
	defer cancel()
	return session.Close(ctx)
}

// lead is the work of one shard's leader. A real one would consume a partition or own a tenant, and
// hand the fencing token to whatever it writes to.
func (r *replica) lead(ctx context.Context, shard string) {
	term, _ := election.TermFromContext(ctx)
	r.report(report{Shard: shard, Token: term.FencingToken, Leads: true})
	<-ctx.Done()
}

// report is a line on standard output: this replica leads a shard now, or does not any more.
type report struct {
	Shard string `json:"shard"`
	Leads bool   `json:"leads,omitempty"`
	Token int64  `json:"token,omitempty"`
	At    int64  `json:"at"` // nanoseconds since 1970
}

func (r *replica) report(what report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what.At = time.Now().UnixNano()
	_ = json.NewEncoder(os.Stdout).Encode(what)
}
