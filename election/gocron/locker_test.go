package gocron

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/go-co-op/gocron/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

func TestAShortJobRunsOnceEachTick(t *testing.T) {
	run := func(hold time.Duration) (counts []int) {
		virtually(t, func(w *world) {
			for i, name := range []string{"a", "b", "c"} {
				p := w.process(name, func(c *LockerConfig) { c.MinimumHold = hold })
				// The clocks differ by 75 ms each, and the job takes 50 ms.
				p.every(10*time.Second, 10*time.Second+time.Duration(i)*75*time.Millisecond, p.takes(50*time.Millisecond))
			}
			w.until(95 * time.Second)
			counts = w.journal.perTick(10 * time.Second)
			w.Expect(w.journal.atOnce()).To(Equal(1))
		})
		return counts
	}
	g := NewWithT(t)
	g.Expect(run(time.Second)).To(HaveExactElements(1, 1, 1, 1, 1, 1, 1, 1, 1))
	g.Expect(run(NoMinimumHold)).To(HaveExactElements(3, 3, 3, 3, 3, 3, 3, 3, 3), "which is what the minimum hold is for")
}

func TestARunThatTakesLongerThanTheIntervalAndTheLeaseIsNeverJoinedByAnother(t *testing.T) {
	virtually(t, func(w *world) {
		for _, name := range []string{"a", "b"} {
			p := w.process(name)
			p.every(10*time.Second, 10*time.Second, p.takes(44*time.Second))
		}
		w.until(170 * time.Second)
		w.Expect(w.journal.atOnce()).To(Equal(1))
		w.Expect(w.journal.list()).To(HaveLen(4), "at 10, 60, 110 and 160 s")
		w.until(205 * time.Second)
		for _, p := range w.processes {
			for _, err := range p.allRefusals() {
				w.Expect(err).To(MatchError(lockclient.ErrLockHeld))
			}
		}
		w.until(209 * time.Second) // no run is under way
	})
}

func TestOneProcessHasALockOnce(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a")
		lock, err := p.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())

		refused := func(why string) {
			_, err := p.locker.Lock(w.Context(), "job")
			w.Expect(err).To(And(MatchError(ErrBusy), MatchError(lockclient.ErrLockHeld), MatchError(ContainSubstring(why))))
		}
		refused("a run is under way")
		other, err := p.locker.Lock(w.Context(), "another job")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(other.Unlock(w.Context())).To(Succeed())

		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		refused("MinimumHold is not over")
		w.until(time.Second)
		lock, err = p.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		w.Expect(lock.Unlock(w.Context())).To(Succeed(), "a second time")
	})
}

func TestManyGoroutinesGetALockOneAtATime(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a", func(c *LockerConfig) { c.MinimumHold = NoMinimumHold })
		var holders, won atomic.Int32
		done := make(chan struct{})
		for range 50 {
			go func() {
				defer func() { done <- struct{}{} }()
				for range 20 {
					lock, err := p.locker.Lock(w.Context(), "job")
					if err != nil {
						time.Sleep(time.Millisecond)
						continue
					}
					if holders.Add(1) != 1 {
						w.Error("two holders")
					}
					won.Add(1)
					time.Sleep(3 * time.Millisecond)
					holders.Add(-1)
					if err := lock.Unlock(w.Context()); err != nil {
						w.Error(err)
					}
				}
			}()
		}
		for range 50 {
			<-done
		}
		w.Expect(won.Load()).To(BeNumerically(">", 5))
	})
}

func TestTwoSchedulersOfOneProcessShareALocker(t *testing.T) {
	virtually(t, func(w *world) {
		one := w.process("a")
		two := &process{w: w, name: "a", wire: wire.New(nil)}
		two.schedule(gocron.WithDistributedLocker(one.locker))
		for _, p := range []*process{one, two} {
			p.every(10*time.Second, 10*time.Second, p.takes(2*time.Second))
		}
		w.until(55 * time.Second)
		w.Expect(w.journal.perTick(10 * time.Second)).To(HaveExactElements(1, 1, 1, 1, 1))
		w.Expect(append(one.allRefusals(), two.allRefusals()...)).To(HaveEach(MatchError(ErrBusy)))
	})
}

