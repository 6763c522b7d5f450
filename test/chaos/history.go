package chaos

import (
	"time"

	"github.com/anishathalye/porcupine"
)

// operation is an input of a history: an increment by a holder, or a read.
type operation struct {
	increment bool
	token     int64 // of the guard; 0: it had none
	unknown   bool  // it had no answer, and has left no receipt
}

// standing is a state of a counter.
type standing struct{ value, token int64 }

// counting is the sequential counter. The output of an increment is the value that it read, that of
// a read as well. An increment that read anything but the present value, or whose token has been
// overtaken, can't be carried out. One without an answer may have been, or not.
var counting = porcupine.NondeterministicModel{
	Init: func() []any { return []any{standing{}} },
	Step: func(state, input, output any) []any {
		s, do, read := state.(standing), input.(operation), output.(int64)
		next := standing{value: s.value + 1, token: do.token}
		switch fits := read == s.value && (do.token == 0 || do.token >= s.token); {
		case do.unknown && fits:
			return []any{s, next}
		case do.unknown:
			return []any{s}
		case !fits:
			return nil
		case do.increment:
			return []any{next}
		default:
			return []any{s}
		}
	},
}

// register is counting for the search.
var register = counting.ToModel()

// historyPatience bounds the search for a linearization. The histories are almost sequential: it
// takes milliseconds.
const historyPatience = time.Minute

// event is an operation of a history, for the picture too.
type event struct {
	porcupine.Operation
	process string
	value   int64 // that it read or wrote
	outcome Outcome
}

// history is what happened to one of the lock's counters. What was certainly not carried out is
// left out.
func (c *checker) history(counter string) (all []event) {
	increments := c.increments
	if counter != Fenced {
		increments = c.incrementsOf(counter)
	}
	for _, i := range increments {
		do := operation{increment: true}
		if counter == Fenced {
			do.token = i.token
		}
		wrote := i.value
		switch {
		case i.outcome == Done:
		case i.receipt != nil:
			wrote = i.receipt.Value
		case i.outcome == Unknown && counter != Fenced && wrote > 0: // the fenced ones leave receipts
			do.unknown = true
		default:
			continue
		}
		all = append(all, event{process: i.process, value: wrote, outcome: i.outcome,
			Operation: porcupine.Operation{Input: do, Output: wrote - 1, Call: int64(i.from), Return: int64(i.to)}})
	}
	for _, e := range c.entries {
		if e.Kind == Read && e.Counter == counter {
			all = append(all, event{process: e.Process, value: e.Value, outcome: Done,
				Operation: porcupine.Operation{Input: operation{}, Output: e.Value, Call: int64(e.From), Return: int64(e.To)}})
		}
	}
	return all
}

// linearization judges a history. The longest order that explains a part of it is given as indexes.
func linearization(all []event, patience time.Duration) (porcupine.CheckResult, []int) {
	operations := make([]porcupine.Operation, len(all))
	for i, e := range all {
		operations[i] = e.Operation
	}
	result, info := porcupine.CheckOperationsVerbose(register, operations, patience)
	var longest []int
	for _, partition := range info.PartialLinearizations() {
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	return result, longest
}

func (c *checker) checkHistory() {
	history := c.history(Fenced)
	operations := make([]porcupine.Operation, len(history))
	for i, e := range history {
		operations[i] = e.Operation
	}
	switch porcupine.CheckOperationsTimeout(register, operations, historyPatience) {
	case porcupine.Illegal:
		c.violated(Linearizable, "no order of the %d operations on the fenced counter explains their answers", len(history))
	case porcupine.Unknown:
		c.violated(Linearizable, "not decided within %v for %d operations", historyPatience, len(history))
	}
}

// Histories are those of a lock's two counters, side by side.
type Histories struct {
	Operations       [2]int // of the fenced and the unfenced counter
	Fenced, Unfenced porcupine.CheckResult
	fenced, unfenced []event
	refused          []event      // increments of the fenced counter
	explained        map[int]bool // of the unfenced history: what the longest order explains
}

// CompareHistories judges both counters of a lock, if only its holders wrote to them. It is for
// runs in which no process was killed: an unfenced increment leaves no receipt.
func CompareHistories(e Evidence, lock string) Histories {
	var h Histories
	for _, c := range checkers(e) {
		if c.lock != lock {
			continue
		}
		c.check()
		h.fenced, h.unfenced = c.history(Fenced), c.history(Unfenced)
		h.Operations = [2]int{len(h.fenced), len(h.unfenced)}
		h.Fenced, _ = linearization(h.fenced, historyPatience)
		for _, i := range c.increments {
			if i.outcome == Refused {
				h.refused = append(h.refused, event{process: i.process, value: i.value, outcome: Refused,
					Operation: porcupine.Operation{Input: operation{increment: true, token: i.token}, Call: int64(i.from), Return: int64(i.to)}})
			}
		}
		var longest []int
		h.Unfenced, longest = linearization(h.unfenced, historyPatience)
		h.explained = map[int]bool{}
		for _, i := range longest {
			h.explained[i] = true
		}
	}
	return h
}
