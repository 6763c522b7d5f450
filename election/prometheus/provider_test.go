package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/leaderkit/leaderkit/election"
)

// made is a provider with a registry of its own, and the metric of an elector named "test" that has
// just been made.
func made(t *testing.T, opts ...Option) (*prometheus.Registry, election.OperatorMetric) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	provider, err := New(registry, opts...)
	if err != nil {
		t.Fatal(err)
	}
	m := provider.NewLeaderMetric().(election.OperatorMetric)
	m.Off("test")
	return registry, m
}

// expect fails the test unless these metrics are exported exactly so.
func expect(t *testing.T, registry prometheus.Gatherer, exposition string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(registry, strings.NewReader(exposition), names...); err != nil {
		t.Error(err)
	}
}

func TestEveryCounterOfAnElectorStartsAtZero(t *testing.T) {
	registry, _ := made(t)
	expect(t, registry, `
# HELP leader_election_failovers_total Changes of leader that this process saw. Aggregate with max.
# TYPE leader_election_failovers_total counter
leader_election_failovers_total{name="test"} 0
# HELP leader_election_master_status 1 if this process leads, 0 if it does not.
# TYPE leader_election_master_status gauge
leader_election_master_status{name="test"} 0
# HELP leader_election_slowpath_total Times that the renewal of the lease became late and was retried.
# TYPE leader_election_slowpath_total counter
leader_election_slowpath_total{name="test"} 0
# HELP leader_election_terms_ended_total Terms of this process that ended, by cause.
# TYPE leader_election_terms_ended_total counter
leader_election_terms_ended_total{cause="cancelled",name="test"} 0
leader_election_terms_ended_total{cause="lease_expired",name="test"} 0
leader_election_terms_ended_total{cause="lock_lost",name="test"} 0
leader_election_terms_ended_total{cause="resigned",name="test"} 0
# HELP leader_election_terms_total Terms that this process began to lead.
# TYPE leader_election_terms_total counter
leader_election_terms_total{name="test"} 0
`, "leader_election_failovers_total", "leader_election_master_status", "leader_election_slowpath_total",
		"leader_election_terms_ended_total", "leader_election_terms_total")
}

func TestWhatAnElectorTellsIsExported(t *testing.T) {
	registry, m := made(t)
	m.On("test")
	m.TermStarted("test")
	m.Failover("test")
	m.Failover("test")
	m.SlowpathExercised("test")
	expect(t, registry, `
# HELP leader_election_failovers_total Changes of leader that this process saw. Aggregate with max.
# TYPE leader_election_failovers_total counter
leader_election_failovers_total{name="test"} 2
# HELP leader_election_master_status 1 if this process leads, 0 if it does not.
# TYPE leader_election_master_status gauge
leader_election_master_status{name="test"} 1
# HELP leader_election_slowpath_total Times that the renewal of the lease became late and was retried.
# TYPE leader_election_slowpath_total counter
leader_election_slowpath_total{name="test"} 1
# HELP leader_election_terms_total Terms that this process began to lead.
# TYPE leader_election_terms_total counter
leader_election_terms_total{name="test"} 1
`, "leader_election_failovers_total", "leader_election_master_status", "leader_election_slowpath_total", "leader_election_terms_total")
}

func TestTermsEndByOneOfFourCauses(t *testing.T) {
	registry, m := made(t)
	ends := []error{
		fmt.Errorf("no answer: %w", election.ErrLeaseExpired),
		fmt.Errorf("taken over: %w", election.ErrLockLost), fmt.Errorf("edited: %w", election.ErrLockLost),
		fmt.Errorf("handed over: %w", election.ErrResigned),
		context.Canceled, context.DeadlineExceeded, errors.New("SIGTERM"), nil,
	}
	for _, cause := range ends {
		m.TermEnded("test", time.Minute, cause)
	}
	expect(t, registry, `
# HELP leader_election_terms_ended_total Terms of this process that ended, by cause.
# TYPE leader_election_terms_ended_total counter
leader_election_terms_ended_total{cause="cancelled",name="test"} 4
leader_election_terms_ended_total{cause="lease_expired",name="test"} 1
leader_election_terms_ended_total{cause="lock_lost",name="test"} 2
leader_election_terms_ended_total{cause="resigned",name="test"} 1
`, "leader_election_terms_ended_total")
}

