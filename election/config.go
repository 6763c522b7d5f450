package election

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Clock is the time of one machine. Every wait and every timer of an elector goes through it, so a
// test can skew, pause, or suspend one machine. Give the lock and the elector the same Clock.
type Clock = lease.Clock

// JitterFactor is the value of LeaderElectionConfig.JitterFactor if that is zero: a candidate
// pauses between 1 and 1.2 times RetryPeriod.
const JitterFactor = 1.2

// renewalRoom is how many HeartbeatPeriods must fit into RenewDeadline: one, and the time for its
// answer. With less, an ordinary round trip would end terms.
const renewalRoom = 1.2

// LeaderElectionConfig configures an elector. NewLeaderElector copies it; later changes have no
// effect.
//
// The durations must satisfy
//
//	RetryPeriod x JitterFactor < RenewDeadline < 0.99 x LeaseDuration
//	1.2 x HeartbeatPeriod <= RenewDeadline
//
// LeaseDuration and HeartbeatPeriod are the lock's. A holder trusts its lease for 0.99 of
// LeaseDuration. If the HeartbeatPeriod of a *lockclient.DynamoDBLockClient is 0, it is a third of
// the lease, or half of RenewDeadline if that is less. So client-go's figures are valid:
// 15s/10s/2s, and 60s/15s/5s, which then renews every 7.5 s.
type LeaderElectionConfig struct {
	// Lock makes sure that there is only one leader. While the elector runs, nothing else may use
	// it. Required.
	Lock Lock

	// RenewDeadline is how long after the last confirmed renewal leading stops. In the rest of the
	// lease the work can stop before anybody else leads. 0: two thirds of the lease.
	RenewDeadline time.Duration

	// RetryPeriod is a candidate's pause between two attempts, multiplied by a random factor in [1,
	// JitterFactor). It is the longest time for which a release goes unnoticed. The pause is
	// shorter if the lock knows that an earlier poll can show something new. It doubles with each
	// error in a row, up to the lease.
	//
	// 0: the lock chooses the pause (NextPoll). A *lockclient.DynamoDBLockClient polls just after
	// each heartbeat of the holder, because nothing changes between them. If the lock does not
	// choose, after errors, and while standing aside, the pause is the lock's heartbeat period, or
	// three quarters of what RenewDeadline allows if that is less.
	RetryPeriod time.Duration

	// JitterFactor is the upper bound (exclusive) of the random factor by which each pause is
	// multiplied. The lower bound is 1. 1: no jitter; candidates that start together then always
	// poll together. 0: the constant JitterFactor, 1.2.
	JitterFactor float64

	// Callbacks are called when leading starts and stops. OnStartedLeading and OnStoppedLeading are
	// required.
	Callbacks LeaderCallbacks

	// ReleaseOnCancel releases the lock when Run's context has ended and the work has returned, so
	// another leads at once. false: the lease expires by itself. A term that ends for any other
	// reason always releases what it still holds.
	ReleaseOnCancel bool

	// DrainTimeout is how long after the end of a term the lease is still renewed while
	// OnStartedLeading and OnStoppedLeading return. After that, heartbeats stop and the lease
	// expires. 0: the lease.
	DrainTimeout time.Duration

	// HandoverNotice makes a leader that is told to stop (by Run's context with ReleaseOnCancel,
	// Resign or TransferTo) announce that. It goes on leading until the candidates have had their
	// next poll, just after its own next heartbeat. Only then does the leading context end. The
	// candidates then poll often, so the next one leads soon after the work has returned. A
	// shutdown takes a heartbeat period longer, or 1.3 of them at most. There is no notice if the
	// term ends for any other reason, if the lock can't announce, or if the announcement fails. The
	// candidates need a lock that reacts to announcements, such as *lockclient.DynamoDBLockClient.
	//
	// false: the leading context ends at once, and a candidate takes over with its next poll at the
	// latest.
	HandoverNotice bool

	// MaxSilence makes Check fail (ErrNoContact) if the store has not answered this elector for
	// longer than this, whether it leads or campaigns. It must be at least the lease. Do not
	// restart processes for it without a reason: a restart rarely makes the store reachable. 0:
	// Check ignores it. LastContact has the time in any case.
	MaxSilence time.Duration

	// OneTerm makes Run return when its first term ends, as client-go's does. false: it campaigns
	// again.
	OneTerm bool

	// WatchDog is the health check that gets this elector. nil: none.
	WatchDog *HealthzAdaptor

	// Name is the name of the election in logs, metrics and health checks. It has no other effect.
	Name string

	// Logger gets, at V(0), terms, changes of leader, late renewals and an unreachable store; at
	// V(1), errors that are retried; at V(2), polls; and as errors what an operator must act on.
	// README.md explains each message. A Logger that blocks delays nothing. The zero Logger is
	// silent.
	Logger logr.Logger

	// Clock is the machine's time. nil: the system's.
	Clock Clock

	// Rand returns random numbers in [0, 1) for the jitter. Only one goroutine at a time calls it.
	// nil: a source that the operating system has seeded.
	Rand func() float64
}

// figures are the durations an elector works with, validated and with their defaults.
type figures struct {
	lease.Timing               // the lock's
	renewDeadline, retryPeriod time.Duration
	drainTimeout               time.Duration
	jitter                     float64
	lockPaces                  bool // RetryPeriod was left to the lock
}

// refusals collects what is wrong with a configuration, so that one error names it all.
type refusals struct {
	texts  []string
	causes []error
}

func (r *refusals) add(format string, args ...any) {
	r.texts = append(r.texts, fmt.Sprintf(format, args...))
}

