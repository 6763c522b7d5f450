package election

import (
	"sync"
	"time"
)

// LeaderMetric receives an elector's metrics, with client-go's names. name is
// LeaderElectionConfig.Name. Calls come one at a time, in order. A slow method delays only later
// metrics and log messages.
type LeaderMetric interface {
	// On is called when name begins to lead.
	On(name string)
	// Off is called when an elector is made, and at the end of each term.
	Off(name string)
	// SlowpathExercised is called when a renewal is late by more than half a heartbeat period, so
	// that the lock retries it. It is called once until renewals are on time again.
	SlowpathExercised(name string)
}

// OperatorMetric receives more than client-go's metrics. If the LeaderMetric of a provider has
// these methods, they are called.
type OperatorMetric interface {
	LeaderMetric
	// TermStarted is called when a term begins.
	TermStarted(name string)
	// TermEnded is called when a term is over and its lock is released. lasted is the time since
	// the lock was won. cause is the context.Cause of the leading context.
	TermEnded(name string, lasted time.Duration, cause error)
	// Failover is called when this elector sees that the lock has passed from one tenure to the
	// next.
	Failover(name string)
	// SinceRenewal is called several times in a heartbeat period while leading. age is the time
	// since the last confirmed renewal was sent.
	SinceRenewal(name string, age time.Duration)
	// HeartbeatLatency is called after each heartbeat of the lock, with how long it took. err is
	// nil if it succeeded. It needs a Lock that reports its heartbeats.
	HeartbeatLatency(name string, took time.Duration, err error)
}

// MetricsProvider makes the LeaderMetric of each elector.
type MetricsProvider interface {
	NewLeaderMetric() LeaderMetric
}

var provider struct {
	sync.Mutex
	MetricsProvider
}

// SetProvider sets the provider for all electors made from now on. Only the first call has an
// effect.
func SetProvider(metricsProvider MetricsProvider) {
	provider.Lock()
	defer provider.Unlock()
	if provider.MetricsProvider == nil {
		provider.MetricsProvider = metricsProvider
	}
}

// metric is one elector's metrics. It does nothing without a provider, and nothing that the
// provider has no method for.
type metric struct {
	name     string
	leader   LeaderMetric
	operator OperatorMetric
}

func newMetric(name string) metric {
	provider.Lock()
	defer provider.Unlock()
	m := metric{name: name}
	if provider.MetricsProvider != nil {
		m.leader = provider.NewLeaderMetric()
		m.operator, _ = m.leader.(OperatorMetric)
	}
	return m
}

func (m metric) on() {
	if m.leader != nil {
		m.leader.On(m.name)
	}
	if m.operator != nil {
		m.operator.TermStarted(m.name)
	}
}

func (m metric) off() {
	if m.leader != nil {
		m.leader.Off(m.name)
	}
}

func (m metric) slowpath() {
	if m.leader != nil {
		m.leader.SlowpathExercised(m.name)
	}
}

func (m metric) ended(lasted time.Duration, cause error) {
	if m.operator != nil {
		m.operator.TermEnded(m.name, lasted, cause)
	}
}

func (m metric) failover() {
	if m.operator != nil {
		m.operator.Failover(m.name)
	}
}

func (m metric) sinceRenewal(age time.Duration) {
	if m.operator != nil {
		m.operator.SinceRenewal(m.name, age)
	}
}
