package interop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// member makes a lock client of ours whose lock is held under a session of its own.
func (c *scene) member(owner string, change ...func(*lockclient.DynamoDBLockClient)) *ours {
	var session *lockclient.Session
	c.Cleanup(func() { _ = session.Close(context.Background()) }) // after the lock was freed
	return c.ours(owner, append(change, func(o *lockclient.DynamoDBLockClient) {
		session = &lockclient.Session{
			TableName: o.TableName, Client: o.Client, Identifier: o.Identifier, LeaseDuration: o.LeaseDuration, HeartbeatPeriod: o.HeartbeatPeriod, SortKeyName: o.SortKeyName,
		}
		o.Session = session
	})...)
}

// closes ends the session of a member, and says before that that it yields.
func (o *ours) closes(c *scene) {
	c.Helper()
	o.yields()
	c.g.Expect(o.Session.Close(c.Context())).To(gomega.Succeed())
}

// waiting has a peer wait for the lock, and returns where it says that it has it. So long a lease
// as a member's is never over: only a peer that is killed returns without the lock.
func (c *scene) waiting(p peer) (granted <-chan bool) {
	c.Helper()
	had := make(chan bool, 1)
	go func() {
		granted, _, _ := p.wait(time.Millisecond)
		had <- granted
	}()
	return had
}

// staysAway checks for more than two leases that a peer that tries again and again is refused, and
// that one that waits, with a lease much shorter than ours, gets nothing.
func (c *scene) staysAway(p peer, waits <-chan bool) {
	c.Helper()
	end := clock() + lease()*22/10
	c.g.Consistently(func() (bool, error) { granted, _, err := p.try(); return granted, err }).
		WithTimeout(end - clock()).WithPolling(lease() / 10).Should(gomega.BeFalse())
	c.g.Expect(waits).NotTo(gomega.Receive())
}

// impatient is a peer's lease while ours is lease().
func impatient(s settings) settings {
	s.lease, s.heartbeat = lease()/3, heartbeat()/3
	return s
}

func TestItNeverTakesTheLockOfALivingSessionAndGetsItOnItsRelease(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		us := c.member("us")
		token := us.mustGet(c)
		record, session := c.item(), us.Session.Name()
		tries := c.peer(impatient(s))
		s.owner = "java that waits"
		waits := c.peer(impatient(s))
		had := c.waiting(waits)
		c.staysAway(tries, had)
		c.g.Expect(c.item()).To(gomega.Equal(record), "heartbeats don't write it")
		c.g.Expect(us.token(c)).To(gomega.Equal(token))
		c.g.Expect(us.Session.Name()).To(gomega.Equal(session))

		c.g.Expect(us.free()).To(gomega.Succeed())
		c.g.Eventually(had).WithTimeout(patience).Should(gomega.Receive(gomega.BeTrue()))
		c.mustRelease(waits)
		c.g.Expect(us.once(c)).To(gomega.BeNumerically(">", token))
		c.mustTry(tries)
	})
}

// The lock of a session that is over is free for those who know sessions. For the others it is held
// until one of those has taken and released it.
func TestTheLockOfASessionThatIsOverIsFreeForUsAndHeldForIt(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(c *scene, us *ours){
		"closed": func(c *scene, us *ours) { us.closes(c) },
		"dead":   func(_ *scene, us *ours) { us.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() }) },
	} {
		for owner, next := range map[string]func(c *scene) *ours{
			"a plain lock": func(c *scene) *ours { return c.ours("next") },
			"a member":     func(c *scene) *ours { return c.member("next") },
		} {
			t.Run(name+", then "+owner, func(t *testing.T) {
				t.Parallel()
				c := newScene(t)
				us := c.member("us")
				token := us.mustGet(c)
				tries, waits := c.peer(impatient(settings{owner: "java"})), c.peer(impatient(settings{owner: "java that waits", inPlace: true}))
				had := c.waiting(waits)
				ends(c, us)
				c.staysAway(tries, had)
				c.g.Expect(us.HasLock()).Error().To(gomega.HaveOccurred())

				other := next(c)
				c.g.Expect(other.mustAwait(c)).To(gomega.BeNumerically(">", token))
				c.g.Expect(had).NotTo(gomega.Receive())
				c.g.Expect(other.free()).To(gomega.Succeed())
				c.g.Eventually(had).WithTimeout(patience).Should(gomega.Receive(gomega.BeTrue()))
			})
		}
	}
}

