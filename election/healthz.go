package election

import (
	"net/http"
	"sync"
	"time"
)

// HealthzAdaptor makes a health check of an elector, in the form that health check handlers take. Make it with
// NewLeaderHealthzAdaptor and hand it over as LeaderElectionConfig.WatchDog; it is healthy as long as it has no elector.
type HealthzAdaptor struct {
	timeout time.Duration
	mu      sync.Mutex // guards le
	le      *LeaderElector
}

// NewLeaderHealthzAdaptor gives a health check that fails once the work has outlived its lease by more than timeout
// (LeaderElector.Check). 0: as soon as the lease has run out.
func NewLeaderHealthzAdaptor(timeout time.Duration) *HealthzAdaptor {
	return &HealthzAdaptor{timeout: timeout}
}

// Name of the health check.
func (l *HealthzAdaptor) Name() string { return "leaderElection" }

// Check is LeaderElector.Check with the adaptor's timeout. The request is not looked at.
func (l *HealthzAdaptor) Check(*http.Request) error {
	l.mu.Lock()
	le := l.le
	l.mu.Unlock()
	if le == nil {
		return nil
	}
	return le.Check(l.timeout)
}

// SetLeaderElection ties the health check to an elector; NewLeaderElector does it for its WatchDog.
func (l *HealthzAdaptor) SetLeaderElection(le *LeaderElector) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.le = le
}
