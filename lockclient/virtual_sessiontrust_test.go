package lockclient_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/wire"
)

// The answer to the write that opened the session was slow. The lease counts from before that was
// sent.
func TestTheTrustInASessionCountsFromTheSendingOfItsFirstWrite(t *testing.T) {
	virtually(t, func(w *world) {
		holder, waiter := w.member("holder"), w.node("waiter")
		holder.wire.SetHook(wire.Nth(wire.Acquire, 1, wire.DelayReply(heartbeat/2)))
		holder.get()
		holder.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
		waiter.waits()
		w.pass(theLease - heartbeat/2)
		w.Expect(holder.believes()).To(BeFalse(), "it believes a whole lease after the session was opened")
	})
}

// A session is lost while an acquire under it is under way, and another lock opens the next one.
// The record names the first, which others may mark as over.
func TestALateConfirmationDoesNotCountForTheSessionThatCameAfter(t *testing.T) {
	virtually(t, func(w *world) {
		holder := w.member("holder")
		name, err := holder.Session.Open(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		w.pass(heartbeat / 2)
		holder.wire.SetHook(wire.Nth(wire.Acquire, 1, func(ctx context.Context, c *wire.Call) (*http.Response, error) {
			reply, err := c.Deliver(ctx)
			_, _ = w.admin.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String(theTable), Key: key(name)})
			w.ends(holder.Session.Lost())
			held, _ := holder.another("other").GetLock()
			w.Check(held, "no other session was opened")
			return reply, err
		}))
		held, err := holder.PollLock(w.ctx)
		w.Expect(err).To(HaveOccurred())
		w.Expect(held).To(BeFalse())
		w.Expect(holder.believes()).To(BeFalse(), "it believes in a lock that names a session that is over")
		w.Expect(holder.Session.Name()).NotTo(Or(BeEmpty(), Equal(name)))
		held, err = holder.PollLock(w.ctx)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(held).To(BeTrue())
		w.Expect(w.record()).To(HaveKeyWithValue("sessionName", s(holder.Session.Name())))
	})
}
