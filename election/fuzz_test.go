package election

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// FuzzConfiguration: whatever the figures, a configuration is either refused, with an error that
// says what to do, or leaves an elector whose pauses and deadlines keep their promises.
func FuzzConfiguration(f *testing.F) {
	const s = int64(time.Second)
	f.Add(15*s, 5*s, 10*s, 2*s, 0*s, 1.2)
	f.Add(15*s, 5*s, 14*s, 5*s, 15*s, 0.0)
	f.Add(15*s, 5*s, 0*s, 0*s, 0*s, 0.0)
	f.Add(15*s, 5*s, 15*s*99/100, 5*s, 0*s, 1.0)
	f.Add(int64(1000), int64(500), int64(600), int64(1), int64(1), 1.0)
	f.Add(int64(2), int64(1), int64(0), int64(0), int64(0), 0.0)
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64/2), int64(0), int64(0), int64(0), 1e300)
	f.Add(int64(math.MaxInt64), int64(1), int64(math.MaxInt64-1), int64(math.MaxInt64), int64(math.MaxInt64), math.MaxFloat64)
	f.Add(int64(math.MinInt64), int64(math.MinInt64), int64(-1), int64(-1), int64(-1), math.NaN())
	f.Add(0*s, 0*s, 0*s, 0*s, 0*s, math.Inf(1))
	f.Fuzz(func(t *testing.T, lease, heartbeat, renewDeadline, retryPeriod, drainTimeout int64, jitter float64) {
		c := validConfig()
		c.Lock = lockWith(time.Duration(lease), time.Duration(heartbeat))
		c.RenewDeadline, c.RetryPeriod, c.DrainTimeout, c.JitterFactor =
			time.Duration(renewDeadline), time.Duration(retryPeriod), time.Duration(drainTimeout), jitter
		e, err := NewLeaderElector(c)
		if err != nil {
			if !errors.Is(err, ErrInvalidConfig) || e != nil || !strings.ContainsAny(err.Error(), "0123456789") {
				t.Fatalf("refused with %v, elector %v", err, e)
			}
			return
		}
		g := e.figures
		switch {
		case g.Lease <= 0 || g.Heartbeat <= 0 || g.retryPeriod <= 0 || g.drainTimeout <= 0:
			t.Fatalf("a figure is not positive: %+v", g)
		case g.renewDeadline >= g.Window:
			t.Fatalf("leading may last as long as the lock trusts its lease: %+v", g)
		case float64(g.renewDeadline) < 1.19*float64(g.Heartbeat):
			t.Fatalf("no term would see its first renewal: %+v", g)
		case g.jitter < 1 || float64(g.retryPeriod)*g.jitter >= float64(g.renewDeadline):
			t.Fatalf("a candidate may pause longer than RenewDeadline: %+v", g)
		}
		r := &run{LeaderElector: e}
		for range 4 {
			if p := r.pause(); p < min(g.retryPeriod, shortestPause) || float64(p) > max(float64(g.retryPeriod)*g.jitter, float64(shortestPause))+1 {
				t.Fatalf("a pause of %v: %+v", p, g)
			}
			for _, failures := range []int{1, 2, 1000, math.MaxInt} {
				if p := r.backoff(failures); p < shortestPause || p > max(g.Lease+g.Lease/1000, shortestPause) {
					t.Fatalf("a pause of %v after %d failures: %+v", p, failures, g)
				}
			}
		}
		if p := r.asidePeriod(&term{releaseError: errLeftToRunOut}); p <= 0 {
			t.Fatalf("stands aside for %v: %+v", p, g)
		}
	})
}
