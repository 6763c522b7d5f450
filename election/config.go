package election

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

// JitterFactor is what LeaderElectionConfig.JitterFactor is when left at zero: a candidate pauses between 1 and 1.2 times
// RetryPeriod.
const JitterFactor = 1.2

// renewalRoom is the least of HeartbeatPeriods that fit into a RenewDeadline: one, and the time for its answer. With less, an ordinary
// round trip ends terms.
const renewalRoom = 1.2

// LeaderElectionConfig says how to lead. NewLeaderElector copies it; later changes have no effect.
//
// The figures must satisfy
//
//	RetryPeriod x JitterFactor < RenewDeadline < 0.99 x LeaseDuration    and    1.2 x HeartbeatPeriod <= RenewDeadline
//
// where LeaseDuration and HeartbeatPeriod are the lock's, and 0.99 of the lease is how long the lock itself trusts it.
type LeaderElectionConfig struct {
	// Lock is what makes the leader the only one. It belongs to the elector while that runs. Required.
	Lock Lock

	// RenewDeadline is how long after the last confirmed renewal leading stops. What is left of the lease after it is the time that the
	// work has to stop before anybody else can lead. 0: two thirds of the lease.
	RenewDeadline time.Duration

	// RetryPeriod is a candidate's pause between two attempts, jittered by [1, JitterFactor), and so the longest that a release goes
	// unnoticed. It is cut short where the lock knows that an earlier poll can tell something new. On errors it doubles with each,
	// up to the lease.
	// 0: the lock sets the pace, where it has an opinion (NextPoll): *lockclient.DynamoDBLockClient polls just after each heartbeat of the
	// holder, which is as often as there is anything to see. Elsewhere (errors, no opinion, standing aside) the lock's heartbeat
	// period, or three quarters of what RenewDeadline allows if that is less.
	RetryPeriod time.Duration

	// JitterFactor is the upper bound (exclusive) of the factor by which each pause is multiplied; the lower is 1.
	// 1: no jitter, which lets candidates that start together poll together for ever. 0: the constant JitterFactor, 1.2.
	JitterFactor float64

	// Callbacks are the work and those who are told. OnStartedLeading and OnStoppedLeading are required.
	Callbacks LeaderCallbacks

	// ReleaseOnCancel: when Run's context ends, release the lock as soon as the work has returned, so that another leads at once.
	// false: the lease is left to run out. A term that ends for any other reason always releases what it still holds.
	ReleaseOnCancel bool

	// DrainTimeout is how long after the end of a term the lease is still renewed while OnStartedLeading (and
	// OnStoppedLeading) returns. Then heartbeats stop and the lease runs out. 0: the lease.
	DrainTimeout time.Duration

	// OneTerm: Run returns when its first term ends, as client-go's does. false: it campaigns again.
	OneTerm bool

	// WatchDog is the health check to tie to this elector. nil: none.
	WatchDog *HealthzAdaptor

	// Name stands in logs, metrics and health checks for what is being led. It decides nothing.
	Name string

	// Logger: V(0) terms and changes of leader, V(1) errors that are retried, V(2) polls. The zero Logger is silent.
	Logger logr.Logger

	// Clock is the node's time. nil: the system's.
	Clock Clock

	// Rand is the source of jitter: numbers in [0, 1), asked for by one goroutine at a time. nil: an own source,
	// seeded by the operating system.
	Rand func() float64
}

// figures are the durations an elector works with, validated and defaulted.
type figures struct {
	lease, heartbeat           time.Duration
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

// figures validates the configuration. Fields that are wrong by themselves are left out of the comparisons between fields, so that
// one mistake is refused once.
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
	}{{"RenewDeadline", c.RenewDeadline}, {"RetryPeriod", c.RetryPeriod}, {"DrainTimeout", c.DrainTimeout}} {
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

// lockFigures asks the lock for its own figures and reports whether they can be compared with.
func (c *LeaderElectionConfig) lockFigures(f *figures, bad *refusals) bool {
	if v := reflect.ValueOf(c.Lock); c.Lock == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		bad.add("Lock is nil: give the lock to lead by, for example a *lockclient.DynamoDBLockClient")
		return false
	}
	var err error
	if f.lease, f.heartbeat, err = c.Lock.Timing(); err != nil {
		bad.add("Lock is not usable: %v", err)
		bad.causes = append(bad.causes, err)
		return false
	}
	if c.Lock.Identity() == "" {
		bad.add("Lock.Identity() is empty: give the lock an identifier")
	}
	if f.heartbeat <= 0 || f.lease <= f.heartbeat {
		bad.add("Lock.Timing() gives a lease of %v and a heartbeat period of %v: a lease must be longer than the positive period of its heartbeats",
			f.lease, f.heartbeat)
		return false
	}
	return true
}

func (c *LeaderElectionConfig) compareFigures(f *figures, bad *refusals, lockIsFit bool) {
	if f.drainTimeout == 0 {
		f.drainTimeout = f.lease
	}
	if lockIsFit && f.renewDeadline == 0 {
		f.renewDeadline = f.lease / 3 * 2
	}
	if lockIsFit && c.RenewDeadline >= 0 {
		if trusted := f.lease - f.lease/100; f.renewDeadline >= trusted {
			bad.add("RenewDeadline (%v) is not less than %v, as long as the lock trusts its LeaseDuration (%v): lower RenewDeadline or raise LeaseDuration",
				f.renewDeadline, trusted, f.lease)
		}
		if f.renewDeadline < lengthened(f.heartbeat, renewalRoom) {
			bad.add("RenewDeadline (%v) is less than %v x the lock's HeartbeatPeriod (%v), which leaves a renewal no time to be confirmed in: raise RenewDeadline or lower HeartbeatPeriod",
				f.renewDeadline, renewalRoom, f.heartbeat)
		}
	}
	if lockIsFit && f.retryPeriod == 0 {
		f.retryPeriod = f.heartbeat
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
