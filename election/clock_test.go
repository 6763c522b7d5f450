package election

import (
	"context"

	"github.com/leaderkit/leaderkit/test/nodeclock"
)

// nodeClock is the clock of one simulated machine.
type nodeClock struct {
	*nodeclock.Clock
	rate float64
}

func newNodeClock(rate float64) *nodeClock {
	c := &nodeClock{nodeclock.New(), rate}
	if rate != 1 {
		c.SetRate(rate)
	}
	return c
}

// resume ends a pause and a suspend.
func (c *nodeClock) resume() {
	c.Resume()
	c.Continue()
}

// awake returns when the machine runs: what it sends and receives waits here.
func (c *nodeClock) awake() { _ = c.AwaitRunning(context.Background()) }
