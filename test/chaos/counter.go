package chaos

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// increment is one of the fenced counter, from all that is known of it.
type increment struct {
	op, process string
	token       int64
	from, to    time.Duration // to is math.MaxInt64 where no answer came
	outcome     Outcome
	value       int64 // the value written; 0 where the process doesn't know
	receipt     *Receipt
}

func (c *checker) readIncrements() {
	c.byOp = map[string]*increment{}
	for _, e := range c.sorted(Call) {
		if e.Counter != Fenced {
			continue
		}
		i := &increment{op: e.Op, process: e.Process, token: e.Token, from: e.From, to: math.MaxInt64, outcome: Unknown}
		c.increments, c.byOp[e.Op] = append(c.increments, i), i
	}
	for _, e := range c.evidence.Entries {
		if i := c.byOp[e.Op]; e.Kind == Return && e.Counter == Fenced && i != nil {
			i.outcome, i.value = e.Outcome, e.Value
			if e.Outcome != Unknown {
				i.to = e.To
			}
		}
	}
}

// checkFenced compares what the processes know with what the table holds.
func (c *checker) checkFenced() {
	receipts := slices.Clone(c.evidence.Receipts)
	slices.SortFunc(receipts, func(a, b Receipt) int { return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(a.Op, b.Op)) })
	c.figures.Increments = len(receipts)

	var token int64
	for n, r := range receipts {
		if want := int64(n + 1); r.Value != want {
			c.violated(NoLostIncrement, "the receipts in order should read %d and read %d, by %s with token %d", want, r.Value, r.Process, r.Token)
			break // from here on all are off
		}
		if r.Token < token {
			c.violated(NoStaleWriter, "increment to %d was taken from %s with token %d after one with token %d", r.Value, r.Process, r.Token, token)
		}
		token = max(token, r.Token)
	}
	if n := int64(len(receipts)); c.evidence.Fenced != n {
		c.violated(NoLostIncrement, "the counter stands at %d, and there are %d receipts", c.evidence.Fenced, n)
	}
	for n := range receipts {
		r := &receipts[n]
		i := c.byOp[r.Op]
		if i == nil || i.process != r.Process || i.token != r.Token {
			c.violated(NoLostIncrement, "receipt %+v is of no increment that a process wrote down", *r)
			continue
		}
		i.receipt = r
	}
	for _, i := range c.increments {
		c.checkIncrement(i)
	}
}

func (c *checker) checkIncrement(i *increment) {
	switch i.outcome {
	case Done:
		if i.receipt == nil || i.receipt.Value != i.value {
			c.violated(NoLostIncrement, "increment to %d by %s (token %d, at %v) was acknowledged, and its receipt is %+v", i.value, i.process, i.token, i.from, i.receipt)
		}
	case Refused, notSent:
		if i.outcome == Refused {
			c.figures.Refused++
		}
		if i.receipt != nil {
			c.violated(NoStaleWriter, "an increment by %s (token %d, at %v) was refused, and has a receipt: %+v", i.process, i.token, i.from, *i.receipt)
		}
	default:
		c.figures.Unknown++
	}
	if i.receipt == nil {
		return
	}
	for _, t := range c.tenures {
		if t.token > i.token && t.begun < i.from {
			c.violated(NoStaleWriter, "increment to %d by %s (token %d) began at %v and was taken, after the beginning of %v", i.receipt.Value, i.process, i.token, i.from, t)
			return
		}
	}
}

// operation is an input of the history: an increment by a holder, or a read if token is 0.
type operation struct{ token int64 }

// standing is a state of the fenced register.
type standing struct{ value, token int64 }

// register is the sequential counter. The output of an increment is the value that it read, that of a read as well. An increment that
// read anything but the present value, or whose token has been overtaken, can't be carried out.
var register = porcupine.Model{
	Init: func() any { return standing{} },
	Step: func(state, input, output any) (bool, any) {
		s, token, read := state.(standing), input.(operation).token, output.(int64)
		switch {
		case read != s.value || token != 0 && token < s.token:
			return false, s
		case token == 0:
			return true, s
		default:
			return true, standing{value: s.value + 1, token: token}
		}
	},
}

// historyPatience bounds the search for a linearization. The histories are almost sequential: it takes milliseconds.
const historyPatience = time.Minute

func (c *checker) checkHistory() {
	var history []porcupine.Operation
	for _, i := range c.increments {
		wrote := i.value
		switch {
		case i.outcome == Done:
		case i.receipt != nil:
			wrote = i.receipt.Value
		default:
			continue
		}
		history = append(history, porcupine.Operation{Input: operation{token: i.token}, Output: wrote - 1, Call: int64(i.from), Return: int64(i.to)})
	}
	for _, e := range c.evidence.Entries {
		if e.Kind == Read && e.Counter == Fenced {
			history = append(history, porcupine.Operation{Output: e.Value, Input: operation{}, Call: int64(e.From), Return: int64(e.To)})
		}
	}
	switch porcupine.CheckOperationsTimeout(register, history, historyPatience) {
	case porcupine.Illegal:
		c.violated(Linearizable, "no order of the %d operations on the fenced counter explains their answers", len(history))
	case porcupine.Unknown:
		c.violated(Linearizable, "not decided within %v for %d operations", historyPatience, len(history))
	}
}
