package cron

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func at(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func TestWhatIsDue(t *testing.T) {
	const on = "2026-11-25 "
	for name, c := range map[string]struct {
		missed    Missed
		last, now string
		tick      string // "": wait
		wait      time.Duration
	}{
		"not yet":                                {Skip, on + "10:00:00", on + "10:00:03", "", 7 * time.Second},
		"on the dot":                             {Skip, on + "10:00:00", on + "10:00:10", on + "10:00:10", 0},
		"a little late is not missed":            {Skip, on + "10:00:00", on + "10:00:12", on + "10:00:10", 0},
		"missed and skipped":                     {Skip, on + "10:00:00", on + "10:00:15", "", 5 * time.Second},
		"missed, the latest in place of all":     {RunOnce, on + "10:00:00", on + "10:00:35", on + "10:00:30", 0},
		"missed, the first of all":               {RunAll, on + "10:00:00", on + "10:00:35", on + "10:00:10", 0},
		"missed, the first of the latest three":  {RunAll, on + "10:00:00", on + "10:10:35", on + "10:10:10", 0},
		"a year missed":                          {RunAll, "2025-11-25 10:00:00", on + "10:10:35", on + "10:10:10", 0},
		"an earlier leader's clock was ahead":    {RunAll, on + "10:01:00", on + "10:00:03", "", 67 * time.Second},
		"skipped, and the latest one is in time": {Skip, on + "10:00:00", on + "10:00:31", on + "10:00:30", 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			j := Job{Schedule: Every(10 * time.Second), Missed: c.missed, MostMissed: 3}
			tick, wait := j.due(at(c.last), at(c.now))
			if c.tick == "" {
				g.Expect(tick.IsZero()).To(BeTrue(), "%v", tick)
			} else {
				g.Expect(tick).To(Equal(at(c.tick)))
			}
			g.Expect(wait).To(Equal(c.wait))
		})
	}
}

func TestASecondlyScheduleIsNotWalkedThroughAYear(t *testing.T) {
	g := NewWithT(t)
	asked := 0
	j := Job{Missed: RunAll, Schedule: scheduleFunc(func(t time.Time) time.Time {
		asked++
		return t.Truncate(time.Second).Add(time.Second)
	})}
	tick, _ := j.due(at("2025-01-01 00:00:00"), at("2026-01-01 00:00:00"))
	g.Expect(tick).To(Equal(at("2026-01-01 00:00:00").Add(-(DefaultMostMissed - 1) * time.Second)))
	g.Expect(asked).To(BeNumerically("<", 1000))
}

type scheduleFunc func(time.Time) time.Time

func (f scheduleFunc) Next(t time.Time) time.Time { return f(t) }

func TestAScheduleThatEndsOrStandsStillHasNoTicks(t *testing.T) {
	g := NewWithT(t)
	for name, s := range map[string]Schedule{
		"ends":         scheduleFunc(func(time.Time) time.Time { return time.Time{} }),
		"stands still": scheduleFunc(func(t time.Time) time.Time { return t }),
		"goes back":    scheduleFunc(func(t time.Time) time.Time { return t.Add(-time.Hour) }),
	} {
		tick, wait := (&Job{Schedule: s, Missed: RunAll}).due(at("2026-01-01 00:00:00"), at("2026-01-02 00:00:00"))
		g.Expect(tick.IsZero()).To(BeTrue(), name)
		g.Expect(wait).To(Equal(never), name)
	}
	// One last tick, in between.
	last := at("2026-01-01 12:00:00")
	once := scheduleFunc(func(t time.Time) time.Time {
		if t.Before(last) {
			return last
		}
		return time.Time{}
	})
	tick, _ := (&Job{Schedule: once, Missed: RunOnce}).due(at("2026-01-01 00:00:00"), at("2026-01-02 00:00:00"))
	g.Expect(tick).To(Equal(last))
	tick, wait := (&Job{Schedule: once}).due(at("2026-01-01 00:00:00"), at("2026-01-02 00:00:00"))
	g.Expect(tick.IsZero()).To(BeTrue())
	g.Expect(wait).To(Equal(never))
}

func TestABadConfigurationNamesEveryField(t *testing.T) {
	g := NewWithT(t)
	_, err := New(Config{Jobs: []Job{
		{Name: "a", Missed: 7, MostMissed: -1, Attempts: -1, Tolerance: 5, AtMostFor: -1, AtLeastFor: 1, Schedule: Every(0)},
		{Name: "a", Schedule: scheduleFunc(func(t time.Time) time.Time { return t })},
		{},
	}})
	g.Expect(err).To(MatchError(ErrInvalidConfig))
	for _, field := range []string{"Client", "TableName", "Missed is 7", "MostMissed", "Attempts", "Tolerance is 5ns", "AtMostFor", "AtLeastFor",
		"Every(0s)", "twice", "Run is nil", "whose Next is later", "Name has 0 bytes", "Schedule is nil"} {
		g.Expect(err.Error()).To(ContainSubstring(field))
	}
	_, err = New(Config{})
	g.Expect(err).To(MatchError(ContainSubstring("Jobs is empty")))
}
