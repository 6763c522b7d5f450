package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

// setting is what the processes of one demo have in common.
type setting struct {
	prefix    string
	count     int
	lease     time.Duration
	contended bool
}

// demonstration is the demo while it goes on.
type demonstration struct {
	*demo.Story
	setting
	engine  *demo.Engine
	crew    *demo.Crew
	ledger  *ledger
	members map[string]*demo.Process
	present []string // the processes that run, in order
}

// tell runs the whole demo and says which promise was broken, if any was.
func tell(ctx context.Context, out io.Writer, f demo.Flags, s setting) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+20*s.lease)
	defer cancel()
	d := demonstration{Story: demo.NewStory(out), setting: s, ledger: newLedger(s.count), members: map[string]*demo.Process{}}
	var err error
	if d.engine, err = demo.Open(ctx, f); err != nil {
		return err
	}
	defer d.engine.Close()
	d.crew = demo.NewCrew(d.Story)
	defer d.crew.Close()
	d.Say("on %s, table %q; %d locks, the lease is %v, a heartbeat each %v", d.engine, d.engine.Table, s.count, s.lease, s.heartbeat())
	if err := d.play(ctx); err != nil {
		return err
	}
	if err := d.ledger.err(); err != nil {
		return err
	}
	if lost := d.ledger.lost(); lost > 0 {
		d.Say("locks were lost %d times during the demo: this machine, or the engine, is too slow for the lease", lost)
	}
	d.Say("no lock had two holders at any time")
	return nil
}

// heartbeat is the session's period where none is given.
func (s setting) heartbeat() time.Duration { return (s.lease / 3).Truncate(time.Millisecond) }

func (d *demonstration) play(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{d.begin, d.atRest, d.crash, d.atRest, d.stop, d.atRest} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	last := d.members[d.present[0]]
	d.Say("END: %s is told to stop, too", last.Name)
	last.Terminate()
	return last.Wait(ctx)
}

func (d *demonstration) begin(ctx context.Context) error {
	began := time.Now()
	if d.contended {
		d.Say("START: a, b and c want all locks")
	} else {
		d.Say("START: a, b and c take a third of the locks each, and wait for the others'")
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := d.start(name); err != nil {
			return err
		}
	}
	if err := d.untilAllHeld(ctx); err != nil {
		return err
	}
	d.Say("all locks are held after %s", demo.Span(time.Since(began)))
	return d.rest(ctx, d.lease/2+3*d.heartbeat()) // by then each process waits for the others' locks
}

func (d *demonstration) start(name string) error {
	p, err := d.crew.Start(name, func(line string) {
		var r report
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			d.Tell(name, "%s", line)
			return
		}
		d.ledger.take(name, r)
	}, append(d.engine.Args(), "-prefix", d.prefix, "-count", strconv.Itoa(d.count), "-lease", d.lease.String(), fmt.Sprintf("-contended=%t", d.contended))...)
	if err != nil {
		return err
	}
	d.members[name] = p
	d.present = append(d.present, name)
	return nil
}

// atRest counts requests while nothing happens.
func (d *demonstration) atRest(ctx context.Context) error {
	const periods = 3
	before := d.ledger.requests()
	if err := d.rest(ctx, periods*d.heartbeat()); err != nil {
		return err
	}
	held := d.ledger.Held()
	d.Say("AT REST for %d heartbeats (%s)", periods, demo.Span(periods*d.heartbeat()))
	for _, name := range d.present {
		sent := d.ledger.requests()[name].minus(before[name])
		d.Tell(name, "holds %4d, waits for %4d: %d writes, %d reads; with a heartbeat for each lock: %d writes",
			held[name], d.count-held[name], sent.writes, sent.reads, periods*held[name])
	}
	return nil
}

func (d *demonstration) crash(ctx context.Context) error {
	before, left := d.ledger.requests(), d.ledger.Held()["a"]
	d.members["a"].Kill()
	killed := time.Now()
	d.ledger.Killed("a", killed)
	d.gone("a")
	d.Say("CRASH: killed a, which held %d locks (SIGKILL); the others wait until its lease has run out", left)
	if err := d.untilAllHeld(ctx); err != nil {
		return err
	}
	if err := d.sayTaken("TAKEOVER: b and c have", killed, "the kill"); err != nil {
		return fmt.Errorf("%w: a held %d", err, left)
	}
	return d.showTaken(ctx, before)
}

// sayTaken says how soon after an event the others had the locks of a process.
func (d *demonstration) sayTaken(who string, then time.Time, event string) error {
	taken := d.ledger.takenSince(then)
	if len(taken) == 0 {
		return errors.New("nobody took its locks")
	}
	d.Say("%s the first of its locks %s after %s, and all %d of them %s later",
		who, demo.Span(taken[0]), event, len(taken), demo.Span(taken[len(taken)-1]-taken[0]))
	return nil
}

// showTaken shows what each process that runs has, and what it has sent for that, when those have
// been refused, too, who were not the first.
func (d *demonstration) showTaken(ctx context.Context, before map[string]counts) error {
	if err := d.rest(ctx, d.heartbeat()); err != nil {
		return err
	}
	held, now := d.ledger.Held(), d.ledger.requests()
	for _, name := range d.present {
		sent := now[name].minus(before[name])
		d.Tell(name, "holds %4d now; it has sent %d writes and %d reads since", held[name], sent.writes, sent.reads)
	}
	return nil
}

func (d *demonstration) stop(ctx context.Context) error {
	before, left := d.ledger.requests(), d.ledger.Held()["b"]
	d.Say("STOP: b, which holds %d locks, is told to stop (SIGTERM)", left)
	d.members["b"].Terminate()
	if err := d.members["b"].Wait(ctx); err != nil {
		return err
	}
	d.gone("b")
	sent := d.ledger.requests()["b"].minus(before["b"])
	d.Tell("b", "has ended, with %d writes: an announcement, heartbeats while its work ended, and one write that freed all its locks", sent.writes)
	if err := d.untilAllHeld(ctx); err != nil {
		return err
	}
	if err := d.sayTaken("HANDOVER: c has", d.ledger.lastStop("b"), "the work of b was done"); err != nil {
		return fmt.Errorf("%w: b held %d", err, left)
	}
	return d.showTaken(ctx, before)
}

// gone takes a process off the list of those that run.
func (d *demonstration) gone(name string) {
	d.present = slices.DeleteFunc(d.present, func(other string) bool { return other == name })
}

// untilAllHeld waits until the processes that run hold all locks.
func (d *demonstration) untilAllHeld(ctx context.Context) error {
	for {
		held, sum := d.ledger.Held(), 0
		for _, name := range d.present {
			sum += held[name]
		}
		if sum == d.count {
			return nil
		}
		if err := d.rest(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d locks are held: %w", sum, d.count, err)
		}
	}
}

func (d *demonstration) rest(ctx context.Context, pause time.Duration) error {
	select {
	case <-time.After(pause):
		return nil
	case err := <-d.crew.Failed():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
