package lockclient

import (
	"context"
	"errors"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// parting is how long a caller that has given up waits, at each of two steps: for the
// answer to its last attempt, and for the release of what an unanswered one may have taken.
func (d *driver) parting() time.Duration { return min(d.Heartbeat, time.Second) / 2 }

// attemptTimeout is how long one request may take within the remaining time: half of it,
// so that a hung one leaves time for another, but at least 1 s, since slow ones must
// succeed, and at most 5 s, since no healthy one takes longer.
func attemptTimeout(remaining time.Duration) time.Duration {
	return min(max(remaining/2, time.Second), 5*time.Second, remaining)
}

// ask waits in line and sends one request. Its timeout begins when it leaves the line.
// patience is as for deliver.
func ask[T any](ctx context.Context, d *driver, patience time.Duration, send func(context.Context) (T, error)) (T, error) {
	place, err := d.line.enter(ctx, d.goesFirst())
	if err != nil {
		var none T
		return none, err
	}
	return deliver(ctx, d, place, patience, send)
}

// deliver sends a request that has a place in line, and gives the place back. It returns
// in time even if the DynamoDB client ignores its context: what such a request still does
// is guarded by its condition. A caller that gives up waits patience longer for the answer,
// since a cancelled request may still be carried out, even after a later one that undoes it.
func deliver[T any](ctx context.Context, d *driver, place *place, patience time.Duration, send func(context.Context) (T, error)) (T, error) {
	end := unanswered
	defer func() { place.giveBack(end) }()
	type reply struct {
		value T
		err   error
	}
	ctx, cancel := lease.WithTimeout(ctx, d.clock, attemptTimeout(d.Window), errNoAnswer)
	defer cancel()
	sent, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	replies := make(chan reply, 1)
	go call(func() (T, error) { return send(sent) }, func(value T, err error) {
		place.giveBack(fateOf(err))
		if err == nil || statusOf(err) > 0 {
			d.requests.answered.Store(true)
		}
		replies <- reply{value, err}
	})
	select {
	case r := <-replies:
		return r.value, r.err
	case <-ctx.Done():
	}
	if patience > 0 && !errors.Is(context.Cause(ctx), errNoAnswer) {
		waited, stop := lease.WithTimeout(context.WithoutCancel(ctx), d.clock, patience, errNoAnswer)
		defer stop()
		select {
		case r := <-replies:
			return r.value, r.err
		case <-waited.Done():
		}
	}
	select {
	case r := <-replies: // the answer came at the same moment: use it
		return r.value, r.err
	default:
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			end = timedOut
		}
		var none T
		return none, contextError(ctx)
	}
}

// goesFirst reports whether the requests go before those of others: whether they are about a
// session, on which all its members, or those who wait for them, depend.
func (d *driver) goesFirst() bool { return d.requests.kind == sessionRecord }

// call runs one request of the DynamoDB client, and tells done how it ended. The client
// may be a test's mock. If it panics, or ends the goroutine as testing.T's FailNow does,
// that is an error of this request and does not end the process.
func call[T any](send func() (T, error), done func(T, error)) {
	growStack()
	var value T
	var err error = &clientPanic{ended: true}
	defer func() {
		if p := recover(); p != nil {
			err = &clientPanic{value: p, where: panickedIn()}
		}
		done(value, err)
	}()
	value, err = send()
}

// growStack makes room for the request at once. A goroutine begins with 2 KB and the SDK
// needs some 16: its stack would be copied three times on the way down.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	touch(&room)
}

//go:noinline
func touch(room *[12 << 10]byte) { room[0] = 1 }
