package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
)

const statusHead = `lockrun status shows the locks of a table: all of them, or those that are named.

usage: lockrun status -table TABLE [flags] [LOCK...]

  STATE    held     it has a holder, which has renewed it in time
           overdue  it was not renewed in time, by this machine's clock: the holder has
                    crashed, or clocks differ. -watch finds out which
           expired  it was watched, and not renewed for a whole lease: the next process
                    that tries takes it over (-watch only)
           free     it has no holder; OWNER is the last one
  RENEWED  how long ago, by the holder's clock; with -watch since the change was seen
  LEASE    how long after the last renewal others may take the lock over; or the session
           whose heartbeats renew it

flags:
`

type statusFlags struct {
	store
	json, watch bool
	every       time.Duration
	names       []string
}

func statusMain(args []string, t *terminal) error {
	f := &statusFlags{}
	flags := flag.NewFlagSet("lockrun status", flag.ContinueOnError)
	f.register(flags)
	flags.BoolVar(&f.json, "json", false, "print JSON; with -watch one line at a time")
	flags.BoolVar(&f.watch, "watch", false, "go on, and show what changes, until Ctrl-C")
	flags.DurationVar(&f.every, "every", 2*time.Second, "with -watch: how often to read the table")
	if err := t.parse(flags, statusHead, args); err != nil {
		return err
	}
	f.names = flags.Args()
	if f.every < 100*time.Millisecond {
		return usageError(fmt.Sprintf("-every is %v: give 100ms or more", f.every))
	}
	client, err := f.connect()
	if err != nil {
		return err
	}
	ctx, stop := untilInterrupted()
	defer stop()
	if f.watch {
		return watch(ctx, f, client, t)
	}
	locks, err := f.read(ctx, client)
	if err != nil {
		return err
	}
	rows := make([]row, len(locks))
	for i, lock := range locks {
		rows[i] = newRow(lock, time.Now())
	}
	if f.json {
		encoder := json.NewEncoder(t.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(rows)
	}
	if len(rows) == 0 {
		fmt.Fprintf(t.out, "no locks in %v\n", &f.store)
		return nil
	}
	return printRows(t.out, rows)
}

// read reads the locks that are to be shown, in the order of their names. A lock that was asked for
// and is not in the table is free: it was never taken, or its item was deleted.
func (f *statusFlags) read(ctx context.Context, client dynamodbiface.DynamoDBAPI) (locks []*lockclient.LockItem, err error) {
	err = within(ctx, f.timeout, func(ctx context.Context) error {
		for item, err := range lockclient.Locks(ctx, client, f.table) {
			if err != nil {
				return err
			}
			if len(f.names) == 0 || slices.Contains(f.names, item.Name) {
				locks = append(locks, item)
			}
		}
		return nil
	})
	for _, name := range f.names {
		if !slices.ContainsFunc(locks, func(item *lockclient.LockItem) bool { return item.Name == name }) {
			locks = append(locks, &lockclient.LockItem{Name: name, Released: true})
		}
	}
	slices.SortFunc(locks, func(a, b *lockclient.LockItem) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.SortKeyValue, b.SortKeyValue))
	})
	return locks, err
}

// row is one lock as it is shown. The names of its fields are those of -json, and stay.
type row struct {
	Name         string     `json:"name"`
	SortKey      string     `json:"sortKey,omitempty"`
	State        string     `json:"state"`
	Owner        string     `json:"owner"`
	FencingToken int64      `json:"fencingToken,omitempty"`
	LeaseMillis  int64      `json:"leaseMillis,omitempty"`
	Session      string     `json:"session,omitempty"`   // whose heartbeats renew the lock; its own item tells if it lives
	RenewedAt    *time.Time `json:"renewedAt,omitempty"` // by the holder's clock, or with -watch when it was seen
	ExpiresAt    *time.Time `json:"expiresAt,omitempty"`

	renewed time.Duration // ago; below 0: not known
}

const (
	stateFree    = "free"
	stateHeld    = "held"
	stateOverdue = "overdue"
	stateExpired = "expired"
)

// endless is the lease of a lock that a session keeps, or longer: it says nothing about the holder.
const endless = 365 * 24 * time.Hour

func newRow(lock *lockclient.LockItem, now time.Time) row {
	r := row{Name: lock.Name, SortKey: lock.SortKeyValue, State: stateHeld, Owner: lock.Owner, FencingToken: lock.FencingToken, Session: lock.Session, renewed: -1}
	if lock.LeaseDuration < endless {
		r.LeaseMillis = lock.LeaseDuration.Milliseconds()
	}
	if lock.Released {
		r.State = stateFree
		return r
	}
	if !lock.ExpiresAt.IsZero() && r.LeaseMillis > 0 {
		expires := lock.ExpiresAt.UTC()
		renewed := expires.Add(-lock.LeaseDuration)
		r.ExpiresAt, r.RenewedAt, r.renewed = &expires, &renewed, max(now.Sub(renewed), 0)
		if now.After(expires) {
			r.State = stateOverdue
		}
	}
	return r
}

func printRows(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tOWNER\tTOKEN\tLEASE\tRENEWED")
	for _, r := range rows {
		name, token, lease, renewed := printable(r.Name), "-", "-", "-"
		if r.SortKey != "" {
			name += " " + printable(r.SortKey)
		}
		if r.FencingToken > 0 {
			token = fmt.Sprint(r.FencingToken)
		}
		switch {
		case r.Session != "" && r.State != stateFree:
			lease = "session " + printable(r.Session)
		case r.LeaseMillis > 0:
			lease = (time.Duration(r.LeaseMillis) * time.Millisecond).String()
		}
		if r.renewed >= 0 {
			renewed = r.renewed.Round(roundingOf(r.renewed)).String() + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", name, r.State, cmp.Or(printable(r.Owner), "-"), token, lease, renewed)
	}
	return w.Flush()
}

func roundingOf(d time.Duration) time.Duration {
	if d < time.Minute {
		return 100 * time.Millisecond
	}
	return time.Second
}

// printable keeps what others wrote into the table from writing on the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
