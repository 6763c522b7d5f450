// Package spec reads the schedules of crontabs, such as "0 3 * * *", for package election/cron. The
// parser is that of github.com/robfig/cron/v3.
//
//	schedule, err := spec.Parse("0 3 * * MON-FRI")
//	...
//	cron.Job{Name: "report", Schedule: schedule, Run: report}
package spec

import (
	"fmt"
	"strings"

	robfig "github.com/robfig/cron/v3"

	"github.com/leaderkit/leaderkit/election/cron"
)

var parser = robfig.NewParser(robfig.SecondOptional | robfig.Minute | robfig.Hour | robfig.Dom | robfig.Month | robfig.Dow | robfig.Descriptor)

// Parse reads a schedule:
//
//	minute hour day-of-month month day-of-week      0 3 * * MON-FRI
//	second minute hour ... (six fields)             */10 * * * * *
//	@yearly, @monthly, @weekly, @daily, @hourly
//	CRON_TZ=Europe/Berlin 0 3 * * *                 in a time zone of its own
//
// Without CRON_TZ its times are those of Config.Location, which is UTC if it is not set. In a time
// zone with daylight saving time, a tick in the hour that is left out does not occur.
//
// "@every 1h" is refused, because it counts from whatever it is asked with: two processes, or a
// process that has been restarted, would disagree about the ticks. Use cron.Every(time.Hour), which
// is due at each full hour.
func Parse(text string) (cron.Schedule, error) {
	text = strings.TrimSpace(text)
	zone, rest, found := strings.Cut(text, " ")
	if strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ=") {
		if !found {
			return nil, fmt.Errorf("cron/spec: %q: give a schedule after %s", text, zone)
		}
	} else {
		rest = text
	}
	if strings.HasPrefix(strings.TrimSpace(rest), "@every") {
		return nil, fmt.Errorf("cron/spec: %q has no fixed ticks: use cron.Every, or a schedule such as */5 * * * *", text)
	}
	schedule, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("cron/spec: %q: %w", text, err)
	}
	return schedule, nil
}

// MustParse is Parse for schedules that are part of the program. It panics where Parse has an
// error.
func MustParse(text string) cron.Schedule {
	schedule, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return schedule
}
