package lockclient_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

type reply = *http.Response

// transient is every way in which one request can fail without anybody being to blame.
func transient() map[string]wire.Fault {
	return map[string]wire.Fault{
		"a reset connection":               wire.Refuse(),
		"a reply lost after the commit":    wire.DropReply(),
		"a 500":                            wire.InternalError(),
		"a 500 after the commit":           wire.AfterDelivery(wire.InternalError()),
		"a 503":                            wire.Unavailable(),
		"a load balancer's page":           wire.AnswerBody(http.StatusBadGateway, "text/html", "<html>Bad Gateway</html>"),
		"a reply cut in the middle":        wire.CutReply(),
		"a throttled partition":            wire.Throttle(),
		"a throttled account":              wire.ThrottleAccount(),
		"a transaction on the same item":   wire.TransactionConflict(),
		"credentials that have expired":    wire.ExpiredToken(),
		"a request that hangs":             wire.Hang(),
		"a request that arrives 8 s later": wire.Delay(8 * time.Second),
		"a permission taken away":          wire.AccessDenied(),
		"a table that is away":             wire.ResourceNotFound(),
	}
}

func TestOneFailedHeartbeatLosesNothing(t *testing.T) {
	for name, fault := range transient() {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder, waiter := w.node("holder"), w.node("waiter")
				token := holder.get()
				lost := holder.Lost()
				waiter.waits()
				w.pass(20 * time.Second)
				for range 5 {
					holder.wire.SetHook(wire.Nth(wire.Heartbeat, 1, fault))
					w.passWatching(theLease)
				}
				now, _ := holder.FencingToken()
				w.Expect(holder.believes() && now == token).To(BeTrue(), "holds: %v, token %d was %d, why: %v", holder.believes(), now, token, holder.LockError())
				select {
				case <-lost:
					t.Fatal("Lost was closed though the lock is held")
				default:
				}
			})
		})
	}
}

// What never gets through ends the tenure in time, by itself, and says why.
func TestHeartbeatsThatAllFailEndTheTenureBeforeAnyoneElseCanLead(t *testing.T) {
	for name, fault := range transient() {
		if name == "a request that arrives 8 s later" || name == "a reply lost after the commit" || name == "a 500 after the commit" || name == "a reply cut in the middle" {
			continue // these do renew the record, so that waiters are right to wait for longer
		}
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder, waiter := w.node("holder"), w.node("waiter")
				holder.get()
				lost := holder.Lost()
				waiter.waits()
				w.passWatching(time.Minute)
				last := holder.lastRenewal()
				holder.wire.SetHook(wire.Every(wire.Heartbeat, fault))
				w.ends(lost)
				w.Expect(time.Since(last) >= theLease*98/100 && time.Since(last) <= theLease*99/100).To(BeTrue(), "Lost was closed %v after the last renewal", time.Since(last))
				held, err := holder.HasLock()
				w.Expect(held).To(BeFalse(), "HasLock after Lost")
				w.Expect(err).To(MatchError(lockclient.ErrLeaseExpired))
				w.Expect(holder.LockError()).To(MatchError(lockclient.ErrLeaseExpired))
				w.Expect(w.until(theLease, waiter.believes)).To(BeTrue(), "nobody took over")
			})
		})
	}
}

// Replies that are lost leave the holder in doubt: it must not count on what it was not told.
func TestALeaseRenewedWithoutAReplyIsNotTrusted(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(time.Minute)
		last := holder.lastRenewal()
		holder.wire.SetHook(wire.Every(wire.Heartbeat, wire.DropReply()))
		w.ends(holder.Lost())
		w.Expect(time.Since(last)).To(BeNumerically("<=", theLease*99/100), "believed for %v", time.Since(last))
		w.Expect(w.until(2*theLease, waiter.believes)).To(BeTrue(), "nobody took over")
	})
}

// The SDK's client may ignore its context. Nothing waits for it.
func TestARequestThatIgnoresItsContextHoldsNothingUp(t *testing.T) {
	virtually(t, func(w *world) {
		until := make(chan struct{})
		defer close(until)
		holder, waiter := w.node("holder"), w.node("waiter")
		token := holder.get()
		waiter.waits()
		w.pass(time.Minute)
		holder.wire.SetHook(wire.Nth(wire.Heartbeat, 1, wire.Deaf(until)))
		w.passWatching(3 * theLease)
		now, _ := holder.FencingToken()
		w.Expect(now).To(Equal(token), "a deaf heartbeat cost the lock: %v", holder.LockError())

		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Deaf(until) })
		began := time.Now()
		w.Expect(holder.RemoveLock()).NotTo(BeNil(), "RemoveLock claims to have freed what no request has freed")
		w.Expect(time.Since(began)).To(BeNumerically("<=", theLease+time.Second), "RemoveLock took %v", time.Since(began))
		w.Expect(holder.believes()).To(BeFalse(), "still believes after RemoveLock")
	})
}

