package shards

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/lease"
	"github.com/leaderkit/leaderkit/test/nodeclock"
	"github.com/leaderkit/leaderkit/test/wire"
)

// player is a process with a replica, on a machine of its own.
type player struct {
	*Replica
	s        *simulation
	number   int
	identity string
	weight   int
	drain    time.Duration // how long its works take to return
	far      time.Duration // how long a message to the server takes
	wire     *wire.Wire
	clock    *nodeclock.Clock
	session  *lockclient.Session
	cancel   context.CancelFunc
	over     chan struct{} // closed when Run has returned and the session is closed

	// Guarded by the simulation's mu:
	dead          bool          // crashed
	leaving       bool          // told to stop
	standing      bool          // paused or suspended
	upset         time.Duration // until when it last stood, or when its wall clock was set
	cutOut, cutIn bool
	works         int // begun, and OnStopped was not called
	opened        int // sessions
}

func (p *player) String() string { return fmt.Sprintf("r%d", p.number) }

func (s *simulation) startNew(names []string) { s.startAs(fmt.Sprint("r", len(s.players)), names) }

// startLike starts another process in the place of one that is gone.
func (s *simulation) startLike(p *player) {
	identity := fmt.Sprint("r", len(s.players))
	if s.plan.named {
		identity = p.identity
	}
	s.startAs(identity, s.namesNow())
}

func (s *simulation) startAs(identity string, names []string) {
	d := s.dice("player", len(s.players))
	p := &player{
		s: s, number: len(s.players), identity: identity, weight: 1, drain: d.N(3 * time.Second), far: time.Millisecond + d.N(15*time.Millisecond),
		clock: nodeclock.New(), over: make(chan struct{}),
	}
	if s.plan.weighted {
		p.weight = 1 + d.IntN(3)
	}
	if d.oneIn(3) {
		p.drain = 0
	}
	p.clock.SetRate(0.9952 + d.Float64()*0.0096)
	p.clock.JumpWall(d.N(2*time.Hour) - time.Hour)
	p.wire = wire.New(s.server)
	p.wire.SetHook(p.send)
	anonymous := func(c *aws.Config) { c.Credentials = credentials.AnonymousCredentials } // a signature costs more than all else
	p.session = &lockclient.Session{TableName: theTable, Client: wire.NewClient(p.wire, anonymous), LeaseDuration: theLease, HeartbeatPeriod: heartbeat,
		Identifier: identity, Clock: diced{p.clock, p}}
	var err error
	p.Replica, err = New(Config{Session: p.session, Group: theGroup, Names: names, MaxPerReplica: s.plan.most, MovesAtOnce: s.plan.atOnce, Weight: p.weight,
		Callbacks: Callbacks{OnStarted: p.work, OnStopped: p.stopped}})
	if err != nil {
		s.Fatal(err)
	}
	p.Replica.source = named{p.Replica.source, p}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	s.mu.Lock()
	s.players = append(s.players, p)
	s.noteLocked("%v starts as %q, with %d shards, weight %d", p, identity, len(names), p.weight)
	s.mu.Unlock()
	go p.live(ctx)
}

// live is the life of the process.
func (p *player) live(ctx context.Context) {
	defer close(p.over)
	if err := p.Run(ctx); err != nil {
		p.s.violate(runGoesOn, "%v: Run returned %v", p, err)
	}
	p.s.note("%v: Run has returned", p)
	ctx, cancel := lease.WithTimeout(context.Background(), p.clock, theLease, context.DeadlineExceeded)
	defer cancel()
	_ = p.session.Close(ctx)
}

// crash stops the process for good.
func (p *player) crash() {
	p.s.mu.Lock()
	p.dead = true
	p.s.figures.dead++
	p.s.noteLocked("%v crashes", p)
	p.s.mu.Unlock()
	p.clock.Pause()
}

// stand stops the process for a while, or puts the machine to sleep.
func (p *player) stand(sleeps bool) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.dead || p.standing {
		return
	}
	p.standing = true
	p.s.noteLocked("%v stands still, asleep %v", p, sleeps)
	if sleeps {
		p.clock.Suspend()
	} else {
		p.clock.Pause()
	}
}

func (p *player) goOn() {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.dead || !p.standing {
		return
	}
	p.standing, p.upset = false, p.s.now()
	p.s.noteLocked("%v runs again", p)
	p.clock.Resume()
	p.clock.Continue()
}

func (p *player) cut(out, in bool) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.cutOut != out || p.cutIn != in {
		p.s.noteLocked("%v: requests are lost %v, replies are lost %v", p, out, in)
	}
	p.cutOut, p.cutIn = out, in
}

// setWall sets the wall clock. Back only where the machine does not stand: a machine that sleeps
// while its clock is set back is promised nothing.
func (p *player) setWall(by time.Duration, back bool) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if back && !p.standing && !p.slept() {
		by = -by
	}
	p.upset = p.s.now()
	p.s.noteLocked("%v: the wall clock is set by %v", p, by)
	p.clock.JumpWall(by)
}

