package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election"
)

// ending is a series of trials: an elector leads, others wait, and it is told to stop. Its work
// ends as soon as its context does.
type ending struct {
	contest
	scene     string
	roundTrip time.Duration
}

// endings are the ways in which an elector's term ends. TransferTo needs electors, the first three
// are for candidates who have been there for a while.
func endings(c contest, roundTrip time.Duration) []ending {
	var all []ending
	for _, scene := range []string{SceneNotice, SceneNoNotice, SceneTransfer, SceneNewcomer, SceneLate} {
		if scene != SceneTransfer || c.who == ByElector {
			all = append(all, ending{c, scene, roundTrip})
		}
	}
	return all
}

// leader is an elector that leads until it is told to stop.
type leader struct {
	elector *election.LeaderElector
	started chan struct{}
	ended   chan time.Time // when the leading context ended
	stop    context.CancelFunc
	done    chan error
}

func (c ending) lead(n *node) (*leader, error) {
	l := &leader{started: make(chan struct{}), ended: make(chan time.Time, 1), done: make(chan error, 1)}
	var err error
	l.elector, err = election.NewLeaderElector(election.LeaderElectionConfig{
		Lock: c.client(n),
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				close(l.started)
				<-leading.Done()
				l.ended <- time.Now()
			},
			OnStoppedLeading: func() {},
		},
		ReleaseOnCancel: true,
		HandoverNotice:  c.scene != SceneNoNotice,
		OneTerm:         true,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	go func() { l.done <- l.elector.Run(ctx) }()
	select {
	case <-l.started:
		return l, nil
	case err := <-l.done:
		cancel()
		return nil, fmt.Errorf("the first elector does not lead: %w", err)
	}
}

func (c ending) trial(next http.RoundTripper) (handedOver, error) {
	c.lock = uniqueLock()
	l, err := c.lead(newNode(next, c.roundTrip, 0))
	if err != nil {
		return handedOver{}, err
	}
	defer l.stop()
	pass(rand.N(c.heartbeat))
	var candidates []*contender
	enter := func(n int) {
		for range n {
			candidates = append(candidates, c.enter(newNode(next, c.roundTrip, 0)))
		}
	}
	switch c.scene {
	case SceneTransfer:
		enter(3)
		pass(3*c.heartbeat + rand.N(c.heartbeat))
	case SceneNewcomer:
		enter(1)
		pass(rand.N(c.heartbeat))
	case SceneLate:
		pass(4 * c.heartbeat)
	default:
		enter(1)
		pass(3*c.heartbeat + rand.N(c.heartbeat))
	}
	told := time.Now()
	transferred := make(chan error, 1)
	if c.scene == SceneTransfer {
		heir := candidates[0].lock.Identity()
		go func() { transferred <- l.elector.TransferTo(context.Background(), heir) }()
	} else {
		transferred <- nil
		l.stop()
	}
	if c.scene == SceneLate {
		pass(rand.N(c.heartbeat / 2)) // a notice takes 0.3 heartbeats at least
		enter(1)
	}
	found, err := c.await(l, told, candidates)
	if err != nil {
		return found, err
	}
	return found, <-transferred
}

// await waits until the first candidate leads, and ends all.
func (c ending) await(l *leader, told time.Time, candidates []*contender) (handedOver, error) {
	reads := candidates[0].node.count("GetItem")
	at, err := candidates[0].wins(3 * c.lease)
	for _, x := range candidates[1:] {
		x.quit()
		err = errors.Join(err, x.leave())
	}
	if err != nil {
		candidates[0].quit()
		return handedOver{}, err
	}
	ended := <-l.ended
	n := candidates[0].node
	found := handedOver{after: at.Sub(ended), notice: ended.Sub(told), reads: n.count("GetItem") - reads, roundTrip: n.roundTrip()}
	return found, errors.Join(candidates[0].leave(), <-l.done)
}

func (c ending) result(engine string, trials []handedOver) Handover {
	h := releases{contest: c.contest, scene: c.scene}.result(engine, trials)
	h.Leader = ByElector
	for _, trial := range trials {
		h.Notice = append(h.Notice, trial.notice)
	}
	return h
}

var _ = Describe("A leader with HandoverNotice", func() {
	for _, r := range endings(contest{who: ByElector, lease: companyLease, heartbeat: companyHeartbeat}, companyRoundTrip) {
		if r.scene == SceneNoNotice || r.scene == SceneNewcomer || r.scene == SceneLate {
			continue
		}
		It("leaves nobody leading for less than 100 ms and two round trips: "+r.scene, func() {
			// The budget is a p99, and each run has jitter of its own: one or two of twenty may be
			// late.
			late := 0
			for range 20 {
				var found handedOver
				var err error
				synctest.Test(suite, func(t *testing.T) { found, err = r.trial(virtualEngine(t)) })
				Expect(err).NotTo(HaveOccurred())
				if found.after >= HandoverBudget+2*companyRoundTrip {
					late++
				}
				Expect(found.after).To(BeNumerically("<", 2*HandoverBudget))
				Expect(found.notice).To(BeNumerically("<=", companyHeartbeat*13/10+2*companyRoundTrip))
			}
			Expect(late).To(BeNumerically("<=", 2))
		})
	}
})
