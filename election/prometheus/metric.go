package prometheus

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leaderkit/leaderkit/election"
)

// series are the metrics of one name. Only leaders ever changes.
type series struct {
	leaders          map[*metric]*lease // of the electors that lead; guarded by Provider.mu
	slowpath         prometheus.Counter
	terms, failovers prometheus.Counter
	ended            map[string]prometheus.Counter // by cause
	success, failure prometheus.Observer
}

// age is that of the oldest lease; false: nobody leads.
func (s *series) age() (oldest time.Duration, leads bool) {
	for _, l := range s.leaders {
		oldest = max(oldest, l.renewed.ago())
	}
	return oldest, len(s.leaders) > 0
}

// renew notes a renewal of m's lease that was sent so long ago. It does nothing if m does not lead.
func (s *series) renew(m *metric, ago time.Duration) {
	l, sent := s.leaders[m], instant{time.Now().Add(-ago)}
	if l == nil {
		return
	}
	// One report may overtake another, so a later one does not set the renewal back. The first one
	// may: it says how long winning took.
	if !l.known || sent.After(l.renewed.Time) {
		l.renewed, l.known = sent, true
	}
}

// lease is what an elector that leads has told of its lease.
type lease struct {
	renewed instant // when the last renewal was sent
	known   bool    // false: nothing was told yet, and renewed is when the term began
}

// instant is a moment on both clocks.
type instant struct{ time.Time }

// ago is the time since then by whichever clock says more: the monotonic clock stops while the
// machine is suspended, the wall clock may be set back.
func (i instant) ago() time.Duration {
	now := time.Now()
	return max(now.Sub(i.Time), now.Round(0).Sub(i.Round(0)))
}

// metric is what one elector reports to.
type metric struct{ provider *Provider }

var _ election.OperatorMetric = (*metric)(nil)

func (m *metric) series(name string) *series {
	m.provider.mu.Lock()
	defer m.provider.mu.Unlock()
	return m.provider.named(name)
}

// On is that of election.LeaderMetric. The lease may be a little older than the term; SinceRenewal
// soon says so.
func (m *metric) On(name string) {
	m.provider.mu.Lock()
	defer m.provider.mu.Unlock()
	m.provider.named(name).leaders[m] = &lease{renewed: instant{time.Now()}}
}

// Off is that of election.LeaderMetric.
func (m *metric) Off(name string) {
	m.provider.mu.Lock()
	defer m.provider.mu.Unlock()
	delete(m.provider.named(name).leaders, m)
}

// SlowpathExercised is that of election.LeaderMetric.
func (m *metric) SlowpathExercised(name string) { m.series(name).slowpath.Inc() }

// TermStarted is that of election.OperatorMetric.
func (m *metric) TermStarted(name string) { m.series(name).terms.Inc() }

// TermEnded is that of election.OperatorMetric.
func (m *metric) TermEnded(name string, _ time.Duration, cause error) {
	m.series(name).ended[causeLabel(cause)].Inc()
}

// Failover is that of election.OperatorMetric.
func (m *metric) Failover(name string) { m.series(name).failovers.Inc() }

// SinceRenewal is that of election.OperatorMetric. It is kept as the moment when the renewal was
// sent, from which each scrape computes the age.
func (m *metric) SinceRenewal(name string, age time.Duration) {
	m.provider.mu.Lock()
	defer m.provider.mu.Unlock()
	m.provider.named(name).renew(m, age)
}

// HeartbeatLatency is that of election.OperatorMetric.
func (m *metric) HeartbeatLatency(name string, took time.Duration, err error) {
	m.provider.mu.Lock()
	defer m.provider.mu.Unlock()
	s := m.provider.named(name)
	if err != nil {
		s.failure.Observe(took.Seconds())
		return
	}
	s.success.Observe(took.Seconds())
	s.renew(m, took) // the elector reports it as well, but up to a quarter of a heartbeat period later
}

// causeLabel maps any error to one of few labels.
func causeLabel(cause error) string {
	switch {
	case errors.Is(cause, election.ErrLeaseExpired):
		return CauseLeaseExpired
	case errors.Is(cause, election.ErrLockLost):
		return CauseLockLost
	case errors.Is(cause, election.ErrResigned):
		return CauseResigned
	default:
		return CauseCancelled
	}
}
