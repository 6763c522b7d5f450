package bench

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/race"
	"github.com/leaderkit/leaderkit/test/wire"
)

// slowMachine is a machine of one core, with the server beside it, in virtual time. Each request
// costs it 5 ms of computing, so that it can do 200 in a second, and takes 10 ms on the way. A
// request that is cancelled costs it a connection.
type slowMachine struct {
	mu   sync.Mutex
	free time.Time // when the core has done all it was given
	slow float64   // how many times as slow as usual it is
	lost int       // connections, to be made anew
}

const (
	machineCapacity = 200 // requests a second
	costBefore      = 2500 * time.Microsecond
	costBetween     = 1000 * time.Microsecond
	costAfter       = 1500 * time.Microsecond
)

func (m *slowMachine) compute(ctx context.Context, d time.Duration) error {
	m.mu.Lock()
	if m.lost > 0 && d == costBefore {
		m.lost--
		d += costBefore
	}
	now := time.Now()
	if m.free.Before(now) {
		m.free = now
	}
	m.free = m.free.Add(time.Duration(float64(d) * max(m.slow, 1)))
	wait := m.free.Sub(now)
	m.mu.Unlock()
	return m.pause(ctx, wait)
}

func (m *slowMachine) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		m.lost++
		m.mu.Unlock()
		return ctx.Err()
	}
}

func (m *slowMachine) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	for _, step := range []func() error{
		func() error { return m.compute(ctx, costBefore) },
		func() error { return m.pause(ctx, 5*time.Millisecond) },
		func() error { return m.compute(ctx, costBetween) },
		func() error { return m.pause(ctx, 5*time.Millisecond) },
		func() error { return m.compute(ctx, costAfter) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	answer := []byte("{}") // every acquire wins, and every heartbeat is confirmed
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Type":     {"application/x-amz-json-1.0"},
			"X-Amz-Crc32":      {strconv.FormatUint(uint64(crc32.ChecksumIEEE(answer)), 10)},
			"X-Amzn-Requestid": {"canned"},
		},
		Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: int64(len(answer)), Request: r,
	}, nil
}

func (m *slowMachine) slowDown(times float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slow = times
}

// overload is so many locks on a slow machine.
type overload struct {
	machine   *slowMachine
	locks     []*lockclient.DynamoDBLockClient
	confirmed atomic.Int64
	got       atomic.Int64
	running   sync.WaitGroup
	cancel    context.CancelFunc
}

const (
	overloadLease = 15 * time.Second
	overloadBeat  = 5 * time.Second
)

// startOverload has 64 callers take locks that need times as many heartbeats a second as the
// machine can do.
func startOverload(times float64, callers int) *overload {
	o := &overload{machine: &slowMachine{}}
	client := wire.NewClient(o.machine)
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background())
	for i := range int(times * machineCapacity * overloadBeat.Seconds()) {
		c := &lockclient.DynamoDBLockClient{
			LockName: fmt.Sprintf("lock-%05d", i), TableName: table, LeaseDuration: overloadLease, HeartbeatPeriod: overloadBeat, Client: client,
		}
		c.ObserveHeartbeats(func(_ time.Duration, err error) {
			if err == nil {
				o.confirmed.Add(1)
			}
		})
		o.locks = append(o.locks, c)
	}
	var next atomic.Int64
	for range callers {
		o.running.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(o.locks) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if held, _ := o.locks[i].GetLockWithContext(ctx); held {
					o.got.Add(1)
				}
			}
		})
	}
	return o
}

// measure returns the heartbeats confirmed a second, and the locks held at the end.
func (o *overload) measure(over time.Duration) (perSecond float64, held int) {
	before := o.confirmed.Load()
	time.Sleep(over)
	perSecond = float64(o.confirmed.Load()-before) / over.Seconds()
	for _, c := range o.locks {
		if has, _ := c.HasLock(); has {
			held++
		}
	}
	return perSecond, held
}

