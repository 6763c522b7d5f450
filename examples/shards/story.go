package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

// setting is what the replicas of one demo have in common.
type setting struct {
	group string
	count int
	lease time.Duration
}

// demonstration is the demo while it goes on.
type demonstration struct {
	*demo.Story
	setting
	engine  *demo.Engine
	crew    *demo.Crew
	ledger  *ledger
	members map[string]*demo.Process
	present []string // the replicas that are drawn, in order
	drawn   string   // the latest picture
}

// tell runs the whole demo and says which promise was broken, if any was.
func tell(ctx context.Context, out io.Writer, f demo.Flags, s setting) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+40*s.lease)
	defer cancel()
	d := demonstration{Story: demo.NewStory(out), setting: s, ledger: newLedger(s.count), members: map[string]*demo.Process{}}
	var err error
	if d.engine, err = demo.Open(ctx, f); err != nil {
		return err
	}
	defer d.engine.Close()
	d.crew = demo.NewCrew(d.Story)
	defer d.crew.Close()
	d.Say("on %s, table %q; %d shards, the lease is %v", d.engine, d.engine.Table, s.count, s.lease)
	if err := d.play(ctx); err != nil {
		return err
	}
	if err := d.ledger.err(); err != nil {
		return err
	}
	d.Say("no shard had two leaders at any time")
	return nil
}

func (d *demonstration) play(ctx context.Context) error {
	if err := d.scene(ctx, "START: a, b and c", func() error { return d.start("a", "b", "c") }); err != nil {
		return err
	}
	if err := d.scene(ctx, "CRASH: killed a (SIGKILL)", func() error {
		d.members["a"].Kill()
		d.ledger.Killed("a", time.Now())
		d.gone("a")
		return nil
	}); err != nil {
		return err
	}
	if err := d.scene(ctx, "JOIN: d", func() error { return d.start("d") }); err != nil {
		return err
	}
	for i, old := range slices.Clone(d.present) {
		young := string(rune('x' + i))
		if err := d.scene(ctx, fmt.Sprintf("ROLLING RESTART: %s is told to stop (SIGTERM), %s starts", old, young), func() error {
			d.members[old].Terminate()
			if err := d.start(young); err != nil {
				return err
			}
			ended := make(chan struct{})
			var how error
			go func() {
				defer close(ended)
				how = d.members[old].Wait(ctx)
			}()
			err := d.draw(ctx, func() bool {
				select {
				case <-ended:
					return true
				default:
					return false
				}
			})
			if err != nil {
				return err
			}
			d.gone(old)
			return how
		}); err != nil {
			return err
		}
	}
	return nil
}

// scene does something, and draws until all shards are led evenly again.
func (d *demonstration) scene(ctx context.Context, title string, do func() error) error {
	d.Say("%s", title)
	began := time.Now()
	if err := do(); err != nil {
		return err
	}
	if err := d.draw(ctx, func() bool { return d.ledger.even(d.present) }); err != nil {
		return err
	}
	d.Say("all %d led evenly after %s: %s", d.count, demo.Span(time.Since(began)), d.ledger.scene())
	return d.rest(ctx, d.lease/3)
}

func (d *demonstration) start(names ...string) error {
	for _, name := range names {
		p, err := d.crew.Start(name, func(line string) {
			var r report
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				d.Tell(name, "%s", line)
				return
			}
			d.ledger.take(name, r)
		}, append(d.engine.Args(), "-group", d.group, "-count", strconv.Itoa(d.count), "-lease", d.lease.String())...)
		if err != nil {
			return err
		}
		d.members[name] = p
		d.present = append(d.present, name)
	}
	return nil
}

// gone takes a replica out of the picture.
func (d *demonstration) gone(name string) {
	d.present = slices.DeleteFunc(d.present, func(other string) bool { return other == name })
}

// draw draws who leads how many shards, whenever that has changed, until done says so.
func (d *demonstration) draw(ctx context.Context, done func() bool) error {
	for {
		over := done()
		if picture := d.ledger.bars(d.present); picture != d.drawn {
			d.drawn = picture
			d.Tell("", "%s", picture)
		}
		if over {
			return nil
		}
		if err := d.rest(ctx, 200*time.Millisecond); err != nil {
			return err
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
		return fmt.Errorf("the shards are not led evenly: %w", context.Cause(ctx))
	}
}
