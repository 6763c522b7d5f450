// Command cron is a scheduled job of which there is only one, on several replicas: all of them run the schedule, and only the
// leader runs the job.
//
//	go run ./examples/cron                                        shows itself: three replicas, a leader killed in mid-job
//	go run ./examples/cron -missed all                            with another policy for the ticks missed meanwhile
//	go run ./examples/cron -endpoint http://localhost:8000        the same on DynamoDB Local
//	cron -replica -table locks -period 5m -lease 15s              is the program
//
// What the leader does is in this file, when it does it in schedule.go. journal.go writes down what was done, through the
// fence: each tick has a record that says which step is done and under which fencing token, so that no tick runs twice, whatever
// the clocks and the network do, and a run that was cut off is seen and resumed by the next leader. demo.go runs three replicas
// and checks the journal.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
)

const (
	steps    = 4                      // of the job
	stepTime = 200 * time.Millisecond // for each
	mistrust = time.Second            // the pause after an error
)

// replica is the program.
type replica struct {
	identity string
	schedule schedule
	lease    time.Duration
	journal  *journal
	log      *log.Logger
	logger   logr.Logger

	elector *election.LeaderElector
}

// run takes part until ctx ends.
func (r *replica) run(ctx context.Context) (err error) {
	r.elector, err = election.NewLeaderElector(election.LeaderElectionConfig{
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
			OnStartedLeading: r.lead,
			OnStoppedLeading: func() { r.log.Print("stopped leading") },
		},
		Name:   r.journal.job,
		Logger: r.logger,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		r.follow(ctx)
	}()
	err = r.elector.Run(ctx)
	cancel()
	<-followed
	return err
}

// follow runs the schedule on a replica that doesn't lead, where there is nothing to do but to say so.
func (r *replica) follow(ctx context.Context) {
	for {
		next := r.schedule.after(time.Now())
		if !sleep(ctx, time.Until(next.time())) {
			return
		}
		if !r.elector.IsLeader() {
			r.logger.V(1).Info("tick left to the leader", "tick", next.String(), "leader", r.elector.GetLeader())
		}
	}
}

// lead runs the job at each tick until the term ends.
func (r *replica) lead(ctx context.Context) {
	term, _ := election.TermFromContext(ctx)
	r.log.Printf("leading, fencing token %d", term.FencingToken)
	for ctx.Err() == nil {
		err := r.next(ctx, term)
		switch {
		case err == nil:
		case errors.Is(err, election.ErrLockLost), errors.Is(err, lockclient.ErrLockLost):
			r.log.Printf("refused by the fence, nothing was written: %v", err)
			return
		case ctx.Err() == nil:
			r.log.Printf("trying again: %v", err)
			sleep(ctx, mistrust)
		}
	}
}

// next does what is to be done next: first what an earlier term left half done, then what is due; else it waits for the next
// tick. It always asks the journal, which alone knows what was done, and keeps nothing in memory that could be out of date.
func (r *replica) next(ctx context.Context, term election.Term) error {
	last, err := r.journal.latest(ctx)
	if err != nil {
		return err
	}
	if last != nil && !last.Finished {
		if last.Token != term.FencingToken {
			r.log.Printf("tick %v was cut off after step %d of %d, under token %d: resuming it", last.Tick, last.Step, steps, last.Token)
			if err := r.journal.takeOver(ctx, term, last); err != nil {
				return err
			}
		}
		return r.work(ctx, term, last)
	}
	var lastTick tick
	if last != nil {
		lastTick = last.Tick
	}
	now := time.Now()
	due := r.schedule.due(lastTick, now)
	if len(due) == 0 {
		// Not before the tick after the last one: an earlier leader's clock may have been ahead of ours.
		next := max(r.schedule.after(now), r.schedule.after(lastTick.time()))
		if !sleep(ctx, time.Until(next.time())) {
			return nil
		}
		due = []tick{next}
	}
	late := ""
	if !r.schedule.onTime(due[0], time.Now()) {
		late = ", late"
	}
	begun, err := r.journal.begin(ctx, term, due[0])
	if err != nil {
		return err
	}
	r.log.Printf("tick %v started%s", begun.Tick, late)
	return r.work(ctx, term, begun)
}

// work does the steps of a run that are not done yet. When the term ends it finishes the step under way and leaves the
// rest to the next leader.
func (r *replica) work(ctx context.Context, term election.Term, run *run) error {
	for run.Step < steps {
		if ctx.Err() != nil {
			r.log.Printf("tick %v is left after step %d of %d: %v", run.Tick, run.Step, steps, context.Cause(ctx))
			return nil
		}
		time.Sleep(stepTime) // here the step is done
		if err := r.journal.stepDone(ctx, term, run); err != nil {
			return err
		}
	}
	if err := r.journal.finish(ctx, term, run); err != nil {
		return err
	}
	r.log.Printf("tick %v finished", run.Tick)
	return nil
}

// sleep waits, and says false if ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func main() {
	os.Exit(start(os.Args[1:]))
}

func start(args []string) int {
	host, _ := os.Hostname()
	f := demo.Flags{Endpoint: os.Getenv("DYNAMODB_ENDPOINT")}
	r := replica{schedule: schedule{missed: runOnce}, journal: &journal{}}
	flags := flag.NewFlagSet("cron", flag.ContinueOnError)
	f.Register(flags, cmp.Or(os.Getenv("LOCK_TABLE"), "leaderkit-demo"))
	isReplica := flags.Bool("replica", false, "be one replica (without it: demonstrate three)")
	flags.StringVar(&r.identity, "identity", cmp.Or(os.Getenv("POD_NAME"), host), "`name` of this replica, unique among those alive (POD_NAME, or the host's name)")
	flags.StringVar(&r.journal.job, "job", cmp.Or(os.Getenv("JOB"), "cron"), "`name` of the job and of its lock (JOB)")
	flags.DurationVar(&r.schedule.period, "period", 2*time.Second, "the job is due at every multiple of this, whole seconds")
	flags.DurationVar(&r.lease, "lease", 3*time.Second, "how long the lock outlives a leader that has crashed")
	flags.Var(&r.schedule.missed, "missed", "`policy` for missed ticks: skip, once (run the latest in place of all), or all (run each)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if r.schedule.period < time.Second || r.schedule.period%time.Second != 0 {
		fmt.Fprintf(os.Stderr, "cron: -period is %v: give whole seconds, 1s or more\n", r.schedule.period)
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
		err = demonstrate(ctx, os.Stdout, f, settings{schedule: r.schedule, lease: r.lease})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cron:", err)
		return 1
	}
	return 0
}
