package integration

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

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
				w.must(holder.believes() && now == token, "holds: %v, token %d was %d, why: %v", holder.believes(), now, token, holder.LockError())
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
				w.must(time.Since(last) >= theLease*98/100 && time.Since(last) <= theLease*99/100, "Lost was closed %v after the last renewal", time.Since(last))
				held, err := holder.HasLock()
				w.must(!held, "HasLock after Lost")
				w.mustBe(err, lockclient.ErrLeaseExpired)
				w.mustBe(holder.LockError(), lockclient.ErrLeaseExpired)
				w.must(w.until(theLease, waiter.believes), "nobody took over")
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
		w.must(time.Since(last) <= theLease*99/100, "believed for %v", time.Since(last))
		w.must(w.until(2*theLease, waiter.believes), "nobody took over")
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
		w.must(now == token, "a deaf heartbeat cost the lock: %v", holder.LockError())

		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Deaf(until) })
		began := time.Now()
		w.must(holder.RemoveLock() != nil, "RemoveLock claims to have freed what no request has freed")
		w.must(time.Since(began) <= theLease+time.Second, "RemoveLock took %v", time.Since(began))
		w.must(!holder.believes(), "still believes after RemoveLock")
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
		w.must(w.until(3*theLease, waiter.believes), "nobody took over")
		before := w.record()
		w.must(len(late) > 1, "the holder sent %d heartbeats into the void; expected it to try more than once", len(late))
		for _, c := range late {
			status := c.Repeat()
			w.must(status == http.StatusBadRequest, "a late heartbeat was answered with %d", status)
		}
		w.must(aws.StringValue(w.record()["recordVersionNumber"].S) == aws.StringValue(before["recordVersionNumber"].S), "a late heartbeat wrote")
		w.passWatching(theLease)
		w.must(waiter.believes(), "the new holder lost its lock: %v", waiter.LockError())
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
			return func(ctx ctx, c *wire.Call) (reply, error) {
				r, err := c.Deliver(ctx)
				old.Load().Repeat()
				return r, err
			}
		}))
		w.must(w.until(heartbeat+time.Second, func() bool { return old.Load() != nil }), "no heartbeat")
		waiter.waits()
		w.passWatching(10 * theLease)
		w.must(holder.believes(), "the live holder lost its lock: %v", holder.LockError())
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
				w.must(!seen[number], "recordVersionNumber %s was used twice", number)
			}
			seen[number], last = true, number
			w.pass(heartbeat)
		}
		writes := holder.wire.Kinds()[wire.Acquire] + holder.wire.Kinds()[wire.Heartbeat]
		w.must(aws.StringValue(w.record()["heartbeatCount"].N) == itoa(writes), "heartbeatCount is %s after %d writes", aws.StringValue(w.record()["heartbeatCount"].N), writes)

		// A body that arrives twice counts twice: the server adds, the client never sets.
		holder.wire.SetHook(wire.Nth(wire.Heartbeat, 1, wire.Twice()))
		w.pass(heartbeat + time.Second)
		w.must(aws.StringValue(w.record()["heartbeatCount"].N) == itoa(writes+2), "heartbeatCount is %s after a repeated write", aws.StringValue(w.record()["heartbeatCount"].N))
		w.must(holder.believes(), "a repeated heartbeat cost the lock: %v", holder.LockError())
	})
}

// The recorded expiry is only ever believed with MaxClockSkew, but then it must not go back.
func TestALateHeartbeatDoesNotSetTheRecordedExpiryBack(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.node("holder")
		cron := w.node("cron", func(c *lockclient.DynamoDBLockClient) { c.MaxClockSkew = 500 * time.Millisecond })
		holder.get()
		var old *wire.Call
		holder.wire.SetHook(wire.Nth(wire.Heartbeat, 1, func(ctx ctx, c *wire.Call) (reply, error) {
			old = c
			return wire.Hang()(ctx, c)
		}))
		w.passWatching(2 * theLease)
		w.must(old != nil && holder.believes(), "the holder should have outlived one hung heartbeat: %v", holder.LockError())
		old.Repeat() // it arrives at last
		cron.refused()
		w.atMostOneBelieves()
		w.passWatching(2 * theLease)
		w.must(holder.believes(), "the live holder lost its lock: %v", holder.LockError())
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
		w.must(time.Since(last) >= theLease*98/100, "the lease ran out after %v", time.Since(last))
		w.mustBe(holder.LockError(), lockclient.ErrLeaseExpired)
		w.must(w.until(theLease, waiter.believes), "nobody took over")
		w.must(holder.wire.Count("") == 0, "requests after StopHeartbeat: %v", holder.wire.Counts())
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
			w.must(held && err == nil && holder.wire.Count("") == 0, "GetLock on a held lock: %v, %v, requests %v", held, err, holder.wire.Counts())
			w.pass(4 * time.Second)
			w.must(holder.wire.Kinds()[wire.Heartbeat] > 0, "no heartbeat after GetLock resumed them")
		}
		now, _ := holder.FencingToken()
		w.must(now == token, "the tenure changed")
	})
}

