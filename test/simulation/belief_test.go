package simulation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

// histories are what the checker of beliefs is fed by hand, without any lock: the mutants show that
// the invariants hold together, and these that each of them bites alone.
var histories = []struct {
	name   string
	tell   func(h *history)
	breaks Invariant // "": none
}{
	{"one after the other", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.released(0)
		h.granted(1, 11)
		h.believes(1, 11)
		h.believes(1, 11)
	}, ""},
	{"one again, with another token", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.lost(0, nil)
		h.granted(0, 11)
		h.believes(0, 11)
	}, ""},
	{"one that has it without knowing, and another after it", func(h *history) {
		h.granted(0, 10)
		h.granted(1, 11)
		h.believes(1, 11)
	}, ""},
	{"two in one step", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.w.step -= 2 // at once
		h.granted(1, 11)
		h.believes(1, 11)
	}, OneBeliever},
	{"the earlier one goes on", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.granted(1, 11)
		h.believes(1, 11)
		h.grantedTo(0, 10) // so that nothing but the other's belief speaks against it
		h.believes(0, 10)
	}, OneBeliever},
	{"two under one name and token", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.w.step -= 2 // at once
		h.granted(1, 10)
		h.believes(1, 10)
	}, OneBeliever},
	{"without the record", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.granted(1, 11)
		h.believes(0, 10)
	}, BelieverHolds},
	{"nobody has the record", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.w.server.records[0].holder = nil
		h.believes(0, 10)
	}, BelieverHolds},
	{"never given the record", func(h *history) { h.believes(0, 10) }, BelieverHolds},
	{"a tenure that was lost", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.lost(0, nil)
		h.believes(0, 10)
	}, LostIsLost},
	{"a lower token", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.released(0)
		h.granted(1, 9)
		h.believes(1, 9)
	}, TokensRise},
	{"the same token", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.released(0)
		h.granted(1, 10)
		h.believes(1, 10)
	}, TokensRise},
	{"a lower token, where that is not promised", func(h *history) {
		h.w.server.records[0].loose = true
		h.granted(0, 10)
		h.believes(0, 10)
		h.released(0)
		h.granted(1, 9)
		h.believes(1, 9)
	}, ""},
	{"an operator's edit that its holder has not heard of", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.operated()
		h.believes(0, 10)
	}, ""},
	{"an operator's edit, and a lease later", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.operated()
		h.passes(h.w.clients[0].plan.lease + 1)
		h.believes(0, 10)
	}, BelieverHolds},
	{"an operator's edit, and a refused heartbeat", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.operated()
		h.w.clients[0].refusals = []refusal{{sent: h.w.now(), step: h.w.step - 1}}
		h.believes(0, 10)
	}, BelieverHolds},
	{"an operator's edit, and a refusal of a heartbeat from before it", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.passes(time.Millisecond)
		h.operated()
		h.w.clients[0].refusals = []refusal{{sent: h.w.now() - 1, step: h.w.step - 1}}
		h.believes(0, 10)
	}, ""},
	{"what is its own called another's", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.lost(0, fmt.Errorf("%w: by whom?", lockclient.ErrLockLost))
	}, LossHasReason},
	{"what is another's called another's", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.granted(1, 11)
		h.lost(0, lockclient.ErrLockLost)
	}, ""},
	{"a lease that ran out after one heartbeat", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.w.plan.probing = true
		h.w.clients[0].sent[heartbeat] = 1
		h.passes(h.w.clients[0].plan.lease)
		h.lost(0, lockclient.ErrLeaseExpired)
	}, LossHasReason},
	{"a lease that ran out after two heartbeats", func(h *history) {
		h.granted(0, 10)
		h.believes(0, 10)
		h.w.plan.probing = true
		h.w.clients[0].sent[heartbeat] = 2
		h.passes(h.w.clients[0].plan.lease)
		h.lost(0, lockclient.ErrLeaseExpired)
	}, ""},
	{"a stranger beside a believer", func(h *history) {
		h.w.clients[1].plan.stranger = true
		h.granted(0, 10)
		h.believes(0, 10)
		h.w.step -= 2 // at once
		h.granted(1, 1)
		h.believes(1, 1)
	}, OneBeliever},
	{"a stranger's number is no token", func(h *history) {
		h.w.clients[1].plan.stranger = true
		h.granted(0, 10)
		h.believes(0, 10)
		h.released(0)
		h.granted(1, 1)
		h.believes(1, 1)
		h.granted(0, 11)
		h.believes(0, 11)
	}, ""},
	{"a member whose session is over", func(h *history) {
		s := h.underSession(0, 10)
		h.believes(0, 10)
		s.marked = true
		h.believes(0, 10)
	}, BelieverHolds},
	{"a member whose session lives", func(h *history) {
		h.underSession(0, 10)
		h.believes(0, 10)
		h.believes(0, 10)
	}, ""},
	{"a member lost with its session, and still in the record", func(h *history) {
		s := h.underSession(0, 10)
		h.believes(0, 10)
		s.marked = true
		h.lost(0, lockclient.ErrLockLost)
	}, ""},
	{"a member called lost, whose session lives", func(h *history) {
		h.underSession(0, 10).item.exists = true
		h.believes(0, 10)
		h.lost(0, lockclient.ErrLockLost)
	}, LossHasReason},
	{"a member taken whose session is over", func(h *history) {
		h.underSession(0, 10).marked = true
		h.takes(1)
	}, ""},
	{"a member taken whose session lives", func(h *history) {
		h.underSession(0, 10)
		h.takes(1)
	}, SessionFirst},
	{"a member taken by its own process", func(h *history) {
		h.underSession(0, 10)
		h.takes(0)
	}, ""},
	{"a session that is over and renewed", func(h *history) {
		h.sessionIs("1", "0")
		h.sessionIs("", "1")
	}, MarkIsFinal},
	{"a session that is over and deleted", func(h *history) {
		h.sessionIs("1", "0")
		h.sessionIs("gone", "")
	}, ""},
	{"a session renewed", func(h *history) {
		h.sessionIs("", "0")
		h.sessionIs("", "1")
	}, ""},
	{"a released lock that is left lying", func(h *history) {
		h.waitsFor(time.Second)
		h.passes(time.Second + 1)
		h.w.locked(h.w.mustBeTaken)
	}, Handover},
	{"a released lock that is not yet due", func(h *history) {
		h.waitsFor(time.Second)
		h.passes(time.Second)
		h.w.locked(h.w.mustBeTaken)
	}, ""},
	{"a released lock that nobody waits for any more", func(h *history) {
		h.waitsFor(time.Second)
		h.w.clients[0].waits++
		h.passes(time.Minute)
		h.w.locked(h.w.mustBeTaken)
	}, ""},
}

