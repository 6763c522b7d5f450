package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"golang.org/x/sys/unix"
)

// work increments the counters until ctx ends or the tenure has.
func (c *contention) work(ctx context.Context, token int64, fenced through) {
	settled := true
	if len(c.Locks) > 1 { // one process takes many over at a time
		c.pause(ctx, c.breath()/10)
	}
	for ctx.Err() == nil {
		if settled {
			switch c.incrementFenced(ctx, token, fenced) {
			case Refused:
				return
			case Unknown:
				// It may be carried out at any later time in this tenure, and what is read now be
				// outdated by it. So this tenure's fenced work is over; believing goes on for a
				// while.
				settled = false
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, c.Lease)
				defer cancel()
			}
		}
		switch {
		case c.GuardedOnly && !settled:
			return // nothing is left to do: the next tenure goes on
		case !c.GuardedOnly && !c.incrementUnfenced(ctx, token):
			return
		}
		c.pause(ctx, c.breath())
	}
}

// breath is the pause between two increments.
func (c *contention) breath() time.Duration {
	pace := c.Pace
	if pace == 0 {
		pace = 25 * time.Millisecond
	}
	return pace/5 + time.Duration(c.random.Int64N(int64(pace-pace/5)))
}

// workThrough is work in a term of an elector or a replica.
func (c *contention) workThrough(ctx context.Context, term election.Term) {
	c.work(ctx, term.FencingToken, func(ctx context.Context, r Receipt, read readCounter) (int64, Outcome, error) {
		return c.throughTerm(ctx, term, r, read)
	})
}

type readCounter func(context.Context) (int64, error)

// through reads the counter under the lock's protection and writes one more. Its outcome is Refused
// when the fence has refused it, and notSent when there was nothing to refuse.
type through func(ctx context.Context, r Receipt, read readCounter) (value int64, outcome Outcome, err error)

// notSent is the outcome of an increment that got no further than its read. To the checker it is as
// good as refused.
const notSent Outcome = "not sent"

// call writes down that an increment begins, and returns what names it.
func (c *contention) call(counter string, token int64) (op string) {
	op = fmt.Sprintf("%s/%d", c.Process, c.ops.Add(1))
	c.write(Entry{Kind: Call, From: Monotonic(), Token: token, Counter: counter, Op: op})
	return op
}

// returned writes down how an increment has ended.
func (c *contention) returned(counter, op string, token, value int64, outcome Outcome, err error) {
	e := Entry{Kind: Return, To: Monotonic(), Token: token, Counter: counter, Op: op, Value: value, Outcome: outcome}
	if err != nil {
		e.Text = err.Error()
	}
	c.write(e)
}

func (c *contention) counter(ctx context.Context, name string) (int64, error) {
	return c.store.counter(ctx, c.name, name)
}

// outlive is for a request of a tenure's: it ends a lease after it began, or a lease after the
// tenure where there is nothing else to do than to wait for its answer.
func (c *contention) outlive(tenure context.Context) (context.Context, context.CancelFunc) {
	if !c.GuardedOnly {
		return context.WithTimeout(context.WithoutCancel(tenure), c.Lease)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tenure))
	stop := context.AfterFunc(tenure, func() {
		c.pause(ctx, c.Lease)
		cancel()
	})
	return ctx, func() {
		stop()
		cancel()
	}
}

// incrementFenced does one increment. The end of the time to hold the lock doesn't cut it short,
// and neither does the end of a term: the fence has to do with work that is late.
func (c *contention) incrementFenced(ctx context.Context, token int64, do through) Outcome {
	ctx, cancel := c.outlive(ctx)
	defer cancel()
	r := Receipt{Lock: c.name, Op: c.call(Fenced, token), Process: c.Process, Token: token}
	value, outcome, err := do(ctx, r, func(ctx context.Context) (int64, error) { return c.counter(ctx, Fenced) })
	c.returned(Fenced, r.Op, token, value, outcome, err)
	return outcome
}