func TestAShutdownReleasesTheLockAlthoughGocronCancelsTheContext(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a", func(c *LockerConfig) { c.MinimumHold = NoMinimumHold }), w.process("b")
		a.every(10*time.Second, 10*time.Second, a.locker.Task(func(ctx context.Context) error {
			a.work(ctx, time.Hour)
			return ctx.Err()
		}))
		w.until(11 * time.Second)
		_, err := b.locker.Lock(w.Context(), "job")
		w.Expect(err).To(MatchError(lockclient.ErrLockHeld))

		w.Expect(a.scheduler.Shutdown()).To(Succeed())
		w.Expect(w.now()).To(Equal(11*time.Second), "no time has passed")
		lock, err := b.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		w.until(13 * time.Second)
	})
}

// The version of a lock's record that a crashed holder leaves is not the one that others saw when
// it began, so they have to see it twice: the locker must remember what it saw from one tick to the
// next, however long that takes.
func TestACrashedHolderBlocksAJobForOneTickAtMost(t *testing.T) {
	for _, interval := range []time.Duration{30 * time.Second, time.Hour, 7 * 24 * time.Hour} {
		t.Run(interval.String(), func(t *testing.T) {
			virtually(t, func(w *world) {
				crashed, other := w.process("crashed"), w.process("other")
				for i, p := range []*process{crashed, other} {
					p.every(interval, interval+time.Duration(i)*100*time.Millisecond, p.locker.Task(func(ctx context.Context) error {
						p.work(ctx, 10*time.Second)
						return nil
					}))
				}
				w.until(interval + 8*time.Second) // heartbeats have changed the record since the other was refused
				crashed.cut()
				w.until(4*interval + 15*time.Second)
				var runs []time.Duration
				for _, e := range w.journal.list() {
					if e.who == "other" {
						runs = append(runs, e.from.Round(time.Second))
					}
				}
				w.Expect(runs).To(HaveExactElements(3*interval, 4*interval), "the tick at %v was refused", 2*interval)
			})
		})
	}
}

func TestTakeOverRunsTheTickThatFindsACrashedHolder(t *testing.T) {
	virtually(t, func(w *world) {
		const interval = 24 * time.Hour
		takeOver := func(c *LockerConfig) { c.TakeOver = true }
		crashed := w.process("crashed", takeOver)
		for i, p := range []*process{crashed, w.process("b", takeOver), w.process("c", takeOver)} {
			p.every(interval, interval+time.Duration(i)*100*time.Millisecond, p.locker.Task(func(ctx context.Context) error {
				p.work(ctx, 10*time.Second)
				return nil
			}))
		}
		w.until(interval + 8*time.Second)
		crashed.cut()
		w.until(4*interval + 15*time.Second)
		runs := w.journal.list()
		w.Expect(runs).To(HaveLen(4), "one a day")
		w.Expect(w.journal.atOnce()).To(Equal(1))
		w.Expect(runs[1].from).To(BeNumerically("~", 2*interval+theLease, 300*time.Millisecond))
		w.Expect(runs[2].from).To(BeNumerically("~", 3*interval, 300*time.Millisecond))
	})
}

func TestTakeOverTakesNothingFromALiveHolder(t *testing.T) {
	takeOver := func(c *LockerConfig) { c.TakeOver = true }
	for about, took := range map[string]time.Duration{
		"that is through with the tick before its next heartbeat": 50 * time.Millisecond,
		"that is through with the tick later":                     7 * time.Second,
		"that takes longer than the lease":                        20 * time.Second,
	} {
		t.Run(about, func(t *testing.T) {
			virtually(t, func(w *world) {
				for i, name := range []string{"a", "b", "c"} {
					p := w.process(name, takeOver)
					p.every(time.Hour, time.Hour+time.Duration(i)*75*time.Millisecond, p.takes(took))
				}
				w.until(3*time.Hour + 30*time.Minute)
				w.Expect(w.journal.perTick(time.Hour)).To(HaveExactElements(1, 1, 1))
				for _, p := range w.processes {
					for _, err := range p.allRefusals() {
						w.Expect(err).To(MatchError(lockclient.ErrLockHeld))
					}
				}
			})
		})
	}
}