func TestALateHeartbeatOfAFormerHolderChangesNothing(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		waiter.waits()
		w.passWatching(time.Minute)
		var late []*wire.Call
		holder.wire.SetHook(wire.On(wire.Heartbeat, func(_ int, c *wire.Call) wire.Fault {
			late = append(late, c)
			return wire.Hang()
		}))
		w.Expect(w.until(3*theLease, waiter.believes)).To(BeTrue(), "nobody took over")
		before := w.record()
		w.Expect(len(late)).To(BeNumerically(">", 1), "the holder sent %d heartbeats into the void; expected it to try more than once", len(late))
		for _, c := range late {
			status := c.Repeat()
			w.Expect(status).To(Equal(http.StatusBadRequest), "a late heartbeat was answered with %d", status)
		}
		w.Expect(aws.StringValue(w.record()["recordVersionNumber"].S)).To(Equal(aws.StringValue(before["recordVersionNumber"].S)), "a late heartbeat wrote")
		w.passWatching(theLease)
		w.Expect(waiter.believes()).To(BeTrue(), "the new holder lost its lock: %v", waiter.LockError())
	})
}

// A proxy that repeats an old request after each newer one could show the same version for ever.
func TestAHeartbeatRepeatedAfterNewerOnesDoesNotMakeTheHolderLookDead(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		w.pass(time.Minute)
		var old atomic.Pointer[wire.Call]
		holder.wire.SetHook(wire.On(wire.Heartbeat, func(n int, c *wire.Call) wire.Fault {
			if n == 1 {
				old.Store(c)
				return nil
			}
			return func(ctx context.Context, c *wire.Call) (reply, error) {
				r, err := c.Deliver(ctx)
				old.Load().Repeat()
				return r, err
			}
		}))
		w.Expect(w.until(heartbeat+time.Second, func() bool { return old.Load() != nil })).To(BeTrue(), "no heartbeat")
		waiter.waits()
		w.passWatching(10 * theLease)
		w.Expect(holder.believes()).To(BeTrue(), "the live holder lost its lock: %v", holder.LockError())
	})
}

func TestEveryWriteThatHoldsTheLockIsCountedByTheServer(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		seen := map[string]bool{}
		last := ""
		for range 20 {
			record := w.record()
			number := aws.StringValue(record["recordVersionNumber"].S)
			if number != last {
				w.Expect(seen[number]).To(BeFalse(), "recordVersionNumber %s was used twice", number)
			}
			seen[number], last = true, number
			w.pass(heartbeat)
		}
		writes := holder.wire.Kinds()[wire.Heartbeat]
		w.Expect(aws.StringValue(w.record()["heartbeatCount"].N)).To(Equal(strconv.Itoa(writes)), "heartbeatCount is %s after %d writes", aws.StringValue(w.record()["heartbeatCount"].N), writes)

		// A body that arrives twice counts twice: the server adds, the client never sets.
		holder.wire.SetHook(wire.Nth(wire.Heartbeat, 1, wire.Twice()))
		w.pass(heartbeat + time.Second)
		w.Expect(aws.StringValue(w.record()["heartbeatCount"].N)).To(Equal(strconv.Itoa(writes+2)), "heartbeatCount is %s after a repeated write", aws.StringValue(w.record()["heartbeatCount"].N))
		w.Expect(holder.believes()).To(BeTrue(), "a repeated heartbeat cost the lock: %v", holder.LockError())
	})
}

