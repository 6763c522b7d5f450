package shards

import (
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Every message is a constant here, and README.md says what to do about each. A courier sends them,
// so that a Logger that blocks delays nothing but its own messages.
const (
	// V(0)
	msgJoined       = "joined the group"
	msgAssigned     = "shards assigned"
	msgSuspected    = "heartbeat of a member is late"
	msgDead         = "member is dead"
	msgLeaving      = "leaving the group"
	msgLeft         = "left the group"
	msgNotLeft      = "entry in the group not removed"
	msgNotReleased  = "lock not released"
	msgUnreachable  = "store unreachable"
	msgCanServe     = "can join the group again"
	msgOverdueEnded = "overdue work has ended"
	msgDropped      = "messages dropped"
	// ERROR
	msgLost        = "session lost"
	msgCannotServe = "cannot join the group"
	msgOverdue     = "lock lost, work still running"
	msgPanicked    = "callback panicked"
	// V(1)
	msgLeads         = "leading a shard"
	msgStopped       = "stopped leading a shard"
	msgAttemptFailed = "attempt failed"
	msgFailed        = "request failed"
)

// log has the Logger called with a message for level V(level).
func (r *Replica) log(level int, message string, keysAndValues ...any) {
	if r.logger.IsZero() || level > 0 && !r.verbose {
		return
	}
	r.sinks.Send(func() {
		if n := r.sinks.TakeDropped(); n > 0 {
			r.logger.Info(msgDropped, "dropped", n)
		}
		r.logger.V(level).Info(message, keysAndValues...)
	})
}

// alert passes an error to the Logger. An operator must act on it.
func (r *Replica) alert(err error, message string, keysAndValues ...any) {
	if !r.logger.IsZero() {
		r.sinks.Send(func() { r.logger.Error(err, message, keysAndValues...) })
	}
}

func (r *run) logEnd(s *shard, cause string) {
	ledFor := lease.Now(r.clock).Since(s.term.began)
	r.log(1, msgStopped, "shard", s.name, "fencingToken", s.term.token, "ledFor", short(ledFor), "cause", cause)
	if m := r.metrics; m != nil {
		name, shard := r.name, s.name
		r.sinks.Send(func() { m.TermEnded(name, shard, ledFor, cause) })
	}
}

// textOf is err's text in one line; "" if there is no error.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// short is a duration in whole milliseconds.
func short(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
