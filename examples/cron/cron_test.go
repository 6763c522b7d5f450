package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// The demo starts its replicas as processes of its own program, which here is the test.
func TestMain(m *testing.M) {
	if demo.IsReplica() {
		os.Exit(start(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestTheDemoRunsEachTickOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	_, said, closeIdle, err := wire.Engine(os.Getenv("DYNAMODB_ENDPOINT"))
	if err != nil {
		t.Fatal(err)
	}
	closeIdle()
	fmt.Println(said)
	var out bytes.Buffer
	err = demonstrate(context.Background(), &out, demo.Flags{Table: "leaderkit-demo", Endpoint: os.Getenv("DYNAMODB_ENDPOINT")},
		settings{period: 2 * time.Second, missed: runAll, lease: time.Second})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"(SIGKILL)", "was cut off after step", "TAKEOVER", "(SIGTERM)", "HANDOVER", "each once"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.String())
		}
	}
}

func TestTheJournalRefusesRepeatedStepsAndFormerLeaders(t *testing.T) {
	server := dynamotest.NewServer()
	defer server.Close()
	ctx := t.Context()
	j := &journal{job: "job", client: server.Client(), table: "locks"}
	if err := lockclient.EnsureTable(ctx, j.client, j.table); err != nil {
		t.Fatal(err)
	}

	stale := lead(t, j, "a", func(term election.Term) {
		p, err := j.begin(ctx, term, 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.stepDone(ctx, term, p); err != nil {
			t.Fatal(err)
		}
		again := *p
		again.Step = 0
		if err := j.stepDone(ctx, term, &again); err == nil {
			t.Error("step 1 was done twice")
		}
	})

	lead(t, j, "b", func(term election.Term) {
		p, err := j.read(ctx, 10)
		if err != nil || p.finished() || p.Step != 1 || p.Runner != "a" {
			t.Fatalf("the run that was cut off is seen as %+v, %v", p, err)
		}
		if _, err := j.begin(ctx, stale, 20); err == nil {
			t.Error("a term that is over has begun with a tick")
		}
		if p, err = j.begin(ctx, term, 10); err != nil {
			t.Fatal(err)
		}
		for !p.finished() {
			if err := j.stepDone(ctx, term, p); err != nil {
				t.Fatal(err)
			}
		}
	})

	p, err := j.read(ctx, 10)
	if err != nil || !p.finished() || p.Terms != 2 {
		t.Errorf("at the end the run is %+v, %v", p, err)
	}
	if product, err := j.product(ctx); product != steps || err != nil {
		t.Errorf("%d steps took effect (%v), want %d", product, err, steps)
	}
}

// lead does some work as the leader, and gives its term, which is then over.
func lead(t *testing.T, j *journal, identity string, work func(election.Term)) (term election.Term) {
	t.Helper()
	e, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{
			LockName: j.job, Identifier: identity, LeaseDuration: 30 * time.Second, TableName: j.table, Client: j.client},
		OneTerm: true,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				term, _ = election.TermFromContext(ctx)
				work(term)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return term
}

func TestTheAuditSeesWhatTheFenceMustPrevent(t *testing.T) {
	done := func(t tick, token, terms int64) *progress {
		return &progress{Tick: t, Step: steps, Token: token, Runner: "a", Terms: terms}
	}
	half := done(2, 8, 2)
	half.Step = 2
	for name, c := range map[string]struct {
		audit  audit
		broken string // "": none
	}{
		"kept":                       {audit{runs: []*progress{done(1, 7, 1), done(2, 8, 2), done(3, 8, 1)}, product: 3 * steps}, ""},
		"a step done twice":          {audit{runs: []*progress{done(1, 7, 1), done(2, 8, 2)}, product: 2*steps + 1}, "have taken effect"},
		"a stale leader's run":       {audit{runs: []*progress{done(1, 8, 2), done(2, 7, 1)}, product: 2 * steps}, "after one under"},
		"never finished":             {audit{runs: []*progress{done(1, 7, 1), half, done(3, 8, 1)}, product: 2*steps + 2}, "was never finished"},
		"never resumed":              {audit{runs: []*progress{done(1, 7, 1)}, product: steps}, "none was resumed"},
		"missed, though all are run": {audit{missed: runAll, runs: []*progress{done(1, 7, 2), nil, done(3, 7, 1)}, product: 2 * steps}, "was missed"},
		"missed, and may be":         {audit{missed: skip, runs: []*progress{done(1, 7, 2), nil, done(3, 7, 1)}, product: 2 * steps}, ""},
	} {
		err := c.audit.check()
		if c.broken == "" && err != nil || c.broken != "" && (err == nil || !strings.Contains(err.Error(), c.broken)) {
			t.Errorf("%s: the audit says %v, want %q", name, err, c.broken)
		}
	}
}