func TestHeartbeatsAreCountedByResultAndDuration(t *testing.T) {
	registry, m := made(t, WithHeartbeatBuckets(0.01, 1))
	m.HeartbeatLatency("test", 4*time.Millisecond, nil)
	m.HeartbeatLatency("test", 20*time.Millisecond, nil)
	m.HeartbeatLatency("test", 5*time.Second, errors.New("no answer"))
	expect(t, registry, `
# HELP leader_election_heartbeat_duration_seconds How long the requests took that renew the lock.
# TYPE leader_election_heartbeat_duration_seconds histogram
leader_election_heartbeat_duration_seconds_bucket{name="test",result="failure",le="0.01"} 0
leader_election_heartbeat_duration_seconds_bucket{name="test",result="failure",le="1"} 0
leader_election_heartbeat_duration_seconds_bucket{name="test",result="failure",le="+Inf"} 1
leader_election_heartbeat_duration_seconds_sum{name="test",result="failure"} 5
leader_election_heartbeat_duration_seconds_count{name="test",result="failure"} 1
leader_election_heartbeat_duration_seconds_bucket{name="test",result="success",le="0.01"} 1
leader_election_heartbeat_duration_seconds_bucket{name="test",result="success",le="1"} 2
leader_election_heartbeat_duration_seconds_bucket{name="test",result="success",le="+Inf"} 2
leader_election_heartbeat_duration_seconds_sum{name="test",result="success"} 0.024
leader_election_heartbeat_duration_seconds_count{name="test",result="success"} 2
`, "leader_election_heartbeat_duration_seconds")
}

// expectAge fails the test unless the age of the last renewal is exported as so many seconds;
// negative: not exported.
func expectAge(t *testing.T, registry prometheus.Gatherer, seconds float64) {
	t.Helper()
	exposition := ""
	if seconds >= 0 {
		exposition = fmt.Sprintf(`
# HELP leader_election_last_renewal_age_seconds Time since the last confirmed renewal of the lease was sent. There is none while not leading.
# TYPE leader_election_last_renewal_age_seconds gauge
leader_election_last_renewal_age_seconds{name="test"} %v
`, seconds)
	}
	expect(t, registry, exposition, "leader_election_last_renewal_age_seconds")
}

func TestTheAgeOfTheLastRenewalRisesBetweenReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry, m := made(t)
		expectAge(t, registry, -1)

		m.On("test")
		time.Sleep(2 * time.Second)
		expectAge(t, registry, 2)
		m.SinceRenewal("test", 2500*time.Millisecond) // the acquisition took half a second
		expectAge(t, registry, 2.5)
		m.SinceRenewal("test", 500*time.Millisecond)
		expectAge(t, registry, 0.5)
		m.SinceRenewal("test", 4*time.Second) // a report that was overtaken
		expectAge(t, registry, 0.5)
		time.Sleep(30 * time.Second) // the elector is stuck and reports nothing
		expectAge(t, registry, 30.5)

		m.HeartbeatLatency("test", 100*time.Millisecond, errors.New("no answer"))
		expectAge(t, registry, 30.5)
		m.HeartbeatLatency("test", 250*time.Millisecond, nil)
		expectAge(t, registry, 0.25)
		time.Sleep(time.Second)
		m.HeartbeatLatency("test", 3*time.Second, nil) // the answer to an earlier one
		expectAge(t, registry, 1.25)

		m.Off("test")
		expectAge(t, registry, -1)
		m.SinceRenewal("test", time.Second) // reports that are late
		m.HeartbeatLatency("test", time.Second, nil)
		expectAge(t, registry, -1)
	})
}

func TestElectorsOfOneNameShareTheirSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		provider, err := New(registry)
		if err != nil {
			t.Fatal(err)
		}
		var metrics [3]election.OperatorMetric
		for i := range metrics {
			metrics[i] = provider.NewLeaderMetric().(election.OperatorMetric)
			metrics[i].Off("test")
		}
		status := func(status int) {
			t.Helper()
			expect(t, registry, fmt.Sprintf(`
# HELP leader_election_master_status 1 if this process leads, 0 if it does not.
# TYPE leader_election_master_status gauge
leader_election_master_status{name="test"} %d
`, status), "leader_election_master_status")
		}
		metrics[0].On("test")
		metrics[1].On("test")
		metrics[0].SinceRenewal("test", 3*time.Second)
		status(1)
		expectAge(t, registry, 3)
		metrics[2].Off("test")
		metrics[0].Off("test")
		status(1)
		expectAge(t, registry, 0)
		metrics[1].Off("test")
		status(0)
	})
}

