package integration

import (
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

var _ = Describe("Goroutines", func() {
	DescribeTable("are all gone after", func(ctx SpecContext, end func(c *contender)) {
		before := gleak.Goroutines()
		c := contend(uniqueLock(), "me", lease(600*time.Millisecond))
		mustGet(c)
		lost := c.Lost()
		Eventually(func() int { return c.wire.Kinds()[wire.Heartbeat] }).Should(BeNumerically(">=", 2))
		end(c)
		Eventually(lost).Should(BeClosed())
		closeIdle()
		Eventually(gleak.Goroutines).WithTimeout(5 * time.Second).ShouldNot(gleak.HaveLeaked(before))
	},
		Entry("RemoveLock", func(c *contender) { Expect(c.RemoveLock()).To(Succeed()) }, SpecTimeout(20*time.Second)),
		Entry("StopHeartbeat", func(c *contender) { c.StopHeartbeat() }, SpecTimeout(20*time.Second)),
		Entry("the loss of a cut connection", func(c *contender) { c.wire.SetHook(wire.Every(wire.Heartbeat, wire.Hang())) }, SpecTimeout(20*time.Second)),
		Entry("the loss to an operator", func(c *contender) {
			put(c.LockName, attributes{"recordVersionNumber": s("other"), "ownerName": s("operator")})
		},
			SpecTimeout(20*time.Second)),
	)
})

var _ = Describe("Methods called all at once", func() {
	It("are safe for concurrent use, and leave the lock released", func(ctx SpecContext) {
		lock := uniqueLock()
		c := contend(lock, "me", lease(time.Second))
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 20 {
					_, _ = c.GetLockWithContext(ctx)
					_, _ = c.HasLock()
					c.StopHeartbeat()
					_, _ = c.PollLock(ctx)
					_, _ = c.Deadline()
					_, _ = c.FencingToken()
					_, _ = c.Peek(ctx)
					_ = c.LockError()
					select {
					case <-c.Lost():
					default:
					}
					_ = c.RemoveLockWithContext(ctx)
				}
			})
		}
		all.Wait()
		Expect(c.RemoveLock()).To(Succeed())
		Expect(c.HasLock()).To(BeFalse())
		mustGet(contend(lock, "another"))
	}, SpecTimeout(time.Minute))
})

var _ = Describe("Refused permissions", func() {
	DescribeTable("are reported at once, with what to do", func(ctx SpecContext, fault wire.Fault, want error, remedy string) {
		c := contend(uniqueLock(), "me")
		c.wire.SetHook(func(*wire.Call) wire.Fault { return fault })
		_, err := c.GetLock()
		Expect(err).To(And(MatchError(want), MatchError(ContainSubstring(remedy))))
		Expect(c.WaitForLock(ctx)).To(MatchError(want))
		_, err = c.Peek(ctx)
		Expect(err).To(MatchError(want))
		Expect(c.wire.Count("")).To(Equal(3), "permanent errors are not retried")
	},
		Entry("no permission", wire.AccessDenied(), lockclient.ErrAccessDenied, "allow dynamodb:UpdateItem", SpecTimeout(20*time.Second)),
		Entry("unknown credentials", wire.Answer(400, "com.amazon.coral.service#UnrecognizedClientException", "The security token included in the request is invalid."),
			lockclient.ErrAccessDenied, "credentials", SpecTimeout(20*time.Second)),
		Entry("no table", wire.ResourceNotFound(), lockclient.ErrTableNotFound, "EnsureTable", SpecTimeout(20*time.Second)),
	)

	It("do not end a tenure, which goes on if the permissions come back within the lease", func(ctx SpecContext) {
		c := contend(uniqueLock(), "me", lease(3*time.Second))
		token := mustGet(c)
		c.wire.SetHook(wire.On(wire.Heartbeat, func(n int, _ *wire.Call) wire.Fault {
			if n <= 2 {
				return wire.AccessDenied()
			}
			return nil
		}))
		Eventually(func() int { return c.wire.Kinds()[wire.Heartbeat] }).WithTimeout(10 * time.Second).Should(BeNumerically(">=", 4))
		now, _ := c.FencingToken()
		Expect(now).To(Equal(token))
	}, SpecTimeout(20*time.Second))
})

var _ = Describe("A table made by EnsureTable", func() {
	It("has time-to-live switched on for the records' ttl, unless told otherwise", func(ctx SpecContext) {
		seen := func(options ...lockclient.TableOption) map[string]int {
			w := wire.New(server)
			name := uniqueTable()
			Expect(lockclient.EnsureTable(ctx, wire.NewClient(w), name, options...)).To(Succeed())
			DeferCleanup(func() { _ = dropTable(name) })
			return w.Counts()
		}
		Expect(seen()).To(HaveKeyWithValue("UpdateTimeToLive", 1))
		Expect(seen(lockclient.WithoutTTL())).NotTo(HaveKey("UpdateTimeToLive"))
	}, SpecTimeout(20*time.Second))
})
