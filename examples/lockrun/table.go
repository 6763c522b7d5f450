package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
)

const createTableHead = `lockrun create-table makes the table, billed on demand, and waits until it can be used.
Of an existing table only the time-to-live setting is changed.

usage: lockrun create-table -table TABLE [flags]

flags:
`

func createTableMain(args []string, t *terminal) error {
	var s store
	flags := flag.NewFlagSet("lockrun create-table", flag.ContinueOnError)
	s.register(flags)
	patience := flags.Duration("wait", 2*time.Minute, "how long to wait until the table can be used")
	if err := t.parse(flags, createTableHead, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return usageError(fmt.Sprintf("%q is one argument too many", flags.Arg(0)))
	}
	client, err := s.connect()
	if err != nil {
		return err
	}
	ctx, stop := untilInterrupted()
	defer stop()
	err = within(ctx, *patience, func(ctx context.Context) error {
		return lockclient.EnsureTable(ctx, client, s.table, lockclient.WithPartitionKeyName(s.key))
	})
	if err == nil {
		fmt.Fprintf(t.out, "%v is ready\n", &s)
	}
	return err
}
