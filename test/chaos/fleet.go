package chaos

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Demand is what a scenario with many locks demands beyond safety.
type Demand struct {
	Locks []string
	// In all this time no lock is without a leader for longer than Gap, not counting the time in
	// which the engine, or the machine, left the test without an answer (Slow).
	From, To, Gap time.Duration
	// Replicas are the processes among which the locks are spread evenly at To; none: they need
	// not be.
	Replicas []string
}

// fleet looks at all locks together.
type fleet struct {
	verdict
	Evidence
	tenures []*tenure // of all locks, each lock's together and in their order
}

func (f *fleet) check() {
	f.countFaults()
	f.checkSessions()
	if f.Demand != nil {
		f.checkGaps()
		f.checkSpread()
	}
}

func (f *fleet) countFaults() {
	processes := map[string]bool{}
	for _, e := range f.Entries {
		switch {
		case e.Kind == Start:
			processes[e.Process] = true
		case e.Kind == Fault && e.Text == Continued: // the other half of a stop
		case e.Kind == Slow:
			f.figures.Slow += e.To - e.From
		case e.Kind == Fault:
			f.figures.Faults++
			switch e.Text {
			case Killed:
				f.figures.Kills++
			case Stopped:
				f.figures.Stops++
			}
		}
	}
	f.figures.Processes = len(processes)
}

// checkSessions holds the members of a session that was lost against each other: they were lost
// together.
func (f *fleet) checkSessions() {
	type session struct{ process, name string }
	members := map[session][]*tenure{}
	for _, t := range f.tenures {
		if t.session != "" {
			s := session{t.process, t.session}
			members[s] = append(members[s], t)
		}
	}
	killed := map[string]bool{}
	for _, e := range f.Entries {
		killed[e.Process] = killed[e.Process] || e.Kind == Fault && e.Text == Killed
	}
	for s, some := range members {
		first := slices.MinFunc(some, func(a, b *tenure) int { return cmp.Compare(a.lost, b.lost) })
		if first.lost == math.MaxInt64 {
			continue
		}
		f.figures.SessionsLost++
		for _, t := range some {
			switch {
			case t.last > first.lost:
				f.violated(LostAsAWhole, "%v was held at %v, after %v had been lost at %v with session %s", t, t.last, first, first.lost, s.name)
			case t.lost < math.MaxInt64:
				f.figures.MembersLost++
			case t.yield > first.lost && !killed[s.process]:
				f.violated(LostAsAWhole, "%v was not told of its loss with session %s, as %v was at %v", t, s.name, first, first.lost)
			}
		}
	}
	for _, e := range f.Entries {
		if e.Kind != Belief || !e.Held || e.Session == "" {
			continue
		}
		i := slices.IndexFunc(members[session{e.Process, e.Session}], func(t *tenure) bool { return t.lock == e.Lock && t.token == e.Token })
		if i < 0 {
			f.violated(LostAsAWhole, "%s held %s with token %d under two sessions, one of them %s", e.Process, e.Lock, e.Token, e.Session)
			return
		}
	}
}

// checkGaps looks at how long a lock was without a leader. What is certain of a tenure ends with a
// sample, so a gap is rather too long.
func (f *fleet) checkGaps() {
	led := map[string][]*tenure{}
	for _, t := range f.tenures {
		led[t.lock] = append(led[t.lock], t)
	}
	var slow []Entry
	for _, e := range f.Entries {
		if e.Kind == Slow {
			slow = append(slow, e)
		}
	}
	for _, lock := range f.Demand.Locks {
		end := f.Demand.From
		for _, t := range append(led[lock], &tenure{begun: f.Demand.To, until: f.Demand.To, process: "nobody"}) {
			begun := min(t.begun, f.Demand.To)
			unanswered := overlap(slow, end, begun)
			if gap := begun - end - unanswered; gap > f.Demand.Gap {
				f.violated(LedAgain, "nobody led %s from %v to %v, for %v beside %v without an answer", lock, end, begun, gap, unanswered)
			} else {
				f.figures.LongestGap = max(f.figures.LongestGap, gap)
			}
			end = max(end, t.until)
		}
	}
}

// overlap is how much of the time between two moments the entries cover.
func overlap(entries []Entry, from, to time.Duration) (covered time.Duration) {
	for _, e := range entries {
		covered += max(min(e.To, to)-max(e.From, from), 0)
	}
	return covered
}

// checkSpread counts how many locks each replica leads at the end.
func (f *fleet) checkSpread() {
	if len(f.Demand.Replicas) == 0 {
		return
	}
	leads := f.leadingAt(f.Demand.To)
	fewest := len(f.Demand.Locks) / len(f.Demand.Replicas)
	most := (len(f.Demand.Locks) + len(f.Demand.Replicas) - 1) / len(f.Demand.Replicas)
	for _, replica := range f.Demand.Replicas {
		if n := leads[replica]; n < fewest || n > most {
			f.violated(EvenSpread, "%s leads %d of %d locks at %v, not %d to %d", replica, n, len(f.Demand.Locks), f.Demand.To, fewest, most)
		}
		delete(leads, replica)
	}
	for process, n := range leads {
		f.violated(EvenSpread, "%s leads %d locks at %v and is none of the replicas", process, n, f.Demand.To)
	}
}

// leadingAt is how many locks each process certainly leads at a moment.
func (f *fleet) leadingAt(at time.Duration) map[string]int {
	leads := map[string]int{}
	for _, t := range f.tenures {
		if t.begun <= at && t.until >= at {
			leads[t.process]++
		}
	}
	return leads
}
