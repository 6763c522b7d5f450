package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

const (
	glance    = 5 * time.Millisecond  // the pause between two looks at who believes
	writeTime = 30 * time.Millisecond // what a write takes between Regions
	lag       = 200 * time.Millisecond
)

// act is the story of one global table.
type act struct {
	*demo.Story
	table      *dynamotest.GlobalTable
	lease      time.Duration
	contenders []*contender

	mu   sync.Mutex
	both time.Duration // the longest time for which two believed
}

// tell runs both acts. Its error says what was not as it has to be.
func tell(ctx context.Context, story *demo.Story, lease time.Duration) error {
	strong := dynamotest.NewGlobalTable(3)
	strong.SetWriteTime(writeTime)
	strong.SetLag(lag)
	story.Say("MRSC: a global table with multi-Region strong consistency. The lease is %v.", lease)
	both, err := play(ctx, story, strong, lease)
	switch {
	case err != nil:
		return err
	case both > 0:
		return fmt.Errorf("two held a lock of a strongly consistent table for %v", both)
	}
	story.Say("The lock moved on, and at no moment did two believe that they held it.")

	eventual := dynamotest.NewEventualGlobalTable(3)
	eventual.SetLag(lag)
	story.Print("")
	story.Say("MREC: the same in a global table with multi-Region eventual consistency.")
	both, err = play(ctx, story, eventual, lease)
	switch {
	case err != nil:
		return err
	case both == 0:
		return errors.New("no lock of the eventually consistent table had two holders, although a Region was cut off")
	}
	story.Say("TWO BELIEVED that they held the lock, for %s. A condition is evaluated in one Region, without the writes of the others.", demo.Span(both))
	return nil
}

// play has a client in each Region of a table compete for the lock, and cuts the first holder's
// Region off.
func play(ctx context.Context, story *demo.Story, table *dynamotest.GlobalTable, lease time.Duration) (both time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &act{Story: story, table: table, lease: lease}
	var group sync.WaitGroup
	defer func() {
		cancel()
		for _, region := range table.Regions() {
			region.Rejoin()
		}
		group.Wait()
	}()
	if err := lockclient.EnsureTable(ctx, table.Region(0).Client(), lockTable, lockclient.WithoutTTL()); err != nil {
		return 0, err
	}
	for i, region := range table.Regions() {
		name := string(rune('a' + i))
		a.contenders = append(a.contenders, newContender(name, region.Client(), lease, func(format string, args ...any) {
			story.Tell(name, region.Name()+" "+format, args...)
		}))
	}
	first := a.contenders[0]
	group.Go(func() { a.watch(ctx) })
	group.Go(func() { first.run(ctx) })
	if err := a.await(ctx, "the first one holds the lock", first.believes); err != nil {
		return 0, err
	}
	table.Replicate() // the other Regions know of it before anybody there asks
	for _, c := range a.contenders[1:] {
		group.Go(func() { c.run(ctx) })
	}
	err = a.cut(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.both, err
}

// cut is what happens to the first Region.
func (a *act) cut(ctx context.Context) error {
	first, region := a.contenders[0], a.table.Region(0)
	if err := a.pass(ctx, 2*a.lease); err != nil {
		return err
	}
	began := time.Now()
	region.Isolate()
	a.Say("%s is cut off from the other Regions. Its clients still reach it.", region.Name())
	other := func() bool { return a.contenders[1].believes() || a.contenders[2].believes() }
	if err := a.await(ctx, "a client in another Region holds the lock", other); err != nil {
		return err
	}
	a.Say("%s after the cut %s", demo.Span(time.Since(began)), a.whoBelieves())
	if err := a.pass(ctx, 2*a.lease); err != nil {
		return err
	}
	a.Say("%s rejoins the other Regions; until now %s", region.Name(), a.whoBelieves())
	region.Rejoin()
	if err := a.await(ctx, "the first holder notices its loss", func() bool { return !(first.believes() && other()) }); err != nil {
		return err
	}
	if err := a.pass(ctx, a.lease); err != nil {
		return err
	}
	a.Say("A lease later %s", a.whoBelieves())
	return nil
}

func (a *act) whoBelieves() string {
	var names []string
	for _, c := range a.contenders {
		if c.believes() {
			names = append(names, c.name)
		}
	}
	switch len(names) {
	case 0:
		return "nobody holds the lock"
	case 1:
		return names[0] + " holds the lock"
	}
	return strings.Join(names, " and ") + " BOTH BELIEVE that they hold the lock"
}

// watch measures for how long two believe at once.
func (a *act) watch(ctx context.Context) {
	var since time.Time
	for a.pass(ctx, glance) == nil {
		believers := 0
		for _, c := range a.contenders {
			if c.believes() {
				believers++
			}
		}
		switch now := time.Now(); {
		case believers < 2:
			since = time.Time{}
		case since.IsZero():
			since = now
			fallthrough
		default:
			a.mu.Lock()
			a.both = max(a.both, now.Sub(since), 1)
			a.mu.Unlock()
		}
	}
}

// await waits until done is true, but not for ever.
func (a *act) await(ctx context.Context, what string, done func() bool) error {
	for end := time.Now().Add(10 * a.lease); !done(); {
		if time.Now().After(end) {
			return fmt.Errorf("after %v it is still not so that %s", 10*a.lease, what)
		}
		if err := a.pass(ctx, glance); err != nil {
			return err
		}
	}
	return nil
}

// pass lets time go by.
func (a *act) pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
