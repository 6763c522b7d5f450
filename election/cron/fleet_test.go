package cron

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/test/wire"
)

func TestEachTickRunsOnceUnderAnyLeaderAndAnyClock(t *testing.T) {
	virtually(t, func(w *world) {
		w.node("a", -7*time.Second, Job{}, lasting(time.Second))
		w.node("b", 0, Job{}, lasting(time.Second))
		w.node("c", 7*time.Second, Job{}, lasting(time.Second))
		for minute := range 30 {
			w.until(time.Duration(minute)*period + 45*time.Second)
			w.leader().elector.Resign(w.Context())
		}
		w.until(30*period + 30*time.Second)
		ran, leaders := map[time.Time]int{}, map[string]bool{}
		for _, r := range w.history() {
			ran[r.tick]++
			leaders[r.node] = true
		}
		for minute := 1; minute <= 30; minute++ {
			w.Expect(ran[w.start.Add(time.Duration(minute)*period).UTC()]).To(Equal(1), "runs of tick %d", minute)
		}
		w.Expect(leaders).To(HaveLen(3), "the test is about changes of leader")
	})
}

func TestARunThatACrashCutsOffIsNotRepeated(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.node("a", 0, Job{}, lasting(40*time.Second))
		w.until(time.Second)
		w.node("b", 0, Job{}, nil)
		w.until(period + 10*time.Second)
		w.Expect(w.record()).To(And(HaveField("State", Running), HaveField("Runner", "a")))
		a.crash()
		w.until(period + 50*time.Second)
		w.Expect(w.record()).To(And(HaveField("State", Lost), HaveField("Attempt", 1), HaveField("Runner", "a")))
		w.until(3*period + 30*time.Second)
		w.Expect(w.minutes()).To(Equal([]string{"1", "2", "3"}))
		w.Expect(w.record()).To(And(HaveField("State", Done), HaveField("Runner", "b"), HaveField("Runs", int64(3))))
	})
}

func TestARunThatACrashCutsOffIsRepeatedForAJobThatAsks(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.node("a", 0, Job{Attempts: 2}, lasting(40*time.Second))
		w.until(time.Second)
		b := w.node("b", 0, Job{Attempts: 2}, lasting(40*time.Second))
		w.until(2 * time.Second)
		w.node("c", 0, Job{Attempts: 2}, nil)
		w.until(period + 10*time.Second)
		a.crash()
		w.until(period + 50*time.Second)
		w.Expect(w.minutes()).To(Equal([]string{"1", "1 again(2)"}))
		for _, n := range []*node{b} { // the second attempt is cut off, too
			if n.elector.IsLeader() {
				n.crash()
			}
		}
		w.until(4*period + 30*time.Second)
		w.Expect(w.minutes()[:2]).To(Equal([]string{"1", "1 again(2)"}))
		w.Expect(w.minutes()[2:]).NotTo(ContainElement(ContainSubstring("again")), "a third attempt")
	})
}

func TestARunThatIsInterruptedByAHandoverIsTakenUpAtOnce(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.node("a", 0, Job{Attempts: 2}, lasting(30*time.Second))
		w.until(time.Second)
		w.node("b", 0, Job{Attempts: 2}, lasting(30*time.Second))
		w.until(period + 10*time.Second)
		a.cancel()
		w.until(period + 30*time.Second)
		w.Expect(w.minutes()).To(Equal([]string{"1", "1 again(2)"}))
		w.Expect(w.history()[1].began).To(BeNumerically("<", period+17*time.Second))
		w.Expect(w.history()[0].ended).To(BeNumerically("<=", w.history()[1].began), "two runs at once")
	})
}

func TestAnOverrunMissesTicksAndNeverOverlaps(t *testing.T) {
	for name, c := range map[string]struct {
		missed Missed
		ran    []string
	}{
		"skip":     {Skip, []string{"1", "4", "7"}},
		"run once": {RunOnce, []string{"1", "3", "6", "8"}},
		"run all":  {RunAll, []string{"1", "2", "3", "4"}},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				w.node("a", 0, Job{Missed: c.missed}, lasting(2*period+30*time.Second))
				w.until(8*period + 45*time.Second)
				w.Expect(w.minutes()).To(Equal(c.ran))
				for i, r := range w.history()[1:] {
					w.Expect(w.history()[i].ended).To(BeNumerically("<=", r.began))
				}
			})
		})
	}
}

func TestTicksWithoutALeaderAreMadeUpForByPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		missed Missed
		ran    []string
	}{
		"skip":     {Skip, []string{"1", "6"}},
		"run once": {RunOnce, []string{"1", "5", "6"}},
		"run all":  {RunAll, []string{"1", "2", "3", "4", "5", "6"}},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				w.node("a", 0, Job{Missed: c.missed}, nil)
				w.until(period + 30*time.Second)
				w.nodes[0].end()
				w.until(5*period + 40*time.Second)
				w.node("b", 0, Job{Missed: c.missed}, nil)
				w.until(6*period + 30*time.Second)
				w.Expect(w.minutes()).To(Equal(c.ran))
			})
		})
	}
}

func TestTheFirstTickIsNotForgottenIfItsLeaderGoes(t *testing.T) {
	virtually(t, func(w *world) {
		job := Job{Schedule: Every(time.Hour), Missed: RunOnce}
		n := w.node("a", 0, job, nil)
		w.until(period)
		n.end()
		w.until(2 * time.Hour)
		w.node("b", 0, job, nil)
		w.until(2*time.Hour + period)
		w.Expect(w.history()).To(HaveLen(1))
	})
}