func (w *world) beatsOnceAPeriod(holder *node) {
	w.Helper()
	holder.wire.Reset()
	w.pass(20 * heartbeat)
	sent := holder.wire.Kinds()[wire.Heartbeat]
	w.must(sent >= 19 && sent <= 21, "%d heartbeats in 20 periods", sent)
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
		w.must(sent >= 2 && sent <= 12, "%d heartbeats in two seconds that all fail", sent)
	})
}

// What the record says of the period is what waiters foretell heartbeats by, and it says whole milliseconds.
func TestTheHeartbeatPeriodThatIsNotGivenIsAThirdOfTheLeaseInWholeMilliseconds(t *testing.T) {
	virtually(t, func(w *world) {
		for lease, want := range map[time.Duration]time.Duration{
			5 * time.Second: 1666 * time.Millisecond, 15 * time.Second: 5 * time.Second, 4 * time.Millisecond: time.Millisecond,
		} {
			node := w.node("node", func(c *lockclient.DynamoDBLockClient) { c.LeaseDuration, c.HeartbeatPeriod = lease, 0 })
			_, period, err := node.Timing()
			w.must(err == nil && period == want, "lease %v: %v, %v; want %v", lease, period, err, want)
		}
	})
}

// An operator may do what nobody else can. The holder notices at its next heartbeat and never overwrites.
func TestAnItemDeletedOrEditedByHandEndsTheTenure(t *testing.T) {
	edits := map[string]func(w *world){
		"deleted": func(w *world) {
			_, err := w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(theLock)})
			w.must(err == nil, "%v", err)
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
				w.must(time.Since(began) <= heartbeat+time.Second, "noticed after %v", time.Since(began))
				w.mustBe(holder.LockError(), lockclient.ErrLockLost)
				w.must(len(w.record()) == len(after), "the lost holder wrote: %v, was %v", w.record(), after)
				w.must(holder.RemoveLock() == nil, "RemoveLock after a loss has nothing to free")
			})
		})
	}
}

func (w *world) set(attribute string, to *dynamodb.AttributeValue) {
	w.Helper()
	_, err := w.admin.UpdateItem(&dynamodb.UpdateItemInput{TableName: aws.String(theTable), Key: key(theLock),
		UpdateExpression: aws.String("SET #a = :v"), ExpressionAttributeNames: map[string]*string{"#a": &attribute},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":v": to}})
	w.must(err == nil, "%v", err)
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
		w.must(len(gaps) >= 28 && slices.Min(gaps) >= heartbeat-time.Millisecond && slices.Max(gaps) <= heartbeat+time.Millisecond, "the pauses were %v", gaps)
	})
}

func TestObserversHearOfEveryHeartbeatUntilTheyStop(t *testing.T) {
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
			w.must(b.err == nil && b.took == roundTrip, "a heartbeat that was confirmed: %v", b)
		}
		node.wire.SetHook(wire.Nth(wire.Heartbeat, 1, wire.Throttle()))
		w.pass(heartbeat)
		failed, again := <-beats, <-beats
		w.must(failed.err != nil && again.err == nil, "one that failed, and its repetition: %v, %v", failed, again)

		stop()
		stop() // twice does no harm
		w.pass(2 * heartbeat)
		w.must(len(beats) == 0 && len(others) >= 6, "after stop: %d, others: %d", len(beats), len(others))
	})
}
