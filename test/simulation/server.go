package simulation

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

const (
	lockTable = "locks"
	dataTable = "data"
)

func lockName(lock int) string { return "lock-" + strconv.Itoa(lock) }

// server is DynamoDB, and an eye that sees all that happens there. The world's mu guards it.
type server struct {
	w       *world
	engine  *dynamotest.Engine
	records []*record // by lock
}

// record is what the eye knows of one lock's item.
type record struct {
	lock    int
	item    item
	past    [][]byte      // answers to GetItem, oldest first
	holder  *grant        // whose tenure the item carries; nil: nobody's that is known
	highest int64         // fencing token
	given   bool          // somebody has had it
	granted time.Duration // the last time that somebody got it
	free    []waiter      // who was waiting when it was released, and is to have it soon
	orphan  bool          // a repetition by the network took it under a session that lives, for nobody
	loose   bool          // tokens need not rise any more: the item has been deleted, and the clocks that they start from differ
}

// item is the part of a record that matters here.
type item struct {
	exists   bool
	owner    string
	token    int64
	version  string
	count    string // heartbeatCount
	ttl      string
	released bool
	member   bool // of a session
}

// waiter is a client that was waiting for a lock when that was released.
type waiter struct {
	client *client
	wait   int           // the how manieth
	until  time.Duration // when it is to have the lock, or somebody else
}

// grant is a tenure as the server began it.
type grant struct {
	client *client
	token  int64
	serial int // of the client's tenures with that token: one, but for items that were deleted where clocks differ
}

// grantOf is the tenure that a client means by a token. Called with mu held.
func (w *world) grantOf(c *client, token int64) grant {
	return grant{client: c, token: token, serial: c.serials[token]}
}

func newServer(w *world) *server {
	s := &server{w: w, engine: dynamotest.New(dynamotest.WithTransactionTime(w.plan.transactionTime))}
	for _, table := range []string{lockTable, dataTable} {
		s.must("CreateTable", `{"TableName":"`+table+`","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"key","KeyType":"HASH"}],`+
			`"AttributeDefinitions":[{"AttributeName":"key","AttributeType":"S"}]}`)
	}
	for lock := range w.plan.locks {
		s.records = append(s.records, &record{lock: lock})
	}
	return s
}

// ask hands a request to the engine.
func (s *server) ask(operation string, body []byte) answer {
	status, said := s.engine.Answer(operation, body)
	return answer{status: status, body: said}
}

// must is for the simulation's own requests, which have no faults.
func (s *server) must(operation, body string) answer {
	a := s.ask(operation, []byte(body))
	if a.status != http.StatusOK {
		panic(fmt.Sprintf("simulation: %s: %s", operation, a.body))
	}
	return a
}

// handle carries out a request that has arrived, looks at what it has done, and hands the answer
// on.
func (s *server) handle(x *call, then func(answer)) {
	if x.kind != guardedWrite || s.w.plan.transactionTime == 0 {
		then(s.handled(x, s.ask(x.operation, x.body)))
		return
	}
	go func() { // the engine takes its time over a transaction
		a := s.ask(x.operation, x.body)
		s.w.locked(func() { then(s.handled(x, a)) })
	}()
}

// handled looks at what a request has done.
func (s *server) handled(x *call, a answer) answer {
	s.w.figures.Deliveries++
	x.note("arrives at the server")
	x.deliveries++
	if a.status != http.StatusOK {
		if x.kind == heartbeat && bytes.Contains(a.body, []byte("ConditionalCheckFailed")) {
			s.mustBeAnothers(x)
		}
		return a
	}
	switch x.kind {
	case acquire:
		s.acquired(x)
	case heartbeat:
		s.renewed(x)
	case release:
		s.released(x)
	case announcement:
		s.announced(x)
	case sessionOpen, sessionBeat, sessionTell, sessionClose, sessionMark:
		s.sessionWritten(x)
	case guardedWrite, carelessWrite, stampedWrite:
		s.w.committed(x)
	}
	return a
}

// look reads the item of a lock as it is now.
func (s *server) look(r *record) item { return s.read(lockName(r.lock), &r.past) }

