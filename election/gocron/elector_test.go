package gocron

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/nodeclock"
	"github.com/leaderkit/leaderkit/test/wire"
)

// candidate is a process whose scheduler has an Elector.
type candidate struct {
	*process
	elector *Elector
	stop    context.CancelFunc
	ended   chan error
}

// candidate makes one and runs its elector.
func (w *world) candidate(name string, change ...func(*election.LeaderElectionConfig)) *candidate {
	w.Helper()
	c := &candidate{process: &process{w: w, name: name, wire: wire.New(dynamotest.Transport(w.server))}, ended: make(chan error, 1)}
	config := election.LeaderElectionConfig{
		Name: "test", RenewDeadline: 10 * time.Second, ReleaseOnCancel: true,
		Lock: &lockclient.DynamoDBLockClient{
			LockName: "leader", Identifier: name, TableName: theTable, LeaseDuration: theLease, Client: wire.NewClient(c.wire),
		},
	}
	for _, f := range change {
		f(&config)
	}
	var err error
	if c.elector, err = NewElector(config); err != nil {
		w.Fatal(err)
	}
	c.schedule(gocron.WithDistributedElector(c.elector))
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	w.Cleanup(stop)
	go func() { c.ended <- c.elector.Run(ctx) }()
	synctest.Wait()
	return c
}

// end stops the elector and waits for it.
func (c *candidate) end() {
	c.reconnect()
	c.stop()
	if err := <-c.ended; err != nil {
		c.w.Error(err)
	}
}

func (c *candidate) leads() error { return c.elector.IsLeader(context.Background()) }

func TestOnlyTheLeadersSchedulerRunsJobs(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.candidate("a"), w.candidate("b")
		defer a.end()
		defer b.end()
		for i, c := range []*candidate{a, b} {
			c.every(10*time.Second, 10*time.Second+time.Duration(i)*100*time.Millisecond, c.takes(50*time.Millisecond))
		}
		w.Expect(a.leads()).To(Succeed())
		w.until(9 * time.Second)
		w.Expect(b.leads()).To(And(MatchError(ErrNotLeader), MatchError(ContainSubstring(`"a" was last seen to lead`))))
		w.until(35 * time.Second)
		w.Expect(a.elector.Resign(w.Context())).To(Succeed())
		w.Expect(a.leads()).To(MatchError(ErrNotLeader))
		w.until(65 * time.Second)
		w.Expect(w.journal.perTick(10 * time.Second)).To(HaveExactElements(1, 1, 1, 1, 1, 1))
		for _, e := range w.journal.list() {
			if e.from < 35*time.Second {
				w.Expect(e.who).To(Equal("a"))
			} else {
				w.Expect(e.who).To(Equal("b"))
			}
		}
	})
}

func TestTheLockIsReleasedWhenTheJobsHaveReturned(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.candidate("a"), w.candidate("b")
		defer a.end()
		defer b.end()
		causes := make(chan error, 1)
		a.every(time.Hour, 10*time.Second, a.elector.Task(func(ctx context.Context) error {
			leave := w.journal.enter("a")
			defer leave()
			<-ctx.Done()
			causes <- context.Cause(ctx)
			time.Sleep(4 * time.Second) // it has to tidy up
			return nil
		}))
		b.every(time.Second, 0, b.elector.Task(func(ctx context.Context) error {
			b.work(ctx, 100*time.Millisecond)
			return nil
		}))
		w.until(20 * time.Second)
		w.Expect(a.elector.Resign(w.Context())).To(Succeed())
		w.Expect(w.now()).To(Equal(24 * time.Second))
		w.Expect(causes).To(Receive(MatchError(election.ErrResigned)))
		w.until(30*time.Second + 500*time.Millisecond)
		w.Expect(w.journal.atOnce()).To(Equal(1))
		w.Expect(len(w.journal.list())).To(BeNumerically(">", 3), "the other has taken over")
	})
}

func TestAJobEndsWithTheTermBeforeAnotherCanLead(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.candidate("a"), w.candidate("b")
		defer a.end()
		defer b.end()
		causes := make(chan error, 1)
		for _, c := range []*candidate{a, b} {
			c.every(5*time.Second, 5*time.Second, c.elector.Task(func(ctx context.Context) error {
				c.work(ctx, 30*time.Second)
				if c == a && len(causes) == 0 && ctx.Err() != nil {
					causes <- context.Cause(ctx)
				}
				return nil
			}), gocron.WithSingletonMode(gocron.LimitModeReschedule))
		}
		w.until(7 * time.Second)
		a.cut()
		w.until(46 * time.Second)
		w.Expect(causes).To(Receive(MatchError(election.ErrLeaseExpired)))
		w.Expect(w.journal.atOnce()).To(Equal(1))
		runs := w.journal.list()
		w.Expect(runs[0].who).To(Equal("a"))
		w.Expect(runs[0].to).To(BeNumerically("<", 17*time.Second), "RenewDeadline after the last renewal")
		w.Expect(runs[len(runs)-1].who).To(Equal("b"))
		a.reconnect()
		w.Expect(b.elector.Resign(w.Context())).To(Succeed())
		a.stop()
		w.until(60 * time.Second)
		b.stop()
		synctest.Wait()
	})
}

