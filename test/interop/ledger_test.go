package interop

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"
)

// epoch is when the clock of this process, which is the ledger's, stood at 0.
var epoch = time.Now()

func clock() time.Duration { return time.Since(epoch) }

// ledger collects what contenders believe. It is safe for concurrent use.
type ledger struct {
	mu      sync.Mutex // guards what follows
	tenures []*tenure
	looks   int
	told    func(words ...any) // in a process of its own the ledger only passes on what it is told; nil: it keeps it
}

// tenure is what is certain of one.
type tenure struct {
	who   string
	n     int64 // the contender's own number of it, or its fencing token
	begun time.Duration
	last  time.Duration // when its last look began
	claim time.Duration // until when it may go on without hearing anything
	yield time.Duration // from when on it may have given the lock up
}

func (t *tenure) until() time.Duration { return max(t.last, min(t.claim, t.yield)) }

func (t *tenure) String() string {
	return fmt.Sprintf("%s's tenure %d, certain from %v to %v", t.who, t.n, t.begun, t.until())
}

func (l *ledger) tenure(who string, n int64) *tenure {
	for _, t := range l.tenures {
		if t.who == who && t.n == n {
			return t
		}
	}
	t := &tenure{who: who, n: n, begun: math.MaxInt64, yield: math.MaxInt64}
	l.tenures = append(l.tenures, t)
	return t
}

// believes notes a look that said yes at some moment from from to to, and the claim that went with
// it.
func (l *ledger) believes(who string, n int64, from, to, until time.Duration) {
	if l.told != nil {
		l.told("belief", n, from.Nanoseconds(), to.Nanoseconds(), until.Nanoseconds())
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tenure(who, n)
	t.begun, t.last, t.claim = min(t.begun, to), max(t.last, from), max(t.claim, until)
	l.looks++
}

// yields notes that from at on the tenure may be given up.
func (l *ledger) yields(who string, n int64, at time.Duration) {
	if l.told != nil {
		l.told("yield", n, at.Nanoseconds())
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tenure(who, n)
	t.yield = min(t.yield, at)
}

// of returns the last tenure of a contender, as far as it is known.
func (l *ledger) of(who string) (t tenure, found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.tenures {
		if other.who == who && other.begun != math.MaxInt64 {
			t, found = *other, true
		}
	}
	return t, found
}

func (l *ledger) size() (tenures, looks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tenures), l.looks
}

// forget drops what two believers by intent have left.
func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tenures = nil
}

// overlaps lists the pairs of tenures that certainly went on at one time.
func (l *ledger) overlaps() (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range l.tenures {
		for _, b := range l.tenures[i+1:] {
			if a.who != b.who && a.until() > b.begun && b.until() > a.begun {
				found = append(found, fmt.Sprintf("%v, and %v", a, b))
			}
		}
	}
	return found
}

func TestLedgerFindsTwoBelieversAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		what    string
		overlap bool
		tell    func(*ledger)
	}{
		{"one after the other", false, func(l *ledger) { l.believes("b", 1, 300, 310, 400) }},
		{"the other after a yield", false, func(l *ledger) { l.yields("a", 1, 115); l.believes("b", 1, 118, 120, 220) }},
		{"the other's first look began earlier, and took long", false, func(l *ledger) { l.believes("b", 1, 50, 205, 400) }},
		{"two tenures of one contender", false, func(l *ledger) { l.believes("a", 2, 150, 151, 250) }},
		{"a look during the other's looks", true, func(l *ledger) { l.believes("b", 1, 50, 51, 52) }},
		{"a look during the other's silent claim", true, func(l *ledger) { l.believes("b", 1, 150, 151, 152) }},
		{"a look before the yield", true, func(l *ledger) { l.yields("a", 1, 115); l.believes("b", 1, 105, 112, 220) }},
		{"an earlier one that goes on", true, func(l *ledger) { l.believes("b", 1, -50, -49, 5); l.believes("b", 1, 20, 21, 22) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := &ledger{}
			l.believes("a", 1, 0, 1, 90)
			l.believes("a", 1, 110, 111, 200)
			c.tell(l)
			if found := l.overlaps(); (len(found) > 0) != c.overlap {
				t.Errorf("found %v", found)
			}
		})
	}
}
