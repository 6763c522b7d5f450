package election

import (
	"sync"
	"time"
)

// LeaderMetric takes an elector's figures, in client-go's terms. name is LeaderElectionConfig.Name. The methods are called
// from several goroutines and must not block.
type LeaderMetric interface {
	// On: name leads.
	On(name string)
	// Off: name does not lead. Called when an elector is made and at the end of each term.
	Off(name string)
	// SlowpathExercised: a renewal is late, by more than half a heartbeat period, so the lock is retrying it. Called once for
	// each such stretch.
	SlowpathExercised(name string)
}

// OperatorMetric takes what an operator needs beyond client-go's figures. A LeaderMetric that has these methods too is given
// them.
type OperatorMetric interface {
	LeaderMetric
	// TermStarted: a term begins. Its count is that of the terms of this elector.
	TermStarted(name string)
	// TermEnded: a term is over and its lock released; lasted counts from winning. cause is what context.Cause told the work.
	TermEnded(name string, lasted time.Duration, cause error)
	// Failover: this elector saw the lock pass from one tenure to the next, whoever holds them.
	Failover(name string)
	// SinceRenewal is the age of the lease while leading: the time since the last confirmed renewal was sent, several times a
	// heartbeat period.
	SinceRenewal(name string, age time.Duration)
	// HeartbeatLatency is how long one heartbeat of the lock took, successful (err nil) or not. It needs a Lock that can tell.
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

// SetProvider sets where the metrics of all electors made from now on go. Only the first call has an effect.
func SetProvider(metricsProvider MetricsProvider) {
	provider.Lock()
	defer provider.Unlock()
	if provider.MetricsProvider == nil {
		provider.MetricsProvider = metricsProvider
	}
}

// metric is one elector's metrics; without a provider, and for what a provider doesn't want, it does nothing.
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

// observeHeartbeats has the lock's heartbeats reported, if it can tell and anybody wants to know.
func (e *LeaderElector) observeHeartbeats() (stop func()) {
	lock, ok := e.config.Lock.(heartbeatObservable)
	if !ok || e.metric.operator == nil {
		return func() {}
	}
	return lock.ObserveHeartbeats(func(took time.Duration, err error) {
		e.metric.operator.HeartbeatLatency(e.metric.name, took, err)
	})
}
