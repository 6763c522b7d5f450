package shards

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// aboutEntry is whether a request writes the group's item, and does that, SET or REMOVE, to a
// member's entry.
func aboutEntry(c *wire.Call, does string) bool {
	return c.Operation == "UpdateItem" && keysIn(c.Body) == groupPrefix+theGroup && strings.HasPrefix(c.UpdateExpression(), does+" "+attrMember)
}

// setInGroup sets an attribute of the group's item.
func (w *world) setInGroup(name string, value *dynamodb.AttributeValue) {
	w.Helper()
	if _, err := w.admin.UpdateItem(&dynamodb.UpdateItemInput{
		TableName: aws.String(theTable), Key: map[string]*dynamodb.AttributeValue{"key": text(groupPrefix + theGroup)},
		UpdateExpression:          aws.String("SET #a = :v"),
		ExpressionAttributeNames:  map[string]*string{"#a": aws.String(name)},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":v": value},
	}); err != nil {
		w.Fatal(err)
	}
}

// In a group of eight, four know of a death only by the group's item.
func TestADeadMemberIsRemovedThoughSomeRequestsFail(t *testing.T) {
	virtually(t, func(w *world) {
		const replicas, shards = 8, 64
		for i := range replicas {
			w.node(fmt.Sprint("r", i), count(shards)).run()
			w.pass(heartbeat * 3 / 8)
		}
		w.balanced(time.Minute, slices.Repeat([]int{shards / replicas}, replicas)...)
		w.pass(theLease)
		failing, failed := true, 0
		for _, n := range w.nodes[1:] {
			n.wire.SetHook(func(c *wire.Call) wire.Fault {
				w.mu.Lock()
				defer w.mu.Unlock()
				if failing && aboutEntry(c, "REMOVE") {
					failed++
					return wire.InternalError()
				}
				return nil
			})
		}
		w.nodes[0].crash()
		w.pass(theLease + theLease/2)
		w.mu.Lock()
		failing = false
		w.mu.Unlock()
		w.allLed(theLease/2, shards)
		if failed == 0 {
			t.Error("nobody has tried to remove it")
		}
	})
}

func TestAMemberThatCountsAsDeadAndLivesCountsAgain(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		a, b := w.nodes[0], w.nodes[1]
		a.current.bury(b.current.ownID())
		if len(a.Assignment()) == 0 || maps.Equal(a.Assignment(), b.Assignment()) {
			t.Error("the two agree")
		}
		w.pass(3 * theLease)
		if !maps.Equal(a.Assignment(), b.Assignment()) {
			t.Error("the two do not agree")
		}
		w.balanced(0, 8, 8, 8)
	})
}

// The work has outlived its lock, and nobody can join the group for now.
func TestTheCheckFailsAlsoWhileTheStoreIsUnreachable(t *testing.T) {
	virtually(t, func(w *world) {
		stuck := make(chan struct{})
		a := w.node("a", count(2), func(_ *node, c *Config) {
			c.Callbacks.OnStarted = func(context.Context, string) { <-stuck }
			c.Callbacks.OnStopped = func(string) {}
		}).run()
		w.pass(2 * heartbeat)
		a.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		w.pass(3 * theLease)
		if err := a.Check(0); err == nil || !strings.Contains(err.Error(), "outlived its lock") {
			t.Errorf("two leases after its session was lost, the health is %v", err)
		}
		close(stuck)
		w.pass(heartbeat)
		if err := a.Check(0); err != nil {
			t.Errorf("after the work has returned: %v", err)
		}
	})
}

func TestAReplicaWhoseEntryCannotBeChangedSeesWhoDiesAndWhoJoins(t *testing.T) {
	virtually(t, func(w *world) {
		w.node("a", limited(12, 6)).run().wire.SetHook(func(c *wire.Call) wire.Fault {
			if aboutEntry(c, "SET") && c.ConditionExpression() != "" {
				return wire.Throttle()
			}
			return nil
		})
		w.node("b", limited(12, 6)).run()
		w.node("c", limited(12, 6)).run()
		w.balanced(time.Minute, 4, 4, 4)
		w.pass(theLease)
		w.nodes[1].crash()
		w.allLed(2*theLease, 12)
		w.balanced(theLease, 6, 6)
		w.node("d", limited(12, 6)).run()
		w.balanced(time.Minute, 4, 4, 4)
	})
}

