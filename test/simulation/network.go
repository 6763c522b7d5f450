package simulation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/test/wire"
)

// kind says what a request is for.
type kind int

const (
	acquire kind = iota
	heartbeat
	release
	announcement // of a release
	poll
	guardedWrite
	carelessWrite
	kinds
)

func (k kind) String() string {
	return [...]string{"acquire", "heartbeat", "release", "announcement", "poll", "guarded write", "careless write"}[k]
}

// kindOf looks at what a request would change: only acquires set heartbeatPeriod, and only heartbeats besides count one.
func kindOf(operation string, body []byte) kind {
	switch {
	case operation == "GetItem":
		return poll
	case operation == "TransactWriteItems":
		return guardedWrite
	case bytes.Contains(body, []byte(`"`+dataTable+`"`)):
		return carelessWrite
	case bytes.Contains(body, []byte(`"heartbeatPeriod"`)):
		return acquire
	case bytes.Contains(body, []byte(`"heartbeatCount"`)):
		return heartbeat
	case bytes.Contains(body, []byte(`"isReleasing"`)):
		return announcement
	default:
		return release
	}
}

// call is one request of a client.
type call struct {
	client    *client
	kind      kind
	number    uint64 // among the client's calls of that kind, from 1
	operation string
	body      []byte
	sent      time.Duration // when it left the machine
	luck      *rand.Rand
	fault     fault
	deaf      bool
	rolled    bool
	replies   chan answer // room for one
	abandoned bool        // the client has given it up
	replied   bool
}

// answer is what comes back.
type answer struct {
	status int
	body   []byte
	fault  wire.Fault // makes the answer in the server's stead
	cut    bool       // the connection breaks in the middle of it
	err    error
	age    int // of a stale read, in writes
}

var errReset = fmt.Errorf("%w in the simulation", wire.ErrNetwork)

// RoundTrip is http.RoundTripper: the network as the client sees it.
func (c *client) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	x := &call{client: c, kind: kindOf(operation, body), operation: operation, body: body, replies: make(chan answer, 1)}
	c.w.mu.Lock()
	c.sent[x.kind]++
	x.number = c.sent[x.kind]
	x.luck = dice(c.w.seed, forRequest, c.key(), uint64(x.kind), x.number)
	c.w.figures.Requests++
	c.mustBeNew(x)
	c.mustNotBeHasty(x)
	if !c.frozen() {
		x.send()
	}
	deaf := x.deaf
	c.w.mu.Unlock()

	done := r.Context().Done()
	if deaf {
		done = nil
	}
	select {
	case a := <-x.replies:
		return a.response(r.Context())
	case <-done:
		x.abandon()
		return nil, r.Context().Err()
	case <-c.gone:
		return nil, errReset
	}
}

func (a answer) response(ctx context.Context) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	if a.fault != nil {
		return a.fault(ctx, &wire.Call{})
	}
	var body io.Reader = bytes.NewReader(a.body)
	if a.cut {
		body = io.MultiReader(bytes.NewReader(a.body[:len(a.body)/2]), brokenReader{})
	}
	return &http.Response{
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body:   io.NopCloser(body), ContentLength: int64(len(a.body)),
	}, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// mustBeNew: each write of a record brings a version of its own.
func (c *client) mustBeNew(x *call) {
	if x.kind != acquire && x.kind != heartbeat {
		return
	}
	_, rest, found := bytes.Cut(x.body, []byte(`":version":{"S":"`))
	version, _, _ := bytes.Cut(rest, []byte(`"`))
	if !found {
		panic(fmt.Sprintf("simulation: no version in %s", x.body))
	}
	if c.w.versions[string(version)] {
		c.w.violateLocked(c, FreshVersion, fmt.Sprintf("%v #%d is a second write with one recordVersionNumber", x.kind, x.number))
	}
	c.w.versions[string(version)] = true
}

// mustNotBeHasty: an elector releases after its work has returned, not before.
func (c *client) mustNotBeHasty(x *call) {
	if x.kind == release && c.working && !c.frozen() {
		c.w.violateLocked(c, WorkThenRelease, "the lock is released while the work is still running")
	}
}

