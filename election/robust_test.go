package election

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election/internal/courier"
	"github.com/leaderkit/leaderkit/lockclient"
)

// All of this runs in synctest bubbles: sleeping takes no time.

// logbook keeps what a Logger was told.
type logbook struct {
	mu    sync.Mutex
	lines []string
	block func(line string) // called with each line before it is kept; nil: nothing
}

func (b *logbook) logger() logr.Logger {
	return funcr.New(func(_, line string) {
		if b.block != nil {
			b.block(line)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lines = append(b.lines, line)
	}, funcr.Options{Verbosity: 1})
}

// with returns the lines that contain each of the texts.
func (b *logbook) with(texts ...string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.lines), func(line string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) })
	})
}

// errors returns the lines of level ERROR: funcr gives those no level.
func (b *logbook) errors() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.lines), func(line string) bool { return strings.Contains(line, `"level"=`) })
}

func logsTo(b *logbook) func(n *node, c *LeaderElectionConfig) {
	return func(n *node, c *LeaderElectionConfig) {
		c.Logger = b.logger()
		if lock, ok := n.lock.(realLock); ok {
			lock.Logger = b.logger()
		}
	}
}

// loggingLock is a lock that logs the end of a tenure in the call that finds it, and whose Logger
// blocks.
type loggingLock struct {
	*fakeLock
	unblock <-chan struct{}
}

func (l loggingLock) LeaseAge() (time.Duration, bool) {
	age, held := l.fakeLock.LeaseAge()
	if !held {
		<-l.unblock
	}
	return age, held
}

// brokenMetric panics when the lease is so old.
type brokenMetric struct{ *ledger }

func (m brokenMetric) NewLeaderMetric() LeaderMetric {
	return brokenOperator{operatorMetric{plainMetric(m)}}
}

type brokenOperator struct{ operatorMetric }

func (m brokenOperator) SinceRenewal(_ string, age time.Duration) {
	if age > 2*time.Second {
		panic(errBoom)
	}
}

var _ = Describe("What only listens", func() {
	It("and panics in mid-term ends the term before Run goes on with the panic, so that no second term runs beside it", func() {
		provide(&ledger{})
		provider.Lock()
		provider.MetricsProvider = brokenMetric{&ledger{}}
		provider.Unlock()
		virtually(func(w *world) {
			a := w.node("a", drainsFor(45*time.Second))
			ctx, cancel := context.WithCancel(w.ctx)
			defer cancel()
			runs, done := 0, make(chan struct{})
			go func() {
				defer close(done)
				for ctx.Err() == nil {
					func() {
						defer func() { w.Expect(recover()).To(Or(BeNil(), Equal(errBoom))) }()
						runs++
						_ = a.elector.Run(ctx)
					}()
				}
			}()
			w.at(5 * time.Minute)
			cancel()
			<-done
			w.Expect(runs).To(BeNumerically(">=", 3))
			w.Expect(a.journal.count("started")).To(BeNumerically(">=", 3))
			w.Expect(a.most).To(Equal(1))
			w.Expect(a.journal.count("released")).To(BeNumerically(">=", 2), "each time the work had returned")
		})()
	})

	promise("and blocks does not delay the end of the leading context, whatever the lock itself logs", func(w *world) {
		unblock := make(chan struct{})
		book := &logbook{}
		asleep := false
		book.block = func(string) {
			if asleep {
				<-unblock
			}
		}
		a := w.node("a", logsTo(book)).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		asleep = true
		a.clock.Suspend()
		w.at(time.Minute)
		a.clock.resume() // the lease is over, and whoever asks the lock is told so by way of the Logger
		w.at(w.now() + testHeartbeat/4 + 2*patience)
		w.Expect(a.ends.has("ended")).To(BeTrue())
		w.Expect(a.journal.has("returned")).To(BeTrue())
		asleep = false
		close(unblock)
		w.Expect(a.stop()).To(Succeed())
	})

	It("and blocks the call in which the guard learns of the loss does not delay the end of the leading context", virtually(func(w *world) {
		unblock := make(chan struct{})
		a := w.node("a", func(n *node, c *LeaderElectionConfig) { c.Lock = loggingLock{n.fake(), unblock} }).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		fake := a.fake()
		fake.mu.Lock()
		fake.tenure.watch() // so that nobody but the guard notices
		fake.mu.Unlock()
		a.clock.Suspend()
		w.at(time.Minute)
		a.clock.resume()
		w.at(w.now() + testHeartbeat/4 + 2*patience)
		w.Expect(a.ends.has("ended")).To(BeTrue())
		close(unblock)
		w.Expect(a.stop()).To(Succeed())
	}))

	It("and never returns delays Run for a second at most at each of two steps, and is told what it missed", virtually(func(w *world) {
		unblock := make(chan struct{})
		book := &logbook{block: func(string) { <-unblock }}
		a := w.node("a", logsTo(book)).lead()
		w.at(time.Minute)
		w.Expect(a.elector.IsLeader()).To(BeTrue())
		w.Expect(a.stop()).To(Succeed())
		w.Expect(w.now()).To(BeNumerically("<=", time.Minute+2*time.Second))
		w.Expect(w.store.holder()).To(BeEmpty())
		for range 2 * courier.MaxQueue {
			a.elector.log(0, "filler")
		}
		close(unblock)
		w.settled()
		a.elector.log(0, "afterwards")
		w.settled()
		w.Expect(book.with("leading")).NotTo(BeEmpty())
		w.Expect(book.with(`"msg"="messages dropped"`, `"dropped"=`)).To(HaveLen(1))
	}))
})