// Without a look at the record, a lock that was released meanwhile can't be told from a crashed
// holder's.
func TestTakeOverTakesNothingThatItCannotLookAt(t *testing.T) {
	for name, fault := range map[string]wire.Fault{"denied": wire.AccessDenied(), "unavailable": wire.Unavailable()} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				a, b := w.process("a"), w.process("b", func(c *LockerConfig) { c.TakeOver = true })
				b.wire.SetHook(func(c *wire.Call) wire.Fault {
					if c.Operation == "GetItem" {
						return fault
					}
					return nil
				})
				for i, p := range []*process{a, b} {
					p.every(time.Hour, time.Hour+time.Duration(i)*75*time.Millisecond, p.takes(50*time.Millisecond))
				}
				w.until(3*time.Hour + 30*time.Minute)
				w.Expect(w.journal.perTick(time.Hour)).To(HaveExactElements(1, 1, 1))
			})
		})
	}
}

func TestTakeOverTakesNothingThatWasReleasedBeforeTheFirstLook(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b", func(c *LockerConfig) { c.TakeOver = true })
		b.wire.SetHook(func(c *wire.Call) wire.Fault {
			if c.Operation == "GetItem" {
				return wire.Delay(2 * time.Second)
			}
			return nil
		})
		for i, p := range []*process{a, b} {
			p.every(time.Hour, time.Hour+time.Duration(i)*75*time.Millisecond, p.takes(50*time.Millisecond))
		}
		w.until(2*time.Hour + 30*time.Minute)
		w.Expect(w.journal.perTick(time.Hour)).To(HaveExactElements(1, 1))
	})
}

func TestTakeOverDoesNotWaitForALeaseThatIsLongerThanItsOwn(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.process("a", func(c *LockerConfig) { c.LeaseDuration = time.Minute })
		b := w.process("b", func(c *LockerConfig) { c.TakeOver = true })
		lock, err := a.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		_, err = b.locker.Lock(w.Context(), "job")
		w.Expect(err).To(MatchError(lockclient.ErrLockHeld))
		w.Expect(w.now()).To(BeZero())
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
	})
}

// lockclient watches the records of other makes for a little longer than their lease.
func TestTakeOverWorksOnACrashedHolderOfAnotherMake(t *testing.T) {
	virtually(t, func(w *world) {
		b := w.process("b", func(c *LockerConfig) { c.TakeOver = true })
		_, err := dynamotest.NewClient(w.server).PutItem(&dynamodb.PutItemInput{TableName: aws.String(theTable), Item: map[string]*dynamodb.AttributeValue{
			"key": {S: aws.String("test/job")}, "ownerName": {S: aws.String("Java")},
			"leaseDuration": {S: aws.String("15000")}, "recordVersionNumber": {S: aws.String("1")},
		}})
		w.Expect(err).NotTo(HaveOccurred())
		lock, err := b.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.now()).To(And(BeNumerically(">", 15*time.Second), BeNumerically("<", 16*time.Second)))
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
	})
}

func TestCloseEndsAWaitForACrashedHolder(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b", func(c *LockerConfig) { c.TakeOver = true })
		lock, err := a.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		a.cut()
		refused := make(chan error, 1)
		go func() {
			_, err := b.locker.Lock(w.Context(), "job")
			refused <- err
		}()
		w.until(3 * time.Second)
		w.Expect(refused).To(BeEmpty())
		w.Expect(b.locker.Close(w.Context())).To(Succeed())
		w.Expect(w.now()).To(BeNumerically("~", 3*time.Second, 100*time.Millisecond))
		w.Expect(<-refused).To(MatchError(ErrClosed))
		a.reconnect()
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
	})
}

func TestAnUnlockSaysThatTheLockWasLost(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a", func(c *LockerConfig) { c.MinimumHold = time.Minute })
		lock, err := p.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		p.cut()
		w.until(20 * time.Second)
		p.reconnect()
		w.Expect(lock.Unlock(w.Context())).To(MatchError(lockclient.ErrLeaseExpired))
		w.Expect(p.locker.runs).To(BeEmpty())
		lock, err = p.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred(), "a lock that was lost needs no minimum hold")
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
	})
}

func TestLocksOfIdleJobsAreDropped(t *testing.T) {
	virtually(t, func(w *world) {
		p, other := w.process("a"), w.process("b")
		held, err := other.locker.Lock(w.Context(), "held")
		w.Expect(err).NotTo(HaveOccurred())
		use := func(key string) {
			lock, err := p.locker.Lock(w.Context(), key)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(lock.Unlock(w.Context())).To(Succeed())
		}
		for i := range 100 {
			use(fmt.Sprint("tenant ", i))
		}
		_, err = p.locker.Lock(w.Context(), "held")
		w.Expect(err).To(MatchError(lockclient.ErrLockHeld))
		w.until(keptFree + 2*time.Second)
		use("job")
		w.Expect(p.locker.jobs).To(HaveLen(2), "this one, and the one that watches another holder")
		w.Expect(held.Unlock(w.Context())).To(Succeed())
		w.until(keptWatching + time.Hour)
		use("job")
		w.Expect(p.locker.jobs).To(HaveLen(1))
		w.until(keptWatching + 2*time.Hour)
	})
}

