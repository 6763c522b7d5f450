package chaos

import (
	"bytes"
	"encoding/xml"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// story builds evidence by hand: what two processes, a and b, could have written. It begins with a
// clean run.
type story struct{ Evidence }

// ms makes the stories' times readable.
func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func (s *story) add(e Entry) { s.Entries = append(s.Entries, e) }

func (s *story) believes(process string, token int64, from, to, until int64) {
	s.add(Entry{Kind: Belief, Process: process, Token: token, From: ms(from), To: ms(to), Held: true, Until: ms(until)})
}

func (s *story) yields(process string, token, at int64) {
	s.add(Entry{Kind: Yield, Process: process, Token: token, From: ms(at)})
}

func (s *story) reads(value, from, to int64) {
	s.add(Entry{Kind: Read, Process: "test", Counter: Fenced, Value: value, From: ms(from), To: ms(to)})
}

// increments adds one with its receipt.
func (s *story) increments(op, process string, token, value, from, to int64) {
	s.tries(op, process, token, value, from, to, Done)
	s.receipt(op, process, token, value)
	s.Fenced[""] = max(s.Fenced[""], value)
}

func (s *story) tries(op, process string, token, value, from, to int64, outcome Outcome) {
	s.add(Entry{Kind: Call, Process: process, Counter: Fenced, Op: op, Token: token, From: ms(from)})
	s.add(Entry{Kind: Return, Process: process, Counter: Fenced, Op: op, Token: token, To: ms(to), Value: value, Outcome: outcome})
}

func (s *story) receipt(op, process string, token, value int64) {
	s.Receipts = append(s.Receipts, Receipt{Op: op, Process: process, Token: token, Value: value})
}

// of tells what is told of another lock.
func (s *story) of(lock string, tell func(*story)) {
	other := &story{Evidence{Fenced: Counters{}}}
	tell(other)
	for _, e := range other.Entries {
		e.Lock = lock
		s.add(e)
	}
}

// member is a sample of one.
func (s *story) member(lock, session string, token, at int64) {
	s.of(lock, func(s *story) {
		s.add(Entry{Kind: Belief, Process: "a", Session: session, Token: token, Held: true, From: ms(at), To: ms(at + 1)})
	})
}

// loses tells that a member was found lost at a moment, and given up.
func (s *story) loses(lock string, token, at int64) {
	s.of(lock, func(s *story) {
		s.add(Entry{Kind: Loss, Process: "a", Token: token, From: ms(at)})
		s.yields("a", token, at)
	})
}

// lostSession is of two members that process a loses at 300.
func lostSession(s *story) {
	s.member("x", "s1", 1, 200)
	s.member("y", "s1", 2, 290)
	s.loses("x", 1, 300)
	s.loses("y", 2, 302)
	s.member("y", "s2", 3, 320) // under its next session
}

// demanded are four shards, which a and b share, from 1000 to 2000.
func demanded(s *story) {
	s.Demand = &Demand{From: ms(1000), To: ms(2000), Gap: ms(300), Replicas: []string{"a", "b"}}
	for i, process := range []string{"a", "a", "b", "b"} {
		lock := string(rune('1' + i))
		s.Demand.Locks = append(s.Demand.Locks, lock)
		s.of(lock, func(s *story) {
			s.believes("a", 1, 900, 901, 1400)
			s.believes(process, 2, 1600, 1601, 1900)
			s.believes(process, 2, 2001, 2002, 2300)
		})
	}
}

// clean is a run without a fault: a holds from 0 to 100, gives up, b from 110 on.
func clean() *story {
	s := &story{Evidence{Fenced: Counters{}, Unfenced: Counters{}}}
	s.believes("a", 7, 0, 1, 90)
	s.increments("a1", "a", 7, 1, 10, 12)
	s.reads(1, 13, 14)
	s.believes("a", 7, 50, 51, 140)
	s.increments("a2", "a", 7, 2, 60, 62)
	s.believes("a", 7, 99, 100, 190)
	s.yields("a", 7, 101)
	s.believes("b", 8, 110, 111, 200)
	s.increments("b1", "b", 8, 3, 120, 122)
	s.believes("b", 8, 150, 151, 240)
	s.reads(3, 160, 161)
	return s
}

func TestCheckerPassesWhatIsSound(t *testing.T) {
	for name, tell := range map[string]func(*story){
		"a clean run":                         func(*story) {},
		"a claim that was given up":           func(s *story) { s.believes("a", 7, 99, 101, 500) },
		"a sample that a pause has stretched": func(s *story) { s.believes("b", 8, 20, 115, 200) },
		"a takeover when the claim has ended": func(s *story) { s.believes("c", 9, 240, 241, 300) },
		"a process that stood still past its lease": func(s *story) {
			// From 254 to 400 c stood still in the middle of a sample; d took over meanwhile.
			s.believes("c", 9, 250, 251, 260)
			s.believes("c", 9, 253, 400, 260)
			s.believes("d", 10, 300, 301, 390)
		},
		"an increment without an answer that was carried out": func(s *story) {
			s.tries("b2", "b", 8, 0, 170, 180, Unknown)
			s.receipt("b2", "b", 8, 4)
			s.Fenced[""] = 4
			s.reads(3, 181, 182)
			s.reads(4, 183, 184)
		},
		"an increment without an answer that was not": func(s *story) { s.tries("b2", "b", 8, 0, 170, 180, Unknown) },
		"an increment whose process died": func(s *story) {
			s.add(Entry{Kind: Call, Process: "b", Counter: Fenced, Op: "b2", Token: 8, From: ms(170)})
		},
		"a stale increment that was refused":             func(s *story) { s.tries("a3", "a", 7, 4, 100, 180, Refused) },
		"a successor that goes on under its dead's name": reclaimed,
		"a context that outlives a pause by a moment": func(s *story) {
			s.add(Entry{Kind: Fault, Process: "a", Text: Continued, From: ms(145)})
			s.add(Entry{Kind: Belief, Process: "a", Token: 7, Alive: true, From: ms(146), To: ms(147)})
		},
		"a session that is lost with all its members": lostSession,
		"a session whose process was killed before it could tell": func(s *story) {
			lostSession(s)
			s.member("z", "s1", 4, 291)
			s.add(Entry{Kind: Fault, Process: "a", Text: Killed, From: ms(305), To: ms(306)})
		},
		"a member that was given up before the others were lost": func(s *story) {
			lostSession(s)
			s.member("z", "s1", 4, 280)
			s.of("z", func(s *story) { s.yields("a", 4, 285) })
		},
		"shards that are led again, and spread evenly": demanded,
		"a shard that nobody leads while the engine gives no answer": func(s *story) {
			demanded(s)
			s.Demand.Gap = ms(100)
			s.add(Entry{Kind: Slow, From: ms(1350), To: ms(1550)})
		},
		"tokens of two locks": func(s *story) { s.of("x", func(s *story) { s.believes("c", 3, 150, 151, 240) }) },
		"a lossy unfenced counter": func(s *story) {
			s.add(Entry{Kind: Return, Process: "a", Counter: Unfenced, Value: 1, Outcome: Done})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := clean()
			tell(s)
			if _, violations := Check(s.Evidence); len(violations) > 0 {
				t.Errorf("found %v", violations)
			}
		})
	}
}

