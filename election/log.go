package election

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Every message of the elector is a constant here, and README.md says what to do about each. They
// are sent by a courier, so that a Logger that blocks delays nothing but its own messages.
const (
	// V(0)
	msgLeading       = "leading"
	msgHandingOver   = "handing over"
	msgStopped       = "stopped leading"
	msgWorkEnded     = "work ended"
	msgNewLeader     = "new leader"
	msgLate          = "renewals are late"
	msgOnTime        = "renewals are on time again"
	msgUnreachable   = "store unreachable"
	msgReachable     = "store reachable again"
	msgNotReleased   = "lock not released"
	msgMaybeTaken    = "lock perhaps taken and not released"
	msgDropped       = "messages dropped"
	msgCampaignAgain = "can campaign again"
	// ERROR
	msgLost           = "leadership lost"
	msgCannotCampaign = "cannot campaign"
	msgOverdue        = "lease over, work still running"
	// V(1)
	msgAttemptFailed = "attempt failed"
	msgReleased      = "lock released"
	msgStandAside    = "standing aside"
	msgNotAnnounced  = "release not announced"
	msgWonTooLate    = "won too late to lead"
	// V(2)
	msgPolled = "polled"
)

// log sends a message at V(level) to the Logger.
func (e *LeaderElector) log(level int, message string, keysAndValues ...any) {
	if e.config.Logger.IsZero() {
		return
	}
	e.sinks.Send(func() {
		if n := e.sinks.TakeDropped(); n > 0 {
			e.config.Logger.Info(msgDropped, "dropped", n)
		}
		e.config.Logger.V(level).Info(message, keysAndValues...)
	})
}

// alert sends an error to the Logger. An operator must act on it.
func (e *LeaderElector) alert(err error, message string, keysAndValues ...any) {
	if e.config.Logger.IsZero() {
		return
	}
	e.sinks.Send(func() { e.config.Logger.Error(err, message, keysAndValues...) })
}

// tell calls a metric.
func (e *LeaderElector) tell(metric func()) {
	if e.metric.leader != nil {
		e.sinks.Send(metric)
	}
}

// logStopped reports the end of the leading context. A loss is an error, because an operator should
// find out why renewals failed.
func (r *run) logStopped(t *term) {
	ledFor := short(lease.Now(r.clock).Since(t.won))
	cause := context.Cause(t.ctx)
	if t.endedBy() == nil {
		r.log(0, msgStopped, "fencingToken", t.FencingToken, "ledFor", ledFor, "cause", "Run's context ended: "+cause.Error())
	} else if errors.Is(cause, ErrResigned) {
		r.log(0, msgStopped, "fencingToken", t.FencingToken, "ledFor", ledFor, "cause", cause.Error())
	} else {
		r.alert(cause, msgLost, "fencingToken", t.FencingToken, "ledFor", ledFor)
	}
}

func (r *run) logOverdue(t *term) {
	who, how := t.overstayer()
	r.alert(nil, msgOverdue, "fencingToken", t.FencingToken, "who", who, "what", how, "for", short(t.expiredFor()))
}

// rhythm records whether the renewals of a term are late. Only the guard uses it.
type rhythm struct {
	late bool
	due  lease.Instant // when the renewal that is late was due
}

// noteRenewal checks the age of the lease once in a tick.
func (r *run) noteRenewal(was *rhythm, age time.Duration) {
	r.tell(func() { r.metric.sinceRenewal(age) })
	late := age > r.figures.Heartbeat+r.figures.Heartbeat/2
	now := lease.Now(r.clock)
	switch {
	case late && !was.late:
		was.due = now.Add(r.figures.Heartbeat - age)
		r.tell(r.metric.slowpath)
		r.log(0, msgLate, "sinceRenewal", short(age), "error", textOf(r.latestFault()))
	case !late && was.late:
		r.log(0, msgOnTime, "lateFor", short(now.Since(was.due)-age))
	}
	was.late = late
}

// textOf returns err's text in one line; "" if err is nil.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// short rounds a duration to milliseconds.
func short(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
