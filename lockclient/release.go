package lockclient

import (
	"context"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// removeLock is RemoveLockWithContext and, with an heir, ReleaseTo.
func (d *driver) removeLock(ctx context.Context, heir string) error {
	was := d.member.Load()
	d.giveUp() // before any request, and even if they fail
	d.removal.announce()
	d.mu.Lock()
	interrupt := d.interrupt
	d.mu.Unlock()
	if interrupt != nil {
		interrupt(ErrInterrupted)
	}
	defer was.left()      // also where the release fails
	defer d.oweIfUnsure() // also where the turn never comes
	if !d.turn.take(ctx) {
		return contextError(ctx)
	}
	defer d.turn.pass()
	defer d.member.Load().left() // the present one: an attempt may have won until now
	if k := d.giveUp(); k != nil {
		k.drain(ctx)
	}
	for failures := 1; ; failures++ {
		err := d.release(ctx, heir)
		if err == nil {
			return nil
		}
		if isPermanent(err) || !d.sleep(ctx, d.pauseAfter(failures, err, d.Heartbeat)) {
			return err
		}
		d.log.V(1).Info("release failed, will retry", "failures", failures, "error", oneLine(err))
	}
}

// giveUp ends the current tenure, if there is one. It forgets why an earlier one was lost.
func (d *driver) giveUp() holding {
	k := d.holding()
	if k != nil {
		k.giveUp()
	}
	return k
}

// release frees the record if it carries what the ledger lists. If the condition fails, the record
// is not ours, and there is nothing to free. heir may take it first; "": none.
func (d *driver) release(ctx context.Context, heir string) error {
	d.mu.Lock()
	own, none := d.ledger.ownWrites(), d.ledger.empty()
	d.mu.Unlock()
	if none {
		return nil
	}
	if err := d.yieldToSession(ctx); err != nil {
		return err
	}
	version, err := ask(ctx, d, 0, func(ctx context.Context) (string, error) {
		return d.requests.release(ctx, own, heir, d.clock.Wall())
	})
	_, refused := conditionFailed(err)
	d.mu.Lock()
	d.noteAnswer(err)
	// A refusal says that the record is not ours any more. Our waiters may not know that yet:
	// an earlier release may have freed it, whose reply was lost, or somebody has edited it.
	news := err == nil || refused && (own.token != 0 || d.untold)
	d.untold = err != nil && !refused && (d.untold || mayHaveCommitted(err))
	if err == nil || refused {
		d.ledger.gone(own.token) // the attempts stay listed: they may still be carried out
	}
	if err == nil {
		d.ledger.forgetBefore(d.clock.Monotonic() - max(d.Lease, time.Minute))
		d.contender.hasReleased(version, heir, lease.Now(d.clock))
	}
	d.mu.Unlock()
	if err != nil && !refused {
		return d.requests.failure("release", err)
	}
	if news {
		if m := d.member.Load(); m != nil && m.token == own.token {
			m.left()
		}
		d.letGo(own.token)
	}
	d.log.V(1).Info("released", "fencingToken", own.token, "wasOurs", err == nil)
	return nil
}

// freeUnanswered releases, with one try, what unanswered attempts may have taken. An
// attempt that was not carried out yet stays in the ledger: it may still be, and the next
// attempt then recognises it.
func (d *driver) freeUnanswered() {
	d.mu.Lock()
	none := d.ledger.empty()
	d.mu.Unlock()
	if none {
		return
	}
	ctx, cancel := lease.WithTimeout(context.Background(), d.clock, d.parting(), errNoAnswer)
	defer cancel()
	if err := d.release(ctx, ""); err != nil {
		d.log.V(1).Info("an unanswered acquire could not be freed; it will run out", "error", oneLine(err))
	}
}
