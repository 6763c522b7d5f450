// Package prometheus exports the metrics of package election to Prometheus.
//
//	provider, err := prometheus.New(registry)
//	...
//	election.SetProvider(provider) // before the first elector is made
//
// Every metric has the label name, which is LeaderElectionConfig.Name. The first two metrics are
// named and labelled as in Kubernetes, so that existing dashboards find them.
//
//	leader_election_master_status{name}                      gauge      1: this process leads, 0: it does not
//	leader_election_slowpath_total{name}                     counter    times that renewals became late and were retried
//	leader_election_last_renewal_age_seconds{name}           gauge      time since the last confirmed renewal was sent; only while leading
//	leader_election_terms_total{name}                        counter    terms that this process began
//	leader_election_terms_ended_total{name, cause}           counter    terms that this process ended, by cause
//	leader_election_failovers_total{name}                    counter    changes of leader that this process saw
//	leader_election_heartbeat_duration_seconds{name, result} histogram  requests that renew the lock
//
// cause is one of the Cause constants and result one of the Result constants, so one name has 43
// series. Counters start at 0 when the elector is made.
//
// Each process that takes part in an election counts the same failovers: aggregate those with max,
// and the other counters with sum.
//
// The age of the last renewal is computed at each scrape. It goes on rising when no renewal is
// confirmed any more, even if the elector itself hangs.
//
// The files alerts.yaml (alerting rules) and dashboard.json (a Grafana dashboard) are beside this
// package.
package prometheus

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leaderkit/leaderkit/election"
)

// The values of the label cause: why a term ended.
const (
	// CauseLeaseExpired: no renewal was confirmed within RenewDeadline.
	CauseLeaseExpired = "lease_expired"
	// CauseLockLost: the lock was taken over, deleted or edited.
	CauseLockLost = "lock_lost"
	// CauseResigned: Resign was called, or OnStartedLeading returned.
	CauseResigned = "resigned"
	// CauseCancelled: the context of Run ended, or a callback panicked.
	CauseCancelled = "cancelled"
)

// The values of the label result: how a heartbeat ended.
const (
	// ResultSuccess: the renewal was confirmed.
	ResultSuccess = "success"
	// ResultFailure: there was an error, or no answer in time.
	ResultFailure = "failure"
)

// Option changes what New makes.
type Option func(*options)

type options struct {
	buckets []float64
}

// WithHeartbeatBuckets sets the upper bounds of the buckets of
// leader_election_heartbeat_duration_seconds, in seconds and rising. The default reaches from 1 ms
// to 30 s: a write to DynamoDB takes a few milliseconds, and no heartbeat takes longer than a
// lease.
func WithHeartbeatBuckets(bounds ...float64) Option {
	return func(o *options) { o.buckets = append([]float64(nil), bounds...) }
}

var defaultBuckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// Provider makes the metrics of each elector and collects them all. Make it with New and give it to
// election.SetProvider. Its methods are safe for concurrent use.
type Provider struct {
	status, age *prometheus.Desc
	slowpath    *prometheus.CounterVec
	terms       *prometheus.CounterVec
	ended       *prometheus.CounterVec
	failovers   *prometheus.CounterVec
	heartbeats  *prometheus.HistogramVec

	mu    sync.Mutex // guards names and what it leads to; no call is made under it that could block
	names map[string]*series
}

var (
	_ election.MetricsProvider = (*Provider)(nil)
	_ prometheus.Collector     = (*Provider)(nil)
)

// New makes a provider and registers it, all of its metrics or none. It never panics. There is an
// error if registerer is nil, if the buckets are not rising numbers, or if these metrics are
// registered already; errors.As finds a prometheus.AlreadyRegisteredError then.
//
// One provider serves all the electors of a process.
func New(registerer prometheus.Registerer, opts ...Option) (*Provider, error) {
	if isNil(registerer) {
		return nil, errors.New("election/prometheus: registerer is nil: give one, for example prometheus.DefaultRegisterer")
	}
	o := options{buckets: defaultBuckets}
	for _, opt := range opts {
		opt(&o)
	}
	if err := checkBuckets(o.buckets); err != nil {
		return nil, err
	}
	p := newProvider(o)
	if err := registerer.Register(p); err != nil {
		return nil, fmt.Errorf("election/prometheus: the metrics could not be registered "+
			"(make one Provider for a registry; if another library exports metrics of these names there, use prometheus.WrapRegistererWithPrefix): %w", err)
	}
	return p, nil
}