// A watch that begins when another replica has the dead member's lock already has never seen the
// member's tenure. The name of the lock's holder tells.
func TestAMemberWhoseLockAnotherHoldsIsDead(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		other := &lockclient.DynamoDBLockClient{LockName: groupPrefix + theGroup + "/ghost", TableName: theTable, Client: w.admin, Identifier: "other",
			LeaseDuration: time.Hour}
		if held, err := other.GetLock(); !held {
			t.Fatal(err)
		}
		defer func() { _ = other.RemoveLock() }()
		w.setInGroup(attrMember+"ghost", &dynamodb.AttributeValue{M: map[string]*dynamodb.AttributeValue{
			attrPlan: text(w.nodes[0].plan), attrIdentity: text("ghost"), attrWeight: number(1),
		}})
		w.pass(2 * theLease)
		w.balanced(0, 8, 8, 8)
	})
}

func TestRubbishInTheGroupsItemDisturbsNobody(t *testing.T) {
	virtually(t, func(w *world) {
		w.start3()
		own := w.nodes[0].current.ownID()
		entry := func(value map[string]*dynamodb.AttributeValue) *dynamodb.AttributeValue {
			return &dynamodb.AttributeValue{M: value}
		}
		for name, value := range map[string]*dynamodb.AttributeValue{
			attrMember + strings.Repeat("x", 3000): entry(map[string]*dynamodb.AttributeValue{attrPlan: text(w.nodes[0].plan)}),
			attrMember:                             entry(map[string]*dynamodb.AttributeValue{}),
			attrMember + "nobody":                  entry(map[string]*dynamodb.AttributeValue{attrPlan: text(w.nodes[0].plan), attrWeight: text("heavy")}),
			attrMember + "somebody":                entry(map[string]*dynamodb.AttributeValue{attrPlan: text(w.nodes[0].plan), attrWeight: number(-7), attrPeriod: number(1 << 60)}),
			attrMember + own:                       text("gone"),
			attrSuspect + own:                      text(w.nodes[1].current.ownID()),
			attrSuspect + "nobody":                 number(1),
			attrChanges:                            number(-1 << 62),
			"something else":                       text("of a later release"),
		} {
			w.setInGroup(name, value)
		}
		w.pass(6 * theLease)
		w.balanced(0, 8, 8, 8)
		for _, n := range w.nodes {
			if parts := n.board.read(); len(parts.Members) != 3 {
				t.Errorf("%s counts %d members", n.name, len(parts.Members))
			}
		}
	})
}

// A lock is released by a live session's process although the request failed when Run ended.
func TestWhatARunCouldNotReleaseIsFreeSoonAfter(t *testing.T) {
	virtually(t, func(w *world) {
		w.node("a", count(4)).run()
		w.node("b", count(4)).run()
		w.balanced(time.Minute, 2, 2)
		a := w.nodes[0]
		a.wire.SetHook(wire.On(wire.Release, func(int, *wire.Call) wire.Fault { return wire.InternalError() }))
		a.cancel()
		w.pass(2 * theLease)
		a.wire.SetHook(nil)
		if err := a.wait(); err != nil {
			t.Fatal(err)
		}
		w.allLed(2*theLease, 4)
		if led := len(w.nodes[1].Leading()); led != 4 {
			t.Errorf("the other leads %d", led)
		}
	})
}

func TestTwoReplicasOfOneSessionNeverLeadAShardBoth(t *testing.T) {
	virtually(t, func(w *world) {
		a := w.node("a", count(12)).run()
		w.node("twin", count(12), func(n *node, c *Config) { c.Session = a.session }).run()
		w.balanced(time.Minute, 6, 6)
		w.node("b", count(12)).run()
		w.balanced(time.Minute, 4, 4, 4)
		w.nodes[1].stop()
		w.balanced(time.Minute, 6, 6)
	})
}

func TestAnAnnouncementHasRoomInAnItem(t *testing.T) {
	virtually(t, func(w *world) {
		n := w.node("a")
		r, err := n.start(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		r.id, r.moves.under, r.moves.changed = "x", true, true
		for i := range 1000 {
			r.moves.released = append(r.moves.released, release{fmt.Sprintf("%01000d", i), r.uptime()})
		}
		_, h, _ := r.announcement(1)
		bytes := 0
		for _, name := range h.released {
			bytes += len(name)
		}
		if bytes > mostTold || bytes < mostTold/2 || !slices.Contains(h.released, fmt.Sprintf("%01000d", 999)) {
			t.Errorf("%d names of %d bytes are told", len(h.released), bytes)
		}
		r.cancel()
		n.current, n.ended, n.cancel = nil, true, func() {}
	})
}
