package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// patience is how much longer than it must anything may take on a busy machine.
const patience = 45 * time.Second

// forEach runs a test against both ways in which the Java client writes its records, each with a
// lock of its own.
func forEach(t *testing.T, test func(c *scene, s settings)) {
	t.Helper()
	for _, kind := range []struct {
		name string
		s    settings
	}{
		{"Java that puts its records", settings{owner: "java"}},
		{"Java that updates records in place", settings{owner: "java", inPlace: true}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			test(newScene(t), kind.s)
		})
	}
}

// earlier is a tenure of ours that ends with a release. It returns its token, which all later ones
// must exceed.
func (c *scene) earlier(change ...func(*lockclient.DynamoDBLockClient)) int64 {
	c.Helper()
	return c.ours("earlier", change...).once(c)
}

// once acquires the lock, which must be free, and releases it.
func (o *ours) once(c *scene) int64 {
	c.Helper()
	token := o.mustGet(c)
	c.g.Expect(o.free()).To(gomega.Succeed())
	// A token starts again from the clock's milliseconds when Java has dropped the last one. No
	// engine but one in memory is so fast that another tenure could begin in the same.
	c.g.Eventually(func() int64 { return time.Now().UnixMilli() }).WithTimeout(patience).WithPolling(time.Millisecond).Should(gomega.BeNumerically(">", token))
	return token
}

func (o *ours) mustGet(c *scene) int64 {
	c.Helper()
	held, err := o.get()
	c.g.Expect(err).NotTo(gomega.HaveOccurred())
	c.g.Expect(held).To(gomega.BeTrue())
	return o.token(c)
}

func (o *ours) mustAwait(c *scene) int64 {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), lease()+patience)
	defer cancel()
	c.g.Expect(o.await(ctx)).To(gomega.Succeed())
	return o.token(c)
}

func (o *ours) token(c *scene) int64 {
	c.Helper()
	token, held := o.FencingToken()
	c.g.Expect(held).To(gomega.BeTrue(), "lost at once: this machine is too slow for a lease of %v", lease())
	return token
}

// mustTry has the peer acquire the lock, which must be free.
func (c *scene) mustTry(p peer) (data string) {
	c.Helper()
	granted, data, err := p.try()
	c.g.Expect(err).NotTo(gomega.HaveOccurred())
	c.g.Expect(granted).To(gomega.BeTrue())
	return data
}

func (c *scene) mustWait(p peer) (data string) {
	c.Helper()
	granted, data, err := p.wait(patience)
	c.g.Expect(err).NotTo(gomega.HaveOccurred())
	c.g.Expect(granted).To(gomega.BeTrue())
	return data
}

func (c *scene) mustRelease(p peer) {
	c.Helper()
	c.g.Expect(p.release()).To(gomega.BeTrue())
}

// refusedFor is nil if our attempt is refused because owner holds the lock.
func (o *ours) refusedFor(owner string) error {
	held, err := o.get()
	var refused *lockclient.LockHeldError
	if held || !errors.As(err, &refused) || refused.Owner != owner || refused.LeaseDuration != lease() {
		return fmt.Errorf("not refused in favour of %s with a lease of %v: %t, %w", owner, lease(), held, err)
	}
	return nil
}

// beats waits until the record has been renewed that often.
func (c *scene) beats(times int) {
	c.Helper()
	version := func() string { return aws.StringValue(c.item()["recordVersionNumber"].S) }
	for range times {
		before := version()
		c.g.Eventually(version).WithTimeout(lease() + patience).WithPolling(lease() / 50).ShouldNot(gomega.Equal(before))
	}
}