// isNil also sees a nil pointer in the interface.
func isNil(registerer prometheus.Registerer) bool {
	v := reflect.ValueOf(registerer)
	return registerer == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

func checkBuckets(bounds []float64) error {
	if len(bounds) == 0 {
		return errors.New("election/prometheus: WithHeartbeatBuckets has no bounds: give at least one, in seconds")
	}
	for i, bound := range bounds {
		switch {
		case math.IsNaN(bound) || bound <= 0:
			return fmt.Errorf("election/prometheus: WithHeartbeatBuckets: bound %d is %v: give seconds above 0", i, bound)
		case i > 0 && bound <= bounds[i-1]:
			return fmt.Errorf("election/prometheus: WithHeartbeatBuckets: bound %d is %v, after %v: give rising bounds", i, bound, bounds[i-1])
		}
	}
	return nil
}

func newProvider(o options) *Provider {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"name"}, labels...))
	}
	return &Provider{
		names: map[string]*series{},
		status: prometheus.NewDesc("leader_election_master_status",
			"1 if this process leads, 0 if it does not.", []string{"name"}, nil),
		slowpath: counter("leader_election_slowpath_total",
			"Times that the renewal of the lease became late and was retried."),
		age: prometheus.NewDesc("leader_election_last_renewal_age_seconds",
			"Time since the last confirmed renewal of the lease was sent. There is none while not leading.", []string{"name"}, nil),
		terms:     counter("leader_election_terms_total", "Terms that this process began to lead."),
		ended:     counter("leader_election_terms_ended_total", "Terms of this process that ended, by cause.", "cause"),
		failovers: counter("leader_election_failovers_total", "Changes of leader that this process saw. Aggregate with max."),
		heartbeats: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "leader_election_heartbeat_duration_seconds",
			Help:    "How long the requests took that renew the lock.",
			Buckets: o.buckets,
		}, []string{"name", "result"}),
	}
}

// NewLeaderMetric makes the metrics of one elector. Electors of one Name share their series: the
// status is 1 while any of them leads, and the age is that of the oldest lease.
func (p *Provider) NewLeaderMetric() election.LeaderMetric { return &metric{provider: p} }

// Describe is that of prometheus.Collector.
func (p *Provider) Describe(descs chan<- *prometheus.Desc) {
	descs <- p.status
	descs <- p.age
	for _, c := range p.collectors() {
		c.Describe(descs)
	}
}

// Collect is that of prometheus.Collector.
func (p *Provider) Collect(metrics chan<- prometheus.Metric) {
	for _, m := range p.gauges() {
		metrics <- m
	}
	for _, c := range p.collectors() {
		c.Collect(metrics)
	}
}

func (p *Provider) collectors() []prometheus.Collector {
	return []prometheus.Collector{p.slowpath, p.terms, p.ended, p.failovers, p.heartbeats}
}

// gauges are the metrics that are computed when they are asked for.
func (p *Provider) gauges() []prometheus.Metric {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []prometheus.Metric
	for name, s := range p.names {
		age, leads := s.age()
		status := 0.0
		if leads {
			status = 1
			all = append(all, prometheus.MustNewConstMetric(p.age, prometheus.GaugeValue, age.Seconds(), name))
		}
		all = append(all, prometheus.MustNewConstMetric(p.status, prometheus.GaugeValue, status, name))
	}
	return all
}

// named gives the series of a name and makes those that are missing, all at 0. p.mu is held.
func (p *Provider) named(name string) *series {
	// Prometheus refuses a label that is not UTF-8, and an elector must not fail for that.
	name = strings.ToValidUTF8(name, "\uFFFD")
	if s := p.names[name]; s != nil {
		return s
	}
	s := &series{
		leaders:   map[*metric]*lease{},
		slowpath:  p.slowpath.WithLabelValues(name),
		terms:     p.terms.WithLabelValues(name),
		failovers: p.failovers.WithLabelValues(name),
		success:   p.heartbeats.WithLabelValues(name, ResultSuccess),
		failure:   p.heartbeats.WithLabelValues(name, ResultFailure),
		ended:     map[string]prometheus.Counter{},
	}
	for _, cause := range []string{CauseLeaseExpired, CauseLockLost, CauseResigned, CauseCancelled} {
		s.ended[cause] = p.ended.WithLabelValues(name, cause)
	}
	p.names[name] = s
	return s
}