// reclaimed: c dies at 260 with a claim until 340, and its successor holds the lock at 280.
func reclaimed(s *story) {
	s.add(Entry{Kind: Start, Process: "c", Reclaims: true})
	s.believes("c", 9, 250, 251, 340)
	s.add(Entry{Kind: Fault, Process: "c", Text: Killed, From: ms(260), To: ms(262)})
	s.believes("c'", 10, 280, 281, 370)
}

func TestCheckerFindsWhatIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		rule string
		tell func(*story)
	}{
		"two tenures that overlap":               {MutualExclusion, func(s *story) { s.believes("c", 9, 200, 201, 290) }},
		"two samples that overlap":               {MutualExclusion, func(s *story) { s.believes("b", 8, 40, 41, 42) }},
		"a belief inside another's silent claim": {MutualExclusion, func(s *story) { s.believes("c", 9, 220, 221, 222) }},
		"a belief before the yield":              {MutualExclusion, func(s *story) { s.believes("b", 8, 98, 99, 200) }},
		"a death that ends no claim": {MutualExclusion, func(s *story) {
			reclaimed(s)
			s.Entries = slices.DeleteFunc(s.Entries, func(e Entry) bool { return e.Kind == Start })
		}},
		"two electors that lead": {MutualExclusion, func(s *story) {
			s.add(Entry{Kind: Belief, Process: "c", Token: 9, Leads: true, From: ms(200), To: ms(201)})
			s.believes("b", 8, 210, 211, 300)
		}},
		"a context that outlives its tenure without a pause": {MutualExclusion, func(s *story) {
			s.add(Entry{Kind: Belief, Process: "a", Token: 7, Alive: true, From: ms(146), To: ms(147)})
		}},
		"a context that outlives its tenure for long": {MutualExclusion, func(s *story) {
			s.add(Entry{Kind: Fault, Process: "a", Text: Continued, From: ms(200)})
			s.believes("b", 8, 900, 901, 990)
			s.add(Entry{Kind: Belief, Process: "a", Token: 7, Alive: true, From: ms(700), To: ms(701)})
		}},
		"a token that falls":       {RisingTokens, func(s *story) { s.believes("c", 6, 400, 401, 490) }},
		"a token that comes twice": {RisingTokens, func(s *story) { s.believes("c", 8, 400, 401, 490) }},
		"a record whose token falls": {RisingTokens, func(s *story) {
			s.add(Entry{Kind: Record, From: ms(1), To: ms(2), Token: 8})
			s.add(Entry{Kind: Record, From: ms(3), To: ms(4), Token: 7})
		}},
		"a lost increment": {NoLostIncrement, func(s *story) { s.increments("b2", "b", 8, 3, 130, 132) }},
		"a lost increment that the counter doesn't show": {NoLostIncrement, func(s *story) {
			s.increments("b2", "b", 8, 3, 130, 132)
			s.Fenced[""] = 4
		}},
		"an increment after a later tenure that wrote nothing": {NoStaleWriter, func(s *story) {
			s.believes("c", 9, 250, 251, 340)
			s.increments("b2", "b", 8, 4, 260, 262)
		}},
		"an acknowledged increment without a receipt": {NoLostIncrement, func(s *story) { s.tries("b2", "b", 8, 4, 130, 132, Done) }},
		"a counter that was set back":                 {NoLostIncrement, func(s *story) { s.Fenced[""] = 2 }},
		"a receipt out of nowhere": {NoLostIncrement, func(s *story) {
			s.receipt("x", "b", 8, 4)
			s.Fenced[""] = 4
		}},
		"a receipt that names another":   {NoLostIncrement, func(s *story) { s.Receipts[2].Process = "a" }},
		"an increment by a stale holder": {NoStaleWriter, func(s *story) { s.increments("a3", "a", 7, 4, 170, 172) }},
		"a refused increment that was carried out": {NoStaleWriter, func(s *story) {
			s.tries("b2", "b", 8, 4, 170, 172, Refused)
			s.receipt("b2", "b", 8, 4)
			s.Fenced[""] = 4
		}},
		"a token that falls from receipt to receipt": {NoStaleWriter, func(s *story) { s.increments("a3", "a", 7, 4, 105, 172) }},
		"a read of the past":                         {Linearizable, func(s *story) { s.reads(2, 130, 131) }},
		"a read of the future":                       {Linearizable, func(s *story) { s.reads(2, 20, 21) }},
		"a member that is believed in after the others were lost": {LostAsAWhole, func(s *story) {
			lostSession(s)
			s.member("y", "s1", 2, 301)
		}},
		"a member that never heard of the loss": {LostAsAWhole, func(s *story) {
			lostSession(s)
			s.member("z", "s1", 4, 280)
			s.of("z", func(s *story) { s.yields("a", 4, 400) })
		}},
		"a tenure that goes on under the next session": {LostAsAWhole, func(s *story) {
			s.member("y", "s1", 2, 290)
			s.member("y", "s2", 2, 320)
		}},
		"a shard that is led twice": {MutualExclusion, func(s *story) {
			demanded(s)
			s.of("3", func(s *story) { s.believes("a", 1, 1603, 1604, 1700) })
		}},
		"a shard that nobody leads for too long": {LedAgain, func(s *story) {
			demanded(s)
			s.Demand.Gap = ms(200)
		}},
		"a shard that nobody leads for too long beside what was slow": {LedAgain, func(s *story) {
			demanded(s)
			s.Demand.Gap = ms(150)
			s.add(Entry{Kind: Slow, From: ms(1000), To: ms(1430)})
		}},
		"a shard that nobody leads in the end": {LedAgain, func(s *story) {
			demanded(s)
			s.Demand.To, s.Demand.Replicas = ms(2700), nil
		}},
		"a shard that nobody ever leads": {LedAgain, func(s *story) {
			demanded(s)
			s.Demand.Locks = append(s.Demand.Locks, "5")
		}},
		"an uneven spread": {EvenSpread, func(s *story) {
			demanded(s)
			s.Demand.Replicas = []string{"a", "b", "c"}
		}},
		"a replica that should be gone": {EvenSpread, func(s *story) {
			demanded(s)
			s.Demand.Replicas = []string{"a"}
		}},
		"two increments of one value":           {Linearizable, func(s *story) { s.increments("b2", "b", 8, 3, 130, 132) }},
		"an increment that overtakes another":   {Linearizable, func(s *story) { s.increments("b2", "b", 8, 4, 100, 105) }},
		"an increment under an overtaken token": {Linearizable, func(s *story) { s.increments("a3", "a", 7, 4, 105, 172) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := clean()
			c.tell(s)
			_, violations := Check(s.Evidence)
			if !slices.ContainsFunc(violations, func(v Violation) bool { return v.Rule == c.rule }) {
				t.Errorf("not found; found %v", violations)
			}
		})
	}
}

