package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// operation is one with an exact budget, and how to carry it out once.
type operation struct {
	name     string
	requests map[string]int // what it may send
	capacity wire.Capacity  // what that may cost
	run      func(s *scene) error
}

func (o operation) budget() string {
	return Consumption(o.requests, o.capacity.Read, o.capacity.Write)
}

// count carries the operation out on an engine and counts it at the wire.
func (o operation) count(e engine) (Counted, error) {
	s := &scene{wire: wire.New(e.rt), lock: uniqueLock()}
	s.wire.Meter()
	defer s.clear()
	if err := o.run(s); err != nil {
		return Counted{}, fmt.Errorf("%s: %w", o.name, err)
	}
	return Counted{
		Engine: e.name, Operation: o.name, Requests: s.requests, Read: s.capacity.Read, Write: s.capacity.Write,
		Budget: o.budget(), Met: maps.Equal(s.requests, o.requests) && s.capacity == o.capacity,
	}, nil
}

// scene is one lock, its clients, and what was counted.
type scene struct {
	wire     *wire.Wire
	lock     string
	clients  []*lockclient.DynamoDBLockClient
	requests map[string]int
	capacity wire.Capacity
}

// client is a new client of the scene's lock.
func (s *scene) client() *lockclient.DynamoDBLockClient {
	c := &lockclient.DynamoDBLockClient{LockName: s.lock, TableName: table, LeaseDuration: time.Hour, Client: wire.NewClient(s.wire)}
	s.clients = append(s.clients, c)
	return c
}

func (s *scene) clear() {
	for _, c := range s.clients {
		_ = c.RemoveLock()
	}
}

// measure counts what step sends.
func (s *scene) measure(step func() error) error {
	s.wire.Reset()
	err := step()
	s.taken()
	return err
}

func (s *scene) taken() { s.requests, s.capacity = s.wire.Counts(), s.wire.Capacity() }

// rivals are two clients, of which the first holds the lock.
func (s *scene) rivals() (holder, other *lockclient.DynamoDBLockClient, err error) {
	holder, other = s.client(), s.client()
	return holder, other, won(holder.GetLock())
}

func won(held bool, err error) error {
	if !held && err == nil {
		return errors.New("not held")
	}
	return err
}

func refused(held bool, err error) error {
	if held || !errors.Is(err, lockclient.ErrLockHeld) {
		return fmt.Errorf("held %t, error %w: want a refusal", held, err)
	}
	return nil
}

// leapingClock has a monotonic clock that can be moved ahead.
type leapingClock struct{ leap atomic.Int64 }

var processStart = time.Now()