// A leader stands still beyond its lease, in mid-job. The next one goes on with the ticks. When the
// first one wakes up it must begin nothing, and must not write over what has happened since.
func TestALeaderThatSleepsBeyondItsLeaseChangesNothing(t *testing.T) {
	virtually(t, func(w *world) {
		woken := make(chan struct{})
		a := w.node("a", 0, Job{}, func(context.Context, Tick) error { <-woken; return nil }) // a job that heeds no context
		w.until(time.Second)
		w.node("b", 0, Job{}, nil)
		w.until(period + 10*time.Second)
		a.clock.Pause()
		a.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		w.until(3*period + 30*time.Second)
		w.Expect(w.record()).To(And(HaveField("State", Done), HaveField("Runner", "b")))
		before := w.record()
		a.wire.SetHook(nil)
		a.clock.Continue()
		close(woken)
		w.until(3*period + 45*time.Second)
		w.Expect(w.record()).To(Equal(before))
		w.until(6*period + 30*time.Second)
		w.Expect(w.minutes()).To(Equal([]string{"1", "2", "3", "4", "5", "6"}))
	})
}

func TestALostAnswerCostsNoTickAndRunsNoneTwice(t *testing.T) {
	for name, fault := range map[string]wire.Fault{
		"dropped":             wire.DropReply(),
		"answered with a 500": wire.AfterDelivery(wire.InternalError()),
		"not delivered":       wire.Refuse(),
		"throttled":           wire.Throttle(),
		"delayed":             wire.Delay(7 * time.Second),
		"repeated later":      wire.Echo(20 * time.Second),
		"a conflict":          wire.CancelTransaction("None", "TransactionConflict"),
	} {
		for _, operation := range []string{"TransactWriteItems", "UpdateItem", "GetItem"} {
			t.Run(name+" "+operation, func(t *testing.T) {
				virtually(t, func(w *world) {
					n := w.node("a", 0, Job{}, lasting(time.Second))
					w.until(30 * time.Second)
					calls := 0
					n.wire.SetHook(func(c *wire.Call) wire.Fault {
						// Every third one, but not the lock's own.
						if c.Operation != operation || c.Kind() != wire.Other && c.Kind() != wire.Poll {
							return nil
						}
						if calls++; calls%3 != 1 {
							return nil
						}
						return fault
					})
					w.until(10*period + 30*time.Second)
					n.wire.SetHook(nil)
					w.Expect(w.minutes()).To(Equal([]string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}))
				})
			})
		}
	}
}

func TestARunIsToldWhenItTakesTooLong(t *testing.T) {
	virtually(t, func(w *world) {
		var cause error
		w.node("a", 0, Job{AtMostFor: 20 * time.Second}, func(ctx context.Context, _ Tick) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return cause
		})
		w.until(period + 25*time.Second)
		w.Expect(cause).To(MatchError(ErrTookTooLong))
		w.Expect(w.history()[0].ended).To(Equal(period + 20*time.Second))
		w.Expect(w.record()).To(And(HaveField("State", Failed), HaveField("Error", ContainSubstring("AtMostFor"))))
		w.until(2*period + 1*time.Second)
		w.Expect(w.minutes()).To(Equal([]string{"1", "2"}))
	})
}

func TestRunsStartAtLeastSoFarApart(t *testing.T) {
	virtually(t, func(w *world) {
		job := Job{Missed: RunAll, AtLeastFor: 20 * time.Second}
		w.node("a", 0, job, nil)
		w.until(period + time.Second)
		w.nodes[0].end()
		w.until(5*period + time.Second)
		w.node("b", 3*time.Second, job, nil)
		w.until(7 * period)
		runs := w.history()
		w.Expect(len(runs)).To(BeNumerically(">=", 5))
		for i, r := range runs[1:] {
			w.Expect(r.began-runs[i].began).To(BeNumerically(">=", 20*time.Second), "run %d", i+2)
		}
	})
}

func TestAFailureIsRecordedAndNotRepeated(t *testing.T) {
	virtually(t, func(w *world) {
		w.node("a", 0, Job{Attempts: 3}, func(context.Context, Tick) error { return errJob })
		w.until(period + 30*time.Second)
		w.Expect(w.record()).To(And(HaveField("State", Failed), HaveField("Error", errJob.Error()), HaveField("Attempt", 1)))
		w.until(2*period + 30*time.Second)
		w.Expect(w.minutes()).To(Equal([]string{"1", "2"}))
	})
}

func TestARunHasItsTerm(t *testing.T) {
	virtually(t, func(w *world) {
		checked := errors.New("never called")
		w.node("a", 0, Job{}, func(ctx context.Context, tick Tick) error {
			term, ok := election.TermFromContext(ctx)
			w.Expect(ok).To(BeTrue())
			w.Expect(tick.FencingToken).To(Equal(term.FencingToken))
			w.Expect(tick.Time.Location()).To(Equal(time.UTC))
			_, checked = term.ConditionCheck()
			return nil
		})
		w.until(period + time.Second)
		w.Expect(checked).NotTo(HaveOccurred())
	})
}

func TestAnItemThatIsNoRecordIsLeftAlone(t *testing.T) {
	virtually(t, func(w *world) {
		w.putOther("cron/job")
		n := w.node("a", 0, Job{}, nil)
		w.until(3 * period)
		w.Expect(w.history()).To(BeEmpty())
		_, err := n.cron.Record(w.Context(), "job")
		w.Expect(err).To(MatchError(ErrNotARecord))
		w.Expect(w.readOther("cron/job")).To(Equal("mine"))
	})
}

func TestAPanicGoesOn(t *testing.T) {
	w := &worker{job: &Job{Name: "job"}, Cron: &Cron{}}
	NewWithT(t).Expect(w.guarded(t.Context())).To(And(ContainSubstring(`job "job" panicked`), ContainSubstring("goroutine")))
}
