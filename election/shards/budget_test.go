package shards

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/test/race"
	"github.com/leaderkit/leaderkit/test/wire"
)

// counter counts the requests of a node by whether they write.
type counter struct{ reads, writes atomic.Int64 }

func (c *counter) count(call *wire.Call) wire.Fault {
	if strings.HasPrefix(call.Operation, "Get") || strings.HasPrefix(call.Operation, "BatchGet") {
		c.reads.Add(1)
	} else {
		c.writes.Add(1)
	}
	return nil
}

// The budgets of a fleet: even parts, a crash, a join, and what it costs at rest.
func budgets(t *testing.T, shards, replicas int, even, afterCrash, afterJoin []int) {
	virtually(t, func(w *world) {
		for i := range replicas {
			w.node(fmt.Sprint("r", i), count(shards)).run()
		}
		t.Logf("led evenly %v after the start", w.balanced(time.Minute, even...))
		w.pass(theLease)

		counters := make([]counter, replicas)
		for i, n := range w.nodes {
			n.wire.SetHook(counters[i].count)
		}
		const periods = 20
		w.pass(periods * heartbeat)
		for i, n := range w.nodes {
			reads, writes := float64(counters[i].reads.Load())/periods, float64(counters[i].writes.Load())/periods
			if reads > 5 || writes > 1.05 {
				t.Errorf("at rest %s reads %.2f times and writes %.2f times a heartbeat", n.name, reads, writes)
			}
			if i == 0 {
				t.Logf("at rest %s reads %.2f times and writes %.2f times a heartbeat", n.name, reads, writes)
			}
			n.wire.SetHook(nil)
		}

		w.pass(3 * time.Second)
		w.nodes[0].crash()
		took := w.allLed(time.Minute, shards)
		t.Logf("all led again %v after a crash: %.2f leases", took, took.Seconds()/theLease.Seconds())
		if took > theLease*115/100 {
			t.Errorf("all were led again %v after the crash", took)
		}
		t.Logf("led evenly %v after that", w.balanced(time.Minute, afterCrash...))
		w.pass(theLease)

		before, joined := w.leaders(), w.now()
		w.node("new", count(shards)).run()
		t.Logf("led evenly %v after a join", w.balanced(time.Minute, afterJoin...))
		moved := 0
		for shard, leader := range w.leaders() {
			if before[shard] != leader {
				moved++
			}
		}
		if share := shards / replicas; float64(moved) > 1.25*float64(share) {
			t.Errorf("%d moved, the part of the new one is %d", moved, share)
		}
		w.noGap(joined, 100*time.Millisecond)
	})
}

func TestBudgetsOf512ShardsOnThreeReplicas(t *testing.T) {
	budgets(t, 512, 3, []int{170, 171, 171}, []int{256, 256}, []int{170, 171, 171})
}

func TestBudgetsOf10000ShardsOnTenReplicas(t *testing.T) {
	shards := 10_000
	if testing.Short() || race.Enabled {
		shards = 1000
	}
	each := func(replicas int) (parts []int) {
		for i := range replicas {
			parts = append(parts, (shards+i)/replicas)
		}
		return parts
	}
	budgets(t, shards, 10, each(10), each(9), each(10))
}