func (c *leapingClock) Monotonic() time.Duration {
	return time.Since(processStart) + time.Duration(c.leap.Load())
}
func (*leapingClock) Wall() time.Time { return time.Now() }
func (*leapingClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

var (
	oneWrite     = map[string]int{"UpdateItem": 1}
	oneWriteUnit = wire.Capacity{Write: 1}
)

var operations = []operation{
	{"acquire, no item yet", oneWrite, oneWriteUnit, func(s *scene) error {
		lock := s.client()
		return s.measure(func() error { return won(lock.GetLock()) })
	}},
	{"acquire, released", oneWrite, oneWriteUnit, func(s *scene) error {
		lock := s.client()
		if err := errors.Join(won(lock.GetLock()), lock.RemoveLock()); err != nil {
			return err
		}
		return s.measure(func() error { return won(lock.GetLock()) })
	}},
	{"acquire, released by another", oneWrite, oneWriteUnit, func(s *scene) error {
		holder, other, err := s.rivals()
		if err := errors.Join(err, holder.RemoveLock()); err != nil {
			return err
		}
		pass(2 * time.Millisecond) // the token is our clock in milliseconds, and rises
		return s.measure(func() error { return won(other.GetLock()) })
	}},
	{"refused attempt, the first", oneWrite, oneWriteUnit, func(s *scene) error {
		_, other, err := s.rivals()
		if err != nil {
			return err
		}
		return s.measure(func() error { return refused(other.GetLock()) })
	}},
	{"refused attempt, a later one", oneWrite, oneWriteUnit, func(s *scene) error {
		_, other, err := s.rivals()
		if err := errors.Join(err, refused(other.GetLock())); err != nil {
			return err
		}
		return s.measure(func() error { return refused(other.GetLock()) })
	}},
	{"takeover of a crashed holder's, by a waiter that has watched", oneWrite, oneWriteUnit, func(s *scene) error {
		_, other, err := s.rivals()
		if err != nil {
			return err
		}
		clock := &leapingClock{}
		other.Clock = clock
		if err := refused(other.PollLock(context.Background())); err != nil {
			return err
		}
		clock.leap.Store(int64(time.Hour)) // the whole lease, in which the holder has not renewed
		return s.measure(func() error { return won(other.PollLock(context.Background())) })
	}},
	{"takeover of a released one, by a waiter", map[string]int{"GetItem": 1, "UpdateItem": 1}, wire.Capacity{Read: 0.5, Write: 1}, func(s *scene) error {
		holder, other, err := s.rivals()
		if err := errors.Join(err, refused(other.PollLock(context.Background())), holder.RemoveLock()); err != nil {
			return err
		}
		return s.measure(func() error { return won(other.PollLock(context.Background())) })
	}},
	{"watch step of a waiter", map[string]int{"GetItem": 1}, wire.Capacity{Read: 0.5}, func(s *scene) error {
		_, other, err := s.rivals()
		if err := errors.Join(err, refused(other.PollLock(context.Background()))); err != nil {
			return err
		}
		return s.measure(func() error { return refused(other.PollLock(context.Background())) })
	}},
	{"heartbeat", oneWrite, oneWriteUnit, func(s *scene) error {
		lock := s.client()
		lock.HeartbeatPeriod = 200 * time.Millisecond
		beat := make(chan error, 1)
		var first sync.Once
		lock.ObserveHeartbeats(func(_ time.Duration, err error) {
			first.Do(func() {
				s.taken() // before the next one can start
				beat <- err
			})
		})
		if err := won(lock.GetLock()); err != nil {
			return err
		}
		s.wire.Reset()
		return <-beat
	}},
	{"announcement of a release", oneWrite, oneWriteUnit, func(s *scene) error {
		lock := s.client()
		if err := won(lock.GetLock()); err != nil {
			return err
		}
		return s.measure(func() error { return lock.AnnounceRelease(context.Background()) })
	}},
	{"release", oneWrite, oneWriteUnit, func(s *scene) error {
		lock := s.client()
		if err := won(lock.GetLock()); err != nil {
			return err
		}
		return s.measure(lock.RemoveLock)
	}},
	{"HasLock, 1,000 times", map[string]int{}, wire.Capacity{}, func(s *scene) error {
		lock := s.client()
		if err := won(lock.GetLock()); err != nil {
			return err
		}
		return s.measure(func() error {
			for range 1000 {
				if err := won(lock.HasLock()); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"Peek", map[string]int{"GetItem": 1}, wire.Capacity{Read: 1}, func(s *scene) error {
		_, other, err := s.rivals()
		if err != nil {
			return err
		}
		return s.measure(func() error {
			_, err := other.Peek(context.Background())
			return err
		})
	}},
}

var _ = Describe("One operation sends exactly", func() {
	for _, o := range operations {
		It(o.name+": "+o.budget(), func() {
			counted, err := o.count(underTest)
			Expect(err).NotTo(HaveOccurred())
			Expect(counted.Requests).To(Equal(o.requests))
			Expect(wire.Capacity{Read: counted.Read, Write: counted.Write}).To(Equal(o.capacity))
		})
	}
})

func TestMeasureCounts(t *testing.T) {
	measurement(t)
	e, closeIdle, err := engineUnderTest()
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle()
	list := []engine{{EngineMemory, dynamotest.Transport(dynamotest.New())}}
	if e.name != list[0].name {
		list = append(list, e)
	}
	var results []Counted
	for _, e := range list {
		ensureTable(t, wire.NewClient(e.rt))
		for _, o := range operations {
			counted, err := o.count(e)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, counted)
		}
	}
	measured(t, "counts", results)
}