func (r *refusals) err() error {
	if len(r.texts) == 0 {
		return nil
	}
	return &configError{refusals: *r}
}

type configError struct{ refusals }

func (e *configError) Error() string {
	return ErrInvalidConfig.Error() + ": " + strings.Join(e.texts, "; ")
}

func (e *configError) Unwrap() []error { return append([]error{ErrInvalidConfig}, e.causes...) }

// figures validates the configuration. A field that is wrong by itself is not compared with others,
// so that one mistake is reported once.
func (c *LeaderElectionConfig) figures() (figures, error) {
	var bad refusals
	f := figures{
		renewDeadline: c.RenewDeadline,
		retryPeriod:   c.RetryPeriod,
		drainTimeout:  c.DrainTimeout,
		jitter:        c.JitterFactor,
		lockPaces:     c.RetryPeriod == 0,
	}
	lockIsFit := c.lockFigures(&f, &bad)

	for _, d := range []struct {
		field string
		value time.Duration
	}{{"RenewDeadline", c.RenewDeadline}, {"RetryPeriod", c.RetryPeriod}, {"DrainTimeout", c.DrainTimeout}, {"MaxSilence", c.MaxSilence}} {
		if d.value < 0 {
			bad.add("%s (%v) is negative: give a positive duration, or 0 for the default", d.field, d.value)
		}
	}
	if f.jitter == 0 {
		f.jitter = JitterFactor
	}
	if !(f.jitter >= 1) || math.IsInf(f.jitter, 0) {
		bad.add("JitterFactor (%v) is not a factor to lengthen a pause by: give 1 or more, or 0 for %v", c.JitterFactor, JitterFactor)
	}
	if c.Callbacks.OnStartedLeading == nil {
		bad.add("Callbacks.OnStartedLeading is nil: give the function that does the leader's work")
	}
	if c.Callbacks.OnStoppedLeading == nil {
		bad.add("Callbacks.OnStoppedLeading is nil: give a function, which may be empty")
	}
	c.compareFigures(&f, &bad, lockIsFit)
	return f, bad.err()
}

// lockFigures asks the lock for its own durations and reports whether others can be compared with
// them.
func (c *LeaderElectionConfig) lockFigures(f *figures, bad *refusals) bool {
	if v := reflect.ValueOf(c.Lock); c.Lock == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		bad.add("Lock is nil: give the lock to lead by, for example a *lockclient.DynamoDBLockClient")
		return false
	}
	if lock, ok := c.Lock.(heartbeatLimiter); ok && c.RenewDeadline > 0 {
		lock.LimitHeartbeat(c.RenewDeadline / 2)
	}
	timing, err := c.Lock.Timing()
	f.Timing = timing
	if err != nil {
		bad.add("Lock is not usable: %v", err)
		bad.causes = append(bad.causes, err)
		return false
	}
	if c.Lock.Identity() == "" {
		bad.add("Lock.Identity() is empty: give the lock an identifier")
	}
	if f.Heartbeat <= 0 || f.Lease <= f.Heartbeat {
		bad.add("Lock.Timing() gives a lease of %v and a heartbeat period of %v: a lease must be longer than the positive period of its heartbeats",
			f.Lease, f.Heartbeat)
		return false
	}
	if f.Window <= 0 || f.Window > f.Lease {
		bad.add("Lock.Timing() gives a window of %v and a lease of %v: a holder must trust its lease for a positive time, and no longer than the lease",
			f.Window, f.Lease)
		return false
	}
	return true
}

func (c *LeaderElectionConfig) compareFigures(f *figures, bad *refusals, lockIsFit bool) {
	if f.drainTimeout == 0 {
		f.drainTimeout = f.Lease
	}
	if lockIsFit && f.renewDeadline == 0 {
		f.renewDeadline = f.Lease / 3 * 2
	}
	if lockIsFit && c.RenewDeadline >= 0 {
		if f.renewDeadline >= f.Window {
			bad.add("RenewDeadline (%v) is not less than %v, as long as the lock trusts its LeaseDuration (%v): lower RenewDeadline or raise LeaseDuration",
				f.renewDeadline, f.Window, f.Lease)
		}
		if f.renewDeadline < lengthened(f.Heartbeat, renewalRoom) {
			bad.add("RenewDeadline (%v) is less than %v x the lock's HeartbeatPeriod (%v), which leaves a renewal no time to be confirmed in: raise RenewDeadline or lower HeartbeatPeriod",
				f.renewDeadline, renewalRoom, f.Heartbeat)
		}
	}
	if lockIsFit && c.MaxSilence > 0 && c.MaxSilence < f.Lease {
		bad.add("MaxSilence (%v) is less than the lock's LeaseDuration (%v), which is how long a candidate may pause: raise it, or give 0 for no such check",
			c.MaxSilence, f.Lease)
	}
	if lockIsFit && f.retryPeriod == 0 {
		f.retryPeriod = f.Heartbeat
		if most := time.Duration(float64(f.renewDeadline) / f.jitter * 3 / 4); f.retryPeriod > most && most > 0 {
			f.retryPeriod = most
		}
	}
	if f.retryPeriod > 0 && f.renewDeadline > 0 && f.jitter >= 1 {
		if longest := float64(f.retryPeriod) * f.jitter; longest >= float64(f.renewDeadline) {
			bad.add("RetryPeriod (%v) x JitterFactor (%v) is not less than RenewDeadline (%v): lower RetryPeriod or raise RenewDeadline",
				f.retryPeriod, f.jitter, f.renewDeadline)
		}
	}
}