func TestAMemberReplacesItAfterItsCrashAndNeverBefore(t *testing.T) {
	t.Parallel()
	forEach(t, func(c *scene, s settings) {
		token := c.earlier()
		p, us := c.peer(s), c.member("us")
		c.mustTry(p)
		c.g.Consistently(func() error { return us.refusedFor(s.owner) }).WithTimeout(lease() * 22 / 10).WithPolling(lease() / 10).Should(gomega.Succeed())
		p.kill()
		c.g.Expect(us.mustAwait(c)).To(gomega.BeNumerically(">", token))
		c.looked("us")
		c.followed(s.owner, "us")
		c.g.Expect(c.item()).To(gomega.HaveKeyWithValue("sessionName", gomega.HaveField("S", gomega.HaveValue(gomega.Equal(us.Session.Name())))))
	})
}

// Java that updates a record in place leaves all else of ours in it.
func TestTheSessionThatItLeavesInTheRecordDoesNotCount(t *testing.T) {
	t.Parallel()
	for name, goesOn := range map[string]bool{"one that goes on": true, "one that is over": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(c *scene, s settings) {
				us := c.member("us")
				token := us.once(c)
				if !goesOn {
					us.closes(c)
				}
				p, plain, member := c.peer(s), c.ours("plain"), c.member("member")
				c.mustTry(p)
				c.g.Expect(c.item()).NotTo(gomega.HaveKey("sessionName"), "a release takes the session out of the record, so that Java can't leave it there")
				// As one of a session that is over it would be taken at once.
				c.g.Consistently(func() error { return errors.Join(plain.refusedFor(s.owner), member.refusedFor(s.owner)) }).
					WithTimeout(lease() * 12 / 10).WithPolling(lease() / 10).Should(gomega.Succeed())
				c.g.Expect(plain.Peek(c.Context())).To(gomega.And(gomega.HaveField("Owner", s.owner), gomega.HaveField("Session", ""), gomega.HaveField("Released", false)))
				// As one of a session that goes on it would never be.
				p.kill()
				c.g.Expect(member.mustAwait(c)).To(gomega.BeNumerically(">", token))
				c.looked("member")
				c.followed(s.owner, "member")
				c.g.Expect(member.free()).To(gomega.Succeed())
				plain.mustGet(c)
				c.g.Expect(c.item()).NotTo(gomega.HaveKey("sessionName"), "the record of a lock without a session names none")
			})
		})
	}
}

// It can't read the lease of any record of ours, and fails.
func TestDynamolockNeverTakesTheLockOfASession(t *testing.T) {
	t.Parallel()
	c := newScene(t)
	p, us := c.peer(impatient(settings{owner: "dynamolock", goLease: true})), c.member("us", func(o *lockclient.DynamoDBLockClient) { o.DeleteOnRelease = true })
	fails := func() {
		c.g.Consistently(func() error { _, _, err := p.try(); return err }).WithTimeout(lease() * 12 / 10).WithPolling(lease() / 10).
			Should(gomega.MatchError(gomega.ContainSubstring("missing unit")))
	}
	us.mustGet(c)
	fails()
	us.closes(c)
	fails()
	next := c.member("next", func(o *lockclient.DynamoDBLockClient) { o.DeleteOnRelease = true })
	token := next.once(c)
	c.mustTry(p)
	held, err := next.get()
	c.g.Expect(held).To(gomega.BeFalse())
	c.g.Expect(err).To(gomega.MatchError(lockclient.ErrLockHeld))
	p.kill()
	c.g.Expect(next.mustAwait(c)).To(gomega.BeNumerically(">", token))
}