// throughLock is an increment with DynamoDBLockClient.TransactWrite.
func (c *contention) throughLock(ctx context.Context, r Receipt, read readCounter) (int64, Outcome, error) {
	if token, held := c.lock.FencingToken(); !held || token != r.Token {
		return 0, notSent, lockclient.ErrNotHeld // another tenure's fence would not protect what is read here
	}
	if c.StopOnce {
		return c.throughPause(ctx, r, read)
	}
	value, err := read(ctx)
	if err != nil {
		return 0, notSent, err
	}
	r.Value = value + 1
	_, err = c.lock.TransactWrite(ctx, c.store.fenced(r))
	switch {
	case err == nil:
		return r.Value, Done, nil
	case errors.Is(err, lockclient.ErrLockLost):
		return r.Value, Refused, err
	default:
		return r.Value, Unknown, err
	}
}

// throughTerm is an increment with a transaction of the worker's own, guarded by
// Term.ConditionCheck.
func (c *contention) throughTerm(ctx context.Context, term election.Term, r Receipt, read readCounter) (int64, Outcome, error) {
	check, err := term.ConditionCheck()
	if c.Mistake == WritesUnguarded {
		check, err = nil, nil
	}
	if err != nil {
		return 0, notSent, err
	}
	value, err := read(ctx)
	if err != nil {
		return 0, notSent, err
	}
	r.Value = value + 1
	in := c.store.fenced(r)
	if check != nil {
		in.TransactItems = append(in.TransactItems, &transactItem{ConditionCheck: check})
	}
	outcome, err := c.transact(ctx, in)
	return r.Value, outcome, err
}

func (c *contention) transact(ctx context.Context, in *dynamodb.TransactWriteItemsInput) (Outcome, error) {
	if c.GuardedOnly {
		return c.store.transact(ctx, in, 2*c.Lease, c.Heartbeat/4)
	}
	return c.store.transact(ctx, in, c.Heartbeat*5/4, c.Heartbeat/8)
}

// throughPause is the worst case: the lock is held and looked at, both counters are read, and then
// the process stands still until another has long been at work. It wakes up between the look and
// the writes.
func (c *contention) throughPause(ctx context.Context, r Receipt, read readCounter) (int64, Outcome, error) {
	c.StopOnce = false
	value, err := read(ctx)
	if err != nil {
		return 0, notSent, err
	}
	op := c.call(Unfenced, r.Token)
	unfenced, err := c.counter(ctx, Unfenced)
	if err != nil {
		return 0, notSent, err
	}
	check, err := c.lock.ConditionCheck()
	if err != nil {
		return 0, notSent, err
	}
	r.Value = value + 1
	in := c.store.fenced(r)
	in.TransactItems = append(in.TransactItems, &transactItem{ConditionCheck: check})

	if held, err := c.lock.HasLock(); !held {
		return 0, notSent, err
	}
	if err := unix.Kill(unix.Getpid(), unix.SIGSTOP); err != nil {
		return 0, notSent, err
	}
	// The signal may take effect a few instructions later, on this thread or on another.
	c.pause(ctx, 50*time.Millisecond)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	c.overwrite(ctx, op, r.Token, unfenced+1)
	outcome, err := c.transact(ctx, in)
	return r.Value, outcome, err
}

// incrementUnfenced is false when the lock is not held.
func (c *contention) incrementUnfenced(ctx context.Context, token int64) bool {
	op := c.call(Unfenced, token)
	value, err := c.counter(ctx, Unfenced)
	if held := c.stillHeld(); err != nil || !held {
		c.returned(Unfenced, op, token, 0, notSent, err)
		return held
	}
	c.overwrite(ctx, op, token, value+1)
	return true
}

func (c *contention) stillHeld() bool {
	held, _ := c.lock.HasLock()
	return held
}

// overwrite is the second half of an unfenced increment.
func (c *contention) overwrite(ctx context.Context, op string, token, value int64) {
	outcome := Done
	err := c.store.overwrite(ctx, c.name, Unfenced, value)
	if err != nil {
		outcome = Unknown
		if certainlyNot(err) {
			outcome = Refused
		}
	}
	c.returned(Unfenced, op, token, value, outcome, err)
}
