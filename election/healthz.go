package election

import (
	"net/http"
	"sync"
	"time"
)

// HealthzAdaptor is a health check of an elector, in the form that health check handlers take. Make
// it with NewLeaderHealthzAdaptor and set it as LeaderElectionConfig.WatchDog. Without an elector
// it is healthy.
type HealthzAdaptor struct {
	timeout time.Duration
	mu      sync.Mutex // guards le
	le      *LeaderElector
}

// NewLeaderHealthzAdaptor returns a health check that fails when the work has outlived its lease by
// more than timeout (LeaderElector.Check). 0: as soon as the lease has expired.
func NewLeaderHealthzAdaptor(timeout time.Duration) *HealthzAdaptor {
	return &HealthzAdaptor{timeout: timeout}
}

// Name returns the name of the health check.
func (l *HealthzAdaptor) Name() string { return "leaderElection" }

// Check is LeaderElector.Check with the adaptor's timeout. It ignores the request.
func (l *HealthzAdaptor) Check(*http.Request) error {
	l.mu.Lock()
	le := l.le
	l.mu.Unlock()
	if le == nil {
		return nil
	}
	return le.Check(l.timeout)
}

// SetLeaderElection sets the elector to check. NewLeaderElector does that for its WatchDog.
func (l *HealthzAdaptor) SetLeaderElection(le *LeaderElector) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.le = le
}