// slept is whether this run has machines that sleep.
func (p *player) slept() bool { return p.s.figures.faults["suspend"] > 0 }

// leave tells the process to stop.
func (p *player) leave() {
	p.s.mu.Lock()
	p.leaving = true
	p.s.noteLocked("%v is told to stop", p)
	p.s.mu.Unlock()
	p.cancel()
}

func (p *player) isLeaving() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.leaving || p.dead
}

func (p *player) resize(names []string) {
	p.s.note("%v has %d shards from now on", p, len(names))
	if err := p.Resize(names); err != nil {
		p.s.Fatal(err)
	}
}

// work is the work of a shard.
func (p *player) work(ctx context.Context, shard string) {
	s := p.s
	p.apart("work begins " + shard)
	term, _ := election.TermFromContext(ctx)
	r := &reign{player: p, shard: shard, token: term.FencingToken, ctx: ctx, began: s.now(), returned: -1}
	s.mu.Lock()
	s.noteLocked("%v leads %s, token %d", p, shard, r.token)
	s.figures.reigns++
	if r.token <= s.tokens[shard] {
		s.violateLocked(tokensRise, "%v leads %s under token %d after %d", p, shard, r.token, s.tokens[shard])
	}
	s.tokens[shard] = max(s.tokens[shard], r.token)
	all := s.reigns[shard]
	var open []*reign
	for _, other := range all {
		if other.player == p && !other.stopped {
			s.violateLocked(callbackOrder, "%v: OnStarted of %s, and OnStopped was not called for the last one", p, shard)
		}
		if other.returned < 0 {
			open = append(open, other)
		}
	}
	s.reigns[shard] = append(all, r)
	s.open = append(s.open, r)
	if p.works++; s.plan.most > 0 && p.works > s.plan.most {
		s.violateLocked(withinLimit, "%v leads %s while %d of its works are under way, and %d may be", p, shard, p.works, s.plan.most)
	}
	s.mu.Unlock()
	for _, other := range open {
		if other.isBelieved() {
			s.violate(oneLeader, "%v leads %s under token %d, and %v still does under token %d", p, shard, r.token, other.player, other.token)
		}
	}
	<-ctx.Done()
	p.apart("work ends " + shard)
	s.note("%v is to stop leading %s: %v", p, shard, context.Cause(ctx))
	if p.drain > 0 {
		lease.Sleep(context.Background(), p.clock, p.drain)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.returned = s.now()
}

func (p *player) stopped(shard string) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.reigns[shard]) {
		if r.player == p {
			if r.returned < 0 || r.stopped {
				s.violateLocked(callbackOrder, "%v: OnStopped of %s; the work has returned %v, OnStopped was called before %v", p, shard, r.returned >= 0, r.stopped)
			}
			r.stopped = true
			p.works--
			return
		}
	}
	s.violateLocked(callbackOrder, "%v: OnStopped of %s without OnStarted", p, shard)
}

// What becomes of requests.
var requestFaults = []string{
	"request lost", "request hangs", "reply lost", "reply hangs", "request late", "reply late", "delivered twice", "delivered again late", "throttled",
	"status 500", "status 500 after commit", "stale read",
}

func (s *simulation) faultOf(kind string, d *luck) wire.Fault {
	late := 50*time.Millisecond + d.N([]time.Duration{heartbeat, theLease, 2 * theLease}[d.IntN(3)])
	switch kind {
	case "request lost":
		return wire.Refuse()
	case "request hangs":
		return wire.Hang()
	case "reply lost":
		return wire.DropReply()
	case "reply hangs":
		return wire.AfterDelivery(wire.Hang())
	case "request late":
		return wire.Delay(late)
	case "reply late":
		return wire.DelayReply(late)
	case "delivered twice":
		return wire.Twice()
	case "delivered again late":
		return wire.Echo(late)
	case "throttled":
		return wire.Throttle()
	case "status 500":
		return wire.InternalError()
	case "status 500 after commit":
		return wire.AfterDelivery(wire.InternalError())
	case "stale read":
		if s.history != nil {
			return s.history.Stale(1 + d.IntN(3))
		}
	}
	return deliver
}

