package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

// demonstration is the demo while it goes on.
type demonstration struct {
	*demo.Story
	lease   time.Duration
	engine  *demo.Engine
	crew    *demo.Crew
	members map[string]*demo.Process
	reports chan report
	gone    chan struct{} // closed when nobody takes reports any more
	verdict verdict
}

// tell runs the whole demo and says which promise was broken, if any was.
func tell(ctx context.Context, out io.Writer, f demo.Flags, lease time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second+12*lease)
	defer cancel()
	d := demonstration{
		Story:   demo.NewStory(out),
		lease:   lease,
		members: map[string]*demo.Process{},
		reports: make(chan report, 1000),
		gone:    make(chan struct{}),
	}
	var err error
	if d.engine, err = demo.Open(ctx, f); err != nil {
		return err
	}
	defer d.engine.Close()
	d.crew = demo.NewCrew(d.Story)
	defer d.crew.Close()
	defer close(d.gone)

	if err := d.play(ctx); err != nil {
		return err
	}
	d.verdict.print(d.Story, d.lease)
	return d.verdict.check(d.lease)
}

func (d *demonstration) play(ctx context.Context) error {
	d.Say("on %s, table %q; the lease is %v", d.engine, d.engine.Table, d.lease)
	for _, name := range []string{"a", "b", "c"} {
		if err := d.start(name); err != nil {
			return err
		}
	}
	first, err := d.awaitLeader(ctx, "")
	if err != nil {
		return err
	}
	// A lease and half a heartbeat period: between two renewals, so that the last one has been
	// reported.
	if err := d.listen(ctx, d.lease*7/6); err != nil {
		return err
	}

	d.members[first.name].Kill()
	first.end("SIGKILL", time.Now())
	d.Say("killed %s, the leader (SIGKILL): the others can only wait for its lease to run out", first.name)
	second, err := d.awaitLeader(ctx, first.name)
	if err != nil {
		return err
	}
	d.Say("TAKEOVER: %s leads %s after the last renewal by %s, which is %.2f x the lease, and %s after the kill",
		second.name, demo.Span(second.from().Sub(first.renewed)), first.name, second.from().Sub(first.renewed).Seconds()/d.lease.Seconds(),
		demo.Span(second.from().Sub(first.ended)))
	if err := d.listen(ctx, d.lease/2); err != nil {
		return err
	}

	d.Say("telling %s, the leader, to stop (SIGTERM): it may finish its work first", second.name)
	if err := d.stop(ctx, second); err != nil {
		return err
	}
	third, err := d.awaitLeader(ctx, second.name)
	if err != nil {
		return err
	}
	d.Say("HANDOVER: %s leads %s after the work of %s was done, and %s after the SIGTERM",
		third.name, demo.Span(third.from().Sub(second.stopped)), second.name, demo.Span(third.from().Sub(second.ended)))
	if err := d.listen(ctx, d.lease/2); err != nil {
		return err
	}

	d.Say("telling %s, the last one, to stop (SIGTERM)", third.name)
	return d.stop(ctx, third)
}

func (d *demonstration) start(name string) error {
	p, err := d.crew.Start(name, func(line string) {
		r := report{}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			d.Tell(name, "%s", line)
			return
		}
		r.Name = name
		select {
		case d.reports <- r:
		case <-d.gone:
		}
	}, append(d.engine.Args(), "-lease", d.lease.String())...)
	d.members[name] = p
	return err
}

// stop tells the leader to end and waits until it has.
func (d *demonstration) stop(ctx context.Context, leader *term) error {
	d.members[leader.name].Terminate()
	leader.end("SIGTERM", time.Now())
	for leader.stopped.IsZero() {
		if err := d.hear(ctx, nil); err != nil {
			return err
		}
	}
	return d.members[leader.name].Wait(ctx)
}

// awaitLeader waits until somebody else leads than the last one.
func (d *demonstration) awaitLeader(ctx context.Context, last string) (*term, error) {
	for {
		if t := d.verdict.latest(); t != nil && t.name != last && len(t.beliefs) > 0 {
			return t, nil
		}
		if err := d.hear(ctx, nil); err != nil {
			return nil, fmt.Errorf("waiting for a leader: %w", err)
		}
	}
}

// listen lets some time pass.
func (d *demonstration) listen(ctx context.Context, span time.Duration) error {
	enough := time.After(span)
	for {
		switch err := d.hear(ctx, enough); {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		}
	}
}

var errEnough = errors.New("enough")

// hear takes one report.
func (d *demonstration) hear(ctx context.Context, enough <-chan time.Time) error {
	select {
	case r := <-d.reports:
		d.verdict.hear(r)
		switch r.Kind {
		case leads:
			d.Tell(r.Name, "LEADS with fencing token %d", r.Token)
		case stopping:
			d.Tell(r.Name, "stops its work: %s", r.Cause)
		case stopped:
			d.Tell(r.Name, "has stopped leading")
		case follows:
			d.Note(r.Name, "follows %s", r.Leader)
		}
		return nil
	case err := <-d.crew.Failed():
		return err
	case <-enough:
		return errEnough
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
