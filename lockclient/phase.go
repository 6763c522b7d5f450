package lockclient

import "time"

// phase is what a waiter has learned of the moments at which a holder renews. The waiter
// polls just after each of them. A renewal that is seen late is counted late, and a crashed
// holder is then replaced as much later.
//
// The holder renews once in each recorded period. Polls only tell that a renewal fell
// between the last poll that did not show it and the first that did. The interval
// (after, by] narrows from heartbeat to heartbeat: first by halving it, then by the polls
// that come too early. Only the waiter's own monotonic clock is used.
//
//	         after        by                 after+P  half  by+P+margin
//	───────────┼╌╌renewal╌╌┼───────────────────┼╌╌╌╌╌╌╌┼╌╌╌╌╌╌┼┼──────►
//	                                             poll here while wide ┘└ and here once narrow
//
// Clocks drift apart. The renewals of a holder with the faster clock drift earlier, and
// polls that come after them cannot see it. So the start of the interval moves a little
// earlier in each period. Now and then the interval is then wide enough again for a poll in
// its middle. If that poll shows the renewal already, the search goes on before the interval.
type phase struct {
	period    time.Duration // the holder's; 0: not recorded, and nothing can be predicted
	tolerance time.Duration // an interval this narrow is narrow enough
	after, by time.Duration // the renewal that is seen now was written in between
	polled    time.Duration // when the last poll was sent
	travel    time.Duration // how long the last poll that showed a renewal took
	early     int           // polls since then that did not show the next renewal
	wasNarrow bool          // the interval was narrow enough once
	late      bool          // the renewal that is seen now came later than predicted
}

// A renewal may come earlier than predicted by one part in drift of a period without a
// long search. Clocks of two machines differ by a tenth of that.
const drift = 2000

// newPhase starts from the first sight of a record, written at some time within the
// last period if its holder is alive.
func newPhase(period, lease, sent, arrived time.Duration) phase {
	return phase{
		period:    period,
		tolerance: max(min(lease/100, period/10), time.Millisecond),
		after:     arrived - period,
		by:        arrived,
		polled:    sent,
		travel:    arrived - sent,
	}
}

// renewed takes in a poll that showed n renewals more than the one before.
func (p *phase) renewed(sent, arrived time.Duration, n int64) {
	ahead := time.Duration(n) * p.period
	seen := p.polled + ahead - p.period // the n-th came after this
	predicted := phase{after: p.after + ahead - ahead/drift, by: p.by + ahead}
	// What was known, moved on by as many periods, narrows what was seen.
	after, by := max(seen, predicted.after), min(arrived, predicted.by)
	late := by <= after && seen-predicted.by > p.tolerance
	switch {
	case predicted.after >= arrived:
		// More renewals than there was time for: our clock was stopped, or one was repeated.
		after, by, p.wasNarrow = arrived-p.period, arrived, false
	case late && !p.late:
		// It had to be repeated, or its commit took long. The next one comes in rhythm.
		missed := (arrived - predicted.by).Truncate(p.period)
		after, by = predicted.after+missed, predicted.by+missed
	case late: // two in a row: the rhythm has changed
		after, by, p.wasNarrow = max(predicted.after, arrived-p.period), arrived, false
	case by <= after: // a rhythm that is not quite the recorded one: believe what was seen
		after, by, p.wasNarrow = seen, arrived, false
	case p.wasNarrow && p.early == 0 && arrived < predicted.by: // it comes earlier than was thought
		after = max(seen, after-(p.by-p.after))
	}
	p.after, p.by, p.polled, p.travel, p.early, p.late = after, by, sent, arrived-sent, 0, late
	p.wasNarrow = p.wasNarrow || !p.isWide()
}

// isWide reports whether the interval can be narrowed. A poll in the middle of one that is
// hardly longer than a round trip tells nothing.
func (p *phase) isWide() bool { return p.by-p.after > max(p.tolerance, 3*p.travel) }

// unchanged takes in a poll that showed no renewal. If it was sent when the renewal was
// overdue, it says nothing about the rhythm.
func (p *phase) unchanged(sent time.Duration) {
	p.polled = sent
	p.early++
	if earlier := sent - p.period; earlier > p.after && earlier < p.by {
		p.after = earlier
	}
}

// overdue is how long the next renewal has been due. 0: it is not, or can't be predicted.
func (p *phase) overdue(now time.Duration) time.Duration {
	if p.period == 0 {
		return 0
	}
	return max(now-(p.by+p.period), 0)
}

// next is when to poll next, on the waiter's clock.
func (p *phase) next(jitter jitter) time.Duration {
	margin := p.tolerance/2 + jitter(p.tolerance/2)
	due := p.by + p.period
	switch {
	case p.early == 0 && p.isWide():
		return p.after + (p.by-p.after)/2 + p.period
	case p.polled < due:
		return due + margin
	default:
		// The holder is late, or its rhythm has changed, or it is dead: look again soon,
		// then less and less often.
		if shift := min(p.early, 16); margin <= p.period>>shift {
			return p.polled + margin<<shift
		}
		return p.polled + p.period
	}
}
