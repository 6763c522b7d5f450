package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
)

// watch shows the locks again and again until ctx ends. An error of the first reading is returned;
// later ones are shown, since they may pass.
func watch(ctx context.Context, f *statusFlags, client dynamodbiface.DynamoDBAPI, t *terminal) error {
	w := newWatching()
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for first := true; ; first = false {
		locks, err := f.read(ctx, client)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			w.failed(err)
		default:
			w.saw(locks, time.Now())
		}
		if err := w.print(f, t); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// watching is what is known of the locks of a table that is read again and again.
type watching struct {
	known   map[lockKey]*known
	rows    []row
	changes []string // the latest ones, oldest first
	contact time.Time
	err     error // of the latest reading
}

type lockKey struct{ name, sort string }

// known is one lock, and since when its record has been as it is. As a waiter does, it counts on
// the clock of this machine alone.
type known struct {
	item    *lockclient.LockItem
	since   time.Time
	renewed bool // since was seen to be a renewal
}

// mostChanges is how many changes are shown.
const mostChanges = 10

func newWatching() *watching { return &watching{known: map[lockKey]*known{}} }

// failed notes a reading that failed. What is known stays.
func (w *watching) failed(err error) { w.err = err }

// saw takes in what the table looked like at a moment.
func (w *watching) saw(locks []*lockclient.LockItem, now time.Time) {
	first := w.contact.IsZero()
	w.contact, w.err, w.rows = now, nil, nil
	seen := map[lockKey]*known{}
	for _, item := range locks {
		key := lockKey{item.Name, item.SortKeyValue}
		k := w.known[key]
		switch {
		case k == nil:
			k = &known{item: item, since: now, renewed: !first}
			if !first {
				w.changed(now, item, "new: "+holding(item))
			}
		case k.item.RecordVersionNumber != item.RecordVersionNumber || !k.item.ExpiresAt.Equal(item.ExpiresAt) || k.item.Released != item.Released:
			if k.item.Owner != item.Owner || k.item.FencingToken != item.FencingToken || k.item.Released != item.Released {
				w.changed(now, item, holding(k.item)+" → "+holding(item))
			}
			k = &known{item: item, since: now, renewed: true}
		}
		seen[key] = k
		w.rows = append(w.rows, k.row(now))
	}
	for key, k := range w.known {
		if seen[key] == nil {
			w.changed(now, k.item, holding(k.item)+" → deleted")
		}
	}
	w.known = seen
}

func holding(item *lockclient.LockItem) string {
	if item.Released {
		return "free"
	}
	return printable(item.Owner)
}

func (w *watching) changed(now time.Time, item *lockclient.LockItem, what string) {
	w.changes = append(w.changes, fmt.Sprintf("%s  %s  %s", now.Format(time.TimeOnly), printable(item.Name), what))
	if len(w.changes) > mostChanges {
		w.changes = w.changes[1:]
	}
}

// row is what is shown of it. Once this machine has seen the lock renewed, the holder's clock does
// not count any more.
func (k *known) row(now time.Time) row {
	r := newRow(k.item, now)
	watched := now.Sub(k.since)
	switch {
	case r.State == stateFree || k.item.LeaseDuration <= 0:
	case watched >= k.item.LeaseDuration+k.item.LeaseDuration/50:
		r.State, r.renewed = stateExpired, max(watched, r.renewed)
	case k.renewed:
		r.State, r.renewed = stateHeld, watched
	}
	return r
}

func (w *watching) print(f *statusFlags, t *terminal) error {
	if f.json {
		if w.err != nil {
			t.say("%v", w.err)
			return nil
		}
		return json.NewEncoder(t.out).Encode(w.rows)
	}
	if isTerminal(t.out) {
		fmt.Fprint(t.out, "\x1b[H\x1b[2J")
	}
	fmt.Fprintf(t.out, "%v, every %v; last answer of DynamoDB: %s\n", &f.store, f.every, w.contact.Format(time.TimeOnly))
	if w.err != nil {
		fmt.Fprintf(t.out, "NO ANSWER NOW: %s\n", printable(w.err.Error()))
	}
	fmt.Fprintln(t.out)
	if err := printRows(t.out, w.rows); err != nil {
		return err
	}
	if len(w.changes) > 0 {
		fmt.Fprintln(t.out, "\nchanges:")
	}
	for _, change := range w.changes {
		fmt.Fprintln(t.out, "  "+change)
	}
	fmt.Fprintln(t.out)
	return nil
}

func isTerminal(out any) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
