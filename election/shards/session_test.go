package shards

import (
	"context"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// newSource gives the node a session.
func (n *node) newSource() {
	n.session = &lockclient.Session{TableName: theTable, Client: wire.NewClient(n.wire), LeaseDuration: theLease, HeartbeatPeriod: heartbeat,
		Identifier: n.name, Clock: n.clock, Logger: n.logger.WithName("session")}
	n.close = func() {
		if err := n.session.Close(context.Background()); err != nil && !n.dead {
			n.w.Errorf("%s: Close: %v", n.name, err)
		}
	}
}