func TestALockIsNotTakenByAnAttemptThatTookLongerThanTheMinimumHold(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b")
		a.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Delay(3 * time.Second) })
		_, err := a.locker.Lock(w.Context(), "job")
		w.Expect(err).To(MatchError(ContainSubstring("not acquired within MinimumHold, 1s")))
		w.Expect(w.now()).To(BeNumerically("<", 3*time.Second))

		a.wire.SetHook(nil)
		w.until(10 * time.Second) // the late request has arrived
		lock, err := a.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred(), "the record is its own")
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		w.until(12 * time.Second)
		lock, err = b.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		w.until(15 * time.Second)
	})
}

func TestAnUnlockThatFailsSaysSoAndTheNextRunGoesOn(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a", func(c *LockerConfig) { c.MinimumHold = NoMinimumHold })
		lock, err := p.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		p.cut()
		err = lock.Unlock(w.Context())
		w.Expect(err).To(MatchError(ContainSubstring("was not released and runs out by itself")))
		w.Expect(lock.Unlock(w.Context())).To(Equal(err))
		w.Expect(w.now()).To(BeNumerically("<=", releasePatience+time.Second))

		p.reconnect()
		lock, err = p.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred(), "its own record")
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
	})
}

func TestCloseWaitsForTheMinimumHold(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b")
		lock, err := a.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		w.Expect(a.locker.Close(w.Context())).To(Succeed())
		w.Expect(w.now()).To(Equal(time.Second))
		_, err = a.locker.Lock(w.Context(), "job")
		w.Expect(err).To(MatchError(ErrClosed))
		lock, err = b.locker.Lock(w.Context(), "job")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(lock.Unlock(w.Context())).To(Succeed())
		w.Expect(a.locker.Close(w.Context())).To(Succeed(), "a second time")
	})
}

func TestCloseThatCannotWaitLeavesLocksToRunOut(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b")
		held, err := a.locker.Lock(w.Context(), "held")
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(held.Unlock(w.Context())).To(Succeed())
		underWay, err := a.locker.Lock(w.Context(), "under way")
		w.Expect(err).NotTo(HaveOccurred())

		ctx, cancel := context.WithTimeout(w.Context(), 300*time.Millisecond)
		defer cancel()
		err = a.locker.Close(ctx)
		w.Expect(err).To(And(MatchError(context.DeadlineExceeded), MatchError(ContainSubstring("1 locks run out by themselves, and jobs still run"))))
		w.Expect(underWay.Unlock(w.Context())).To(Succeed())
		w.Expect(a.locker.Close(w.Context())).To(Succeed(), "nothing goes on")
		w.Expect(w.now()).To(Equal(300 * time.Millisecond))

		for _, key := range []string{"held", "under way"} {
			_, err := b.locker.Lock(w.Context(), key)
			w.Expect(err).To(MatchError(lockclient.ErrLockHeld), "the minimum hold of %q is kept", key)
		}
		w.until(theLease + time.Second)
		for _, key := range []string{"held", "under way"} {
			lock, err := b.locker.Lock(w.Context(), key)
			w.Expect(err).NotTo(HaveOccurred(), key)
			w.Expect(lock.Unlock(w.Context())).To(Succeed())
		}
		w.until(theLease + 3*time.Second)
	})
}

func TestARunThatHangsIsGivenUpAfterTheMaximumHold(t *testing.T) {
	virtually(t, func(w *world) {
		hung, other := w.process("hung", func(c *LockerConfig) { c.MaximumHold = time.Minute }), w.process("other")
		release := make(chan struct{})
		cause := make(chan error, 1)
		hung.every(30*time.Second, 30*time.Second, hung.locker.Task(func(ctx context.Context) error {
			context.AfterFunc(ctx, func() { cause <- context.Cause(ctx) })
			<-release
			return nil
		}))
		other.every(30*time.Second, 31*time.Second, other.takes(time.Second))
		w.until(89 * time.Second)
		w.Expect(cause).To(BeEmpty())
		w.Expect(w.journal.list()).To(BeEmpty())
		w.until(90 * time.Second)
		w.Expect(cause).To(Receive(MatchError(ErrHeldTooLong)))
		w.until(155 * time.Second)
		w.Expect(w.journal.perTick(30*time.Second)).To(HaveExactElements(1, 1), "at 121 s, the lease being over, and at 151 s")
		w.Expect(hung.allRefusals()).To(HaveEach(MatchError(ErrBusy)), "the process that hangs does not run the job a second time")
		close(release)
		synctest.Wait()
	})
}