func TestCheckerCountsWhatTheUnfencedCounterLoses(t *testing.T) {
	s := clean()
	for range 5 {
		s.add(Entry{Kind: Return, Process: "a", Counter: Unfenced, Outcome: Done})
	}
	s.add(Entry{Kind: Return, Process: "a", Counter: Unfenced, Outcome: Unknown})
	s.Unfenced[""] = 3
	figures, violations := Check(s.Evidence)
	if figures.UnfencedDone != 5 || figures.UnfencedLost != 2 || len(violations) > 0 {
		t.Errorf("%v, %v", figures, violations)
	}
}

// late is the story of the picture: a reads both counters, stands still, and writes after b's.
func late(guarded bool) *story {
	s := &story{Evidence{Fenced: Counters{}, Unfenced: Counters{}}}
	call := func(process, counter, op string, token, from int64) {
		s.add(Entry{Kind: Call, Process: process, Counter: counter, Op: op, Token: token, From: ms(from)})
	}
	answer := func(process, counter, op string, token, value, to int64, outcome Outcome) {
		s.add(Entry{Kind: Return, Process: process, Counter: counter, Op: op, Token: token, Value: value, To: ms(to), Outcome: outcome})
	}
	s.believes("a", 1, 0, 1, 50)
	call("a", Fenced, "a1", 1, 10)
	call("a", Unfenced, "a2", 1, 11)
	s.believes("b", 2, 60, 61, 900)
	for n := range int64(9) {
		op := string(rune('A' + n))
		s.increments("b"+op, "b", 2, n+1, 100+10*n, 104+10*n)
		call("b", Unfenced, "u"+op, 2, 105+10*n)
		answer("b", Unfenced, "u"+op, 2, n+1, 109+10*n, Done)
	}
	s.add(Entry{Kind: Read, Counter: Unfenced, Value: 9, From: ms(200), To: ms(201)})
	if guarded {
		answer("a", Unfenced, "a2", 1, 0, 300, notSent)
	} else {
		answer("a", Unfenced, "a2", 1, 1, 300, Done)
		s.add(Entry{Kind: Read, Counter: Unfenced, Value: 1, From: ms(310), To: ms(311)})
	}
	answer("a", Fenced, "a1", 1, 1, 320, Refused)
	return s
}

