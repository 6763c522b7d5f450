package simulation

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
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
	stampedWrite
	sessionOpen // those about a session's item
	sessionBeat
	sessionTell // of members that were let go, or will be
	sessionClose
	sessionMark // by another
	sessionLook
	kinds
)

func (k kind) String() string {
	return [...]string{"acquire", "heartbeat", "release", "announcement", "poll", "guarded write", "careless write", "stamped write",
		"session open", "session heartbeat", "session tell", "session close", "session mark", "session look"}[k]
}

// kindOf looks at what a request would change: only acquires set both heartbeatPeriod and
// leaseDuration, and only heartbeats besides count one.
func kindOf(operation string, body []byte) kind {
	switch {
	case operation == "GetItem":
		return poll
	case operation == "TransactWriteItems":
		return guardedWrite
	case bytes.Contains(body, []byte(`"`+lockclient.FenceAttribute+`"`)):
		return stampedWrite
	case bytes.Contains(body, []byte(`"`+dataTable+`"`)):
		return carelessWrite
	case bytes.Contains(body, []byte("heartbeatPeriod")) && bytes.Contains(body, []byte("leaseDuration")):
		return acquire
	case bytes.Contains(body, []byte("heartbeatCount")):
		return heartbeat
	case bytes.Contains(body, []byte("isReleasing")):
		return announcement
	default:
		return release
	}
}

// call is one request of a client.
type call struct {
	client     *client
	kind       kind
	number     uint64 // among the client's calls of that kind, from 1
	operation  string
	body       []byte
	sent       time.Duration // when it left the machine
	luck       *rand.Rand
	fault      fault
	deaf       bool
	rolled     bool
	replies    chan answer  // room for one
	session    *seenSession // that it is about; nil: none
	known      int64        // the highest fencing token of this lock that the client had seen when it was made
	deliveries int
	abandoned  bool // the client has given it up
	replied    bool
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

// transport is the network as a DynamoDB client sees it.
type transport struct {
	process *process
	client  *client // nil: all clients of the process use it
}

// sender is the client whose request that is.
func (t *transport) sender(body []byte) *client {
	if t.client != nil {
		return t.client
	}
	if bytes.Contains(body, []byte(`"Key":{"key":{"S":"`+sessionPrefix)) {
		return t.process.keeper
	}
	for _, c := range t.process.clients {
		if bytes.Contains(body, []byte(lockName(c.plan.lock)+`"`)) {
			return c
		}
	}
	panic(fmt.Sprintf("simulation: whose request is this? %s", body))
}

// RoundTrip is http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	if got, ok := r.Context().Value(arrivedKey{}).(*arrived); ok && !got.returned {
		got.returned = true
		if got.err != nil {
			return nil, got.err
		}
		return got.answer.response(r.Context())
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	a, err := t.send(r.Context(), operation, body)
	if err != nil {
		return nil, err
	}
	return a.response(r.Context())
}

// send sends a request and waits for the answer, or until ctx is done.
func (t *transport) send(ctx context.Context, operation string, body []byte) (answer, error) {
	c := t.sender(body)
	x := &call{client: c, kind: kindOf(operation, body), operation: operation, body: body, replies: make(chan answer, 1)}
	c.w.mu.Lock()
	x.known = c.known
	x.count()
	c.w.figures.Requests++
	c.mustBeNew(x)
	c.mustNotBeHasty(x)
	if !c.frozen() {
		c.w.leaving = append(c.w.leaving, x)
	}
	c.w.mu.Unlock()
	for done := ctx.Done(); ; {
		select {
		case a := <-x.replies:
			return a, nil
		case <-done:
			if !x.abandon() {
				done = nil
				continue
			}
			return answer{}, ctx.Err()
		case <-c.gone:
			return answer{}, errReset
		}
	}
}

// count gives the call its number, and its luck. Called with mu held.
func (x *call) count() {
	c := x.client
	if x.session = c.sessionOf(x.body); x.session == nil {
		c.sent[x.kind]++
		x.number = c.sent[x.kind]
		x.luck = dice(c.w.seed, forRequest, c.key(), uint64(x.kind), x.number)
		return
	}
	x.kind = sessionKind(x.operation, x.body)
	to := sentTo{c.number, x.kind}
	x.session.sent[to]++
	x.number = x.session.sent[to]
	x.luck = dice(c.w.seed, forRequest, c.key(), uint64(x.kind), x.number, x.session.id())
}

// place orders the calls of a client that are about sessions.
func (x *call) place() uint64 {
	if x.session == nil {
		return 0
	}
	return x.session.id()
}

