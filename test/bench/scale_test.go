package bench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// The transports that are compared.
const (
	transportDefault = "http.DefaultTransport"
	transportTuned   = "lockclient.NewHTTPClient"
)

// crowd is the task of a process that holds many locks on one DynamoDB client.
type crowd struct {
	URL              string
	Locks            int
	Transport        string
	Lease, Heartbeat time.Duration
	RoundTrip        time.Duration
	Window           time.Duration
	Session          bool // the locks are members of one session
}

func (c crowd) httpClient() *http.Client {
	client := lockclient.NewHTTPClient()
	if c.Transport == transportDefault {
		client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // the test's own certificate
	return client
}

func (c crowd) client(httpClient *http.Client) dynamodbiface.DynamoDBAPI {
	return wire.NewClient(nil, func(config *aws.Config) {
		config.WithEndpoint(c.URL).WithHTTPClient(httpClient)
	})
}

// ask reads a figure from the server, over a connection that is not counted among the client's for
// long.
func (c crowd) ask(path string, answer any) error {
	client := c.httpClient()
	defer client.CloseIdleConnections()
	reply, err := client.Get(c.URL + path)
	if err != nil {
		return err
	}
	defer func() { _ = reply.Body.Close() }()
	if answer == nil {
		return nil
	}
	return json.NewDecoder(reply.Body).Decode(answer)
}

// member is one lock of the crowd and what is known of its heartbeats.
type member struct {
	lock *lockclient.DynamoDBLockClient

	mu       sync.Mutex
	acquired time.Time // when the write that won was sent
	last     time.Time // when the last confirmed heartbeat was sent
	lateness []time.Duration
	sent     int
	failed   int
}

// beat notes a heartbeat.
func (m *member) beat(period, took time.Duration, err error) {
	sent := time.Now().Add(-took)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent++
	if err != nil {
		m.failed++
		return
	}
	if !m.last.IsZero() {
		m.lateness = append(m.lateness, sent.Sub(m.last)-period)
	}
	m.last = sent
}

// gather acquires the locks, up to 64 at a time. session may be nil.
func (c crowd) gather(client dynamodbiface.DynamoDBAPI, session *lockclient.Session, members []*member) error {
	return sixtyFour(len(members), func(i int) error {
		m := members[i]
		m.lock = &lockclient.DynamoDBLockClient{
			LockName: fmt.Sprintf("lock-%05d", i), TableName: table, LeaseDuration: c.Lease, HeartbeatPeriod: c.Heartbeat, Client: client,
			Session: session,
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		err := m.lock.WaitForLock(ctx)
		age, _ := m.lock.LeaseAge()
		m.acquired = time.Now().Add(-age)
		return err
	})
}

// sixtyFour does something n times, 64 at a time.
func sixtyFour(n int, do func(i int) error) error {
	failures := make([]error, 64)
	var next atomic.Int64
	var running sync.WaitGroup
	for worker := range failures {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failures[worker] = errors.Join(failures[worker], err)
				}
			}
		})
	}
	running.Wait()
	return errors.Join(failures...)
}

// tally counts the requests that go over a transport.
type tally struct {
	*http.Transport
	sent atomic.Int64
}

func (t *tally) RoundTrip(r *http.Request) (*http.Response, error) {
	t.sent.Add(1)
	return t.Transport.RoundTrip(r)
}

// members are the harness's part of a crowd, with room for the figures, so that none of it is taken
// for the locks'.
func (c crowd) members() []*member {
	members := make([]*member, c.Locks)
	for i := range members {
		members[i] = &member{lateness: make([]time.Duration, 0, int(c.Window/c.Heartbeat)+4)}
	}
	return members
}

// inUse is what the process uses, after all garbage is gone.
type inUse struct{ heap, live, stacks uint64 }

func memory() inUse {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return inUse{m.HeapInuse, m.HeapAlloc, m.StackInuse}
}

