package regions

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// A storm is minutes of faults in a synctest bubble, drawn from a seed: Regions are cut off and
// rejoin, clients lose their Region, replication lags, writes meet each other. Meanwhile six
// clients, two in each Region, take the lock, keep it for a while and release it.
const (
	storms     = 4
	stormLasts = 4 * time.Minute
)

type storm struct {
	*world
	random   *rand.Rand
	strong   bool
	tenures  atomic.Int64
	longest  time.Duration
	since    time.Time // two believe; zero: they don't
	token    int64     // of the latest tenure
	holder   string    // likewise
	unlawful []string  // tenures whose token is no higher than an earlier one's
}

func newStorm(w *world, seed uint64, strong bool) *storm {
	s := &storm{world: w, random: rand.New(rand.NewPCG(seed, 1)), strong: strong}
	for i := range 6 {
		n := w.node(i%3, fmt.Sprint("client-", i))
		random := rand.New(rand.NewPCG(seed, uint64(10+i)))
		w.waiting.Go(func() { s.live(n, random) })
	}
	return s
}

// live is what a client does until the test ends.
func (s *storm) live(n *node, random *rand.Rand) {
	for s.ctx.Err() == nil {
		if err := n.WaitForLock(s.ctx); err != nil {
			_ = wire.Sleep(s.ctx, time.Second)
			continue
		}
		s.tenures.Add(1)
		select {
		case <-n.Lost():
		case <-time.After(time.Duration(random.Int64N(int64(3 * theLease)))):
		case <-s.ctx.Done():
		}
		_ = n.RemoveLockWithContext(s.ctx) // in a storm it may fail
	}
}

// fault makes one thing go wrong, or right again.
func (s *storm) fault() {
	region := s.table.Region(s.random.IntN(3))
	n := s.nodes[s.random.IntN(len(s.nodes))]
	switch s.random.IntN(8) {
	case 0:
		region.Isolate()
	case 1, 2, 3:
		region.Rejoin()
	case 4:
		s.table.SetLag(time.Duration(s.random.IntN(4000)) * time.Millisecond)
	case 5:
		if s.strong {
			s.table.SetWriteTime(time.Duration(s.random.IntN(300)) * time.Millisecond)
		}
	case 6:
		n.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Hang() })
	case 7:
		for _, n := range s.nodes {
			n.wire.SetHook(nil)
		}
	}
}

// look notes what must not be: two believers, or a token that does not rise.
func (s *storm) look() {
	believers := 0
	for _, n := range s.nodes {
		if !n.believes() {
			continue
		}
		believers++
		token, ok := n.FencingToken()
		if ok && (token < s.token || token == s.token && n.Identifier != s.holder) {
			s.unlawful = append(s.unlawful, fmt.Sprintf("%s believes with token %d after %s with token %d", n.Identifier, token, s.holder, s.token))
		}
		if ok && token > s.token {
			s.token, s.holder = token, n.Identifier
		}
	}
	switch {
	case believers < 2:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = time.Now()
	default:
		s.longest = max(s.longest, time.Since(s.since))
	}
}

// rage lasts as long as a storm does, or until enough is true.
func (s *storm) rage(enough func() bool) {
	for end := time.Now().Add(stormLasts); time.Now().Before(end) && !enough(); {
		s.fault()
		for calm := time.Now().Add(time.Duration(s.random.IntN(4000)) * time.Millisecond); time.Now().Before(calm); time.Sleep(glance) {
			s.look()
		}
	}
}

// abate ends all faults.
func (s *storm) abate() {
	for _, region := range s.table.Regions() {
		region.Rejoin()
	}
	s.table.SetLag(time.Second)
	for _, n := range s.nodes {
		n.wire.SetHook(nil)
	}
}

func TestAStormOverAStronglyConsistentTable(t *testing.T) {
	for seed := range uint64(storms) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			var met atomic.Int64
			random := newLots(seed)
			strongly(t, func(w *world) {
				s := newStorm(w, seed, true)
				s.rage(func() bool { return false })
				w.Expect(s.longest).To(BeZero(), "two believed")
				w.Expect(s.unlawful).To(BeEmpty())
				tenures := s.tenures.Load()
				w.Expect(tenures).To(BeNumerically(">", 3), "it was a storm, and not the end of the world")
				w.Expect(met.Load()).To(BeNumerically(">", 0))
				s.abate()
				// Who has it now keeps it for up to 3 leases.
				w.mustCome(5*theLease, "somebody has got the lock", func() bool { return s.tenures.Load() > tenures })
				t.Logf("%d tenures, %d writes refused because another one was under way", tenures, met.Load())
			}, dynamotest.WithConflicts(func(dynamotest.Write) bool {
				unlucky := random.oneIn(20)
				if unlucky {
					met.Add(1)
				}
				return unlucky
			}))
		})
	}
}

// The same storm shows that it would find two believers if there were any.
func TestTheSameStormOverAnEventuallyConsistentTableFindsTwoBelievers(t *testing.T) {
	for seed := range uint64(storms) {
		eventually(t, func(w *world) {
			s := newStorm(w, seed, false)
			s.rage(func() bool { return s.longest > time.Second })
			w.Expect(s.longest).To(BeNumerically(">", time.Second), "seed %d", seed)
		})
	}
}
