// Command cron is a scheduled job that runs once a tick, on several replicas.
//
//	go run ./examples/cron                                        shows itself: three replicas, a leader killed in mid-job
//	go run ./examples/cron -missed all                            with another policy for the ticks missed meanwhile
//	go run ./examples/cron -endpoint http://localhost:8000        the same on DynamoDB Local
//	cron -replica -table locks -period 5m -lease 15s              is the program
//
// Package election/cron begins each tick once, and has the next leader run again what was cut off.
// What remains for the job is to know how far it came: journal.go notes each step, in one
// transaction with what the step changes and with the check of the lock. So a step takes effect
// once, also in a tick that is run again. demo.go runs three replicas and checks the journal.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/election/cron"
	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
)

const (
	steps    = 4                      // of the job
	stepTime = 200 * time.Millisecond // for each
	attempts = 10                     // for each tick: the steps that are done are not repeated
)

// settings are those of the job.
type settings struct {
	period time.Duration
	missed policy
	lease  time.Duration
}

// replica is the program.
type replica struct {
	settings
	identity string
	journal  *journal
	log      *log.Logger
	logger   logr.Logger
}

// run takes part until ctx ends.
func (r *replica) run(ctx context.Context) error {
	jobs, err := r.jobs()
	if err != nil {
		return err
	}
	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Lock: &lockclient.DynamoDBLockClient{
			LockName:      r.journal.job,
			Identifier:    r.identity,
			LeaseDuration: r.lease,
			TableName:     r.journal.table,
			Client:        r.journal.client,
			Logger:        r.logger,
		},
		ReleaseOnCancel: true,
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				term, _ := election.TermFromContext(ctx)
				r.log.Printf("leading, fencing token %d", term.FencingToken)
				jobs.Lead(ctx)
			},
			OnStoppedLeading: func() { r.log.Print("stopped leading") },
		},
		Name:   r.journal.job,
		Logger: r.logger,
	})
	if err != nil {
		return err
	}
	return elector.Run(ctx)
}

// jobs are those of each replica. There is one.
func (r *replica) jobs() (*cron.Cron, error) {
	return cron.New(cron.Config{
		Client:    r.journal.client,
		TableName: r.journal.table,
		Logger:    r.logger,
		Jobs: []cron.Job{{
			Name:     r.journal.job,
			Schedule: cron.Every(r.period),
			Missed:   r.missed.of(),
			Attempts: attempts,
			Run:      r.work,
		}},
	})
}

// work is the job: it does the steps of a tick that are not done yet. When the term ends it
// finishes the step under way and leaves the rest to the next leader.
func (r *replica) work(ctx context.Context, t cron.Tick) error {
	term, _ := election.TermFromContext(ctx)
	p, err := r.journal.begin(ctx, term, tickOf(t.Time))
	if err != nil {
		return err
	}
	if t.Attempt > 1 {
		r.log.Printf("tick %v was cut off after step %d of %d: resuming it", p.Tick, p.Step, steps)
	} else {
		r.log.Printf("tick %v started", p.Tick)
	}
	for p.Step < steps {
		if ctx.Err() != nil {
			r.log.Printf("tick %v is interrupted after step %d of %d: %v", p.Tick, p.Step, steps, context.Cause(ctx))
			return context.Cause(ctx)
		}
		time.Sleep(stepTime) // here the step is done
		if err := r.journal.stepDone(ctx, term, p); err != nil {
			return err
		}
	}
	r.log.Printf("tick %v finished", p.Tick)
	return nil
}

// policy is a cron.Missed as a flag.
type policy string

const (
	skip    policy = "skip"
	runOnce policy = "once"
	runAll  policy = "all"
)

func (p policy) of() cron.Missed {
	return map[policy]cron.Missed{skip: cron.Skip, runOnce: cron.RunOnce, runAll: cron.RunAll}[p]
}

func (p *policy) String() string { return string(*p) }

// Set makes a policy a flag.
func (p *policy) Set(text string) error {
	switch policy(text) {
	case skip, runOnce, runAll:
		*p = policy(text)
		return nil
	}
	return fmt.Errorf("%q is none of skip, once, all", text)
}

func main() {
	os.Exit(start(os.Args[1:]))
}

func start(args []string) int {
	host, _ := os.Hostname()
	f := demo.Flags{Endpoint: os.Getenv("DYNAMODB_ENDPOINT")}
	r := replica{settings: settings{missed: runOnce}, journal: &journal{}}
	flags := flag.NewFlagSet("cron", flag.ContinueOnError)
	f.Register(flags, cmp.Or(os.Getenv("LOCK_TABLE"), "leaderkit-demo"))
	isReplica := flags.Bool("replica", false, "be one replica (without it: demonstrate three)")
	flags.StringVar(&r.identity, "identity", cmp.Or(os.Getenv("POD_NAME"), host), "`name` of this replica, unique among those alive (POD_NAME, or the host's name)")
	flags.StringVar(&r.journal.job, "job", cmp.Or(os.Getenv("JOB"), "cron"), "`name` of the job and of its lock (JOB)")
	flags.DurationVar(&r.period, "period", 2*time.Second, "the job is due at every multiple of this, whole seconds")
	flags.DurationVar(&r.lease, "lease", 3*time.Second, "how long the lock outlives a leader that has crashed")
	flags.Var(&r.missed, "missed", "`policy` for missed ticks: skip, once (run the latest in place of all), or all (run each)")
	if err := flags.Parse(args); err != nil {
		return demo.ExitCode(err)
	}
	if r.period < time.Second || r.period%time.Second != 0 {
		fmt.Fprintf(os.Stderr, "cron: -period is %v: give whole seconds, 1s or more\n", r.period)
		return 2
	}
	ctx, stop := demo.Context()
	defer stop()

	var err error
	if *isReplica {
		r.log, r.logger = demo.Loggers(f.Verbose)
		r.journal.table = f.Table
		if r.journal.client, err = demo.Connect(f.Endpoint); err == nil {
			err = r.run(ctx)
		}
	} else {
		err = demonstrate(ctx, os.Stdout, f, r.settings)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cron:", err)
		return 1
	}
	return 0
}
