package election

import (
	"context"
	"errors"
	"math"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// fixedLock is a lock of which only the figures matter.
type fixedLock struct {
	*fakeLock
	identity string
	broken   error
}

func (l fixedLock) Identity() string { return l.identity }

func (l fixedLock) Timing() (lease.Timing, error) {
	return lease.NewTiming(l.lease, l.heartbeat), l.broken
}

// validConfig has client-go's figures: a lease of 15 s, RenewDeadline 10 s, RetryPeriod 2 s.
func validConfig() LeaderElectionConfig {
	return LeaderElectionConfig{
		Lock:          fixedLock{fakeLock: &fakeLock{lease: 15 * time.Second, heartbeat: 5 * time.Second, clock: lease.System()}, identity: "a"},
		RenewDeadline: 10 * time.Second,
		RetryPeriod:   2 * time.Second,
		Callbacks:     LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}},
	}
}

func lockWith(lease, heartbeat time.Duration) Lock {
	return fixedLock{fakeLock: &fakeLock{lease: lease, heartbeat: heartbeat}, identity: "a"}
}

var _ = Describe("A configuration", func() {
	It("that is valid makes an elector", func() {
		e, err := NewLeaderElector(validConfig())
		Expect(err).NotTo(HaveOccurred())
		Expect(e.IsLeader()).To(BeFalse())
		Expect(e.GetLeader()).To(BeEmpty())
	})

	It("has defaults that follow from the lock: two thirds of the lease, a heartbeat period, a drain of one lease", func() {
		c := validConfig()
		c.RenewDeadline, c.RetryPeriod = 0, 0
		f, err := c.figures()
		Expect(err).NotTo(HaveOccurred())
		Expect(f).To(Equal(figures{Timing: lease.NewTiming(15*time.Second, 5*time.Second), renewDeadline: 10 * time.Second,
			retryPeriod: 5 * time.Second, drainTimeout: 15 * time.Second, jitter: JitterFactor, lockPaces: true}))
	})

	It("has a default RetryPeriod that fits every RenewDeadline", func() {
		c := validConfig()
		c.RenewDeadline, c.RetryPeriod, c.JitterFactor = 6100*time.Millisecond, 0, 2
		f, err := c.figures()
		Expect(err).NotTo(HaveOccurred())
		Expect(float64(f.retryPeriod) * 2).To(BeNumerically("<", float64(c.RenewDeadline)))
	})

	It("of client-go's 15s/14s/5s is accepted", func() {
		c := validConfig()
		c.RenewDeadline, c.RetryPeriod = 14*time.Second, 5*time.Second
		_, err := NewLeaderElector(c)
		Expect(err).NotTo(HaveOccurred())
	})

	DescribeTable("is refused, with the field, its value and the remedy in the error, and changes nothing",
		func(change func(c *LeaderElectionConfig), texts ...string) {
			c := validConfig()
			dog := NewLeaderHealthzAdaptor(0)
			c.WatchDog = dog
			change(&c)
			e, err := NewLeaderElector(c)
			Expect(e).To(BeNil())
			Expect(err).To(MatchError(ErrInvalidConfig))
			for _, text := range texts {
				Expect(err.Error()).To(ContainSubstring(text))
			}
			Expect(dog.le).To(BeNil())
			Expect(func() { RunOrDie(context.Background(), c) }).To(PanicWith(MatchError(err.Error())))
		},
		Entry("lock is nil", func(c *LeaderElectionConfig) { c.Lock = nil }, "Lock is nil"),
		Entry("lock is a nil pointer", func(c *LeaderElectionConfig) { c.Lock = (*fakeLock)(nil) }, "Lock is nil"),
		Entry("lock is not usable", func(c *LeaderElectionConfig) {
			c.Lock = fixedLock{fakeLock: &fakeLock{}, identity: "a", broken: errors.New("TableName is empty")}
		}, "Lock is not usable: TableName is empty"),
		Entry("identity is empty", func(c *LeaderElectionConfig) {
			c.Lock = fixedLock{fakeLock: &fakeLock{lease: 15 * time.Second, heartbeat: 5 * time.Second}}
		}, "Lock.Identity() is empty"),
		Entry("OnStartedLeading is nil", func(c *LeaderElectionConfig) { c.Callbacks.OnStartedLeading = nil }, "Callbacks.OnStartedLeading is nil"),
		Entry("OnStoppedLeading is nil", func(c *LeaderElectionConfig) { c.Callbacks.OnStoppedLeading = nil }, "Callbacks.OnStoppedLeading is nil"),
		Entry("leaseDuration equals renewDeadline", func(c *LeaderElectionConfig) { c.RenewDeadline = 15 * time.Second },
			"RenewDeadline (15s)", "LeaseDuration (15s)", "lower RenewDeadline"),
		Entry("renewDeadline is as long as the lock trusts its lease", func(c *LeaderElectionConfig) { c.RenewDeadline = 14850 * time.Millisecond },
			"RenewDeadline (14.85s)", "14.85s"),
		Entry("renewDeadline is not more than a heartbeat period", func(c *LeaderElectionConfig) { c.RenewDeadline = 5 * time.Second },
			"RenewDeadline (5s)", "HeartbeatPeriod (5s)"),
		Entry("renewDeadline leaves a renewal no time to be confirmed in", func(c *LeaderElectionConfig) { c.RenewDeadline = 5999 * time.Millisecond },
			"RenewDeadline (5.999s)", "1.2 x", "HeartbeatPeriod (5s)", "raise RenewDeadline"),
		Entry("renewDeadline equals retryPeriod x JitterFactor", func(c *LeaderElectionConfig) { c.RenewDeadline, c.RetryPeriod = 12*time.Second, 10*time.Second },
			"RetryPeriod (10s) x JitterFactor (1.2)", "RenewDeadline (12s)"),
		Entry("renewDeadline less than retryPeriod x JitterFactor", func(c *LeaderElectionConfig) { c.JitterFactor = 6 },
			"RetryPeriod (2s) x JitterFactor (6)"),
		Entry("leaseDuration is zero", func(c *LeaderElectionConfig) { c.Lock = lockWith(0, time.Second) }, "a lease of 0s"),
		Entry("heartbeat period is zero", func(c *LeaderElectionConfig) { c.Lock = lockWith(time.Second, 0) }, "heartbeat period of 0s"),
		Entry("renewDeadline is negative", func(c *LeaderElectionConfig) { c.RenewDeadline = -1 }, "RenewDeadline (-1ns) is negative"),
		Entry("retryPeriod is negative", func(c *LeaderElectionConfig) { c.RetryPeriod = -time.Second }, "RetryPeriod (-1s) is negative"),
		Entry("drain timeout is negative", func(c *LeaderElectionConfig) { c.DrainTimeout = -time.Second }, "DrainTimeout (-1s) is negative"),
		Entry("JitterFactor shortens", func(c *LeaderElectionConfig) { c.JitterFactor = 0.9 }, "JitterFactor (0.9)"),
		Entry("JitterFactor is no number", func(c *LeaderElectionConfig) { c.JitterFactor, c.RetryPeriod = math.NaN(), 0 }, "JitterFactor (NaN)"),
		Entry("JitterFactor is infinite", func(c *LeaderElectionConfig) { c.JitterFactor, c.RetryPeriod = math.Inf(1), 0 }, "JitterFactor (+Inf)"),
		Entry("several at once are named in one error", func(c *LeaderElectionConfig) {
			*c = LeaderElectionConfig{RenewDeadline: time.Second, RetryPeriod: time.Second, DrainTimeout: -1, JitterFactor: 0.5}
		}, "Lock is nil", "OnStartedLeading", "OnStoppedLeading", "DrainTimeout", "JitterFactor"),
		Entry("several comparisons at once", func(c *LeaderElectionConfig) { c.RenewDeadline, c.RetryPeriod = time.Minute, time.Hour },
			"RenewDeadline (1m0s)", "RetryPeriod (1h0m0s)"),
	)

	It("that the lock refuses keeps the lock's error in the chain", func() {
		c := validConfig()
		broken := errors.New("TableName is empty")
		c.Lock = fixedLock{fakeLock: &fakeLock{}, identity: "a", broken: broken}
		_, err := NewLeaderElector(c)
		Expect(err).To(MatchError(broken))
	})

	It("is copied: a later change of the caller's has no effect", func() {
		c := validConfig()
		e, err := NewLeaderElector(c)
		Expect(err).NotTo(HaveOccurred())
		c.Callbacks.OnStartedLeading = nil
		Expect(e.config.Callbacks.OnStartedLeading).NotTo(BeNil())
	})
})
