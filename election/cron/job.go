package cron

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Schedule says when a job is due. Next returns the first tick after t, or the zero time if there
// is none. All processes must compute the same ticks, so it may depend only on t, and not, for
// example, on when the process was started. The schedules of github.com/robfig/cron/v3 are
// Schedules, except "@every", which has no fixed ticks.
type Schedule interface {
	Next(t time.Time) time.Time
}

// Every is due at each multiple of d since year 1 in UTC, as time.Truncate counts: Every(time.Hour)
// at each full hour. New refuses a d of 0 or less.
func Every(d time.Duration) Schedule { return every(d) }

type every time.Duration

func (e every) Next(t time.Time) time.Time {
	if e <= 0 {
		return time.Time{}
	}
	return t.Truncate(time.Duration(e)).Add(time.Duration(e))
}

// Tick is one run of a job.
type Tick struct {
	Job string
	// Time is when the run was due. It names the tick: no other run of the job has the same.
	Time time.Time
	// Attempt is 1, or more for a run that earlier leaders have not finished.
	Attempt int
	// FencingToken is that of the term.
	FencingToken int64
}

// Missed says what is done about ticks that were not started in time.
type Missed int

const (
	// Skip ignores them.
	Skip Missed = iota
	// RunOnce runs only the latest of them.
	RunOnce
	// RunAll runs each of them in order, but not more than Job.MostMissed.
	RunAll
)

// DefaultMostMissed is Job.MostMissed if that is 0.
const DefaultMostMissed = 100

// Job is something to do at each tick of a schedule.
type Job struct {
	// Name names the job's record. It must stay the same from one release to the next. Required.
	Name string

	// Schedule says when the job is due. Required.
	Schedule Schedule

	// Run does the work. Its context is the leading context: it ends with the term, and
	// election.TermFromContext gives the term. Run should then return soon, because no other
	// process leads before it has. An error is recorded and logged. It does not make the tick run
	// again. A panic ends the term and goes on. Required.
	Run func(ctx context.Context, tick Tick) error

	// Missed says what is done about ticks that were not started in time: there was no leader, or
	// the previous run took too long. The zero value is Skip.
	Missed Missed

	// MostMissed is how many missed ticks RunAll makes up for. Older ones are left out. 0: 100.
	MostMissed int

	// Tolerance is how late a tick may be started without being missed. It should exceed a lease,
	// so that a tick survives the crash of a leader. 0: a minute, or a quarter of the time until
	// the next tick if that is less.
	Tolerance time.Duration

	// Attempts is how often a tick may be run, if the leader crashes or its term ends during the
	// run. 0 is 1: at most once. More: at least once, if a leader comes.
	Attempts int

	// AtMostFor ends the context of a run that takes longer (the cause is ErrTookTooLong). The run
	// keeps its place until it returns: no other run of the job is started meanwhile. 0: no limit.
	AtMostFor time.Duration

	// AtLeastFor is the shortest time between the starts of two runs, also of missed ticks, also in
	// different processes, as far as their clocks agree. 0: none.
	AtLeastFor time.Duration
}

// Errors for errors.Is.
var (
	// ErrInvalidConfig: fields that don't fit, all of them, each with its remedy.
	ErrInvalidConfig = errors.New("cron: invalid configuration")
	// ErrTookTooLong: a run took longer than Job.AtMostFor.
	ErrTookTooLong = errors.New("cron: the run took longer than AtMostFor")
	// ErrNotARecord: the item under a job's key is something else. It was not changed.
	ErrNotARecord = errors.New("cron: item is not the record of a job")
)

// longestName keeps keys below DynamoDB's limit.
const longestName = 1024

func (j *Job) check(now time.Time) error {
	var wrong []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			wrong = append(wrong, fmt.Errorf("job %q: "+format, append([]any{j.Name}, args...)...))
		}
	}
	refuse(j.Name == "" || len(j.Name) > longestName, "Name has %d bytes: give 1 to %d", len(j.Name), longestName)
	refuse(j.Run == nil, "Run is nil: give the function that does the work")
	refuse(j.Missed < Skip || j.Missed > RunAll, "Missed is %d: give Skip, RunOnce or RunAll", j.Missed)
	refuse(j.MostMissed < 0, "MostMissed is %d: give a number, or 0 for %d", j.MostMissed, DefaultMostMissed)
	refuse(j.Attempts < 0, "Attempts is %d: give a number, or 0 for 1", j.Attempts)
	for name, d := range map[string]time.Duration{"Tolerance": j.Tolerance, "AtMostFor": j.AtMostFor, "AtLeastFor": j.AtLeastFor} {
		refuse(d < 0 || d > 0 && d < time.Millisecond, "%s is %v: give a millisecond or more, or 0", name, d)
	}
	if j.Schedule == nil {
		refuse(true, "Schedule is nil: give one, such as cron.Every(time.Hour)")
		return errors.Join(wrong...)
	}
	if e, ok := j.Schedule.(every); ok && e <= 0 {
		refuse(true, "Schedule is Every(%v): give a time above 0", time.Duration(e))
	} else if next := j.Schedule.Next(now); !next.IsZero() && !next.After(now) {
		refuse(true, "Schedule: Next(%v) is %v: give a schedule whose Next is later", now, next)
	}
	return errors.Join(wrong...)
}

func (j *Job) attempts() int { return max(j.Attempts, 1) }