// followed checks that a tenure of who began after all that an earlier one of the other had
// claimed, and that this was more than nothing.
func (c *scene) followed(other, who string) {
	c.Helper()
	before, found := c.ledger.of(other)
	c.g.Expect(found).To(gomega.BeTrue())
	after, found := c.ledger.of(who)
	c.g.Expect(found).To(gomega.BeTrue())
	c.g.Expect(after.begun).To(gomega.BeNumerically(">=", before.until()))
	c.g.Expect(after.begun-before.begun).To(gomega.BeNumerically(">=", lease()*9/10), "a lease must have run out in between")
}

// looked waits until the ledger knows of a tenure.
func (c *scene) looked(who string) {
	c.Helper()
	c.g.Eventually(func() bool { _, found := c.ledger.of(who); return found }).WithTimeout(patience).Should(gomega.BeTrue())
}

func TestWeAreRefusedWhileItHoldsAndGetTheLockOnItsRelease(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		token := c.earlier()
		s.data, s.keepsItem = "theirs", true
		p, us := c.peer(s), c.ours("us")
		c.mustTry(p)
		c.g.Consistently(func() error { return us.refusedFor(s.owner) }).WithTimeout(lease() * 22 / 10).WithPolling(lease() / 10).Should(gomega.Succeed())
		c.g.Expect(us.Peek(c.Context())).To(gomega.And(gomega.HaveField("Owner", s.owner), gomega.HaveField("Released", false), gomega.HaveField("Data", []byte("theirs"))))

		waited := make(chan error, 1)
		go func() { waited <- us.await(c.Context()) }()
		c.g.Consistently(waited).WithTimeout(lease() / 5).ShouldNot(gomega.Receive())
		c.mustRelease(p)
		released := clock()
		c.g.Eventually(waited).WithTimeout(patience).Should(gomega.Receive(gomega.BeNil()))
		c.g.Expect(clock()-released).To(gomega.BeNumerically("<", lease()*9/10), "promptly, not when a lease has run out")
		c.g.Expect(us.token(c)).To(gomega.BeNumerically(">", token))
		c.g.Expect(c.item()).To(gomega.HaveKeyWithValue("data", gomega.HaveField("B", []byte("theirs"))))
	})
}

func TestWeGetALockThatItDeletedOnRelease(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		token := c.earlier()
		p, us := c.peer(s), c.ours("us")
		c.mustTry(p)
		c.g.Expect(us.refusedFor(s.owner)).To(gomega.Succeed())
		c.mustRelease(p)
		c.g.Expect(c.item()).To(gomega.BeNil())
		// Neither this client nor the table remembers the token.
		c.g.Expect(c.ours("another").once(c)).To(gomega.BeNumerically(">", token))
		c.g.Expect(us.once(c)).To(gomega.BeNumerically(">", token))
	})
}

func TestItIsRefusedWhileWeHoldAndGetsTheLockOnOurRelease(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		s.keepsData = true
		p, us := c.peer(s), c.ours("us", func(o *lockclient.DynamoDBLockClient) { o.Data = []byte("ours") })
		token := us.mustGet(c)
		c.g.Consistently(func() (bool, error) { granted, _, err := p.try(); return granted, err }).
			WithTimeout(lease() * 22 / 10).WithPolling(lease() / 10).Should(gomega.BeFalse())
		c.g.Expect(us.token(c)).To(gomega.Equal(token))

		c.g.Expect(us.free()).To(gomega.Succeed())
		c.g.Expect(c.mustTry(p)).To(gomega.Equal("ours"), "what we stored, read by it")
		c.g.Expect(c.item()).To(gomega.And(gomega.Not(gomega.HaveKey("isReleased")), gomega.HaveKeyWithValue("data", gomega.HaveField("B", []byte("ours")))))
		c.mustRelease(p)
		c.g.Expect(us.once(c)).To(gomega.BeNumerically(">", token))
	})
}

