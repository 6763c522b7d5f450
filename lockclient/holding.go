package lockclient

import (
	"context"
	"time"
)

// holding is the current or the last tenure of a lock: a keeper, which renews the lock's
// own record, or a member, whose session is renewed instead.
type holding interface {
	driver() *driver
	fencingToken() int64
	// holds is HasLock, age is LeaseAge.
	holds() (bool, error)
	age() (time.Duration, bool)
	whenLost() <-chan struct{}
	whenAging() <-chan struct{}
	// stop is StopHeartbeat, and resume undoes it.
	stop()
	resume()
	announce(ctx context.Context) error
	// giveUp ends the tenure by its holder's will. What ended it before is forgotten.
	giveUp()
	// lose ends the tenure because a write that named it was refused.
	lose(found *record, err error)
	// untilCalm waits until a transaction on the record would not disturb a heartbeat.
	untilCalm(ctx context.Context) error
	// drain waits until no heartbeat is in flight, after the tenure has ended.
	drain(ctx context.Context)
}

var (
	_ holding = (*keeper)(nil)
	_ holding = (*member)(nil)
)

// holding returns the current or the last tenure; nil before the first.
func (d *driver) holding() holding {
	if d.session != nil {
		if m := d.member.Load(); m != nil {
			return m
		}
		return nil
	}
	if k := d.keeper.Load(); k != nil {
		return k
	}
	return nil
}