// read reads an item, and keeps the answer.
func (s *server) read(key string, past *[][]byte) item {
	a := s.must("GetItem", `{"TableName":"`+lockTable+`","Key":{"key":{"S":"`+key+`"}},"ConsistentRead":true}`)
	attributes, ok := readAttributes(a.body, `{"Item":`)
	if !ok {
		panic(fmt.Sprintf("simulation: no item: %s", a.body))
	}
	text := func(name string) string {
		if v := attributes[name]; v != nil {
			return aws.StringValue(v.S) + aws.StringValue(v.N)
		}
		return ""
	}
	it := item{exists: attributes != nil, owner: text("ownerName"), version: text("recordVersionNumber"), released: text("isReleased") != "",
		count: text("heartbeatCount"), ttl: text("ttl")}
	if it.version == "" && text("expiry") != "" { // v0.1.0's
		it.owner, it.version = text("identifier"), text("expiry")
	}
	it.token, _ = strconv.ParseInt(text("fencingToken"), 10, 64)
	it.member = text("sessionName") != "" && text("ourVersion") == it.version
	if len(*past) == 16 {
		*past = append((*past)[:0], (*past)[1:]...)
	}
	*past = append(*past, a.body)
	return it
}

// past is the answer to a GetItem of age writes ago.
func past(states [][]byte, age int, present []byte) []byte {
	if len(states) == 0 {
		return present
	}
	return states[max(0, len(states)-1-age)]
}

// acquired: a tenure begins, and its token is higher than any before.
func (s *server) acquired(x *call) {
	r := s.records[x.client.plan.lock]
	old := r.item
	r.item = s.look(r)
	r.free = nil
	s.w.figures.Grants++
	s.mustName(x, r, old)
	s.mustBeOver(x, r, old)
	s.mustExpire(x, r)
	if r.holder != nil && old.exists && !old.released && r.holder.client != x.client {
		s.w.figures.Takeovers++
		if s.w.memberOf[*r.holder] != nil {
			s.w.figures.MembersTaken++
		}
	}
	if (!old.exists || old.token == 0) && r.given && (x.sent < r.granted || x.client.machine.upset > r.granted) {
		// It was on its way before that tenure began, whose item is deleted, or its machine has
		// stood still since; and so was its reading of the clock.
		r.loose = true
	}
	r.given, r.granted = true, s.w.now()
	if (!old.exists || old.token == 0) && r.item.token <= x.known {
		s.w.violateLocked(x.client, TokensRise, fmt.Sprintf("%d, and its client had seen %d", r.item.token, x.known))
	}
	if r.item.token <= r.highest && !r.loose {
		s.w.violateLocked(x.client, TokensRise, fmt.Sprintf("%d after %d", r.item.token, r.highest))
	}
	r.highest = max(r.highest, r.item.token)
	x.client.serials[r.item.token]++
	g := s.w.grantOf(x.client, r.item.token)
	r.holder = &g
	r.orphan = r.item.member && x.replied
	if r.item.member {
		s.w.memberOf[g] = s.w.sessionNamed(x.body)
	}
	x.note(fmt.Sprintf("takes the record, token %d", r.item.token))
}

// mustName: an acquire replaces a record that is held, and not by its own client, only in the
// version that it has watched.
func (s *server) mustName(x *call, r *record, old item) {
	if !old.exists || old.released || r.holder != nil && r.holder.client == x.client {
		return
	}
	names := func(value string) bool { return value == "" || bytes.Contains(x.body, []byte(`"`+value+`"`)) }
	if !names(old.version) || !names(old.count) {
		s.w.violateLocked(x.client, TakeoverNames, fmt.Sprintf("it has replaced version %q (count %q) of %q, and did not name it", old.version, old.count, old.owner))
	}
}

// mustBeAnothers: the latest heartbeat of a holder is refused only if the record is another's.
func (s *server) mustBeAnothers(x *call) {
	r, c := s.records[x.client.plan.lock], x.client
	if r.holder != nil && r.holder.client == c && x.number == c.sent[heartbeat] && x.deliveries == 1 && bytes.Contains(x.body, fmt.Appendf(nil, `":token":{"N":"%d"}`, r.holder.token)) {
		s.w.violateLocked(c, LossHasReason, fmt.Sprintf("a heartbeat of token %d is refused, and the record is its own", r.holder.token))
	}
}

// mustExpire: the record of who holds it has the ttl that its holder asks for.
func (s *server) mustExpire(x *call, r *record) {
	if wants := x.client.plan.ttl > 0 && !x.client.plan.member; wants != (r.item.ttl != "") {
		s.w.violateLocked(x.client, TTLFollows, fmt.Sprintf("%v leaves ttl %q, and its client's is %v", x.kind, r.item.ttl, x.client.plan.ttl))
	}
}

