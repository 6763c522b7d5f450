package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
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
	var out bytes.Buffer
	err := demonstrate(context.Background(), &out, demo.Flags{Table: "leaderkit-demo", Endpoint: os.Getenv("DYNAMODB_ENDPOINT")},
		settings{schedule: schedule{period: 2 * time.Second, missed: runAll}, lease: time.Second})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"(SIGKILL)", "was cut off after step", "TAKEOVER", "(SIGTERM)", "HANDOVER", "each once"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.String())
		}
	}
}

func TestMissedTicksAreDueByPolicy(t *testing.T) {
	const period = 10 * time.Second
	for name, c := range map[string]struct {
		missed policy
		last   tick
		now    int64 // seconds, as last
		due    []tick
	}{
		"nothing before the first tick is missed": {runAll, 0, 1000, nil},
		"not twice":                              {runAll, 1000, 1005, nil},
		"on time, whatever the policy":           {skip, 1000, 1011, []tick{1010}},
		"late, left out":                         {skip, 1000, 1015, nil},
		"late, the latest for all":               {runOnce, 1000, 1035, []tick{1030}},
		"late, each of them":                     {runAll, 1000, 1035, []tick{1010, 1020, 1030}},
		"a clock behind that of the last leader": {runAll, 1000, 985, nil},
	} {
		s := schedule{period: period, missed: c.missed}
		if due := s.due(c.last, time.Unix(c.now, 0)); !slices.Equal(due, c.due) {
			t.Errorf("%s: due are %v, want %v", name, due, c.due)
		}
	}
	s := schedule{period: period, missed: runAll}
	if due := s.due(1000, time.Unix(100_000, 0)); len(due) != mostMissed || due[mostMissed-1] != 100_000 {
		t.Errorf("after a long outage %d ticks are due, want the latest %d", len(due), mostMissed)
	}
}

func TestTheJournalRefusesWhatWasDoneAndWhoeverDoesNotLead(t *testing.T) {
	server := dynamotest.NewServer()
	defer server.Close()
	ctx := t.Context()
	j := &journal{job: "job", client: server.Client(), table: "locks"}
	if err := lockclient.EnsureTable(ctx, j.client, j.table); err != nil {
		t.Fatal(err)
	}

	stale := lead(t, j, "a", func(term election.Term) {
		r, err := j.begin(ctx, term, 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.begin(ctx, term, 10); err == nil {
			t.Error("tick 10 was begun twice")
		}
		if _, err := j.begin(ctx, term, 5); err == nil {
			t.Error("tick 5 was begun after tick 10")
		}
		if err := j.stepDone(ctx, term, r); err != nil {
			t.Fatal(err)
		}
		again := *r
		again.Step = 0
		if err := j.stepDone(ctx, term, &again); err == nil {
			t.Error("step 1 was done twice")
		}
	})

	lead(t, j, "b", func(term election.Term) {
		r, err := j.latest(ctx)
		if err != nil || r.Tick != 10 || r.Finished || r.Step != 1 || r.Runner != "a" {
			t.Fatalf("the run that was cut off is seen as %+v, %v", r, err)
		}
		if _, err := j.begin(ctx, stale, 20); err == nil {
			t.Error("a term that is over has begun a tick")
		}
		if err := j.takeOver(ctx, term, r); err != nil {
			t.Fatal(err)
		}
		for r.Step < steps {
			if err := j.stepDone(ctx, term, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.finish(ctx, term, r); err != nil {
			t.Fatal(err)
		}
	})

	r, err := j.latest(ctx)
	if err != nil || !r.Finished || r.Terms != 2 {
		t.Errorf("at the end the run is %+v, %v", r, err)
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
	done := func(t tick, token, terms int64) *run {
		return &run{Tick: t, Finished: true, Step: steps, Token: token, Runner: "a", Terms: terms}
	}
	half := done(2, 8, 2)
	half.Step = 2
	for name, c := range map[string]struct {
		audit  audit
		broken string // "": none
	}{
		"kept":                       {audit{runs: []*run{done(1, 7, 1), done(2, 8, 2), done(3, 8, 1)}, product: 3 * steps}, ""},
		"a step done twice":          {audit{runs: []*run{done(1, 7, 1), done(2, 8, 2)}, product: 2*steps + 1}, "have taken effect"},
		"a stale leader's run":       {audit{runs: []*run{done(1, 8, 2), done(2, 7, 1)}, product: 2 * steps}, "after one under"},
		"finished before its end":    {audit{runs: []*run{done(1, 7, 1), half}, product: steps + 2}, "is finished after 2"},
		"never resumed":              {audit{runs: []*run{done(1, 7, 1)}, product: steps}, "none was resumed"},
		"missed, though all are run": {audit{schedule: schedule{missed: runAll}, runs: []*run{done(1, 7, 2), nil, done(3, 7, 1)}, product: 2 * steps}, "was missed"},
		"missed, and may be":         {audit{schedule: schedule{missed: skip}, runs: []*run{done(1, 7, 2), nil, done(3, 7, 1)}, product: 2 * steps}, ""},
	} {
		err := c.audit.check()
		if c.broken == "" && err != nil || c.broken != "" && (err == nil || !strings.Contains(err.Error(), c.broken)) {
			t.Errorf("%s: the audit says %v, want %q", name, err, c.broken)
		}
	}
}
