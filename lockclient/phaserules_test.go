package lockclient

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestWhatARenewalTellsOfTheRhythm states each rule of phase.renewed by numbers: milliseconds on
// the waiter's clock, a period of 1,000, and a tolerance of 30.
func TestWhatARenewalTellsOfTheRhythm(t *testing.T) {
	ms := func(x float64) time.Duration { return time.Duration(x * float64(time.Millisecond)) }
	type interval struct{ after, by float64 }
	type rule struct {
		known         interval // of the renewal that was seen before
		polled        float64  // the last poll, which did not show the next one
		narrow, late  bool     // what is known of the rhythm
		sent, arrived float64  // the poll that shows it
		n             int64
		want          interval
		wantNarrow    bool
		wantLate      bool
	}
	for name, r := range map[string]rule{
		"it came between the last two polls": {known: interval{100, 200}, polled: 1120, sent: 1150, arrived: 1160, n: 1,
			want: interval{1120, 1160}},
		"what was known says more than the polls": {known: interval{100, 200}, polled: 1000, sent: 1290, arrived: 1300, n: 1,
			want: interval{1099.5, 1200}},
		"more renewals than there was time for": {known: interval{100, 110}, polled: 1000, narrow: true, sent: 1490, arrived: 1500, n: 3,
			want: interval{500, 1500}},
		"exactly so many": {known: interval{100.5, 200}, polled: 1050, sent: 1090, arrived: 1100, n: 1,
			want: interval{100, 1100}},
		"late once: the next one comes in rhythm": {known: interval{100, 200}, polled: 1300, sent: 1305, arrived: 1310, n: 1,
			want: interval{1099.5, 1200}, wantLate: true},
		"late by more than a period": {known: interval{100, 200}, polled: 2300, sent: 2305, arrived: 2310, n: 1,
			want: interval{2099.5, 2200}, wantLate: true},
		"late twice: the rhythm has changed": {known: interval{100, 120}, polled: 1300, narrow: true, late: true, sent: 1305, arrived: 1310, n: 1,
			want: interval{1099.5, 1310}, wantLate: true},
		"late twice, and by more than a period": {known: interval{100, 200}, polled: 2300, late: true, sent: 2305, arrived: 2310, n: 1,
			want: interval{1310, 2310}, wantLate: true},
		"late by less than is tolerated: the polls are believed": {known: interval{100, 200}, polled: 1210, narrow: true, sent: 1290, arrived: 1300, n: 1,
			want: interval{1210, 1300}},
		"late by just what is tolerated": {known: interval{100, 200}, polled: 1230, sent: 1235, arrived: 1240, n: 1,
			want: interval{1230, 1240}, wantNarrow: true},
		"a poll at the very end of what was known": {known: interval{100, 200}, polled: 1200, sent: 1290, arrived: 1300, n: 1,
			want: interval{1200, 1300}},
		"earlier than was thought: the search goes on before": {known: interval{100, 120}, polled: 125, narrow: true, sent: 1110, arrived: 1115, n: 1,
			want: interval{1079.5, 1115}, wantNarrow: true},
		"but not before a poll that did not show it": {known: interval{100, 120}, polled: 1085, narrow: true, sent: 1110, arrived: 1115, n: 1,
			want: interval{1085, 1115}, wantNarrow: true},
		"at the end of what was known it is not early": {known: interval{100, 120}, polled: 125, narrow: true, sent: 1115, arrived: 1120, n: 1,
			want: interval{1099.5, 1120}, wantNarrow: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := phase{period: time.Second, tolerance: ms(30), after: ms(r.known.after), by: ms(r.known.by), polled: ms(r.polled), wasNarrow: r.narrow, late: r.late}
			p.renewed(ms(r.sent), ms(r.arrived), r.n)
			g.Expect(p).To(Equal(phase{
				period: time.Second, tolerance: ms(30), after: ms(r.want.after), by: ms(r.want.by), polled: ms(r.sent),
				travel: ms(r.arrived - r.sent), wasNarrow: r.wantNarrow, late: r.wantLate,
			}))
		})
	}
}

func TestWhenToPollNext(t *testing.T) {
	g := NewWithT(t)
	none := func(time.Duration) time.Duration { return 0 }
	const ms = time.Millisecond
	p := phase{period: 1000 * ms, tolerance: 30 * ms, after: 100 * ms, by: 130 * ms, polled: 130 * ms}
	g.Expect(p.isWide()).To(BeFalse(), "it is as narrow as is tolerated")
	g.Expect(p.next(none)).To(Equal(1145*ms), "just after the renewal")
	p.by = 131 * ms
	g.Expect(p.next(none)).To(Equal(1115*ms+ms/2), "in the middle of a wide interval")

	p = phase{period: 1000 * ms, tolerance: 30 * ms, after: 100 * ms, by: 110 * ms, polled: 1110 * ms, early: 1}
	g.Expect(p.next(none)).To(Equal(1140*ms), "a poll when it was due has not shown it: twice the margin later")
	p.early = 7
	g.Expect(p.next(none)).To(Equal(2110*ms), "a period later at most")

	p = phase{period: 100 * time.Second, tolerance: ms, polled: 200 * time.Second, early: 20}
	g.Expect(p.next(none)).To(Equal(200*time.Second+ms/2<<16), "the gaps grow sixteen times")
}