func TestItGetsALockThatWeDeletedOnRelease(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		p, us := c.peer(s), c.ours("us", func(o *lockclient.DynamoDBLockClient) { o.DeleteOnRelease = true })
		token := us.once(c)
		c.g.Expect(c.item()).To(gomega.BeNil())
		c.mustTry(p)
		c.g.Expect(us.refusedFor(s.owner)).To(gomega.Succeed())
		c.mustRelease(p)
		c.g.Expect(c.ours("another").once(c)).To(gomega.BeNumerically(">", token))
	})
}

func TestWeReplaceItAfterItsCrashWhenItsLeaseHasRunOut(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		token := c.earlier()
		s.data = "theirs"
		p, us := c.peer(s), c.ours("us")
		c.mustTry(p)
		c.beats(2)
		c.g.Expect(us.refusedFor(s.owner)).To(gomega.Succeed())
		p.kill()
		c.g.Expect(us.mustAwait(c)).To(gomega.BeNumerically(">", token))
		c.looked("us")
		c.followed(s.owner, "us")
		c.g.Expect(c.item()).To(gomega.HaveKeyWithValue("data", gomega.HaveField("B", []byte("theirs"))))
	})
}

func TestItReplacesUsAfterOurCrashWhenOurLeaseHasRunOut(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		s.keepsData = true
		p, us := c.peer(s), c.oursElsewhere(settings{owner: "us", data: "ours"})
		c.mustWait(us)
		c.beats(2)
		record := c.item()
		us.kill()
		c.g.Expect(c.mustWait(p)).To(gomega.Equal("ours"))
		c.looked(s.owner)
		c.followed("us", s.owner)
		c.mustRelease(p)
		later := c.ours("later").once(c)
		c.g.Expect(aws.StringValue(record["fencingToken"].N)).To(gomega.WithTransform(number, gomega.BeNumerically("<", later)))
	})
}

func TestItReplacesUsWhenWeAreCutOffAndWhatWeSendLaterDisturbsNobody(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		p, us := c.peer(s), c.ours("us")
		us.mustGet(c)
		c.beats(2)
		fence, err := us.ConditionCheck()
		c.g.Expect(err).NotTo(gomega.HaveOccurred())
		us.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() })
		c.mustWait(p)
		c.looked(s.owner)
		c.followed("us", s.owner)
		// Late work is refused, also where the record still has our token.
		_, err = admin.TransactWriteItems(&dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
			{Put: &dynamodb.Put{TableName: &c.table, Item: attributes{"key": {S: aws.String("late work on " + c.lock)}}}}, {ConditionCheck: fence}}})
		c.g.Expect(lockclient.TransactionError(err, 1)).To(gomega.MatchError(lockclient.ErrLockLost), "%v", err)
		c.g.Expect(us.HasLock()).Error().To(gomega.MatchError(lockclient.ErrLeaseExpired))
		us.wire.SetHook(nil)
		c.g.Expect(us.free()).To(gomega.Succeed())
		c.g.Expect(us.refusedFor(s.owner)).To(gomega.Succeed())
		c.mustRelease(p)
	})
}

func TestItReplacesUsWhenWeStandStillAndWeKnowWhenWeGoOn(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		p, us := c.peer(s), c.oursElsewhere(settings{owner: "us"})
		c.mustWait(us)
		c.beats(2)
		c.g.Expect(us.stop()).To(gomega.Succeed())
		c.mustWait(p)
		c.g.Expect(us.cont()).To(gomega.Succeed())
		c.g.Expect(us.release()).To(gomega.BeFalse(), "it had lost the lock, and knew")
		c.beats(2)
		c.mustRelease(p)
	})
}