// send has the request leave the machine, and decides what becomes of it. Called with mu held, as all that follows.
func (x *call) send() {
	m := x.client.machine
	if m.stands() {
		m.waking = append(m.waking, func() { x.client.w.locked(x.sendLater) })
		return
	}
	w, d := m.w, x.luck
	if !x.rolled {
		x.rolled = true
		x.fault = x.chooseFault()
		if x.fault != fine {
			w.figures.Faults[x.fault]++
			x.note("suffers: " + x.fault.String())
		}
		switch x.fault {
		case pausedBeforeSend:
			m.pause(between(d, w.plan.lease/20, 3*w.plan.lease))
			x.send()
			return
		case crashedBeforeSend:
			m.crash(between(d, time.Millisecond, 3*w.plan.lease))
			return
		}
	}
	x.sent = w.now()
	x.note("sent")
	x.travel()
	switch x.fault {
	case pausedAfterSend:
		m.pause(between(d, w.plan.lease/20, 3*w.plan.lease))
	case crashedAfterSend:
		m.crash(between(d, time.Millisecond, 3*w.plan.lease))
	}
}

func (x *call) sendLater() {
	if !x.client.frozen() {
		x.send()
	}
}

func (x *call) chooseFault() fault {
	w := x.client.w
	if w.healing {
		return fine
	}
	f := w.plan.odds.choose(x.luck)
	if f == fine && (x.kind == guardedWrite || x.kind == carelessWrite) && w.plan.odds[pausedBeforeSend] > 0 && x.luck.IntN(12) == 0 {
		return pausedBeforeSend // between the check and the write is where it hurts
	}
	switch f {
	case transactionConflict:
		if x.kind == poll {
			return fine
		}
	case staleRead:
		if x.kind != poll || bytes.Contains(x.body, []byte(`"ConsistentRead":true`)) {
			return fine
		}
	}
	return f
}

// travel carries the request to the server and the answer back, or not.
func (x *call) travel() {
	w, d, m := x.client.w, x.luck, x.client.machine
	there, back := m.latency(d), m.latency(d)
	late := between(d, w.plan.lease/10, 3*w.plan.lease)
	if m.cutOut > w.now() && !w.healing {
		x.note("lost on the way out: cut")
		return
	}
	instead := func(f wire.Fault) { x.answerAfter(there+back, answer{fault: f}) }
	switch x.fault {
	case requestLost:
	case requestReset:
		x.answerAfter(there, answer{err: errReset})
	case replyLost:
		x.arriveAfter(there, func(answer) {})
	case replyReset:
		x.arriveAfter(there, func(answer) { x.answerAfter(back, answer{err: errReset}) })
	case replyCut:
		x.arriveAfter(there, func(a answer) {
			a.cut = true
			x.answerAfter(back, a)
		})
	case requestLate:
		x.arriveAfter(there+late, func(a answer) { x.answerAfter(back, a) })
	case replyLate:
		x.arriveAfter(there, func(a answer) { x.answerAfter(back+late, a) })
	case deliveredTwice:
		first := d.IntN(2) == 0
		again := there + time.Duration(d.Int64N(int64(m.plan.latency)))
		x.arriveAfter(there, func(a answer) {
			if first {
				x.answerAfter(back+again, a)
			}
		})
		x.arriveAfter(again, func(a answer) {
			if !first {
				x.answerAfter(back, a)
			}
		})
	case deliveredLateToo:
		x.arriveAfter(there, func(a answer) { x.answerAfter(back, a) })
		x.arriveAfter(there+late, func(answer) {})
	case throttled:
		instead([]wire.Fault{wire.Throttle(), wire.ThrottleAccount()}[d.IntN(2)])
	case internalError:
		instead(wire.InternalError())
	case internalErrorAfterCommit:
		x.arriveAfter(there, func(answer) { x.answerAfter(back, answer{fault: wire.InternalError()}) })
	case unavailable:
		instead(wire.Unavailable())
	case balancerPage:
		instead(wire.AnswerBody(http.StatusServiceUnavailable, "text/html", "<html>try again</html>"))
	case expiredCredentials:
		instead(wire.ExpiredToken())
	case transactionConflict:
		if x.kind == guardedWrite {
			instead(wire.CancelTransaction("None", "TransactionConflict"))
		} else {
			instead(wire.TransactionConflict())
		}
	case staleRead:
		age := 1 + d.IntN(8)
		x.arriveAfter(there, func(a answer) {
			a.age = age
			a.body = w.server.past(x.client.plan.lock, age, a.body)
			x.answerAfter(back, a)
		})
	case deaf:
		x.deaf = true
		if d.IntN(2) == 0 {
			x.arriveAfter(there+late/4, func(answer) {})
		}
		x.answerAfter(late+w.plan.lease, answer{err: errReset})
	default:
		x.arriveAfter(there, func(a answer) { x.answerAfter(back, a) })
	}
}