var _ = Describe("The end of a term", func() {
	promise("is seen by GetLeader as soon as the lease is lost, though the work has returned and OnStoppedLeading takes its time", func(w *world) {
		a := w.node("a", func(n *node, c *LeaderElectionConfig) {
			c.Callbacks.OnStoppedLeading = func() {
				time.Sleep(time.Minute)
				n.journal.add("stopped")
			}
		}).lead()
		w.at(500 * time.Millisecond)
		w.store.seize("usurper")
		w.until("the work returned", func() bool { return a.journal.has("returned") })
		w.settled()
		w.Expect(a.elector.GetLeader()).To(BeEmpty())
		w.Expect(a.stop()).To(Succeed())
	})

	promise("releases the lock after a step of the wall clock, which ends the lease for its holder alone", func(w *world) {
		a := w.node("a").lead()
		w.at(time.Second)
		a.lock.setBefore(cut(opRenew))
		a.clock.JumpWall(time.Hour)
		w.until("the term ended", func() bool { return a.journal.has("stopped") })
		w.settled()
		w.Expect(w.store.holder()).To(BeEmpty())
		w.Expect(a.stop()).To(Succeed())
	})

	promise("that work ignores calls OnLeaseEnding while nobody else can lead, and only then", func(w *world) {
		release := make(chan struct{})
		a := w.node("a", func(n *node, c *LeaderElectionConfig) {
			c.DrainTimeout = 20 * time.Second
			c.Callbacks.OnLeaseEnding = func(cause error) {
				w.Expect(cause).To(MatchError(context.Canceled))
				n.journal.add("lease ending")
			}
		}, stubborn(release)).lead()
		b := w.node("b").run()
		w.at(500 * time.Millisecond)
		a.cancel(nil)
		w.at(20 * time.Second)
		w.Expect(a.journal.has("lease ending")).To(BeFalse(), "the lease is being renewed")
		w.until("heartbeats stop", func() bool { return a.journal.has("heartbeats stopped") })
		age, _ := a.lock.LeaseAge()
		renewed := w.now() - age
		w.until("b leads", b.elector.IsLeader)
		w.Expect(a.journal.when("lease ending") - renewed).To(BeNumerically("~", testDeadline+(testLease*99/100-testDeadline)/2, testHeartbeat/4))
		w.Expect(a.journal.when("lease ending")).To(BeNumerically("<", b.journal.when("started")))
		close(release)
		w.Expect(a.wait()).To(Succeed())
		w.Expect(a.journal.count("lease ending")).To(Equal(1))
		w.Expect(b.stop()).To(Succeed())
	})

	promise("that the work heeds never calls OnLeaseEnding", func(w *world) {
		a := w.node("a", func(n *node, c *LeaderElectionConfig) {
			c.Callbacks.OnLeaseEnding = func(error) { n.journal.add("lease ending") }
		}, drainsFor(2*time.Second)).lead()
		w.at(time.Second)
		a.lock.setBefore(cut(everything...))
		w.until("it stopped", func() bool { return a.journal.has("stopped") })
		a.lock.setBefore(nil)
		w.Expect(a.stop()).To(Succeed())
		w.Expect(a.journal.has("lease ending")).To(BeFalse())
	})
})

