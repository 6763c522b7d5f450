package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// stranger is a process with a lock client of another make, on a machine of its own. It goes by its
// own make's rules, as far as those are safe: it believes for a whole lease from when its last
// acknowledged write was sent, by its own clock, and it takes a lock over when it has seen the
// record unchanged for the recorded lease.
//
// In the eye's account it is a client whose tenures have numbers that count from 1. They are no
// fencing tokens.
type stranger struct {
	*client
	strangerPlan
	serial  int64
	writes  int
	current string // the version that it knows its record by

	// Guarded by the world's mu:
	believes bool
	until    time.Duration // of the run's time
}

// strangerPlan says what kind of stranger a run has.
type strangerPlan struct {
	dialect   dialect
	lock      int
	owner     string
	lease     time.Duration
	heartbeat time.Duration
	rate      float64
}

// dialect is how a stranger spells its record.
type dialect int

const (
	wholeItem  dialect = iota // Java: each write puts the whole item
	inPlace                   // Java's withUpdateExistingLockRecord: attributes that it does not know stay
	goNotation                // dynamolock: the lease as "4s"
	v010                      // dynamodb-lock-client-golang v0.1.0
	dialects
)

func (d dialect) String() string {
	return [...]string{"Java", "Java in place", "dynamolock", "v0.1.0"}[d]
}

// planStranger chooses a stranger for a fifth of all runs.
func (p *plan) planStranger(d *rand.Rand) {
	if d.IntN(5) > 0 {
		return
	}
	s := &strangerPlan{dialect: dialect(d.IntN(int(dialects))), lock: d.IntN(p.locks), owner: "stranger", rate: aRate(d)}
	s.lease = p.lease * []time.Duration{1, 2, 4}[d.IntN(3)] / 2
	if s.dialect == v010 {
		s.lease = min(4*s.lease, 50*time.Second) // what it records lets others tell no more than a minute, where their clocks differ
	}
	s.heartbeat = s.lease / []time.Duration{2, 3, 5}[d.IntN(3)]
	if s.dialect == inPlace && d.IntN(2) == 0 {
		s.owner = p.aName()
	}
	p.stranger = s
}

// aName is the Identifier of a client, where no client reclaims what carries its own.
func (p *plan) aName() string {
	if p.twins {
		return "twin"
	}
	for _, m := range p.machines {
		if m.reclaim {
			return "stranger"
		}
	}
	if p.machines[0].named {
		return "m0"
	}
	return "m0-0"
}