// The recorded expiry is only ever believed with MaxClockSkew, but then it must not go back.
func TestALateHeartbeatDoesNotSetTheRecordedExpiryBack(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		cron := w.node("cron", func(c *lockclient.DynamoDBLockClient) { c.MaxClockSkew = 500 * time.Millisecond })
		holder.get()
		var old *wire.Call
		holder.wire.SetHook(wire.Nth(wire.Heartbeat, 1, func(ctx context.Context, c *wire.Call) (reply, error) {
			old = c
			return wire.Hang()(ctx, c)
		}))
		w.passWatching(2 * theLease)
		w.Expect(old != nil && holder.believes()).To(BeTrue(), "the holder should have outlived one hung heartbeat: %v", holder.LockError())
		old.Repeat() // it arrives at last
		cron.refused()
		w.atMostOneBelieves()
		w.passWatching(2 * theLease)
		w.Expect(holder.believes()).To(BeTrue(), "the live holder lost its lock: %v", holder.LockError())
	})
}

func TestStopHeartbeatLetsTheLeaseRunOut(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.node("holder"), w.node("waiter")
		holder.get()
		w.pass(20 * time.Second)
		waiter.waits()
		holder.StopHeartbeat()
		last := holder.lastRenewal()
		holder.wire.Reset()
		w.ends(holder.Lost())
		w.Expect(time.Since(last)).To(BeNumerically(">=", theLease*98/100), "the lease ran out after %v", time.Since(last))
		w.Expect(holder.LockError()).To(MatchError(lockclient.ErrLeaseExpired))
		w.Expect(w.until(theLease, waiter.believes)).To(BeTrue(), "nobody took over")
		w.Expect(holder.wire.Count("")).To(Equal(0), "requests after StopHeartbeat: %v", holder.wire.Counts())
	})
}

func TestGetLockResumesStoppedHeartbeats(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		token := holder.get()
		for range 4 {
			holder.StopHeartbeat()
			w.pass(2 * time.Second)
			holder.wire.Reset()
			held, err := holder.GetLock()
			w.Expect(held && err == nil && holder.wire.Count("") == 0).To(BeTrue(), "GetLock on a held lock: %v, %v, requests %v", held, err, holder.wire.Counts())
			w.pass(4 * time.Second)
			w.Expect(holder.wire.Kinds()[wire.Heartbeat]).To(BeNumerically(">", 0), "no heartbeat after GetLock resumed them")
		}
		now, _ := holder.FencingToken()
		w.Expect(now).To(Equal(token), "the tenure changed")
	})
}

func (w *world) beatsOnceAPeriod(holder *node) {
	w.Helper()
	holder.wire.Reset()
	w.pass(20 * heartbeat)
	sent := holder.wire.Kinds()[wire.Heartbeat]
	w.Expect(sent >= 19 && sent <= 21).To(BeTrue(), "%d heartbeats in 20 periods", sent)
}

func TestHoweverOftenTheLockIsGotThereIsOneChainOfHeartbeats(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		for range 5 { // also while a heartbeat is under way
			holder.wire.SetHook(wire.Nth(wire.Heartbeat, 1, wire.DelayReply(2*time.Second)))
			w.pass(heartbeat)
			holder.StopHeartbeat()
			holder.get()
			holder.get()
			w.pass(heartbeat)
		}
		holder.wire.SetHook(nil)
		w.pass(heartbeat)
		w.beatsOnceAPeriod(holder)
	})
}

// Also where each answer takes longer than half a period, so that no two heartbeats ever meet.
func TestHeartbeatsThatAreResumedBeforeOneIsAnsweredAreOneChainStill(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		holder.wire.SetHook(wire.Every(wire.Heartbeat, wire.DelayReply(heartbeat*3/5)))
		w.pass(2*heartbeat + heartbeat/2) // one is under way
		holder.StopHeartbeat()
		holder.get()
		w.beatsOnceAPeriod(holder)
	})
}

func TestHeartbeatsThatAreStoppedAndResumedOverAndOverKeepTheirPauses(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		w.pass(2 * heartbeat)
		holder.cutOff()
		w.pass(time.Until(holder.lastRenewal().Add(heartbeat)))
		holder.wire.Reset()
		for range 2000 {
			holder.StopHeartbeat()
			holder.get()
			w.pass(time.Millisecond)
		}
		sent := holder.wire.Kinds()[wire.Heartbeat]
		w.Expect(sent >= 2 && sent <= 12).To(BeTrue(), "%d heartbeats in two seconds that all fail", sent)
	})
}