func TestBeliefsAreChecked(t *testing.T) {
	for _, c := range histories {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			inBubble(t, func(h *history) {
				c.tell(h)
				found := Invariant("")
				if h.w.violation != nil {
					found = h.w.violation.Invariant
				}
				if found != c.breaks {
					t.Errorf("it breaks %q, not %q: %v", c.breaks, found, h.w.violation)
				}
			})
		})
	}
}

// history is a world of two clients that do nothing by themselves.
type history struct{ w *world }

// next is the step in which the next thing happens.
func (h *history) next() { h.w.step++ }

// granted: the server gives a client the record under that token.
func (h *history) granted(client int, token int64) {
	h.next()
	h.grantedTo(client, token)
}

func (h *history) grantedTo(client int, token int64) {
	g := h.w.grantOf(h.w.clients[client], token)
	h.w.server.records[0].holder = &g
}

// underSession: the server gives a client the record under that token, as a member of a session of
// its process.
func (h *history) underSession(client int, token int64) *seenSession {
	h.granted(client, token)
	s := &seenSession{owner: h.w.clients[client].process, sent: map[sentTo]uint64{}}
	h.w.memberOf[*h.w.server.records[0].holder] = s
	return s
}

// takes: an acquire of a client replaces what is there.
func (h *history) takes(client int) {
	h.w.locked(func() {
		r := h.w.server.records[0]
		h.w.server.mustBeOver(&call{client: h.w.clients[client]}, r, item{exists: true})
	})
}

// sessionIs: the item of the first client's session is written, with that mark and version.
func (h *history) sessionIs(released, version string) {
	h.next()
	c := h.w.clients[0]
	h.w.locked(func() {
		key := sessionPrefix + "by-hand"
		if released == "gone" {
			h.w.server.must("DeleteItem", `{"TableName":"locks","Key":{"key":{"S":"`+key+`"}}}`)
			return
		}
		mark := ""
		if released != "" {
			mark = `,"isReleased":{"S":"1"}`
		}
		h.w.server.must("PutItem", `{"TableName":"locks","Item":{"key":{"S":"`+key+`"},"recordVersionNumber":{"S":"`+version+`"}`+mark+`}}`)
		x := &call{client: c, kind: sessionBeat, body: []byte(`"Key":{"key":{"S":"` + key + `"}}`)}
		x.session = c.sessionOf(x.body)
		h.w.server.sessionWritten(x)
	})
}

func (h *history) released(client int) {
	h.next()
	h.lost(client, nil)
	h.w.server.records[0].holder = nil
}

func (h *history) believes(client int, token int64) {
	h.next()
	h.w.locked(func() { h.w.believed(h.w.clients[client], token, "by hand") })
}

// lost: the client is asked and does not believe.
func (h *history) lost(client int, why error) {
	h.w.locked(func() { h.w.clients[client].lost(why) })
}

// operated: an operator takes the record from its holder.
func (h *history) operated() {
	h.next()
	r := h.w.server.records[0]
	h.w.beliefs[0].disturb(r.holder)
	r.holder = nil
}

// waitsFor: the first client waits for a lock that was released, and is to have it by then.
func (h *history) waitsFor(d time.Duration) {
	c := h.w.clients[0]
	c.waiting = true
	h.w.server.records[0].free = []waiter{{client: c, wait: c.waits, until: h.w.now() + d}}
}

func (h *history) passes(d time.Duration) {
	time.Sleep(d) // sleep: the bubble's time
}
