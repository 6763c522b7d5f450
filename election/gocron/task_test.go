package gocron

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/nodeclock"
)

// failures are the errors of a job's runs, as gocron hears of them.
func failures(to chan<- error) gocron.JobOption {
	return gocron.WithEventListeners(gocron.AfterJobRunsWithError(func(_ uuid.UUID, _ string, err error) { to <- err }))
}

func TestTheContextOfATaskEndsWhenTheLockIsLostAndBeforeAnotherCanHaveIt(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b")
		type end struct {
			at    time.Duration
			cause error
		}
		ends, failed := make(chan end, 1), make(chan error, 1)
		a.every(time.Hour, 10*time.Second, a.locker.Task(func(ctx context.Context) error {
			<-ctx.Done()
			ends <- end{w.now(), context.Cause(ctx)}
			return errors.New("cut short")
		}), failures(failed))
		w.until(12 * time.Second)
		a.cut()
		var won time.Duration
		for won == 0 {
			if lock, err := b.locker.Lock(w.Context(), "job"); err == nil {
				won = w.now()
				w.Expect(lock.Unlock(w.Context())).To(Succeed())
			}
			time.Sleep(10 * time.Millisecond)
		}
		var ended end
		w.Expect(ends).To(Receive(&ended))
		w.Expect(ended.cause).To(MatchError(lockclient.ErrLeaseExpired))
		w.Expect(ended.at).To(BeNumerically("<", won))
		w.Expect(failed).To(Receive(And(MatchError(lockclient.ErrLeaseExpired), MatchError(ContainSubstring("cut short")))))
		w.until(won + 10*time.Second)
	})
}

func TestALossIsReportedEvenIfTheWorkReturnsNoError(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.process("a")
		failed := make(chan error, 1)
		a.every(time.Hour, time.Minute, a.locker.Task(func(ctx context.Context) error {
			a.cut()
			<-ctx.Done()
			return nil
		}), failures(failed))
		w.until(100 * time.Second)
		w.Expect(failed).To(Receive(MatchError(lockclient.ErrLeaseExpired)))
	})
}

// A process that stood still has no timer that tells it so at once: Err looks for itself.
func TestErrLooksAtTheLockAtTheMomentOfTheCall(t *testing.T) {
	virtually(t, func(w *world) {
		clock := nodeclock.New()
		a := w.process("a", func(c *LockerConfig) {
			c.Configure = func(_ string, lock *lockclient.DynamoDBLockClient) { lock.Clock = clock }
		})
		seen := make(chan error, 2)
		a.every(time.Minute, time.Minute, a.locker.Task(func(ctx context.Context) error {
			seen <- ctx.Err()
			clock.JumpWall(20 * time.Second) // the wall clock goes on while timers stand still
			seen <- ctx.Err()
			<-ctx.Done()
			return nil
		}))
		w.until(70 * time.Second)
		w.Expect(seen).To(Receive(BeNil()))
		w.Expect(seen).To(Receive(MatchError(context.Canceled)))
	})
}

func TestARunHasAFencingTokenThatRises(t *testing.T) {
	virtually(t, func(w *world) {
		runs := make(chan Run, 10)
		for i, name := range []string{"a", "b", "a again"} {
			p := w.process(name)
			at := time.Duration(i+1) * 10 * time.Second
			p.every(time.Hour, at, p.locker.Task(func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, time.Second) // a run's own time-out
				defer cancel()
				run, ok := RunFromContext(ctx)
				if !ok {
					return errors.New("no run")
				}
				runs <- run
				return nil
			}))
		}
		w.until(35 * time.Second)
		w.Expect(runs).To(HaveLen(3))
		last := int64(0)
		for range 3 {
			run := <-runs
			w.Expect(run.Job).To(Equal("job"))
			w.Expect(run.FencingToken).To(BeNumerically(">", last))
			last = run.FencingToken
			_, err := run.ConditionCheck()
			w.Expect(err).To(MatchError(lockclient.ErrNotHeld), "the run is over")
		}
		_, ok := RunFromContext(w.Context())
		w.Expect(ok).To(BeFalse())
		_, err := Run{}.ConditionCheck()
		w.Expect(err).To(MatchError(lockclient.ErrNotHeld))
	})
}