// Waiters predict heartbeats by the period in the record, which is in whole milliseconds.
func TestTheHeartbeatPeriodThatIsNotGivenIsAThirdOfTheLeaseInWholeMilliseconds(t *testing.T) {
	virtually(t, func(w *world) {
		for lease, want := range map[time.Duration]time.Duration{
			5 * time.Second: 1666 * time.Millisecond, 15 * time.Second: 5 * time.Second, 4 * time.Millisecond: time.Millisecond,
		} {
			node := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration, c.HeartbeatPeriod = lease, 0 })
			timing, err := node.Timing()
			w.Expect(err == nil && timing.Heartbeat == want).To(BeTrue(), "lease %v: %v, %v; want %v", lease, timing.Heartbeat, err, want)
		}
	})
}

// An operator may do what nobody else can. The holder notices at its next heartbeat and never
// overwrites.
func TestAnItemDeletedOrEditedByHandEndsTheTenure(t *testing.T) {
	edits := map[string]func(w *world){
		"deleted": func(w *world) {
			_, err := w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(theLock)})
			w.Expect(err).NotTo(HaveOccurred(), "%v", err)
		},
		"marked released": func(w *world) { w.set("isReleased", s("1")) },
		"given to another": func(w *world) {
			w.set("ownerName", s("operator"))
		},
		"given another token": func(w *world) { w.set("fencingToken", n("7")) },
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(w *world) {
				holder := w.node("holder")
				holder.get()
				lost := holder.Lost()
				w.pass(20 * time.Second)
				edit(w)
				after := w.record()
				began := time.Now()
				w.ends(lost)
				w.Expect(time.Since(began)).To(BeNumerically("<=", heartbeat+time.Second), "noticed after %v", time.Since(began))
				w.Expect(holder.LockError()).To(MatchError(lockclient.ErrLockLost))
				w.Expect(len(w.record())).To(Equal(len(after)), "the lost holder wrote: %v, was %v", w.record(), after)
				w.Expect(holder.RemoveLock()).To(Succeed(), "RemoveLock after a loss has nothing to free")
			})
		})
	}
}

func (w *world) set(attribute string, to *dynamodb.AttributeValue) {
	w.Helper()
	_, err := w.admin.UpdateItem(&dynamodb.UpdateItemInput{TableName: aws.String(theTable), Key: key(theLock),
		UpdateExpression: aws.String("SET #a = :v"), ExpressionAttributeNames: map[string]*string{"#a": &attribute},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":v": to}})
	w.Expect(err).NotTo(HaveOccurred(), "%v", err)
}

// No heartbeat is left out and none is doubled, whatever the replies take.
func TestHeartbeatsKeepTheirPeriod(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		holder.get()
		w.pass(theLease)
		holder.wire.Reset()
		holder.wire.SetHook(wire.Every(wire.Heartbeat, wire.DelayReply(time.Second)))
		w.pass(30 * heartbeat)
		var gaps []time.Duration
		calls := holder.wire.Calls()
		for i := 1; i < len(calls); i++ {
			gaps = append(gaps, calls[i].At.Sub(calls[i-1].At))
		}
		w.Expect(len(gaps) >= 28 && slices.Min(gaps) >= heartbeat-time.Millisecond && slices.Max(gaps) <= heartbeat+time.Millisecond).To(BeTrue(), "the pauses were %v", gaps)
	})
}

func TestObserversGetEveryHeartbeatUntilTheyStop(t *testing.T) {
	virtually(t, func(w *world) {
		type beat struct {
			took time.Duration
			err  error
		}
		node := w.node("node")
		beats, others := make(chan beat, 100), make(chan beat, 100)
		stop := node.ObserveHeartbeats(func(took time.Duration, err error) { beats <- beat{took, err} })
		defer node.ObserveHeartbeats(func(took time.Duration, err error) { others <- beat{took, err} })()
		node.get()
		w.pass(2*heartbeat + time.Second)
		for range 2 {
			b := <-beats
			w.Expect(b.err == nil && b.took == roundTrip).To(BeTrue(), "a heartbeat that was confirmed: %v", b)
		}
		node.wire.SetHook(wire.Nth(wire.Heartbeat, 1, wire.Throttle()))
		w.pass(heartbeat)
		failed, again := <-beats, <-beats
		w.Expect(failed.err != nil && again.err == nil).To(BeTrue(), "one that failed, and its repetition: %v, %v", failed, again)

		stop()
		stop() // twice does no harm
		w.pass(2 * heartbeat)
		w.Expect(len(beats) == 0 && len(others) >= 6).To(BeTrue(), "after stop: %d, others: %d", len(beats), len(others))
	})
}