func (o *overload) end() {
	o.cancel()
	for _, c := range o.locks {
		c.StopHeartbeat()
	}
	o.running.Wait()
	time.Sleep(2 * overloadLease) // all has run out
}

// overloads are how many times as many locks as the machine can renew, and how many callers take
// them.
var overloads = []struct {
	times   float64
	callers int
}{{1, 64}, {2, 64}, {4, 2000}}

// measureOverload runs in a bubble.
func measureOverload(times float64, callers int) Overload {
	o := startOverload(times, callers)
	defer o.end()
	time.Sleep(45 * time.Second)
	perSecond, held := o.measure(15 * time.Second)
	return Overload{Locks: len(o.locks), Callers: callers, Offered: times * machineCapacity, Capacity: machineCapacity, Confirmed: perSecond,
		Had: int(o.got.Load()), Held: held}
}

// skipOnEngine skips a test in virtual time that another run of the suite makes, on dynamotest.
func skipOnEngine(t *testing.T) {
	if os.Getenv("DYNAMODB_ENDPOINT") != "" {
		t.Skip("in virtual time, and the same on every engine")
	}
}

// Offered against completed: it must level off at what the machine can do, and never fall.
func TestOverloadLevelsOff(t *testing.T) {
	skipOnEngine(t)
	for _, c := range overloads {
		if race.Enabled && c.times != 2 {
			continue // the race detector sees no more in the others
		}
		t.Run(fmt.Sprintf("%v times, %d callers", c.times, c.callers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := measureOverload(c.times, c.callers)
				t.Logf("%+v", o)
				if want := 0.97 * min(o.Offered, o.Capacity); o.Confirmed < want {
					t.Errorf("%.0f heartbeats a second, want %.0f", o.Confirmed, want)
				}
				if lost := o.Had - o.Held; lost > 0 {
					t.Errorf("%d locks that were had are held no more", lost)
				}
				if c.times <= 1 && o.Held < o.Locks {
					t.Errorf("%d of %d locks are held", o.Held, o.Locks)
				}
			})
		})
	}
}

func TestMeasureOverload(t *testing.T) {
	measurement(t)
	var results []Overload
	for _, c := range overloads {
		synctest.Test(t, func(*testing.T) { results = append(results, measureOverload(c.times, c.callers)) })
	}
	measured(t, "overload", results)
}

// A machine that becomes slow goes on renewing as many locks a second as it is able to, and what
// it keeps does not fall to nothing. At 4 times as slow, 742 of the 900 could be renewed in time,
// and at 8 times 371. Some are lost while the line of requests becomes narrower: what was sent
// before still has to be answered. At 8 times as slow even the narrowest line is somewhat too wide.
func TestAMachineThatBecomesSlowKeepsWhatItCan(t *testing.T) {
	skipOnEngine(t)
	// least are the parts of its locks that it keeps, and of its capacity that it renews with.
	for slow, least := range map[float64]struct{ kept, renewed float64 }{2: {1, 0.9}, 3: {0.85, 0.9}, 4: {0.55, 0.9}, 8: {0.08, 0.7}} {
		if race.Enabled && slow != 4 {
			continue
		}
		t.Run(fmt.Sprintf("%v times as slow", slow), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := startOverload(0.9, 64)
				defer o.end()
				time.Sleep(20 * time.Second)
				o.machine.slowDown(slow)
				time.Sleep(30 * time.Second)
				perSecond, held := o.measure(15 * time.Second)
				t.Logf("%.0f heartbeats a second, %d of %d locks held", perSecond, held, len(o.locks))
				if want := least.renewed * machineCapacity / slow; perSecond < want {
					t.Errorf("%.0f heartbeats a second, want %.0f", perSecond, want)
				}
				if want := int(least.kept * float64(len(o.locks))); held < want {
					t.Errorf("%d locks are held, want %d", held, want)
				}
			})
		})
	}
}
