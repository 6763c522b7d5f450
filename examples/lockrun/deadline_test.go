package main

import (
	"slices"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// at is a moment so many seconds after the first renewal, on both clocks.
func at(seconds float64) lease.Instant {
	return lease.Instant{}.Add(time.Duration(seconds * float64(time.Second)))
}

func TestACommandMustHaveEndedBeforeItsLease(t *testing.T) {
	type look struct {
		at   lease.Instant
		held bool
		want action
	}
	suspended := at(4)
	suspended.Wall += int64(30 * time.Second)
	setBack := at(9.5)
	setBack.Wall -= int64(time.Hour)
	for name, looks := range map[string][]look{
		"not renewed":                {{at(5.9), true, carryOn}, {at(6.1), true, sendTerm}, {at(6.2), true, carryOn}, {at(8.9), true, carryOn}, {at(9.2), true, sendKill}, {at(9.3), false, sendKill}},
		"taken away":                 {{at(1), false, sendTerm}, {at(3.9), false, carryOn}, {at(4), false, sendKill}},
		"taken away late":            {{at(1), true, carryOn}, {at(8), false, sendTerm}, {at(8.9), false, carryOn}, {at(9), false, sendKill}},
		"noticed when it is over":    {{at(20), false, sendKill}},
		"suspended":                  {{suspended, true, sendKill}},
		"the wall clock is set back": {{at(5), true, carryOn}, {setBack, true, sendKill}},
	} {
		d := deadline{grace: 3 * time.Second, margin: time.Second}
		d.renewed(10*time.Second, at(0))
		for i, l := range looks {
			if got := d.next(l.held, l.at); got != l.want {
				t.Errorf("%s, look %d: %v, want %v", name, i+1, got, l.want)
			}
		}
	}
}

func TestARenewalPutsTheEndOff(t *testing.T) {
	d := deadline{grace: 3 * time.Second, margin: time.Second}
	for second := range 20 {
		now := at(float64(5 * second))
		d.renewed(10*time.Second, now)
		if got := d.next(true, now.Add(5*time.Second)); got != carryOn {
			t.Fatalf("after renewal %d: %v", second, got)
		}
	}
}

func TestWatchingCountsOnItsOwnClock(t *testing.T) {
	w := newWatching()
	start := time.Now()
	item := func(version string, expires time.Duration) []*lockclient.LockItem {
		return []*lockclient.LockItem{{Name: "job", Owner: "a", FencingToken: 7, RecordVersionNumber: version,
			LeaseDuration: 10 * time.Second, ExpiresAt: start.Add(expires)}}
	}
	// The holder's clock is an hour behind.
	look := func(after time.Duration, version, want string) {
		t.Helper()
		w.saw(item(version, after-time.Hour), start.Add(after))
		if got := w.rows[0].State; got != want {
			t.Errorf("after %v: %s, want %s", after, got, want)
		}
	}
	look(0, "1", stateOverdue) // nobody has watched it yet
	look(3*time.Second, "2", stateHeld)
	look(12*time.Second, "3", stateHeld)
	w.saw(item("3", 12*time.Second-time.Hour), start.Add(20*time.Second))
	if got := w.rows[0]; got.State != stateHeld || got.renewed != 8*time.Second {
		t.Errorf("unchanged for 8 s: %s, renewed %v ago", got.State, got.renewed)
	}
	w.saw(item("3", 12*time.Second-time.Hour), start.Add(23*time.Second))
	if got := w.rows[0].State; got != stateExpired {
		t.Errorf("unchanged for 11 s: %s, want %s", got, stateExpired)
	}
	if len(w.changes) != 0 {
		t.Errorf("renewals are no changes of hands: %q", w.changes)
	}
	w.saw(nil, start.Add(24*time.Second))
	if len(w.changes) != 1 || len(w.rows) != 0 {
		t.Errorf("after the deletion: %q, %v", w.changes, w.rows)
	}
	for i := range 2 * mostChanges {
		w.saw(item("4", 0)[:i%2], start.Add(25*time.Second))
	}
	if len(w.changes) != mostChanges {
		t.Errorf("%d changes are kept", len(w.changes))
	}
}

func TestALeaseWithoutEndIsNone(t *testing.T) {
	r := newRow(&lockclient.LockItem{Name: "job", Owner: "a", LeaseDuration: 10 * 365 * 24 * time.Hour, ExpiresAt: time.Now()}, time.Now())
	if r.LeaseMillis != 0 || r.State != stateHeld || r.renewed >= 0 {
		t.Errorf("%+v", r)
	}
	if got := slices.Compact([]string{printable("a\x1b[2Jb"), "a\uFFFD[2Jb"}); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