var _ = Describe("A candidate, looked at closely,", func() {
	It("frees what an unanswered attempt has won, also if a stale read was the last answer", virtually(func(w *world) {
		a := w.node("a")
		lost := false
		a.lock.setAfter(func(_ context.Context, op operation) error {
			if op == opPoll && !lost {
				lost = true
				fake := a.fake()
				fake.mu.Lock()
				fake.stale = &storeView{owner: "b", token: 1, lease: testLease}
				fake.mu.Unlock()
				return errNetwork
			}
			return nil
		})
		a.run()
		w.at(5 * time.Second)
		w.Expect(w.store.holder()).To(Equal("a"))
		w.Expect(a.elector.GetLeader()).To(Equal("b"))
		w.Expect(a.stop()).To(Succeed())
		w.Expect(w.store.holder()).To(BeEmpty())
	}))

	It("whose Run is called in a loop on a permanent error polls no more often than one that campaigns", virtually(func(w *world) {
		a := w.node("a")
		polls := 0
		a.lock.setBefore(func(_ context.Context, op operation) error {
			polls++
			return errGone
		})
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Minute)
		defer cancel()
		first := a.elector.Run(ctx)
		w.Expect(first).To(HaveOccurred())
		w.Expect(w.now()).To(BeNumerically("<", time.Minute), "the first error is returned at once")
		for ctx.Err() == nil {
			_ = a.elector.Run(ctx)
		}
		w.Expect(polls).To(BeNumerically("<=", int(10*time.Minute/testLease)*2))
	}))

	promise("that is cut off exits within two seconds, and logs no error", func(w *world) {
		for _, hangs := range []bool{false, true} {
			book := &logbook{}
			a := w.node("a", logsTo(book))
			a.lock.setBefore(func(ctx context.Context, op operation) error {
				if hangs {
					<-ctx.Done()
					return ctx.Err()
				}
				return errNetwork
			})
			a.run()
			w.at(w.now() + 1500*time.Millisecond)
			began := w.now()
			w.Expect(a.stop()).To(Succeed())
			w.Expect(w.now() - began).To(BeNumerically("<=", 2*time.Second))
			w.Expect(book.errors()).To(BeEmpty())
			w.Expect(book.with("context canceled")).To(BeEmpty())
		}
	})
})

var _ = Describe("client-go's figures", func() {
	figuresOf := func(lease, renewDeadline, retry time.Duration, change func(l *lockclient.DynamoDBLockClient)) (figures, error) {
		lock := &lockclient.DynamoDBLockClient{LockName: testName, TableName: testTable, LeaseDuration: lease, Client: engine()}
		if change != nil {
			change(lock)
		}
		c := validConfig()
		c.Lock, c.RenewDeadline, c.RetryPeriod = lock, renewDeadline, retry
		return c.figures()
	}

	It("of its example, 60s/15s/5s, are valid: the lock renews often enough for them", func() {
		f, err := figuresOf(60*time.Second, 15*time.Second, 5*time.Second, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(f.Heartbeat).To(Equal(7500 * time.Millisecond))
		Expect(f.renewDeadline).To(Equal(15 * time.Second))
	})

	It("of its defaults, 15s/10s/2s, leave the lock its own period", func() {
		f, err := figuresOf(15*time.Second, 10*time.Second, 2*time.Second, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(f.Heartbeat).To(Equal(5 * time.Second))
	})

	It("never change a HeartbeatPeriod that was given, nor a lock that is in use", func() {
		_, err := figuresOf(60*time.Second, 15*time.Second, 5*time.Second, func(l *lockclient.DynamoDBLockClient) { l.HeartbeatPeriod = 20 * time.Second })
		Expect(err).To(MatchError(ContainSubstring("lower HeartbeatPeriod")))
		_, err = figuresOf(60*time.Second, 15*time.Second, 5*time.Second, func(l *lockclient.DynamoDBLockClient) { _ = l.Identity() })
		Expect(err).To(MatchError(ErrInvalidConfig))
	})
})
