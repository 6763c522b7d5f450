package chaos

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// increment is one of a counter, from all that is known of it.
type increment struct {
	op, process string
	token       int64
	from, to    time.Duration // to is math.MaxInt64 where no answer came
	outcome     Outcome
	value       int64 // the value written; 0 where the process doesn't know
	receipt     *Receipt
}

func (c *checker) readIncrements() {
	c.increments = c.incrementsOf(Fenced)
	c.byOp = map[string]*increment{}
	for _, i := range c.increments {
		c.byOp[i.op] = i
	}
}

// incrementsOf are those of one of the counters, in the order of their calls.
func (c *checker) incrementsOf(counter string) (all []*increment) {
	byOp := map[string]*increment{}
	for _, e := range c.sorted(Call) {
		if e.Counter != counter {
			continue
		}
		i := &increment{op: e.Op, process: e.Process, token: e.Token, from: e.From, to: math.MaxInt64, outcome: Unknown}
		all, byOp[e.Op] = append(all, i), i
	}
	for _, e := range c.entries {
		if i := byOp[e.Op]; e.Kind == Return && e.Counter == counter && i != nil {
			i.outcome, i.value = e.Outcome, e.Value
			if e.Outcome != Unknown {
				i.to = e.To
			}
		}
	}
	return all
}

// checkFenced compares what the processes know with what the table holds.
func (c *checker) checkFenced() {
	receipts := slices.Clone(c.receipts)
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
	if n := int64(len(receipts)); c.fenced != n {
		c.violated(NoLostIncrement, "the counter stands at %d, and there are %d receipts", c.fenced, n)
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
