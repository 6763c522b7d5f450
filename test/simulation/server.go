package simulation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

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
	engine  http.Handler
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
	loose   bool          // tokens need not rise any more: the item has been deleted, and the clocks that they start from differ
}

// item is the part of a record that matters here.
type item struct {
	exists   bool
	owner    string
	token    int64
	version  string
	released bool
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
	s := &server{w: w, engine: dynamotest.New()}
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
	r, err := http.NewRequest(http.MethodPost, "http://dynamodb.invalid/", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	var a recorder
	s.engine.ServeHTTP(&a, r)
	return answer{status: a.status, body: a.body.Bytes()}
}

// must is for requests of the simulation's own; no fault befalls those.
func (s *server) must(operation, body string) answer {
	a := s.ask(operation, []byte(body))
	if a.status != http.StatusOK {
		panic(fmt.Sprintf("simulation: %s: %s", operation, a.body))
	}
	return a
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

var _ io.Writer = (*recorder)(nil)

// handle carries out a request that has arrived, and looks at what it has done.
func (s *server) handle(x *call) answer {
	a := s.ask(x.operation, x.body)
	s.w.figures.Deliveries++
	x.note("arrives at the server")
	if a.status != http.StatusOK {
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
	case guardedWrite, carelessWrite:
		s.w.committed(x)
	}
	return a
}

// look reads the item of a lock as it is now.
func (s *server) look(r *record) item {
	a := s.must("GetItem", `{"TableName":"`+lockTable+`","Key":{"key":{"S":"`+lockName(r.lock)+`"}},"ConsistentRead":true}`)
	var reply struct {
		Item map[string]struct{ S, N string }
	}
	if err := json.Unmarshal(a.body, &reply); err != nil {
		panic(err)
	}
	it := item{exists: reply.Item != nil, owner: reply.Item["ownerName"].S, version: reply.Item["recordVersionNumber"].S, released: reply.Item["isReleased"].S != ""}
	it.token, _ = strconv.ParseInt(reply.Item["fencingToken"].N, 10, 64)
	if len(r.past) == 16 {
		r.past = append(r.past[:0], r.past[1:]...)
	}
	r.past = append(r.past, a.body)
	return it
}

// past is the answer to a GetItem of age writes ago.
func (s *server) past(lock, age int, present []byte) []byte {
	states := s.records[lock].past
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
	if r.holder != nil && old.exists && !old.released && r.holder.client != x.client {
		s.w.figures.Takeovers++
	}
	if !old.exists && r.given && (x.sent < r.granted || x.client.machine.upset > r.granted) {
		// It was on its way before that tenure began, whose item is deleted, or its machine has stood still since; and so was
		// its reading of the clock.
		r.loose = true
	}
	r.given, r.granted = true, s.w.now()
	if r.item.token <= r.highest && !r.loose {
		s.w.violateLocked(x.client, TokensRise, fmt.Sprintf("%d after %d", r.item.token, r.highest))
	}
	r.highest = max(r.highest, r.item.token)
	x.client.serials[r.item.token]++
	g := s.w.grantOf(x.client, r.item.token)
	r.holder = &g
	x.note(fmt.Sprintf("takes the record, token %d", r.item.token))
}

// renewed: a heartbeat changes neither whose the record is nor its token.
func (s *server) renewed(x *call) {
	s.touched(x, func(old, now item) bool {
		return old.token != now.token || old.owner != now.owner || old.released != now.released
	})
}

// announced: an announcement changes nothing of that, nor the version: it renews no lease.
func (s *server) announced(x *call) {
	s.touched(x, func(old, now item) bool { return old != now })
}

// touched: what a holder writes lands on the tenure of the client that sent it, the one that it was sent for, and leaves it as it is.
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
	if !r.item.exists {
		return
	}
	key := `"Key":{"key":{"S":"` + lockName(lock) + `"}}`
	switch kind {
	case itemDeleted:
		s.must("DeleteItem", `{"TableName":"`+lockTable+`",`+key+`}`)
	case itemReleased:
		s.must("UpdateItem", `{"TableName":"`+lockTable+`",`+key+`,"UpdateExpression":"SET isReleased = :one","ExpressionAttributeValues":{":one":{"S":"1"}}}`)
	case itemReplaced:
		s.must("PutItem", fmt.Sprintf(`{"TableName":"`+lockTable+`","Item":{"key":{"S":%q},"ownerName":{"S":"java"},"leaseDuration":{"S":"%d"},"recordVersionNumber":{"S":"java-%d"}}}`,
			lockName(lock), s.w.plan.lease.Milliseconds(), n))
	case itemTouched:
		s.must("UpdateItem", `{"TableName":"`+lockTable+`",`+key+`,"UpdateExpression":"SET remark = :hello","ExpressionAttributeValues":{":hello":{"S":"seen"}}}`)
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