func TestNewNeverPanicsAndSaysWhatIsWrong(t *testing.T) {
	g := NewWithT(t)
	refused := func(registerer prometheus.Registerer, opts ...Option) string {
		provider, err := New(registerer, opts...)
		g.Expect(provider).To(BeNil())
		g.Expect(err).To(HaveOccurred())
		return err.Error()
	}
	var none *prometheus.Registry
	g.Expect(refused(nil)).To(ContainSubstring("registerer is nil"))
	g.Expect(refused(none)).To(ContainSubstring("registerer is nil"))

	registry := prometheus.NewRegistry()
	g.Expect(refused(registry, WithHeartbeatBuckets())).To(ContainSubstring("no bounds"))
	g.Expect(refused(registry, WithHeartbeatBuckets(1, 0.5))).To(ContainSubstring("bound 1 is 0.5, after 1"))
	g.Expect(refused(registry, WithHeartbeatBuckets(1, 1))).To(ContainSubstring("bound 1 is 1, after 1"))
	g.Expect(refused(registry, WithHeartbeatBuckets(0))).To(ContainSubstring("bound 0 is 0"))
	g.Expect(refused(registry, WithHeartbeatBuckets(math.NaN()))).To(ContainSubstring("bound 0 is NaN"))

	_, err := New(registry)
	g.Expect(err).NotTo(HaveOccurred(), "after refusals that registered nothing")
	_, err = New(registry)
	var already prometheus.AlreadyRegisteredError
	g.Expect(errors.As(err, &already)).To(BeTrue(), "%v", err)
}

func TestNewRegistersAllOrNothing(t *testing.T) {
	g := NewWithT(t)
	registry := prometheus.NewRegistry()
	theirs := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "leader_election_master_status", Help: "Another library's."}, []string{"name"})
	g.Expect(registry.Register(theirs)).To(Succeed())
	theirs.WithLabelValues("theirs").Set(1)

	_, err := New(registry)
	g.Expect(err).To(MatchError(ContainSubstring("WrapRegistererWithPrefix")))
	families, err := registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(families).To(HaveLen(1))

	_, err = New(prometheus.WrapRegistererWithPrefix("dynamodb_", registry))
	g.Expect(err).NotTo(HaveOccurred())
}

func TestNamesThatAreNoUTF8AreMadeSo(t *testing.T) {
	g := NewWithT(t)
	registry := prometheus.NewPedanticRegistry()
	provider, err := New(registry)
	g.Expect(err).NotTo(HaveOccurred())
	m := provider.NewLeaderMetric().(election.OperatorMetric)
	for _, name := range []string{"a\xffb", "", "a\xfeb"} {
		m.Off(name)
		m.On(name)
		m.TermEnded(name, 0, nil)
	}
	_, err = registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(testutil.CollectAndCount(provider, "leader_election_master_status")).To(Equal(2))
}

func TestMetricsFollowTheConventionsOfPrometheus(t *testing.T) {
	g := NewWithT(t)
	registry, m := made(t)
	m.On("test")
	problems, err := testutil.GatherAndLint(registry)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(problems).To(BeEmpty())
	g.Expect(testutil.GatherAndCount(registry)).To(Equal(11), "metrics, a histogram counted once")
	g.Expect(exportedSeries(t, registry)).To(HaveLen(43), "series of one name, as the package's comment says")
}

func TestMetricsMayBeReportedAndCollectedAtOnce(t *testing.T) {
	registry, m := made(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 200 {
				m.On("test")
				m.SinceRenewal("test", time.Second)
				m.HeartbeatLatency("test", time.Millisecond, nil)
				m.TermEnded("test", time.Second, election.ErrResigned)
				m.Off("test")
			}
		})
		group.Go(func() {
			for range 20 {
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