func TestWeReplaceItWhenItStandsStillAndItDisturbsNobodyWhenItGoesOn(t *testing.T) {
	t.Parallel()
	for _, inPlace := range []bool{false, true} {
		t.Run(map[bool]string{false: "puts", true: "in place"}[inPlace], func(t *testing.T) {
			t.Parallel()
			c := newScene(t)
			p, isProcess := c.peer(settings{inPlace: inPlace}).(*process)
			if !isProcess {
				t.Skip("a stand-in can't be stopped")
			}
			us := c.ours("us")
			c.mustTry(p)
			c.beats(2)
			c.g.Expect(p.stop()).To(gomega.Succeed())
			token := us.mustAwait(c)
			c.g.Expect(p.cont()).To(gomega.Succeed())
			c.g.Expect(p.release()).To(gomega.BeFalse(), "it was no longer its lock")
			c.beats(2)
			c.g.Expect(us.token(c)).To(gomega.Equal(token))
		})
	}
}

func TestItBelievesNoLongerThanItsLeaseWhenTheEngineIsGoneForIt(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(*gate) http.HandlerFunc{"status 503": unavailable, "silence": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, path := newScene(t), newGate(t)
			p, us := c.peer(settings{endpoint: path.URL, withoutRetries: true}), c.ours("us")
			c.mustTry(p)
			c.beats(2)
			path.close(how)
			token := us.mustAwait(c)
			c.looked("us")
			c.followed("java", "us")
			path.open()
			c.beats(2)
			c.g.Expect(us.token(c)).To(gomega.Equal(token))
		})
	}
}

// Here the ledger must find two believers: it shows that it would, and why nobody should set this.
func TestHoldingOnServiceUnavailableIsNotALock(t *testing.T) {
	t.Parallel()
	c, path := newScene(t), newGate(t)
	p, isProcess := c.peer(settings{endpoint: path.URL, withoutRetries: true, holdsOnServiceUnavailable: true}).(*process)
	if !isProcess {
		t.Skip("the stand-in never does that")
	}
	us := c.ours("us")
	c.mustTry(p)
	c.beats(2)
	path.close(unavailable)
	us.mustAwait(c)
	c.g.Eventually(c.ledger.overlaps).WithTimeout(patience).ShouldNot(gomega.BeEmpty())
	p.kill()
	c.g.Expect(us.free()).To(gomega.Succeed())
	c.ledger.forget()
}

func TestALockWithoutHeartbeatsRunsOut(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		s.withoutHeartbeats = true
		p, us := c.peer(s), c.ours("us")
		c.mustTry(p)
		us.mustAwait(c)
		c.looked("us")
		c.followed(s.owner, "us")
		// And ours, when it is told to stop.
		us.StopHeartbeat()
		c.mustWait(p)
		c.looked(s.owner)
		c.g.Expect(us.HasLock()).Error().To(gomega.MatchError(lockclient.ErrLeaseExpired))
	})
}

func TestWhatEitherStoresTheOtherReads(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		peeked := func() []byte {
			seen, err := c.ours("onlooker").Peek(c.Context())
			c.g.Expect(err).NotTo(gomega.HaveOccurred())
			return seen.Data
		}
		us := c.ours("us", func(o *lockclient.DynamoDBLockClient) { o.Data = []byte("ours") })
		us.once(c)

		s.keepsItem, s.attribute = true, "color"
		p := c.peer(s)
		c.g.Expect(c.mustTry(p)).To(gomega.BeEmpty(), "withReplaceData(true) without data: it knows of none")
		if s.inPlace {
			c.g.Expect(peeked()).To(gomega.Equal([]byte("ours")), "but leaves it")
		} else {
			c.g.Expect(peeked()).To(gomega.BeNil(), "and drops it")
		}
		c.g.Expect(p.store("theirs")).To(gomega.Succeed())
		c.g.Expect(peeked()).To(gomega.Equal([]byte("theirs")))
		c.mustRelease(p)
		c.g.Expect(peeked()).To(gomega.Equal([]byte("theirs")))

		c.ours("without data").once(c)
		c.g.Expect(peeked()).To(gomega.Equal([]byte("theirs")), "who brings nothing drops nothing")
		us.mustGet(c)
		c.g.Expect(peeked()).To(gomega.Equal([]byte("ours")))
		c.g.Expect(c.item()).To(gomega.HaveKeyWithValue("color", gomega.HaveField("S", gomega.HaveValue(gomega.Equal("java's")))), "an attribute that is none of ours")
	})
}