func TestAJobKnowsItsTerm(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.candidate("a")
		defer a.end()
		type key struct{}
		seen := make(chan error, 1)
		a.every(time.Hour, time.Second, a.elector.Task(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second) // a run's own time-out
			defer cancel()
			term, ok := election.TermFromContext(ctx)
			switch {
			case !ok || term.Identity != "a" || term.FencingToken == 0:
				seen <- errors.New("not the term's")
			case ctx.Value(key{}) != "gocron's":
				seen <- errors.New("not the values of gocron's context")
			default:
				_, err := term.ConditionCheck()
				seen <- err
			}
			return nil
		}), gocron.WithContext(context.WithValue(context.Background(), key{}, "gocron's")))
		w.until(2 * time.Second)
		w.Expect(seen).To(Receive(BeNil()))
	})
}

func TestErrOfAJobLooksAtTheLeaseAtTheMomentOfTheCall(t *testing.T) {
	virtually(t, func(w *world) {
		clock := nodeclock.New()
		a := w.candidate("a", func(c *election.LeaderElectionConfig) {
			c.Clock, c.Lock.(*lockclient.DynamoDBLockClient).Clock = clock, clock
		})
		defer a.end()
		seen := make(chan error, 3)
		a.every(time.Hour, time.Second, a.elector.Task(func(ctx context.Context) error {
			seen <- ctx.Err()
			clock.JumpWall(20 * time.Second) // the wall clock goes on while timers stand still
			seen <- ctx.Err()
			seen <- a.leads()
			<-ctx.Done()
			return nil
		}))
		w.until(2 * time.Second)
		w.Expect(seen).To(Receive(BeNil()))
		w.Expect(seen).To(Receive(MatchError(context.Canceled)))
		w.Expect(seen).To(Receive(MatchError(ErrNotLeader)))
	})
}

func TestAJobEndsWhenGocronsContextDoes(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.candidate("a")
		defer a.end()
		ended := make(chan error, 1)
		job := a.every(time.Hour, time.Second, a.elector.Task(func(ctx context.Context) error {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil
		}))
		w.until(2 * time.Second)
		w.Expect(a.scheduler.RemoveJob(job.ID())).To(Succeed())
		synctest.Wait()
		w.Expect(ended).To(Receive(MatchError(context.Canceled)))
		w.Expect(a.leads()).To(Succeed())
	})
}

// Between gocron's question and the start of the task, the term may end.
func TestATaskDoesNotRunWithoutATerm(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.candidate("a")
		defer a.end()
		failed := make(chan error, 1)
		a.schedule(gocron.WithDistributedElector(always{}))
		a.every(time.Hour, 10*time.Second, a.elector.Task(func(context.Context) error {
			w.Error("it runs")
			return nil
		}), failures(failed))
		w.until(5 * time.Second)
		a.stop()
		w.until(12 * time.Second)
		w.Expect(failed).To(Receive(MatchError(ErrNotLeader)))
	})
}

func TestTheCallbacksOfTheConfigurationAreCalled(t *testing.T) {
	virtually(t, func(w *world) {
		ended := make(chan error, 1)
		stopped := make(chan bool, 10)
		returns := make(chan struct{})
		a := w.candidate("a", func(c *election.LeaderElectionConfig) {
			c.OneTerm = true
			c.Callbacks.OnStartedLeading = func(context.Context) { <-returns }
			c.Callbacks.OnStoppedLeading = func() { stopped <- true }
		})
		defer a.end()
		a.every(time.Hour, time.Second, a.elector.Task(func(ctx context.Context) error {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			time.Sleep(time.Second)
			if len(stopped) > 0 {
				w.Error("OnStoppedLeading was called before the job had returned")
			}
			return nil
		}))
		w.until(2 * time.Second)
		close(returns)
		synctest.Wait()
		w.Expect(ended).To(Receive(MatchError(election.ErrResigned)), "work that returns has resigned, for the jobs as well")
		w.Expect(a.leads()).To(MatchError(ErrNotLeader))
		w.until(5 * time.Second)
		w.Expect(stopped).To(HaveLen(1))
	})
}

func TestNewElectorRefusesWhatElectionRefuses(t *testing.T) {
	g := NewWithT(t)
	elector, err := NewElector(election.LeaderElectionConfig{})
	g.Expect(elector).To(BeNil())
	g.Expect(err).To(MatchError(election.ErrInvalidConfig))
}

func TestAnElectorThatDoesNotRunDoesNotLead(t *testing.T) {
	g := NewWithT(t)
	elector, err := NewElector(election.LeaderElectionConfig{Lock: &lockclient.DynamoDBLockClient{
		LockName: "leader", TableName: theTable, LeaseDuration: theLease, Client: dynamotest.NewClient(dynamotest.New()),
	}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(elector.IsLeader(t.Context())).To(Equal(ErrNotLeader))
}