func TestCompareHistoriesTellsAGuardedCounterFromAnUnguardedOne(t *testing.T) {
	h := CompareHistories(late(false).Evidence, "")
	if h.Fenced != porcupine.Ok || h.Unfenced != porcupine.Illegal || h.Operations != [2]int{9, 12} {
		t.Errorf("guarded: %v, unguarded: %v, of %v operations", h.Fenced, h.Unfenced, h.Operations)
	}
	if h = CompareHistories(late(true).Evidence, ""); h.Unfenced != porcupine.Ok {
		t.Errorf("without the late write: %v", h.Unfenced)
	}
}

// An unfenced write without an answer may have been carried out, or not: neither is a violation.
func TestAnUnfencedIncrementWithoutAnAnswerMayHaveBeenCarriedOut(t *testing.T) {
	for value, want := range map[int64]porcupine.CheckResult{0: porcupine.Ok, 1: porcupine.Ok, 2: porcupine.Illegal} {
		s := &story{}
		s.add(Entry{Kind: Call, Process: "a", Counter: Unfenced, Op: "a1", From: ms(1)})
		s.add(Entry{Kind: Return, Process: "a", Counter: Unfenced, Op: "a1", Value: 1, To: ms(2), Outcome: Unknown})
		s.add(Entry{Kind: Read, Counter: Unfenced, Value: value, From: ms(3), To: ms(4)})
		if h := CompareHistories(s.Evidence, ""); h.Unfenced != want {
			t.Errorf("then the counter stood at %d: %v, want %v", value, h.Unfenced, want)
		}
	}
}

