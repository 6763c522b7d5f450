package cron

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// Config says which jobs there are, and where their records are. New copies it.
type Config struct {
	// Client sends the requests. Required.
	Client dynamodbiface.DynamoDBAPI

	// TableName is the table of the election's lock, or another one of the same account and Region.
	// Required.
	TableName string

	// PartitionKeyName is the table's partition key, a string. The table has no sort key. "":
	// "key".
	PartitionKeyName string

	// Prefix is put before a job's name to make the key of its record. Programs that share a table
	// need different ones. "": "cron/".
	Prefix string

	// Jobs run at the same time, and each has its own name. All processes must have the same jobs.
	// A job that only some of them have runs when one of those leads. Required.
	Jobs []Job

	// Location is the time zone of the times that schedules are asked with. It matters to schedules
	// without a zone of their own, such as robfig/cron's: all processes must have the same. nil:
	// UTC.
	Location *time.Location

	// Logger gets, at V(0), runs that were interrupted or took too long, and missed ticks; at V(1),
	// each run; and as errors what failed. The zero Logger is silent.
	Logger logr.Logger

	// Clock is the machine's time. nil: the system's. For tests.
	Clock election.Clock
}

// Cron runs jobs while its process leads. Make it with New. Its methods are safe for concurrent
// use.
type Cron struct {
	jobs     []Job
	store    store
	location *time.Location
	clock    election.Clock
	log      logr.Logger
}

// New checks the configuration. It sends no request. The error is ErrInvalidConfig, and names all
// fields that don't fit.
func New(config Config) (*Cron, error) {
	c := &Cron{
		jobs:     append([]Job(nil), config.Jobs...),
		store:    store{client: config.Client, table: config.TableName, keyName: config.PartitionKeyName, prefix: config.Prefix},
		location: config.Location, clock: config.Clock, log: config.Logger,
	}
	if c.store.keyName == "" {
		c.store.keyName = "key"
	}
	if c.store.prefix == "" {
		c.store.prefix = "cron/"
	}
	if c.location == nil {
		c.location = time.UTC
	}
	if c.clock == nil {
		c.clock = lease.System()
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	return c, nil
}

func (c *Cron) check() error {
	var wrong []error
	refuse := func(when bool, field, format string, args ...any) {
		if when {
			wrong = append(wrong, fmt.Errorf("%s %s", field, fmt.Sprintf(format, args...)))
		}
	}
	v := reflect.ValueOf(c.store.client)
	refuse(c.store.client == nil || v.Kind() == reflect.Pointer && v.IsNil(), "Client", "is nil: give a DynamoDB client, e.g. dynamodb.New(session)")
	refuse(c.store.table == "", "TableName", `is "": name a table (lockclient.EnsureTable makes one)`)
	refuse(len(c.store.prefix) > longestName, "Prefix", "has %d bytes: give at most %d", len(c.store.prefix), longestName)
	refuse(len(c.jobs) == 0, "Jobs", "is empty: give at least one")
	seen := map[string]bool{}
	for i := range c.jobs {
		j := &c.jobs[i]
		wrong = append(wrong, j.check(c.now()))
		refuse(seen[j.Name], "Jobs", "has job %q twice: give each job a name of its own", j.Name)
		seen[j.Name] = true
	}
	return errors.Join(wrong...)
}

func (c *Cron) now() time.Time { return c.clock.Wall().In(c.location) }

// Lead runs the jobs until the leading context ends and the runs under way have returned. It is an
// OnStartedLeading, or part of one. If ctx is not a leading context (election.TermFromContext), it
// logs an error and returns.
//
// A job that panics makes Lead panic, as if OnStartedLeading itself had: the elector then releases
// the lock, and the process ends. The run counts as interrupted.
func (c *Cron) Lead(ctx context.Context) {
	term, ok := election.TermFromContext(ctx)
	if !ok {
		c.log.Error(election.ErrLockLost, "jobs are not run: Lead needs the context of OnStartedLeading")
		return
	}
	var jobs sync.WaitGroup
	panicked := make(chan string, len(c.jobs))
	for i := range c.jobs {
		w := &worker{Cron: c, job: &c.jobs[i], term: term}
		w.log = c.log.WithValues("job", w.job.Name)
		jobs.Add(1)
		go func() {
			defer jobs.Done()
			if why := w.guarded(ctx); why != "" {
				panicked <- why
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		jobs.Wait()
	}()
	select {
	case why := <-panicked:
		panic(why)
	case <-done:
	}
	select {
	case why := <-panicked: // both at once
		panic(why)
	default:
	}
}

// guarded runs a job's loop. It returns why the loop panicked, or "".
func (w *worker) guarded(ctx context.Context) (why string) {
	returned := false
	defer func() {
		if returned {
			return
		}
		thrown := recover()
		if thrown == nil {
			thrown = "runtime.Goexit was called"
		}
		why = fmt.Sprintf("cron: job %q panicked: %v\n%s", w.job.Name, thrown, debug.Stack())
	}()
	w.work(ctx)
	returned = true
	return ""
}

// Record reads the record of a job, whether this process leads or not. nil: no leader has seen the
// job yet.
func (c *Cron) Record(ctx context.Context, job string) (*Record, error) {
	return c.store.read(ctx, job)
}
