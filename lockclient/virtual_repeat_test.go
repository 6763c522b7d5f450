package lockclient_test

import (
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/wire"
)

// The SDK would repeat a failed request byte for byte; an old version could then be put back after
// a newer one. The library repeats what failed itself, and says something new each time.
func TestNoWriteIsEverSentTwiceWithTheSameBody(t *testing.T) {
	for name, fault := range transient() {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				node := w.node("node")
				seen := map[string]wire.Kind{}
				for _, kind := range []wire.Kind{wire.Acquire, wire.Heartbeat, wire.Release} {
					node.wire.SetHook(wire.On(kind, func(n int, _ *wire.Call) wire.Fault {
						if n%2 == 1 {
							return fault
						}
						return nil
					}))
					switch kind {
					case wire.Acquire: // some of the faults end the first attempt
						if held, _ := node.GetLock(); !held {
							node.get()
						}
					case wire.Heartbeat:
						w.passWatching(3 * theLease)
					case wire.Release:
						if node.RemoveLock() != nil {
							w.Expect(node.RemoveLock()).To(Succeed(), "not released at the second try either")
						}
					}
				}
				for _, call := range node.wire.Calls() {
					body := string(call.Body)
					w.Expect(seen[body]).To(BeEmpty(), "two requests, the later one to %s, have one body: %s", call.Kind(), body)
					seen[body] = call.Kind()
				}
				w.Expect(len(seen)).To(BeNumerically(">=", 8), "only %d requests were sent", len(seen))
			})
		})
	}
}

func TestWaitingCostsOneCheapReadAHeartbeat(t *testing.T) {
	for name, waiters := range map[string]int{"one waiter": 1, "twenty waiters": 20} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder := w.node("holder")
				holder.get()
				all := make([]*node, waiters)
				for i := range all {
					all[i] = w.node("waiter-" + strconv.Itoa(i))
					all[i].waits()
				}
				w.pass(time.Minute) // learning the rhythm
				for _, waiter := range all {
					waiter.wire.Meter()
					waiter.wire.Reset()
				}
				holder.wire.Reset()
				w.pass(100 * heartbeat)
				beats := holder.wire.Kinds()[wire.Heartbeat]
				for _, waiter := range all {
					polls := waiter.wire.Kinds()[wire.Poll]
					w.Expect(polls == waiter.wire.Count("") && 4*polls <= 5*beats).To(BeTrue(), "%v requests during %d heartbeats", waiter.wire.Counts(), beats)
					cost := waiter.wire.Capacity()
					w.Expect(cost.Write == 0 && cost.Read == float64(polls)/2).To(BeTrue(), "%d polls cost %+v", polls, cost)
				}
			})
		})
	}
}