// latency is one way through the network, on a good day.
func (m *machine) latency(d *rand.Rand) time.Duration {
	return time.Duration((0.5 + d.Float64()) * float64(m.plan.latency))
}

// arriveAfter has the request arrive at the server, once for each call.
func (x *call) arriveAfter(d time.Duration, then func(answer)) {
	w := x.client.w
	w.under(w.now()+d, x.client.machine.id, func() { then(w.server.handle(x)) })
}

// answerAfter has the answer arrive at the machine.
func (x *call) answerAfter(d time.Duration, a answer) {
	w := x.client.w
	w.under(w.now()+d, x.client.machine.id, func() { x.deliver(a) })
}

func (x *call) deliver(a answer) {
	c, m := x.client, x.client.machine
	switch {
	case c.frozen() || x.replied:
		return
	case m.cutIn > m.w.now() && !m.w.healing && !x.deaf: // nothing else would ever end a deaf call
		x.note("answer lost on the way back: cut")
		return
	case m.stands():
		m.waking = append(m.waking, func() { m.w.locked(func() { x.deliver(a) }) })
		return
	}
	x.replied = true
	x.noteAnswer(a)
	c.notice(x, a)
	x.replies <- a
}

// abandon notes that nobody waits for the answer any more.
func (x *call) abandon() {
	x.client.w.mu.Lock()
	defer x.client.w.mu.Unlock()
	x.abandoned = true
}

// notice keeps account of what the client has been told.
func (c *client) notice(x *call, a answer) {
	inTime := x.kind == acquire || x.kind == heartbeat && c.w.now()-c.ackedSent < c.plan.lease*98/100
	if inTime && a.status == http.StatusOK && !a.cut {
		c.acked, c.ackedAt, c.ackedSent = c.sent[heartbeat], c.w.now(), x.sent
	}
	if (x.kind == heartbeat || x.kind == announcement) && a.status == http.StatusBadRequest && !a.cut && !x.abandoned && bytes.Contains(a.body, []byte("ConditionalCheckFailed")) {
		c.refusals = append(c.refusals, refusal{sent: x.sent, step: c.w.step})
	}
}

func (x *call) note(what string) {
	w := x.client.w
	w.timeline.addCall(w.now(), x, what, "")
}

func (x *call) noteAnswer(a answer) {
	w := x.client.w
	switch {
	case a.err != nil:
		w.timeline.addCall(w.now(), x, "answered", a.err.Error())
	case a.fault != nil:
		w.timeline.addCall(w.now(), x, "answered", "by a fault: "+x.fault.String())
	case a.status == http.StatusOK:
		w.timeline.addCall(w.now(), x, "answered", "ok")
	case bytes.Contains(a.body, []byte("ConditionalCheckFailed")):
		w.timeline.addCall(w.now(), x, "answered", "refused")
	default:
		w.timeline.addCall(w.now(), x, "answered", string(a.body))
	}
}

// under is at for what wants mu.
func (w *world) under(when time.Duration, machine int, do func()) {
	e := w.at(when, machine, func() { w.locked(do) })
	w.underWay = append(w.underWay, e)
}