// depart sends what the goroutines of the last event have to send. They have come in any order, and
// leave in one that the seed decides.
func (w *world) depart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.leaving) > 0 {
		leaving := w.leaving
		w.leaving = nil
		slices.SortStableFunc(leaving, func(a, b *call) int {
			return cmp.Or(cmp.Compare(a.client.number, b.client.number), cmp.Compare(a.kind, b.kind), cmp.Compare(a.place(), b.place()), cmp.Compare(a.number, b.number))
		})
		for _, x := range leaving {
			if !x.client.frozen() {
				x.send()
			}
		}
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
	switch x.kind {
	case acquire, heartbeat, sessionOpen, sessionBeat, sessionMark:
	default:
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

// mustNotBeHasty: an elector releases after its work has returned, not before. A process that has
// lost its session marks that as over, which frees its members, after all their works have.
func (c *client) mustNotBeHasty(x *call) {
	if x.kind == release && c.working && !c.frozen() && !c.hasRunOut() {
		c.w.violateLocked(c, WorkThenRelease, "the lock is released while the work is still running")
	}
	if x.kind != sessionClose || c.process.closing || c.frozen() {
		return
	}
	for _, member := range c.process.clients {
		if t := member.term; t != nil && member.working && !member.hasRunOut() && c.w.memberOf[c.w.grantOf(member, t.token)] == x.session {
			c.w.violateLocked(member, WorkThenRelease, "its session is marked as over while the work is still running")
		}
	}
}

// hasRunOut: a member whose elector has stopped its heartbeats, because the work does not return in
// time, is released when it has run out.
func (c *client) hasRunOut() bool {
	t := c.term
	return c.plan.member && t != nil && t.ended > 0 && (t.expired || c.w.now() >= t.ended+c.plan.drain())
}

// send has the request leave the machine, and decides what becomes of it. Called with mu held, as
// all that follows.
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
	if f == fine && (x.kind == guardedWrite || x.kind == carelessWrite || x.kind == stampedWrite) && w.plan.odds[pausedBeforeSend] > 0 && x.luck.IntN(12) == 0 {
		return pausedBeforeSend // between the check and the write is where it hurts
	}
	switch f {
	case transactionConflict:
		if x.kind == poll || x.kind == sessionLook {
			return fine
		}
	case staleRead:
		if x.kind != poll && x.kind != sessionLook || bytes.Contains(x.body, []byte(`"ConsistentRead":true`)) {
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
			a.body = past(x.states(), age, a.body)
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

// states are the answers to earlier reads of what this one reads.
func (x *call) states() [][]byte {
	if x.session != nil {
		return x.session.past
	}
	return x.client.w.server.records[x.client.plan.lock].past
}

// latency is one way through the network, on a good day.
func (m *machine) latency(d *rand.Rand) time.Duration {
	return time.Duration((0.5 + d.Float64()) * float64(m.plan.latency))
}

// arriveAfter has the request arrive at the server, once for each call.
func (x *call) arriveAfter(d time.Duration, then func(answer)) {
	w := x.client.w
	w.under(w.now()+d, x.client.machine.id, func() { w.server.handle(x, then) })
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

// abandon notes that nobody waits for the answer any more; false: a deaf call has to be waited for.
func (x *call) abandon() bool {
	x.client.w.mu.Lock()
	defer x.client.w.mu.Unlock()
	x.abandoned = !x.deaf
	return x.abandoned
}

// notice keeps account of what the client has been told.
func (c *client) notice(x *call, a answer) {
	if (x.kind == acquire || x.kind == poll) && !a.cut && !x.abandoned {
		c.known = max(c.known, tokenIn(a.body))
		if x.kind == acquire && a.status == http.StatusOK {
			c.known = max(c.known, numberAfter(x.body, `":token":{"N":"`))
		}
	}
	inTime := x.kind == acquire || x.kind == heartbeat && c.w.now()-c.ackedSent < c.plan.lease*98/100
	if inTime && a.status == http.StatusOK && !a.cut {
		c.acked, c.ackedAt, c.ackedSent = c.sent[heartbeat], c.w.now(), x.sent
	}
	// A refusal without the item tells nothing while a later heartbeat is under way, where the
	// endpoint may have left the item out.
	tells := x.kind == announcement || x.kind == heartbeat && (x.number == c.sent[heartbeat] || bytes.Contains(a.body, []byte(`"Item"`)))
	if tells && a.status == http.StatusBadRequest && !a.cut && !x.abandoned && bytes.Contains(a.body, []byte("ConditionalCheckFailed")) {
		c.refusals = append(c.refusals, refusal{sent: x.sent, step: c.w.step})
	}
}

// tokenIn is the fencing token in a record that an answer shows; 0: none.
func tokenIn(body []byte) int64 { return numberAfter(body, `"fencingToken":{"N":"`) }

func numberAfter(body []byte, before string) int64 {
	_, rest, found := bytes.Cut(body, []byte(before))
	digits, _, _ := bytes.Cut(rest, []byte(`"`))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if !found || err != nil {
		return 0
	}
	return n
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
