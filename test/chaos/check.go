package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// contextGrace is how long after a SIGCONT a leading context may still be alive: until the
// scheduler has let a timer run.
const contextGrace = 250 * time.Millisecond

// Evidence is all that a run has left behind.
type Evidence struct {
	Entries  []Entry   // of all journals, in any order
	Receipts []Receipt // of the fenced counters, from the table
	Fenced   Counters  // what the counters stand at in the end
	Unfenced Counters
	Demand   *Demand // nil: safety is all that is demanded
}

// Counters are values by the name of the lock.
type Counters map[string]int64

// Receipt is what a committed increment of a fenced counter has left in the table.
type Receipt struct {
	Lock, Op, Process string
	Value, Token      int64
}

// Violation is a broken promise.
type Violation struct {
	Rule string // one of the constants below
	Text string
}

func (v Violation) String() string { return v.Rule + ": " + v.Text }

// The rules.
const (
	MutualExclusion = "mutual exclusion"
	RisingTokens    = "rising tokens"
	NoLostIncrement = "no lost increment"
	NoStaleWriter   = "no stale writer"
	Linearizable    = "linearizable"
	LostAsAWhole    = "lost as a whole"
	LedAgain        = "led again"
	EvenSpread      = "even spread"
)

// Figures say how much a run has put to the test.
type Figures struct {
	Processes, Kills, Stops, Faults int
	Tenures, Samples, Increments    int
	Refused, Unknown                int           // increments of the fenced counter, as their processes saw them
	Locks, Takeovers                int           // takeovers: by another process
	SessionsLost, MembersLost       int           // sessions that were lost with members, and those members
	LongestGap                      time.Duration // between two tenures of a lock, of those that a Demand is about
	Slow                            time.Duration // without an answer from the engine, which has been left to itself
	ContextSlips                    int           // moments in which a context was alive after a pause when its tenure was over
	UnfencedLost                    int64         // acknowledged increments of the unfenced counter that are missing in it, at least
	UnfencedDone                    int64
}

// Add sums two runs.
func (f Figures) Add(g Figures) Figures {
	return Figures{
		Processes: f.Processes + g.Processes, Kills: f.Kills + g.Kills, Stops: f.Stops + g.Stops, Faults: f.Faults + g.Faults,
		Tenures: f.Tenures + g.Tenures, Samples: f.Samples + g.Samples, Increments: f.Increments + g.Increments,
		Refused: f.Refused + g.Refused, Unknown: f.Unknown + g.Unknown, ContextSlips: f.ContextSlips + g.ContextSlips,
		Locks: f.Locks + g.Locks, Takeovers: f.Takeovers + g.Takeovers,
		SessionsLost: f.SessionsLost + g.SessionsLost, MembersLost: f.MembersLost + g.MembersLost, LongestGap: max(f.LongestGap, g.LongestGap), Slow: f.Slow + g.Slow,
		UnfencedLost: f.UnfencedLost + g.UnfencedLost, UnfencedDone: f.UnfencedDone + g.UnfencedDone,
	}
}

func (f Figures) String() string {
	return fmt.Sprintf("%d processes (%d killed, %d stopped), %d faults in all; %d locks, %d tenures, %d takeovers, %d samples; "+
		"fenced counters: %d increments, %d refused, %d without an answer; unfenced counters: %d of %d lost; "+
		"sessions lost: %d, with %d members; longest gap: %v; without an answer: %v; contexts alive after a pause: %d",
		f.Processes, f.Kills, f.Stops, f.Faults, f.Locks, f.Tenures, f.Takeovers, f.Samples, f.Increments, f.Refused, f.Unknown,
		f.UnfencedLost, f.UnfencedDone, f.SessionsLost, f.MembersLost, f.LongestGap.Round(time.Millisecond), f.Slow.Round(time.Millisecond), f.ContextSlips)
}

