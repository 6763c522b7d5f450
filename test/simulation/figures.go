package simulation

import (
	"fmt"
	"io"
	"time"
)

// Figures are what was done in one run, or in many.
type Figures struct {
	Runs               int
	Violations         int
	Events             int // steps
	Requests           int // sent
	Deliveries         int // carried out by the server, repetitions included
	Faults             [faultKinds]int
	Grants             int // acquires that the server carried out
	Takeovers          int // of them, from a holder that had not let go
	Releases           int
	Tenures            int // that somebody believed in
	Guarded            int // writes of a holder with the lock's condition, carried out
	GuardedRefused     int // and refused, because the lock was another's by then
	Careless           int // writes without
	CarelessStale      int // of them, carried out after the lock had passed to another
	StrangersGrants    int // times that a client of another make got a lock
	StrangersTakeovers int // of them, from a holder that had not let go
	Stamped            int // writes with a stamp, carried out
	StampedRefused     int // and refused, because a later tenure had stamped the item
	Sessions           int // opened
	SessionsMarked     int // as over by another process
	MembersTaken       int // members that were taken from a session that was over
	Virtual            time.Duration
}

// Add adds up.
func (f *Figures) Add(g *Figures) {
	f.Runs += g.Runs
	f.Violations += g.Violations
	f.Events += g.Events
	f.Requests += g.Requests
	f.Deliveries += g.Deliveries
	for i := range f.Faults {
		f.Faults[i] += g.Faults[i]
	}
	f.Grants += g.Grants
	f.Takeovers += g.Takeovers
	f.Releases += g.Releases
	f.Tenures += g.Tenures
	f.Guarded += g.Guarded
	f.GuardedRefused += g.GuardedRefused
	f.Careless += g.Careless
	f.CarelessStale += g.CarelessStale
	f.StrangersGrants += g.StrangersGrants
	f.StrangersTakeovers += g.StrangersTakeovers
	f.Stamped += g.Stamped
	f.StampedRefused += g.StampedRefused
	f.Sessions += g.Sessions
	f.SessionsMarked += g.SessionsMarked
	f.MembersTaken += g.MembersTaken
	f.Virtual += g.Virtual
}

// FaultsInjected is the sum over all kinds.
func (f *Figures) FaultsInjected() int {
	n := 0
	for _, k := range f.Faults {
		n += k
	}
	return n
}

// Write prints them.
func (f *Figures) Write(out io.Writer) {
	line := func(name string, n int) { fmt.Fprintf(out, "  %-34s %12d\n", name, n) }
	line("runs", f.Runs)
	line("violations", f.Violations)
	line("events", f.Events)
	line("requests sent", f.Requests)
	line("requests carried out", f.Deliveries)
	line("acquires carried out", f.Grants)
	line("  of them takeovers", f.Takeovers)
	line("releases carried out", f.Releases)
	line("tenures believed in", f.Tenures)
	line("guarded writes", f.Guarded)
	line("  refused", f.GuardedRefused)
	line("unguarded writes", f.Careless)
	line("  by a holder replaced since", f.CarelessStale)
	line("got by clients of other makes", f.StrangersGrants)
	line("  of them takeovers", f.StrangersTakeovers)
	line("stamped writes", f.Stamped)
	line("  refused", f.StampedRefused)
	line("sessions opened", f.Sessions)
	line("  marked as over by others", f.SessionsMarked)
	line("  members taken from them", f.MembersTaken)
	fmt.Fprintf(out, "  %-34s %12v\n", "virtual time", f.Virtual.Round(time.Second))
	line("faults injected", f.FaultsInjected())
	for i, n := range f.Faults {
		if faultNames[i] != "" {
			line("  "+faultNames[i], n)
		}
	}
}
