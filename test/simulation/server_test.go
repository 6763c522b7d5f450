package simulation

import (
	"testing"
	"testing/synctest"
	"time"
)

// inBubble makes a world of two machines with a client each, and nothing in it that happens by
// itself.
func inBubble(t *testing.T, do func(h *history)) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		machines := []machinePlan{{rate: 1, latency: time.Millisecond}, {rate: 1, latency: time.Millisecond}}
		w := newWorld(1, &plan{lease: 10 * time.Second, locks: 1, machines: machines})
		for _, m := range w.machines {
			p := m.newProcess()
			c := p.newClient(0, clientPlan{lease: 10 * time.Second, heartbeat: 3 * time.Second, poll: time.Second})
			p.clients, m.clients, w.clients = []*client{c}, []*client{c}, append(w.clients, c)
		}
		do(&history{w})
	})
}