// Check holds the evidence against the promises of the package comment: each lock by itself, and
// then all together.
func Check(e Evidence) (Figures, []Violation) {
	var figures Figures
	var violations []Violation
	fleet := fleet{Evidence: e}
	for _, c := range checkers(e) {
		c.check()
		figures, violations = figures.Add(c.figures), append(violations, c.violations...)
		fleet.tenures = append(fleet.tenures, c.tenures...)
	}
	fleet.check()
	return figures.Add(fleet.figures), append(violations, fleet.violations...)
}

// checker looks at one lock.
type checker struct {
	verdict
	lock             string
	entries          []Entry // of the lock, and of the processes
	receipts         []Receipt
	fenced, unfenced int64
	tenures          []*tenure // in the order of begun
	increments       []*increment
	byOp             map[string]*increment
	contexts         []Entry // samples in which nothing but a context said yes
}

type verdict struct {
	figures    Figures
	violations []Violation
}

func (v *verdict) violated(rule, format string, args ...any) {
	v.violations = append(v.violations, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// checkers make one of each lock that was held, read or written.
func checkers(e Evidence) []*checker {
	var shared []Entry
	byLock := map[string]*checker{}
	of := func(lock string) *checker {
		if byLock[lock] == nil {
			byLock[lock] = &checker{lock: lock, fenced: e.Fenced[lock], unfenced: e.Unfenced[lock]}
		}
		return byLock[lock]
	}
	for _, entry := range e.Entries {
		switch entry.Kind {
		case Start, Fault, Note:
			shared = append(shared, entry)
		default:
			c := of(entry.Lock)
			c.entries = append(c.entries, entry)
		}
	}
	for _, r := range e.Receipts {
		c := of(r.Lock)
		c.receipts = append(c.receipts, r)
	}
	for lock := range e.Fenced {
		of(lock)
	}
	all := slices.SortedFunc(maps.Values(byLock), func(a, b *checker) int { return cmp.Compare(a.lock, b.lock) })
	for _, c := range all {
		c.entries = append(c.entries, shared...)
	}
	return all
}

func (c *checker) check() {
	c.figures.Locks = 1
	c.readTenures()
	c.readIncrements()
	c.checkOverlap()
	c.checkContexts()
	c.checkTokens()
	c.checkFenced()
	c.checkHistory()
	c.countUnfenced()
}

// tenure is what is certain of one; see the package comment.
type tenure struct {
	process string
	lock    string
	session string // that keeps the lock; "": none
	token   int64
	from    time.Duration // its first sample began: it has not certainly begun before begun
	begun   time.Duration // its first sample had ended
	last    time.Duration // its last sample began
	until   time.Duration
	yield   time.Duration // math.MaxInt64: it was never given up
	lost    time.Duration // when its loss was found; math.MaxInt64: it was not
}

func (t *tenure) String() string {
	of := ""
	if t.lock != "" {
		of = " of " + t.lock
	}
	return fmt.Sprintf("%s%s with token %d, certain from %v to %v", t.process, of, t.token, t.begun, t.until)
}

// readTenures makes tenures of samples, yields and deaths.
func (c *checker) readTenures() {
	type name struct {
		process string
		token   int64
	}
	type account struct {
		tenure
		claim time.Duration
	}
	accounts := map[name]*account{}
	death, inherited := map[string]time.Duration{}, map[string]bool{}
	for _, e := range c.entries {
		switch {
		case e.Kind == Fault && e.Text == Killed:
			death[e.Process] = e.From
		case e.Kind == Start && e.Reclaims:
			inherited[e.Process] = true
		case e.Kind == Belief && e.Alive && !e.Held && !e.Leads:
			c.contexts = append(c.contexts, e)
		case e.Kind == Belief:
			c.figures.Samples++
			n := name{e.Process, e.Token}
			a := accounts[n]
			if a == nil {
				a = &account{tenure: tenure{process: e.Process, lock: c.lock, token: e.Token,
					from: math.MaxInt64, begun: math.MaxInt64, yield: math.MaxInt64, lost: math.MaxInt64}}
				accounts[n] = a
			}
			a.from, a.begun = min(a.from, e.From), min(a.begun, e.To)
			a.last, a.claim = max(a.last, e.From), max(a.claim, e.Until)
			a.session = cmp.Or(a.session, e.Session)
		}
	}
	for _, e := range c.entries {
		a := accounts[name{e.Process, e.Token}]
		switch {
		case a == nil:
		case e.Kind == Yield:
			a.yield = min(a.yield, e.From)
		case e.Kind == Loss:
			a.lost = min(a.lost, e.From)
		}
	}
	for n, a := range accounts {
		claim := min(a.claim, a.yield)
		if died, ok := death[n.process]; ok && inherited[n.process] {
			claim = min(claim, died)
		}
		a.until = max(a.last, claim)
		c.tenures = append(c.tenures, &a.tenure)
	}
	slices.SortFunc(c.tenures, func(a, b *tenure) int {
		return cmp.Or(cmp.Compare(a.begun, b.begun), cmp.Compare(a.token, b.token), cmp.Compare(a.process, b.process))
	})
	c.figures.Tenures = len(c.tenures)
	for i := range c.tenures[min(1, len(c.tenures)):] {
		if c.tenures[i].process != c.tenures[i+1].process {
			c.figures.Takeovers++
		}
	}
}

func (c *checker) checkOverlap() {
	for i, a := range c.tenures {
		for _, b := range c.tenures[i+1:] {
			if a.process != b.process && a.until > b.begun && b.until > a.begun {
				c.violated(MutualExclusion, "%v, and %v", a, b)
			}
		}
	}
}

// checkContexts looks at the moments in which only a context was alive.
func (c *checker) checkContexts() {
	continued := map[string][]time.Duration{}
	for _, e := range c.entries {
		if e.Kind == Fault && e.Text == Continued {
			continued[e.Process] = append(continued[e.Process], e.From)
		}
	}
	for _, e := range c.contexts {
		excused := slices.ContainsFunc(continued[e.Process], func(at time.Duration) bool { return e.To >= at && e.From <= at+contextGrace })
		for _, t := range c.tenures {
			if t.process == e.Process || t.begun >= e.From || t.until <= e.To {
				continue
			}
			if excused {
				c.figures.ContextSlips++
			} else {
				c.violated(MutualExclusion, "%s had a live leading context (token %d) at %v to %v, during %v", e.Process, e.Token, e.From, e.To, t)
			}
			break
		}
	}
}

func (c *checker) checkTokens() {
	for i, a := range c.tenures {
		for _, b := range c.tenures[i+1:] {
			switch {
			case a.token == b.token:
				c.violated(RisingTokens, "two tenures have token %d: %v, and %v", a.token, a, b)
			case a.begun < b.from && a.token > b.token:
				c.violated(RisingTokens, "%v began before %v", a, b)
			}
		}
	}
	var last Entry
	records := c.sorted(Record)
	for _, e := range records {
		if e.Token < last.Token {
			c.violated(RisingTokens, "the record's token was %d at %v and %d at %v", last.Token, last.From, e.Token, e.From)
		}
		last = e
	}
}

// sorted gives the entries of a kind by their beginning.
func (c *checker) sorted(kind Kind) []Entry {
	var some []Entry
	for _, e := range c.entries {
		if e.Kind == kind {
			some = append(some, e)
		}
	}
	slices.SortStableFunc(some, func(a, b Entry) int { return cmp.Compare(a.From, b.From) })
	return some
}

// countUnfenced counts what the unfenced counter has certainly lost.
func (c *checker) countUnfenced() {
	for _, e := range c.entries {
		if e.Kind == Return && e.Counter == Unfenced && e.Outcome == Done {
			c.figures.UnfencedDone++
		}
	}
	c.figures.UnfencedLost = max(0, c.figures.UnfencedDone-c.unfenced)
}
