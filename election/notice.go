package election

import (
	"context"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// notice is the time for which a leader that was told to stop goes on leading, so that the
// candidates know of it before it stops. Only the guard uses it.
//
//	told to stop    announced    own heartbeat   candidates poll   the leading context ends
//	 ├────────────────┼─────────────────┼──────────────┼────────────────┤
//	 └ leading ─────────────────────────────────────────────────────────┘
//
// Candidates poll just after each heartbeat. After the poll that shows the announcement they poll
// often.
type notice struct {
	end       func()          // ends the leading context; nil: this term was not told to stop
	announced chan error      // the result of the announcement; nil: it is not awaited
	over      <-chan struct{} // rings when the candidates have polled; nil: not yet announced
	stopAlarm func() bool
	cancel    context.CancelFunc // of the announcement
}

// notifies reports whether a term that is told to stop goes on leading for a notice.
func (r *run) notifies(t *term) bool {
	_, announces := r.lock().(releaseAnnouncer)
	return r.config.HandoverNotice && announces && t.working() && r.willRelease(t) && !r.isCrashed()
}

// begin announces the release, or ends the leading context at once if there is no notice. Only the
// first call counts.
func (n *notice) begin(r *run, t *term, end func()) {
	if n.end != nil {
		return
	}
	n.end = end
	if !r.notifies(t) {
		end()
		return
	}
	r.enter(handingOver)
	r.log(0, msgHandingOver, "fencingToken", t.FencingToken)
	ctx, cancel := lease.WithTimeout(context.WithoutCancel(r.ctx), r.clock, r.figures.Heartbeat, errNoAnswer)
	n.cancel = cancel
	announced := make(chan error, 1)
	n.announced = announced
	t.noticed = true
	t.calls.Go(func() {
		announced <- inTime(ctx, r.lock().(releaseAnnouncer).AnnounceRelease(ctx), r.figures.Heartbeat)
	})
}

// wait waits for the polls of the candidates after an announcement, or ends the leading context if
// the announcement failed.
func (n *notice) wait(r *run, t *term, err error) {
	n.announced = nil
	if err != nil {
		r.log(1, msgNotAnnounced, "error", textOf(err))
		n.end()
		return
	}
	n.over, n.stopAlarm = lease.Alarm(t.clock, r.figures.untilPolled(lease.Now(t.clock).Since(*t.sent.Load())))
}

// untilPolled returns how long it takes until each candidate has polled once, if the latest renewal
// was sent so long ago. Candidates poll just after each heartbeat is due, and their reads may lag
// behind the announcement. So a heartbeat that is due at once does not count.
func (f *figures) untilPolled(sent time.Duration) time.Duration {
	lag := min(f.Heartbeat/10, 200*time.Millisecond)
	next := f.Heartbeat - (sent+lag)%f.Heartbeat
	return lag + next + f.Heartbeat/10 + lag
}

func (n *notice) stop() {
	if n.cancel != nil {
		n.cancel()
	}
	if n.stopAlarm != nil {
		n.stopAlarm()
	}
}