func TestALockerForOneJob(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b")
		for _, p := range []*process{a, b} {
			p.schedule() // without a locker
			p.every(10*time.Second, 10*time.Second, p.takes(50*time.Millisecond), gocron.WithDistributedJobLocker(p.locker))
			p.every(10*time.Second, 15*time.Second, p.takes(50*time.Millisecond), gocron.WithName("free for all"))
		}
		w.until(38 * time.Second)
		w.Expect(w.journal.perTick(5 * time.Second)).To(HaveExactElements(1, 2, 1, 2, 1, 2))
	})
}

func TestNewLockerNamesEveryBadField(t *testing.T) {
	g := NewWithT(t)
	refused := func(change func(*LockerConfig)) string {
		config := LockerConfig{Client: dynamotest.NewClient(dynamotest.New()), TableName: "locks", LeaseDuration: theLease, MinimumHold: time.Second}
		change(&config)
		_, err := NewLocker(config)
		g.Expect(err).To(MatchError(ErrInvalidConfig))
		return err.Error()
	}
	g.Expect(refused(func(c *LockerConfig) { *c = LockerConfig{} })).To(And(
		ContainSubstring("LeaseDuration"), ContainSubstring("TableName"), ContainSubstring("Client"), ContainSubstring("MinimumHold is 0")))
	g.Expect(refused(func(c *LockerConfig) { c.MinimumHold = -time.Second })).To(ContainSubstring("MinimumHold is -1s"))
	g.Expect(refused(func(c *LockerConfig) { c.MaximumHold = -1 })).To(ContainSubstring("MaximumHold is -1ns"))
	g.Expect(refused(func(c *LockerConfig) { c.MaximumHold = time.Second })).To(ContainSubstring("MaximumHold is 1s"))
	g.Expect(refused(func(c *LockerConfig) { c.Prefix = strings.Repeat("x", 2048) })).To(ContainSubstring("LockName"))
}

func TestAJobWhoseLockIsMisconfiguredIsRefusedAndForgotten(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a", func(c *LockerConfig) {
			c.Configure = func(key string, lock *lockclient.DynamoDBLockClient) {
				if key == "bad" {
					lock.TTL = time.Second
				}
			}
		})
		_, err := p.locker.Lock(w.Context(), "bad")
		w.Expect(err).To(And(MatchError(lockclient.ErrInvalidConfig), MatchError(ContainSubstring("TTL"))))
		_, err = p.locker.Lock(w.Context(), strings.Repeat("x", 3000))
		w.Expect(err).To(MatchError(lockclient.ErrInvalidConfig))
		w.Expect(p.locker.jobs).To(BeEmpty())
	})
}

func TestPrefixesKeepProgramsApart(t *testing.T) {
	virtually(t, func(w *world) {
		a, b := w.process("a"), w.process("b", func(c *LockerConfig) { c.Prefix = "another program/" })
		for _, p := range []*process{a, b} {
			p.every(10*time.Second, 10*time.Second, p.takes(time.Second))
		}
		w.until(25 * time.Second)
		w.Expect(w.journal.perTick(10 * time.Second)).To(HaveExactElements(2, 2))
	})
}

func TestAMissingTableIsReportedAtEachTickAndNoJobRuns(t *testing.T) {
	virtually(t, func(w *world) {
		p := w.process("a", func(c *LockerConfig) { c.TableName = "nowhere" })
		p.every(10*time.Second, 10*time.Second, p.takes(time.Second))
		w.until(25 * time.Second)
		w.Expect(w.journal.list()).To(BeEmpty())
		w.Expect(p.allRefusals()).To(HaveLen(2))
		w.Expect(errors.Is(p.allRefusals()[0], lockclient.ErrTableNotFound)).To(BeTrue())
	})
}
