package lockclient

import "time"

// phase is what a waiter has learned of the moments at which a holder renews, so
// that it can poll just after each of them: a renewal that is seen late is counted
// late, and a crashed holder replaced as much later.
//
// The holder renews once a recorded period. All that polls tell is that a renewal
// fell between the last poll that didn't show it and the first that did; the interval
// (after, by] narrows from heartbeat to heartbeat, first by halving it, then by the
// polls that come too early. No clock but the waiter's own monotonic one is used.
//
//	         after        by                 after+P  half  by+P+margin
//	───────────┼╌╌renewal╌╌┼───────────────────┼╌╌╌╌╌╌╌┼╌╌╌╌╌╌┼┼──────►
//	                                             poll here while wide ┘└ and here once narrow
//
// Two clocks drift apart, and a holder whose clock is the faster one renews ever earlier than
// foretold, which a poll that comes after it never shows. So what is known of the moment
// after which it renews is trusted less from period to period, and now and then the interval
// is wide enough again for a poll in the middle of it. Where that one shows the renewal
// already, the search goes on before the interval.
type phase struct {
	period    time.Duration // the holder's; 0: not recorded, and nothing can be predicted
	tolerance time.Duration // an interval this narrow is narrow enough
	after, by time.Duration // the renewal that is seen now was written in between
	polled    time.Duration // when the last poll was sent
	travel    time.Duration // what the last poll that showed a renewal took
	early     int           // polls since then that did not show the next renewal
	settled   bool          // the interval was narrow enough once
	late      bool          // the renewal that is seen now came later than the rhythm has it
}

// One part in drift of a period is how much earlier a renewal can come, from one to the
// next, without being searched for long: ten times what two machines' quartzes differ by.
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
	foretold := phase{after: p.after + ahead - ahead/drift, by: p.by + ahead}
	// What was known, moved on by as many periods, narrows what was seen.
	after, by := max(seen, foretold.after), min(arrived, foretold.by)
	late := by <= after && seen-foretold.by > p.tolerance
	switch {
	case foretold.after >= arrived:
		// More of them than there was time for: our clock stood still, or one was repeated.
		after, by, p.settled = arrived-p.period, arrived, false
	case late && !p.late:
		// It had to be repeated, or its commit took long. The next one comes where the rhythm
		// has it.
		missed := (arrived - foretold.by).Truncate(p.period)
		after, by = foretold.after+missed, foretold.by+missed
	case late: // two in a row: the rhythm has changed
		after, by, p.settled = max(foretold.after, arrived-p.period), arrived, false
	case by <= after: // a rhythm that is not quite the recorded one: believe what was seen
		after, by, p.settled = seen, arrived, false
	case p.settled && p.early == 0 && arrived < foretold.by: // it comes earlier than was thought
		after = max(seen, after-(p.by-p.after))
	}
	p.after, p.by, p.polled, p.travel, p.early, p.late = after, by, sent, arrived-sent, 0, late
	p.settled = p.settled || !p.isWide()
}

// isWide reports whether the interval can be narrowed: a poll in the middle of one that is
// hardly longer than the way there and back tells nothing.
func (p *phase) isWide() bool { return p.by-p.after > max(p.tolerance, 3*p.travel) }

// unchanged takes in a poll that showed no renewal. One that was sent when the renewal was
// overdue says nothing of the rhythm.
func (p *phase) unchanged(sent time.Duration) {
	p.polled = sent
	p.early++
	if earlier := sent - p.period; earlier > p.after && earlier < p.by {
		p.after = earlier
	}
}

// overdue is for how long the next renewal has been due; 0: it isn't, or can't be foretold.
func (p *phase) overdue(now time.Duration) time.Duration {
	if p.period == 0 {
		return 0
	}
	return max(now-(p.by+p.period), 0)
}

// next is when to poll next, on the waiter's clock.
func (p *phase) next(jitter func(upTo time.Duration) time.Duration) time.Duration {
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