// renewed: a heartbeat changes neither whose the record is nor its token.
func (s *server) renewed(x *call) {
	s.mustExpire(x, s.records[x.client.plan.lock])
	s.touched(x, func(old, now item) bool {
		return old.token != now.token || old.owner != now.owner || old.released != now.released
	})
}

// announced: an announcement changes nothing of that, nor the version: it renews no lease.
func (s *server) announced(x *call) {
	s.touched(x, func(old, now item) bool { return old != now })
}

// touched: what a holder writes lands on the tenure of the client that sent it, the one that it was
// sent for, and leaves it as it is.
func (s *server) touched(x *call, changed func(old, now item) bool) {
	r := s.records[x.client.plan.lock]
	old := r.item
	r.item = s.look(r)
	switch {
	case r.holder == nil || r.holder.client != x.client:
		s.w.violateLocked(x.client, OwnRecordOnly, fmt.Sprintf("%v on a tenure of another: token %d", x.kind, r.item.token))
	case changed(old, r.item):
		s.w.violateLocked(x.client, OwnRecordOnly, fmt.Sprintf("%v has changed whose the record is", x.kind))
	case !bytes.Contains(x.body, []byte(strconv.FormatInt(r.item.token, 10))):
		s.w.violateLocked(x.client, OwnRecordOnly, fmt.Sprintf("%v on another tenure than it was sent for: token %d", x.kind, r.item.token))
	}
}

// released: only a client's own tenure, and only after it has stopped believing in it.
func (s *server) released(x *call) {
	r := s.records[x.client.plan.lock]
	old := r.item
	r.item = s.look(r)
	switch {
	case r.holder == nil || r.holder.client != x.client:
		s.w.violateLocked(x.client, OwnRecordOnly, fmt.Sprintf("a release freed a tenure of another: token %d", r.highest))
	case !bytes.Contains(x.body, []byte(strconv.FormatInt(old.token, 10))) && !bytes.Contains(x.body, []byte(old.version)):
		s.w.violateLocked(x.client, OwnRecordOnly, fmt.Sprintf("a release freed another tenure than it was sent for: token %d", r.highest))
	}
	s.w.figures.Releases++
	r.holder = nil
	r.free = s.w.waitersFor(r.lock, x.client)
	if !r.item.exists {
		r.loose = r.loose || !s.w.plan.exactWalls
	}
	x.note("frees the record")
}

// operate is an operator's hand.
func (s *server) operate(kind fault, lock int, n int) {
	r := s.records[lock]
	if !r.item.exists || r.holder != nil && r.holder.client.plan.stranger {
		return
	}
	key := `"Key":{"key":{"S":"` + lockName(lock) + `"}}`
	switch kind {
	case itemDeleted:
		if a := s.ask("DeleteItem", []byte(`{"TableName":"`+lockTable+`",`+key+`}`)); a.status != http.StatusOK {
			return
		}
	case itemReleased:
		if a := s.ask("UpdateItem", []byte(`{"TableName":"`+lockTable+`",`+key+`,"UpdateExpression":"SET isReleased = :one","ExpressionAttributeValues":{":one":{"S":"1"}}}`)); a.status != http.StatusOK {
			return // in the middle of a transaction
		}
	case itemReplaced:
		if a := s.ask("PutItem", fmt.Appendf(nil, `{"TableName":"`+lockTable+`","Item":{"key":{"S":%q},"ownerName":{"S":"java"},"leaseDuration":{"S":"%d"},"recordVersionNumber":{"S":"java-%d"}}}`,
			lockName(lock), s.w.plan.lease.Milliseconds(), n)); a.status != http.StatusOK {
			return
		}
	case itemTouched:
		if a := s.ask("UpdateItem", []byte(`{"TableName":"`+lockTable+`",`+key+`,"UpdateExpression":"SET remark = :hello","ExpressionAttributeValues":{":hello":{"S":"seen"}}}`)); a.status != http.StatusOK {
			return
		}
	}
	s.w.figures.Faults[kind]++
	s.w.timeline.add(s.w.now(), -1, -1, "operator: "+kind.String(), lockName(lock))
	r.item = s.look(r)
	if kind == itemTouched {
		return
	}
	if r.holder != nil {
		s.w.beliefs[lock].disturb(r.holder)
		r.holder = nil
	}
	if kind != itemReleased {
		r.loose = r.loose || !s.w.plan.exactWalls
	}
}
