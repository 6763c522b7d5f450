package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

var picture = flag.String("picture", "", "`file` for the picture of TestFenceRefusesAWriterStoppedBetweenItsLookAndItsWrite")

// The worst moment to stand still is between the look at the lock and the write. No lock can help
// there, and the unfenced counter shows it; the fence refuses the late writer.
func TestFenceRefusesAWriterStoppedBetweenItsLookAndItsWrite(t *testing.T) {
	t.Parallel()
	c := newCluster(t, sharedEngine(t), setup{contenders: 2, lease: lease, configure: stopsOnce})
	late := c.pauseTheFirst()
	c.awaitIncrements(10)
	c.continueTheFirst(late)
	c.compare(t)
	if *picture != "" {
		drawing, err := DrawHistories(CompareHistories(c.evidence(), lockName), late.name())
		if err == nil {
			err = os.WriteFile(*picture, drawing, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// Both counters are read and incremented by 2, 4 and 8 clients, while tenures are short and the
// first holder stands still once. CHAOS_OPERATIONS says how long a history is.
func TestHistoriesOfTwoFourAndEightClients(t *testing.T) {
	t.Parallel()
	operations := count(t, "CHAOS_OPERATIONS", 1000)
	for _, clients := range []int{2, 4, 8} {
		t.Run(fmt.Sprintf("%d clients, %d operations", clients, operations), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, sharedEngine(t), setup{contenders: clients, lease: lease, configure: func(i int, config *WorkerConfig) {
				stopsOnce(i, config)
				config.Hold, config.Pace, config.ReadEvery = lease/2, 10*time.Millisecond, 10*time.Millisecond
			}})
			late := c.pauseTheFirst()
			c.awaitIncrements(10)
			c.continueTheFirst(late)
			c.eventually(time.Duration(operations)*20*time.Millisecond+patience, fmt.Sprintf("%d operations", operations), func(context.Context) bool {
				c.last(300 * time.Millisecond)
				n := 0
				for _, e := range c.entries() {
					if e.Counter == Fenced && (e.Kind == Read || e.Kind == Return && e.Outcome == Done) {
						n++
					}
				}
				return n >= operations
			})
			c.compare(t)
		})
	}
}

func stopsOnce(i int, config *WorkerConfig) { config.StopOnce = i == 0 }

// pauseTheFirst starts the first worker, which holds the lock and stops itself, and then the
// others, and waits until one of them is at work.
func (c *cluster) pauseTheFirst() (late *contender) {
	c.t.Helper()
	late = c.workers[0]
	late.start()
	var token int64
	c.eventually(patience, "the first worker to hold the lock", func(ctx context.Context) bool {
		var w *contender
		w, token = c.holder(ctx)
		return w == late
	})
	for _, w := range c.workers[1:] {
		w.start()
	}
	c.awaitHolder(token)
	return late
}

// continueTheFirst has the first worker write at last, and demands that its guarded write is
// refused.
func (c *cluster) continueTheFirst(late *contender) {
	c.t.Helper()
	late.fault(Stopped, func() {}) // it did that itself
	late.continued()
	var answer Entry
	c.eventually(patience, "the late writer to have its answer", func(context.Context) bool {
		entries, err := ReadJournal(filepath.Join(c.dir, late.name()+".jsonl"))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range entries {
			if e.Kind == Return && e.Counter == Fenced {
				answer = e
				return true
			}
		}
		return false
	})
	if answer.Outcome != Refused {
		c.t.Errorf("the late increment with token %d was %s: %s", answer.Token, answer.Outcome, answer.Text)
	}
}

// compare winds the cluster up and demands that the guarded counter's history is linearizable, and
// that the other's is not.
func (c *cluster) compare(t *testing.T) {
	t.Helper()
	c.finish()
	h := CompareHistories(c.evidence(), lockName)
	t.Logf("guarded: %d operations, %v; unguarded: %d operations, %v", h.Operations[0], h.Fenced, h.Operations[1], h.Unfenced)
	if h.Fenced != porcupine.Ok {
		t.Errorf("the history of the guarded counter is %v", h.Fenced)
	}
	if h.Unfenced != porcupine.Illegal {
		t.Errorf("the history of the unguarded counter is %v: this scenario no longer shows what fencing is for", h.Unfenced)
	}
}
