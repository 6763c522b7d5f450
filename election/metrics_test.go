package election

import (
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// ledger is a provider that keeps what it is told.
type ledger struct {
	mu      sync.Mutex
	entries []string
	oldest  time.Duration
	plain   bool // client-go's methods only
}

func (l *ledger) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, fmt.Sprintf(format, args...))
}

func (l *ledger) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.entries...)
}

func (l *ledger) NewLeaderMetric() LeaderMetric {
	if l.plain {
		return plainMetric{l}
	}
	return operatorMetric{plainMetric{l}}
}

type plainMetric struct{ *ledger }

func (m plainMetric) On(name string)                { m.add("on %s", name) }
func (m plainMetric) Off(name string)               { m.add("off %s", name) }
func (m plainMetric) SlowpathExercised(name string) { m.add("slow %s", name) }

type operatorMetric struct{ plainMetric }

func (m operatorMetric) TermStarted(string) { m.add("term") }
func (m operatorMetric) TermEnded(_ string, lasted time.Duration, cause error) {
	m.add("ended after %v: %v", lasted, cause)
}
func (m operatorMetric) Failover(string) { m.add("failover") }
func (m operatorMetric) HeartbeatLatency(_ string, took time.Duration, err error) {
	m.add("heartbeat %v %v", took, err)
}
func (m operatorMetric) SinceRenewal(_ string, age time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.oldest = max(m.oldest, age)
}

// provide makes l the provider for one spec.
func provide(l *ledger) {
	provider.Lock()
	provider.MetricsProvider = nil
	provider.Unlock()
	SetProvider(l)
	DeferCleanup(func() {
		provider.Lock()
		defer provider.Unlock()
		provider.MetricsProvider = nil
	})
}

var _ = Describe("Metrics", func() {
	It("tell of leading in client-go's terms", func() {
		l := &ledger{plain: true}
		provide(l)
		virtually(func(w *world) {
			n := w.node("a").lead()
			w.Expect(n.stop()).To(Succeed())
			w.Expect(l.list()).To(Equal([]string{"off test", "on test", "off test"}))
		})()
	})

	It("go to the first provider that was set", func() {
		first, second := &ledger{plain: true}, &ledger{plain: true}
		provide(first)
		SetProvider(second)
		virtually(func(w *world) { w.node("a") })()
		Expect(first.list()).To(HaveLen(1))
		Expect(second.list()).To(BeEmpty())
	})

	It("tell an operator of terms, failovers, late renewals and the age of the lease", func() {
		l := &ledger{}
		provide(l)
		virtually(func(w *world) {
			w.store.seize("b")
			n := w.node("a").lead()
			began := w.now()
			w.at(began + time.Second)
			n.lock.setBefore(cut(opRenew))
			w.at(began + 7*time.Second)
			n.lock.setBefore(nil)
			w.at(began + 15*time.Second)
			w.Expect(l.oldest).To(And(BeNumerically(">", 6*time.Second), BeNumerically("<", 8*time.Second)))
			w.Expect(n.elector.Resign(w.ctx)).To(Succeed())
			w.Expect(n.stop()).To(Succeed())
			w.Expect(l.list()).To(HaveExactElements("off test", "failover", "on test", "term", "slow test", "off test",
				"ended after 15s: election: resigned"))
		})()
	})

	It("tell of the heartbeats where the lock does, and no longer than Run", func() {
		l := &ledger{}
		provide(l)
		observers := 0
		virtually(func(w *world) {
			n := w.node("a", func(n *node, c *LeaderElectionConfig) { c.Lock = talkativeLock{n.fake(), &observers} }).lead()
			w.Expect(observers).To(Equal(1))
			w.at(testHeartbeat)
			w.Expect(n.stop()).To(Succeed())
			w.Expect(l.list()).To(ContainElement("heartbeat 7ms <nil>"))
		})()
		Expect(observers).To(BeZero())
	})
})
