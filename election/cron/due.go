package cron

import "time"

// never is how long to wait if there is no next tick.
const never = 24 * time.Hour

// due says what to do now if last was the latest tick that was begun: to run a tick, or, if that is
// the zero time, to wait. It is pure.
func (j *Job) due(last, now time.Time) (tick time.Time, wait time.Duration) {
	next := j.after(last)
	switch {
	case next.IsZero():
		return time.Time{}, never
	case next.After(now):
		return time.Time{}, next.Sub(now)
	}
	many := 1
	if j.Missed == RunAll {
		if many = j.MostMissed; many == 0 {
			many = DefaultMostMissed
		}
	}
	recent := j.recent(last, now, many)
	if j.Missed != Skip || j.onTime(recent[0], now) {
		return recent[0], 0
	}
	if next = j.after(now); next.IsZero() {
		return time.Time{}, never
	}
	return time.Time{}, next.Sub(now)
}

// after is the first tick after t. A schedule that does not go forward has no more ticks.
func (j *Job) after(t time.Time) time.Time {
	next := j.Schedule.Next(t)
	if !next.After(t) {
		return time.Time{}
	}
	return next
}

// onTime says whether a tick that is begun now is not missed.
func (j *Job) onTime(tick, now time.Time) bool {
	tolerance := j.Tolerance
	if tolerance == 0 {
		tolerance = time.Minute
		if next := j.after(tick); !next.IsZero() {
			tolerance = min(tolerance, next.Sub(tick)/4)
		}
	}
	return now.Sub(tick) <= tolerance
}

// recent are the latest ticks after last and up to now, in order: as many as are asked for, or all
// of them. There is at least one. A schedule can only be asked forward, so it is asked from ever
// earlier moments, until enough are found: an outage of a year costs no more than one of a day.
func (j *Job) recent(last, now time.Time, many int) []time.Time {
	for span := time.Second; ; span *= 2 {
		from := now.Add(-span)
		all := span >= now.Sub(last)
		if all {
			from = last
		}
		var found []time.Time
		for t := j.after(from); !t.IsZero() && !t.After(now); t = j.after(t) {
			if found = append(found, t); len(found) > 2*many {
				found = append(found[:0], found[many+1:]...)
			}
		}
		if all || len(found) >= many {
			return found[max(len(found)-many, 0):]
		}
	}
}