// holdMany is the role: acquire, weigh, watch the heartbeats, release.
func holdMany(c crowd) (Scale, error) {
	httpClient := c.httpClient()
	requests := &tally{Transport: httpClient.Transport.(*http.Transport)}
	httpClient.Transport = requests
	client := c.client(httpClient)
	if err := lockclient.EnsureTable(context.Background(), client, table); err != nil {
		return Scale{}, err
	}
	result := Scale{Locks: c.Locks, Session: c.Session, Transport: c.Transport, TLS: c.URL[:5] == "https", Lease: c.Lease, Heartbeat: c.Heartbeat,
		RoundTrip: c.RoundTrip, Window: c.Window}
	members := c.members()
	var session *lockclient.Session
	if c.Session {
		session = &lockclient.Session{TableName: table, Client: client, LeaseDuration: c.Lease, HeartbeatPeriod: c.Heartbeat}
	}
	httpClient.CloseIdleConnections()
	before, goroutines := memory(), runtime.NumGoroutine()
	began := time.Now()
	if err := c.gather(client, session, members); err != nil {
		return result, err
	}
	result.Gathering = time.Since(began)
	httpClient.CloseIdleConnections() // the burst needed more than the locks do from now on
	result.weigh(before)
	if err := c.watch(&result, members, requests, goroutines); err != nil {
		return result, err
	}
	result.part(session, members, requests)
	return result, nil
}

// weigh finds out what the locks add to the process.
func (s *Scale) weigh(before inUse) {
	pass(2 * s.Heartbeat)
	after := inUse{heap: math.MaxInt64}
	for range 20 {
		pass(100 * time.Millisecond)
		if look := memory(); look.heap+look.stacks < after.heap+after.stacks {
			after = look // with the fewest heartbeats under way
		}
	}
	per := func(after, before uint64) float64 {
		return (float64(after) - float64(before)) / float64(s.Locks)
	}
	s.Heap, s.Live, s.Stacks = per(after.heap, before.heap), per(after.live, before.live), per(after.stacks, before.stacks)
}

// watch follows the heartbeats for the window. A session's are only counted.
func (c crowd) watch(result *Scale, members []*member, requests *tally, goroutines int) error {
	if !c.Session {
		for _, m := range members {
			m.lock.ObserveHeartbeats(func(took time.Duration, err error) { m.beat(c.Heartbeat, took, err) })
		}
	}
	pass(c.Heartbeat + c.Heartbeat/4) // each has had one that was observed
	var start, end connections
	if err := c.ask("/connections", &start); err != nil {
		return err
	}
	sentBefore, requestsBefore := sent(members), requests.sent.Load()
	cpu := cpuTime()
	began := time.Now()
	for time.Since(began) < c.Window {
		pass(min(200*time.Millisecond, c.Window))
		result.Goroutines = max(result.Goroutines, runtime.NumGoroutine()-goroutines)
	}
	result.CPU = cpuTime() - cpu
	result.Window = time.Since(began)
	result.Sent = sent(members) - sentBefore
	result.Requests = int(requests.sent.Load() - requestsBefore)
	result.Due = int(float64(c.Locks) * float64(result.Window) / float64(c.Heartbeat))
	if err := c.ask("/connections", &end); err != nil {
		return err
	}
	result.NewConnections, result.OpenConnections = int(end.Opened-start.Opened-1), int(end.Open-1) // one was ours
	for _, m := range members {
		m.mu.Lock()
		result.Lateness = append(result.Lateness, m.lateness...)
		result.Failed += m.failed
		m.mu.Unlock()
		if held, _ := m.lock.HasLock(); !held {
			result.Lost++
		}
	}
	result.Lateness = thinned(result.Lateness, keptSamples)
	return nil
}

// part lets all locks go: plain ones 64 at a time, a session's with its Close.
func (s *Scale) part(session *lockclient.Session, members []*member, requests *tally) {
	before, began := requests.sent.Load(), time.Now()
	var err error
	if session != nil {
		err = session.Close(context.Background())
	} else {
		err = sixtyFour(len(members), func(i int) error { return members[i].lock.RemoveLock() })
	}
	s.Parting, s.PartingRequests, s.PartingFailed = time.Since(began), int(requests.sent.Load()-before), err != nil
}

func sent(members []*member) int {
	n := 0
	for _, m := range members {
		m.mu.Lock()
		n += m.sent
		m.mu.Unlock()
	}
	return n
}

// keptSamples is how many of a long list go into the results.
const keptSamples = 400

// thinned keeps the quantiles of a long list, its smallest and its largest, in a short one.
func thinned(samples []time.Duration, n int) []time.Duration {
	slices.Sort(samples)
	if len(samples) <= n {
		return samples
	}
	kept := make([]time.Duration, n)
	for i := range kept {
		kept[i] = samples[i*(len(samples)-1)/(n-1)]
	}
	return kept
}