func (w *world) newStranger(p *strangerPlan) *stranger {
	m := newMachine(w, len(w.machines), machinePlan{rate: p.rate, latency: w.plan.lease / 100})
	m.down = false
	process := m.newProcess()
	// What an operator does is news to it until its lease is over, by its own clock.
	plan := clientPlan{lock: p.lock, lease: p.lease * 102 / 100, heartbeat: p.heartbeat, stranger: true}
	c := &client{process: process, number: len(w.clients), plan: plan, serials: map[int64]int{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	w.machines, w.clients = append(w.machines, m), append(w.clients, c)
	return &stranger{client: c, strangerPlan: *p}
}

// live is the stranger's life: it ends with the faults.
func (s *stranger) live() {
	defer s.ended.Done()
	for n := uint64(1); s.ctx.Err() == nil; n++ {
		d := dice(s.w.seed, forStranger, n)
		if s.acquire(d) {
			s.hold(d)
		}
		s.sleep(s.ctx, between(d, time.Millisecond, s.lease))
	}
	s.leave()
}

// hold keeps what it has for some heartbeats, and then releases it, lets it run out, or goes on
// after a long pause.
func (s *stranger) hold(d *rand.Rand) {
	for range d.IntN(12) {
		pause := s.heartbeat
		if d.IntN(8) == 0 {
			pause = between(d, s.heartbeat, 3*s.lease) // it stood still, and does not know
		}
		if !s.sleep(s.ctx, pause) {
			return
		}
		if refused := s.write(d, s.current); refused {
			return
		}
	}
	if d.IntN(2) == 0 {
		s.release(d)
	}
}

// newVersion is that of the next write, never the same twice. v0.1.0's is the moment at which the
// lease ends.
func (s *stranger) newVersion() string {
	s.writes++
	if s.dialect == v010 {
		return strconv.FormatInt(s.w.start.Add(s.w.now()+s.lease).UnixNano()+int64(s.writes), 10)
	}
	return fmt.Sprintf("stranger-%d-%d", s.number, s.writes)
}

// acquire tries until it has the lock, or has tried for long enough.
func (s *stranger) acquire(d *rand.Rand) bool {
	var watched string
	var since time.Duration
	for range 2 + d.IntN(30) {
		found, ok := s.read(d)
		now := s.mono()
		switch {
		case !ok:
		case found == nil, found["isReleased"].S != "" && s.dialect != v010:
			if !s.write(d, found.version()) && s.holds() {
				return true
			}
		case s.dialect == v010: // it would go by its wall clock, and never takes what is not its own make's
		case found.version() != watched:
			watched, since = found.version(), now
		case now-since > found.lease():
			if !s.write(d, watched) && s.holds() {
				return true
			}
		}
		if !s.sleep(s.ctx, s.heartbeat/2) {
			return false
		}
	}
	return false
}

func (s *stranger) mono() time.Duration { return view{s.process}.Monotonic() }

func (s *stranger) holds() bool {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.believes
}

// foundItem is what a stranger reads.
type foundItem map[string]struct{ S, N string }

func (f foundItem) version() string { return f["recordVersionNumber"].S }

func (f foundItem) lease() time.Duration {
	if ms, err := strconv.Atoi(f["leaseDuration"].S); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	if lease, err := time.ParseDuration(f["leaseDuration"].S); err == nil {
		return lease
	}
	return time.Hour // not of a make that it can tell
}

// read looks at the record.
func (s *stranger) read(d *rand.Rand) (foundItem, bool) {
	a, ok := s.send(d, "GetItem", `{"TableName":"`+lockTable+`",`+s.itemKey()+`,"ConsistentRead":true}`, nil)
	if !ok {
		return nil, false
	}
	var reply struct{ Item foundItem }
	if err := json.Unmarshal(a.body, &reply); err != nil {
		panic(err)
	}
	return reply.Item, true
}

func (s *stranger) itemKey() string { return `"Key":{"key":{"S":"` + lockName(s.lock) + `"}}` }

// write takes or renews the record on condition that it has that version ("": that there is none),
// and says whether it was refused.
func (s *stranger) write(d *rand.Rand, replaces string) (refused bool) {
	s.w.mu.Lock()
	if !s.believes || s.w.now() >= s.until {
		s.serial++ // another tenure: nothing was believed in between
		s.believes = false
	}
	serial, sent := s.serial, s.w.now()
	s.w.mu.Unlock()
	version := s.newVersion()
	operation, body := s.request(version, replaces)
	a, ok := s.send(d, operation, body, func(a answer) {
		if a.status == http.StatusOK {
			s.landed(serial)
		}
	})
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	switch {
	case ok && a.status == http.StatusOK:
		s.current, s.believes, s.until = version, true, sent+time.Duration(float64(s.lease)/s.rate)
		s.noteLocked("holds", fmt.Sprintf("%v, until %v", s.dialect, s.until))
	case ok && bytes.Contains(a.body, []byte("ConditionalCheckFailed")):
		s.believes = false
		return true
	}
	return false // without an answer, it knows its record by the version before
}

// request is a write in the stranger's dialect.
func (s *stranger) request(version, replaces string) (operation, body string) {
	lease := strconv.FormatInt(s.lease.Milliseconds(), 10)
	if s.dialect == goNotation {
		lease = s.lease.String()
	}
	condition := `"ConditionExpression":"attribute_not_exists(#key)","ExpressionAttributeNames":{"#key":"key"}`
	values := ""
	if replaces != "" {
		attribute, value := "recordVersionNumber", `{"S":"`+replaces+`"}`
		if s.dialect == v010 {
			attribute, value = "expiry", `{"N":"`+replaces+`"}`
		}
		condition = `"ConditionExpression":"#v = :was","ExpressionAttributeNames":{"#v":"` + attribute + `"}`
		values = `":was":` + value
	}
	switch {
	case s.dialect == v010:
		body = fmt.Sprintf(`"Item":{"key":{"S":%q},"identifier":{"S":%q},"expiry":{"N":%q}},%s`, lockName(s.lock), s.owner, version, condition)
	case s.dialect == inPlace:
		if values != "" {
			values += ","
		}
		body = s.itemKey() + `,"UpdateExpression":"SET ownerName = :owner, leaseDuration = :lease, recordVersionNumber = :version REMOVE isReleased",` + condition +
			fmt.Sprintf(`,"ExpressionAttributeValues":{%s":owner":{"S":%q},":lease":{"S":%q},":version":{"S":%q}}`, values, s.owner, lease, version)
		return "UpdateItem", `{"TableName":"` + lockTable + `",` + body + `}`
	default:
		body = fmt.Sprintf(`"Item":{"key":{"S":%q},"ownerName":{"S":%q},"leaseDuration":{"S":%q},"recordVersionNumber":{"S":%q}},%s`,
			lockName(s.lock), s.owner, lease, version, condition)
	}
	if values != "" {
		body += `,"ExpressionAttributeValues":{` + values + `}`
	}
	return "PutItem", `{"TableName":"` + lockTable + `",` + body + `}`
}

// release ends its tenure, and then marks the record, or deletes it.
func (s *stranger) release(d *rand.Rand) {
	s.w.locked(func() { s.believes = false })
	operation, body := s.releaseRequest(s.current)
	s.send(d, operation, body, func(a answer) {
		if a.status == http.StatusOK {
			s.freed()
		}
	})
}

func (s *stranger) releaseRequest(version string) (operation, body string) {
	if s.dialect == v010 {
		return "DeleteItem", `{"TableName":"` + lockTable + `",` + s.itemKey() + `,"ConditionExpression":"expiry = :was","ExpressionAttributeValues":{":was":{"N":"` + version + `"}}}`
	}
	return "UpdateItem", `{"TableName":"` + lockTable + `",` + s.itemKey() + `,"UpdateExpression":"SET isReleased = :one","ConditionExpression":"recordVersionNumber = :was",` +
		`"ExpressionAttributeValues":{":one":{"S":"1"},":was":{"S":"` + version + `"}}}`
}

// leave is its end, soon after the faults': others need not wait a minute for what it still has.
func (s *stranger) leave() {
	s.sleep(context.Background(), aftermath/2) // what it has sent has arrived
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.believes = false
	r := s.w.server.records[s.lock]
	if r.holder == nil || r.holder.client != s.client {
		return
	}
	operation, body := s.releaseRequest(r.item.version)
	if a := s.w.server.ask(operation, []byte(body)); a.status == http.StatusOK {
		s.freed()
	}
}

// landed: a write was carried out. Called with mu held.
func (s *stranger) landed(serial int64) {
	r := s.w.server.records[s.lock]
	old := r.item
	r.item = s.w.server.look(r)
	if r.holder == nil || r.holder.client != s.client {
		s.w.figures.StrangersGrants++
		if r.holder != nil && old.exists && !old.released {
			s.w.figures.StrangersTakeovers++
		}
	}
	r.holder, r.free = &grant{client: s.client, token: serial}, nil
	r.given, r.granted = true, s.w.now()
	if s.dialect != inPlace {
		r.loose = r.loose || !s.w.plan.exactWalls // our token is gone
	}
	s.noteLocked("has written the record", s.dialect.String())
}

// freed: its record is released. Called with mu held.
func (s *stranger) freed() {
	r := s.w.server.records[s.lock]
	r.item = s.w.server.look(r)
	r.holder, r.free = nil, nil
	if !r.item.exists {
		r.loose = r.loose || !s.w.plan.exactWalls
	}
	s.noteLocked("frees the record", "")
}

// send carries a request there and the answer back. Both may be lost (not ok), or late.
func (s *stranger) send(d *rand.Rand, operation, body string, landed func(answer)) (a answer, ok bool) {
	there, back := s.machine.latency(d), s.machine.latency(d)
	lost, late := d.IntN(12), d.IntN(12) == 0
	if late {
		there += between(d, s.heartbeat/8, s.lease)
	}
	got := make(chan answer, 1)
	s.w.mu.Lock()
	if lost != 0 {
		s.w.under(s.w.now()+there, s.machine.id, func() {
			a := s.w.server.ask(operation, []byte(body))
			if landed != nil {
				landed(a)
			}
			if lost != 1 {
				s.w.under(s.w.now()+back, s.machine.id, func() { got <- a })
			}
		})
	}
	s.w.mu.Unlock()
	gaveUp, cancel := s.within(s.ctx, s.lease*2)
	defer cancel()
	select {
	case a = <-got:
		return a, true
	case <-gaveUp.Done():
		return answer{}, false
	}
}

// look takes note of what it believes. Called with mu held.
func (s *stranger) look() {
	if s.believes && s.w.now() < s.until {
		s.w.believed(s.client, s.serial, "a lease of another make")
	}
}
