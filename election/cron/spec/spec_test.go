package spec

import (
	"fmt"
	"testing"
	"time"
)

func TestTicksAreThoseOfACrontab(t *testing.T) {
	from := time.Date(2026, 11, 25, 20, 30, 15, 0, time.UTC) // a Wednesday
	for text, want := range map[string]string{
		"0 3 * * *":                       "2026-11-26 03:00:00",
		"*/10 * * * *":                    "2026-11-25 20:40:00",
		"*/10 * * * * *":                  "2026-11-25 20:30:20",
		"0 3 * * MON-FRI":                 "2026-11-26 03:00:00",
		"0 3 * * SUN":                     "2026-11-29 03:00:00",
		"@hourly":                         "2026-11-25 21:00:00",
		" CRON_TZ=Asia/Tokyo 0 9 * * * ":  "2026-11-26 00:00:00",
		"TZ=Europe/Berlin 0 3 * * *":      "2026-11-26 02:00:00",
		"CRON_TZ=Europe/Berlin 0 3 1 7 *": "2027-07-01 01:00:00",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := s.Next(from).UTC().Format(time.DateTime); got != want {
			t.Errorf("%q: the next tick is %s, want %s", text, got, want)
		}
	}
}

// All processes must agree on the ticks, whenever they were started.
func TestTicksDoNotDependOnWhenTheyAreAskedFor(t *testing.T) {
	start := time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC) // the clocks of Berlin go forward the next night
	for _, text := range []string{"*/7 * * * *", "30 2 * * *", "CRON_TZ=Europe/Berlin 30 2 * * *", "@weekly"} {
		s := MustParse(text)
		ticks := map[time.Time]bool{}
		for at := s.Next(start); at.Before(start.AddDate(0, 0, 10)); at = s.Next(at) {
			ticks[at.UTC()] = true
		}
		for ask := start; ask.Before(start.AddDate(0, 0, 9)); ask = ask.Add(37*time.Minute + time.Nanosecond) {
			if at := s.Next(ask).UTC(); at.Before(start.AddDate(0, 0, 10)) && !ticks[at] {
				t.Errorf("%q asked at %v: %v is no tick", text, ask, at)
			}
		}
	}
}

func TestWhatIsNoScheduleIsRefused(t *testing.T) {
	for _, text := range []string{"", "* * * *", "61 * * * *", "@every 1h", "CRON_TZ=UTC @every 1h", "TZ=UTC", "CRON_TZ=Nowhere/Else 0 3 * * *", "TZ=", "@often"} {
		if s, err := Parse(text); err == nil {
			t.Errorf("%q is %v", text, s)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MustParse did not panic")
		}
	}()
	MustParse("@every 1h")
}

func ExampleParse() {
	schedule, err := Parse("0 3 * * MON-FRI")
	if err != nil {
		fmt.Println(err)
		return
	}
	friday := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	fmt.Println(schedule.Next(friday))
	// Output: 2026-11-30 03:00:00 +0000 UTC
}