func TestTokensRiseAcrossItsTenures(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		s.keepsItem = true
		p, us := c.peer(s), c.ours("us")
		token := us.once(c)
		for range 3 {
			c.mustTry(p)
			if s.inPlace {
				c.g.Expect(c.item()).To(gomega.HaveKey("fencingToken"))
				c.g.Expect(c.item()).To(gomega.HaveKey("expiresAt"), "which is ours: MaxClockSkew must not be used here")
			} else {
				c.g.Expect(c.item()).NotTo(gomega.HaveKey("fencingToken"), "PutItem drops what it doesn't know")
			}
			// Whoever held the lock before is not taken for its holder by the token that the record
			// may still have.
			_, err := us.ConditionCheck()
			c.g.Expect(err).To(gomega.MatchError(lockclient.ErrNotHeld))
			c.mustRelease(p)
			before := token
			token = c.ours("another").once(c) // who has seen nothing of what was before
			c.g.Expect(token).To(gomega.BeNumerically(">", before))
		}
	})
}

func TestSortKeysKeepTheirLocksApart(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		c.table = sorted
		p, us := c.peer(s), c.ours("us")
		other := c.ours("other", func(o *lockclient.DynamoDBLockClient) { o.SortKeyValue = "b" })
		other.ledger = &ledger{} // another lock's
		c.mustTry(p)
		c.g.Expect(us.refusedFor(s.owner)).To(gomega.Succeed())
		other.mustGet(c)
		c.mustRelease(p)
		us.mustGet(c)
		granted, _, err := p.try()
		c.g.Expect(err).NotTo(gomega.HaveOccurred())
		c.g.Expect(granted).To(gomega.BeFalse())
		c.g.Expect(us.free()).To(gomega.Succeed())
		c.mustTry(p)
		c.beats(1)
		c.mustRelease(p)
		c.g.Expect(other.HasLock()).To(gomega.BeTrue())
	})
}

func TestWeWaitForDynamolockAndReplaceItWhenItReleasesOrDies(t *testing.T) {
	t.Parallel()
	for name, dies := range map[string]bool{"releases": false, "dies": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newScene(t)
			p, us := c.peer(settings{owner: "dynamolock", goLease: true, keepsItem: true, data: "theirs"}), c.ours("us")
			c.mustTry(p)
			c.g.Consistently(func() error { return us.refusedFor("dynamolock") }).WithTimeout(lease() * 12 / 10).WithPolling(lease() / 10).Should(gomega.Succeed())
			if dies {
				p.kill()
				us.mustAwait(c)
				c.looked("us")
				c.followed("dynamolock", "us")
			} else {
				c.mustRelease(p)
				us.mustGet(c)
			}
			c.g.Expect(c.item()).To(gomega.HaveKeyWithValue("data", gomega.HaveField("B", []byte("theirs"))))
		})
	}
}

// It reads leases in Go's notation only. What it can't read it leaves alone: a table may be handed
// over from it to us, and back when our records are deleted.
func TestDynamolockNeverTakesARecordOfOurs(t *testing.T) {
	t.Parallel()
	c := newScene(t)
	p := c.peer(settings{owner: "dynamolock", goLease: true})
	us := c.ours("us")
	refuses := func() {
		granted, _, err := p.try()
		c.g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("missing unit")))
		c.g.Expect(granted).To(gomega.BeFalse())
	}
	token := us.mustGet(c)
	refuses()
	c.g.Expect(us.free()).To(gomega.Succeed())
	refuses()
	c.g.Expect(c.earlier(func(o *lockclient.DynamoDBLockClient) { o.DeleteOnRelease = true })).To(gomega.BeNumerically(">", token))
	c.mustTry(p)
}