// send decides what becomes of one request.
func (p *player) send(c *wire.Call) wire.Fault {
	s := p.s
	names := keysIn(c.Body)
	s.mu.Lock()
	what := c.Operation + " " + p.plain(c.Operation, names)
	s.figures.requests++
	d := p.diceFor(what)
	kind := ""
	if !s.healed {
		kind = s.choose(d)
	}
	s.mu.Unlock()
	fault, apart := s.faultOf(kind, d), d.N(farApart)
	out, back := p.far/2+d.N(p.far), p.far/2+d.N(p.far)
	return func(ctx context.Context, c *wire.Call) (*http.Response, error) {
		if err := wire.Sleep(ctx, apart); err != nil {
			return nil, err
		}
		s.suffers(p, what, kind)
		if err := p.travel(ctx, out, true); err != nil {
			return nil, err
		}
		reply, err := fault(ctx, c)
		if lost := p.travel(ctx, back, false); lost != nil {
			if err == nil {
				_ = reply.Body.Close()
			}
			return nil, lost
		}
		return reply, err
	}
}

// suffers notes a request, and what becomes of it.
func (s *simulation) suffers(p *player, what, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, fmt.Sprintf("%d %v: %s", s.now(), p, what))
	if kind != "" {
		s.figures.count(kind)
		s.noteLocked("%v: %s: %s", p, what, kind)
	}
}

func deliver(ctx context.Context, c *wire.Call) (*http.Response, error) { return c.Deliver(ctx) }

// travel is a message on its way, which leaves or arrives only while its machine runs.
func (p *player) travel(ctx context.Context, takes time.Duration, outwards bool) error {
	if outwards && p.stands() {
		if err := p.clock.AwaitRunning(ctx); err != nil {
			return err
		}
		takes += takes / 1000
	}
	p.s.mu.Lock()
	cut := outwards && p.cutOut || !outwards && p.cutIn
	p.s.mu.Unlock()
	if cut {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := wire.Sleep(ctx, takes); err != nil {
		return err
	}
	if p.stands() {
		// What was held up arrives when the machine runs again, one after the other.
		if err := p.clock.AwaitRunning(ctx); err != nil {
			return err
		}
		if err := wire.Sleep(ctx, takes/1000); err != nil {
			return err
		}
	}
	return p.clock.AwaitRunning(ctx)
}

func (p *player) stands() bool {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.standing || p.dead
}

func (s *simulation) choose(d *luck) string {
	x := d.Float64()
	for _, fault := range requestFaults {
		if x -= s.plan.odds[fault]; x < 0 {
			return fault
		}
	}
	return ""
}

var keyPattern = regexp.MustCompile(`"key":\{"S":"([^"]*)"\}`)

// keysIn are the names of the items that a request is about.
func keysIn(body []byte) string {
	if !bytes.Contains(body, []byte(`"Keys"`)) { // one of them
		_, rest, _ := bytes.Cut(body, []byte(`"key":{"S":"`))
		name, _, _ := bytes.Cut(rest, []byte(`"`))
		return string(name)
	}
	var names []string
	for _, m := range keyPattern.FindAllSubmatch(body, -1) {
		names = append(names, string(m[1]))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// eye is a server that is watched: no shard's lock is released while its work goes on.
type eye struct {
	s     *simulation
	next  http.RoundTripper
	admin dynamodbiface.DynamoDBAPI
}

func (e eye) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	reply, err := e.next.RoundTrip(r)
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	shard, of := strings.CutPrefix(keysIn(body), theGroup+"/")
	if err == nil && reply.StatusCode == http.StatusOK && of && operation == "UpdateItem" && (&wire.Call{Operation: operation, Body: body}).Kind() == wire.Release {
		e.released(shard)
	}
	return reply, err
}

func (e eye) released(shard string) {
	out, err := e.admin.GetItem(&dynamodb.GetItemInput{
		TableName: aws.String(theTable), Key: map[string]*dynamodb.AttributeValue{"key": text(theGroup + "/" + shard)}, ConsistentRead: aws.Bool(true)})
	if err != nil {
		e.s.violate(workThenRelease, "the record of %s can't be read: %v", shard, err)
		return
	}
	token, _ := numberOf(out.Item["fencingToken"])
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	for _, r := range e.s.reigns[shard] {
		if r.token == token && r.returned < 0 {
			e.s.violateLocked(workThenRelease, "%v has released %s, and its work goes on", r.player, shard)
		}
	}
}

// end has everybody stop.
func (s *simulation) end() {
	s.mu.Lock()
	s.healed = true
	s.mu.Unlock()
	for _, p := range s.players {
		p.cut(false, false)
		p.clock.Resume()
		p.clock.Continue()
		p.cancel()
	}
	for _, p := range s.players {
		select {
		case <-p.over:
		case <-time.After(10 * theLease):
			s.violate(replicasEnd, "%v: Run has not returned", p)
			// A bubble can't be left while its goroutines run.
			panic(fmt.Sprintf("seed %d: %s\n%s", s.seed, s.violation, s.tail(false)))
		}
		p.wire.Settle()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for shard, all := range s.reigns {
		for _, r := range all {
			if !r.stopped {
				s.violateLocked(callbackOrder, "OnStopped was not called for the leading of %s by %v at %v", shard, r.player, r.began)
			}
		}
	}
}
