package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/test/wire"
)

// takeOver has a session of so many locks crash, and another process take them all over. Beside it,
// as many UpdateItems of the bare SDK on items that are as new to them.
func takeOver(e engine, locks int) (r Takeover, err error) {
	r = Takeover{Engine: e.name, Locks: locks, Lease: 15 * time.Second, Heartbeat: 5 * time.Second}
	f := fleets{locks: locks, session: true, lease: r.Lease, heartbeat: r.Heartbeat, prefix: uniqueLock(), next: e.rt}
	holder, heir := f.process(), f.process()
	if err := holder.hold(); err != nil {
		return r, err
	}
	defer holder.abandon()
	heir.queue()
	defer heir.stop()
	if err := heir.settles(3 * time.Minute); err != nil {
		return r, err
	}
	pass(2*r.Heartbeat + rand.N(r.Heartbeat))

	crashed, renewed, before := time.Now(), holder.lastRenewal(), heir.node.counts()
	holder.node.crash()
	taken, err := heir.winsAll(crashed, 3*r.Lease+time.Minute)
	if err != nil {
		return r, err
	}
	r.Requests = heir.node.counts()
	for operation, n := range before {
		r.Requests[operation] -= n
	}
	first, last := Quantile(taken, 0), Quantile(taken, 1)
	r.First, r.All, r.Taken = first+crashed.Sub(renewed), last-first, thinned(taken, keptSamples)
	if r.Bare, err = bareUpdates(e, locks); err != nil {
		return r, err
	}
	return r, heir.part()
}

// settles waits until all calls wait for the session of the holder, none for an answer.
func (p *fleet) settles(patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		stats := p.session.Stats()
		under, _ := p.node.underWay()
		if stats.Waiting == len(p.locks) && stats.Watched == 1 && under <= 1 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d wait, for %d sessions, with %d requests under way", stats.Waiting, len(p.locks), stats.Watched, under)
		}
		pass(100 * time.Millisecond)
	}
}

// bareUpdates is how long so many UpdateItems of the bare SDK take, 64 at a time. Each is the
// request with which a lock client acquires a lock that is new.
func bareUpdates(e engine, n int) (time.Duration, error) {
	tapped, prefix := wire.New(e.rt), uniqueLock()
	lock := fleets{locks: 1, lease: time.Minute, heartbeat: 20 * time.Second, prefix: prefix, next: tapped}.process().locks[0]
	if err := errors.Join(won(lock.GetLock()), lock.RemoveLock()); err != nil {
		return 0, err
	}
	acquire, err := lastRequest[dynamodb.UpdateItemInput](tapped, wire.Acquire)
	if err != nil {
		return 0, err
	}
	client := newNode(e.rt, 0, 0).client()
	began := time.Now()
	err = sixtyFour(n, func(i int) error {
		input := *acquire
		input.Key = map[string]*dynamodb.AttributeValue{"key": {S: aws.String(fmt.Sprintf("%s-bare-%05d", prefix, i))}}
		_, err := client.UpdateItemWithContext(context.Background(), &input)
		return err
	})
	return time.Since(began), err
}

func TestMeasureTakeover(t *testing.T) {
	measurement(t)
	e := readyEngine(t)
	var results []Takeover
	for range many(1, 2) {
		r, err := takeOver(e, many(500, 10_000))
		if err != nil {
			t.Log(err) // a machine that is too slow for it: the report says that it was not measured
			continue
		}
		results = append(results, r)
	}
	measured(t, "takeover", results)
}