func TestThePictureIsAWellFormedSVGForLightAndDark(t *testing.T) {
	drawn, err := DrawHistories(CompareHistories(late(false).Evidence, ""), "a")
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("testdata/unguarded.svg")
	if err != nil {
		t.Fatal(err)
	}
	for name, svg := range map[string][]byte{"drawn": drawn, "kept": kept} {
		if err := xml.Unmarshal(svg, new(struct{})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range []string{"prefers-color-scheme: dark", "writes 1", "refused", "not linearizable"} {
			if !bytes.Contains(svg, []byte(want)) {
				t.Errorf("%s: it has no %q", name, want)
			}
		}
		if len(svg) > 60<<10 {
			t.Errorf("%s: it has %d bytes", name, len(svg))
		}
	}
	if !bytes.Contains(drawn, []byte("9 increments are lost")) {
		t.Error("it does not say how many increments were lost")
	}
	if _, err := DrawHistories(CompareHistories(clean().Evidence, ""), "a"); err == nil {
		t.Error("a run without a late write was drawn")
	}
}

func TestJournalKeepsWhatWasWrittenAndDropsATornLastLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	j, err := OpenJournal(path, "a")
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Kind: Belief, Process: "a", From: 1, To: math.MaxInt64, Token: 1 << 62, Held: true, Until: 7},
		{Kind: Return, Process: "a", Counter: Fenced, Op: "x", Value: 3, Outcome: Refused, Text: "line\nbreak"},
	}
	for _, e := range want {
		j.Write(e)
	}
	if _, err := j.file.WriteString(`{"kind":"bel`); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadJournal(path)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("{\"kind\":1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadJournal(path); err == nil {
		t.Error("a line that is no entry was read without complaint")
	}
}

func TestMonotonicIsOneClockForAllReadings(t *testing.T) {
	last := Monotonic()
	for range 1000 {
		now := Monotonic()
		if now < last {
			t.Fatalf("%v after %v", now, last)
		}
		last = now
	}
}