// holdStalled is the role: acquire, have the endpoint go silent, and see how it ends.
func holdStalled(c crowd) (Stall, error) {
	httpClient := c.httpClient()
	counting := newNode(httpClient.Transport, 0, 0)
	httpClient.Transport = counting
	client := c.client(httpClient)
	if err := lockclient.EnsureTable(context.Background(), client, table); err != nil {
		return Stall{}, err
	}
	result := Stall{Locks: c.Locks, Transport: c.Transport, Lease: c.Lease, Heartbeat: c.Heartbeat}
	members := c.members()
	if err := c.gather(client, nil, members); err != nil {
		return result, err
	}
	ended := make(chan time.Duration, c.Locks)
	for _, m := range members {
		m.lock.ObserveHeartbeats(func(took time.Duration, err error) { m.beat(c.Heartbeat, took, err) })
		go func() {
			<-m.lock.Lost()
			at := time.Now()
			m.mu.Lock()
			defer m.mu.Unlock()
			last := m.last
			if last.IsZero() {
				last = m.acquired
			}
			ended <- at.Sub(last.Add(c.Lease / 100 * 99))
		}()
	}
	pass(2 * c.Heartbeat)
	if err := c.ask("/stall", nil); err != nil {
		return result, err
	}
	before := counting.count("UpdateItem")
	patience := time.NewTimer(2 * c.Lease)
	defer patience.Stop()
	for result.Ended < c.Locks {
		select {
		case late := <-ended:
			result.Ended++
			result.EndLate = append(result.EndLate, late)
			continue
		case <-patience.C:
		}
		break
	}
	pass(time.Second)
	result.Requests = counting.count("UpdateItem") - before
	result.InFlightAfter, result.MaxInFlight = counting.underWay()
	var seen connections
	if err := c.ask("/connections", &seen); err != nil {
		return result, err
	}
	result.MaxConnections = int(seen.MostOpen)
	result.EndLate = thinned(result.EndLate, keptSamples)
	return result, nil
}

func TestMeasureScale(t *testing.T) {
	measurement(t)
	const roundTrip = 10 * time.Millisecond
	task := func(locks int, session bool) crowd {
		return crowd{
			URL: startServer(t, roundTrip, false), Locks: locks, Session: session, Transport: transportTuned,
			Lease: many(6*time.Second, 15*time.Second), Heartbeat: many(2*time.Second, 5*time.Second), RoundTrip: roundTrip,
			Window: many(4*time.Second, 20*time.Second),
		}
	}
	// The machine does not notice the small ones, so they share it.
	small := []crowd{task(1, false), task(1, true), task(10, false), task(10, true), task(100, false), task(100, true), task(1000, true)}
	results := make([]Scale, len(small))
	failures := make([]error, len(small))
	var running sync.WaitGroup
	for i, c := range small {
		running.Go(func() { results[i], failures[i] = processResult[Scale](t.Context(), roleHolder, c) })
	}
	running.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	const most = 10_000
	for _, c := range []crowd{task(1000, false), task(many(2000, most), true), task(many(2000, most), false)} {
		results = append(results, inProcess[Scale](t, roleHolder, c))
	}
	if *full {
		long := task(Enduring, false)
		long.Window = *endurance
		results = append(results, inProcess[Scale](t, roleHolder, long))
	}
	measured(t, "scale", results)
	// What a heartbeat costs, ours and that of v0.1.0, one right after the other.
	same := task(many(200, Enduring), false)
	same.Window = many(4*time.Second, time.Minute)
	measured(t, "heartbeats", []Scale{inProcess[Scale](t, roleHolder, same), inProcess[Scale](t, roleV010, same)})
}

func TestMeasureConnections(t *testing.T) {
	measurement(t)
	const roundTrip = 10 * time.Millisecond
	var results []Scale
	for _, secure := range []bool{false, true} {
		for _, transport := range []string{transportDefault, transportTuned} {
			results = append(results, inProcess[Scale](t, roleHolder, crowd{
				URL: startServer(t, roundTrip, secure), Locks: many(200, 1000), Transport: transport,
				Lease: many(6*time.Second, 15*time.Second), Heartbeat: many(2*time.Second, 5*time.Second), RoundTrip: roundTrip,
				Window: many(4*time.Second, 10*time.Second),
			}))
		}
	}
	measured(t, "connections", results)
}

func TestMeasureStall(t *testing.T) {
	measurement(t)
	const roundTrip = 10 * time.Millisecond
	var results []Stall
	for _, transport := range []string{transportTuned, transportDefault} {
		results = append(results, inProcess[Stall](t, roleStalled, crowd{
			URL: startServer(t, roundTrip, false), Locks: many(500, 2000), Transport: transport,
			Lease: many(6*time.Second, 15*time.Second), Heartbeat: many(2*time.Second, 5*time.Second), RoundTrip: roundTrip,
		}))
	}
	measured(t, "stall", results)
}