func TestAFencedWriteOfARunThatLostItsLockIsRefused(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b")
		write := func(check *dynamodb.ConditionCheck, value string) error {
			_, err := b.locker.config.Client.TransactWriteItems(&dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
				{ConditionCheck: check},
				{Put: &dynamodb.Put{TableName: aws.String(theTable), Item: map[string]*dynamodb.AttributeValue{
					"key": {S: aws.String("result")}, "value": {S: aws.String(value)},
				}}},
			}})
			return err
		}
		var stale *dynamodb.ConditionCheck
		var staleRun Run
		results := make(chan error, 2)
		a.every(time.Hour, 10*time.Second, a.locker.Task(func(ctx context.Context) error {
			staleRun, _ = RunFromContext(ctx)
			var err error
			stale, err = staleRun.ConditionCheck()
			results <- errors.Join(err, write(stale, "in time"))
			a.cut()
			<-ctx.Done()
			return nil
		}))
		w.until(40 * time.Second)
		w.Expect(results).To(Receive(BeNil()))
		a.reconnect()

		_, err := b.locker.Lock(w.Context(), "job") // sees the record
		w.Expect(err).To(HaveOccurred())
		w.until(60 * time.Second)
		lock, err := b.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(lockclient.TransactionError(write(stale, "late"), 0)).To(MatchError(lockclient.ErrLockLost))
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		w.until(62 * time.Second)

		// The same process runs the job again, with the same lock client: the old run's check is
		// not the new run's.
		lock, err = a.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		_, err = staleRun.ConditionCheck()
		w.Expect(err).To(MatchError(lockclient.ErrNotHeld))
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		w.until(64 * time.Second)
	})
}

func TestATaskDoesNotRunWithoutItsLock(t *testing.T) {
	for name, options := range map[string]func(p *process) ([]gocron.SchedulerOption, []gocron.JobOption){
		"no locker": func(*process) ([]gocron.SchedulerOption, []gocron.JobOption) { return nil, nil },
		"an elector takes its place": func(p *process) ([]gocron.SchedulerOption, []gocron.JobOption) {
			return []gocron.SchedulerOption{gocron.WithDistributedLocker(p.locker), gocron.WithDistributedElector(always{})}, nil
		},
		"disabled for the job": func(p *process) ([]gocron.SchedulerOption, []gocron.JobOption) {
			return []gocron.SchedulerOption{gocron.WithDistributedLocker(p.locker)}, []gocron.JobOption{gocron.WithDisabledDistributedJobLocker(true)}
		},
		"the lock of another locker": func(p *process) ([]gocron.SchedulerOption, []gocron.JobOption) {
			return []gocron.SchedulerOption{gocron.WithDistributedLocker(p.w.process("other").locker)}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				p := w.process("a")
				forScheduler, forJob := options(p)
				p.schedule(forScheduler...)
				failed := make(chan error, 1)
				p.every(time.Minute, time.Minute, p.locker.Task(func(context.Context) error {
					w.Error("it runs")
					return nil
				}), append(forJob, failures(failed))...)
				w.until(70 * time.Second)
				w.Expect(failed).To(Receive(MatchError(ErrNotLocked)))
			})
		})
	}
}

// always is an elector of a process that leads.
type always struct{}

func (always) IsLeader(context.Context) error { return nil }

func TestATaskNeedsAName(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a")
		refused := make(chan error, 2)
		for range 2 {
			_, err := p.scheduler.NewJob(gocron.DurationJob(time.Minute), p.locker.Task(func(context.Context) error {
				w.Error("it runs")
				return nil
			}), gocron.WithEventListeners(gocron.AfterLockError(func(_ uuid.UUID, _ string, err error) { refused <- err })))
			w.Expect(err).NotTo(HaveOccurred())
		}
		w.until(70 * time.Second)
		w.Expect(refused).To(HaveLen(2))
		w.Expect(refused).To(Receive(MatchError(ErrUnnamed)))
	})
}

func TestATaskWithoutWorkIsRefusedByGocron(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a")
		_, err := p.scheduler.NewJob(gocron.DurationJob(time.Minute), p.locker.Task(nil))
		w.Expect(err).To(MatchError(gocron.ErrNewJobTaskNotFunc))
		_, err = p.scheduler.NewJob(gocron.DurationJob(time.Minute), (&Elector{}).Task(nil))
		w.Expect(err).To(MatchError(gocron.ErrNewJobTaskNotFunc))
	})
}

// A scheduler that is stopped and started gives its jobs new contexts.
func TestATaskRunsAfterARestartOfItsScheduler(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a")
		p.every(10*time.Second, 10*time.Second, p.locker.Task(func(ctx context.Context) error {
			p.work(ctx, time.Second)
			return nil
		}))
		w.until(15 * time.Second)
		w.Expect(p.scheduler.StopJobs()).To(Succeed())
		w.until(35 * time.Second)
		w.Expect(w.journal.list()).To(HaveLen(1))
		p.scheduler.Start()
		w.until(55 * time.Second)
		w.Expect(w.journal.list()).To(HaveLen(3))
		synctest.Wait()
	})
}
