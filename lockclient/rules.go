package lockclient

import (
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// rules is what a lock's decisions depend on. It never changes.
type rules struct {
	name     string // the lock's
	identity string // this client's name in the record
	lease.Timing
	poll      time.Duration // the longest pause between two polls
	pollFixed bool          // PollPeriod was given: never pause longer than poll
	skew      time.Duration // MaxClockSkew; 0: wall clocks are never compared
	reclaim   bool          // ReclaimOnRestart
}
