package gocron

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// world is a bubble of virtual time with a table and the processes that share it. A goroutine that
// is left in a bubble fails its test.
type world struct {
	*testing.T
	Gomega
	server    *dynamotest.Engine
	start     time.Time
	processes []*process
	journal   journal
}

const (
	theLease = 15 * time.Second
	theTable = "locks"
)

// virtually runs do in a bubble, and ends the processes that it made.
func virtually(t *testing.T, do func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, Gomega: NewWithT(t), server: dynamotest.New(), start: time.Now()}
		w.journal.now = w.now
		if err := lockclient.EnsureTable(t.Context(), dynamotest.NewClient(w.server), theTable, lockclient.WithoutTTL()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			for _, p := range w.processes {
				p.end()
			}
		}()
		do(w)
	})
}

// now is the virtual time since the bubble began.
func (w *world) now() time.Duration { return time.Since(w.start) }

// until lets time go by until d after the bubble began.
func (w *world) until(d time.Duration) {
	time.Sleep(d - w.now())
	synctest.Wait()
}

// process is a program with a scheduler, and a network connection of its own.
type process struct {
	w         *world
	name      string
	wire      *wire.Wire
	locker    *Locker
	scheduler gocron.Scheduler
	refusals  []error // guarded by journal.mu
}

// process makes one whose locker is as change says.
func (w *world) process(name string, change ...func(*LockerConfig)) *process {
	w.Helper()
	p := &process{w: w, name: name, wire: wire.New(dynamotest.Transport(w.server))}
	config := LockerConfig{
		Client: wire.NewClient(p.wire), TableName: theTable, LeaseDuration: theLease, MinimumHold: time.Second, Prefix: "test/",
		Configure: func(_ string, lock *lockclient.DynamoDBLockClient) { lock.Identifier = name },
	}
	for _, f := range change {
		f(&config)
	}
	var err error
	if p.locker, err = NewLocker(config); err != nil {
		w.Fatal(err)
	}
	p.schedule(gocron.WithDistributedLocker(p.locker))
	return p
}

// schedule gives the process a scheduler, and shuts down the one that it had.
func (p *process) schedule(options ...gocron.SchedulerOption) {
	p.w.Helper()
	if p.scheduler == nil {
		p.w.processes = append(p.w.processes, p)
	} else if err := p.scheduler.Shutdown(); err != nil {
		p.w.Fatal(err)
	}
	var err error
	if p.scheduler, err = gocron.NewScheduler(options...); err != nil {
		p.w.Fatal(err)
	}
	p.scheduler.Start()
}

// every runs a task each interval, for the first time that long after the bubble began.
func (p *process) every(interval, first time.Duration, task gocron.Task, options ...gocron.JobOption) gocron.Job {
	p.w.Helper()
	options = append([]gocron.JobOption{
		gocron.WithName("job"), gocron.WithStartAt(gocron.WithStartDateTime(p.w.start.Add(first))),
		gocron.WithEventListeners(gocron.AfterLockError(func(_ uuid.UUID, _ string, err error) { p.refused(err) })),
	}, options...)
	job, err := p.scheduler.NewJob(gocron.DurationJob(interval), task, options...)
	if err != nil {
		p.w.Fatal(err)
	}
	return job
}

func (p *process) refused(err error) {
	p.w.journal.mu.Lock()
	defer p.w.journal.mu.Unlock()
	p.refusals = append(p.refusals, err)
}

func (p *process) allRefusals() []error {
	p.w.journal.mu.Lock()
	defer p.w.journal.mu.Unlock()
	return slices.Clone(p.refusals)
}

// takes is a task that takes some time.
func (p *process) takes(d time.Duration) gocron.Task {
	return gocron.NewTask(func() { p.work(context.Background(), d) })
}

// work takes some time, and ends earlier if ctx does.
func (p *process) work(ctx context.Context, d time.Duration) {
	leave := p.w.journal.enter(p.name)
	defer leave()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// cut cuts the process off.
func (p *process) cut() { p.wire.SetHook(func(*wire.Call) wire.Fault { return wire.Refuse() }) }

// reconnect undoes cut.
func (p *process) reconnect() { p.wire.SetHook(nil) }

// end shuts the process down.
func (p *process) end() {
	p.reconnect()
	// gocron waits for its jobs in a busy loop, in which virtual time stands still: so none may be
	// left.
	for _, job := range p.scheduler.Jobs() {
		if err := p.scheduler.RemoveJob(job.ID()); err != nil {
			p.w.Errorf("%s: %v", p.name, err)
		}
	}
	time.Sleep(time.Minute)
	if err := p.scheduler.Shutdown(); err != nil {
		p.w.Errorf("%s: shutdown: %v", p.name, err)
	}
	if p.locker != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.locker.Close(ctx); err != nil {
			p.w.Errorf("%s: %v", p.name, err)
		}
	}
	p.wire.Settle()
}

// journal is the runs of a job.
type journal struct {
	now func() time.Duration

	mu    sync.Mutex
	runs  []entry
	alive int
	most  int // at once
}

type entry struct {
	who  string
	from time.Duration
	to   time.Duration // 0: it goes on
}

func (j *journal) enter(who string) (leave func()) { return j.enterAt(who, j.now()) }

func (j *journal) enterAt(who string, from time.Duration) (leave func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.alive++
	j.most = max(j.most, j.alive)
	i := len(j.runs)
	j.runs = append(j.runs, entry{who: who, from: from})
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.alive--
		j.runs[i].to = j.now()
	}
}

// list is the runs so far, in the order of their beginnings.
func (j *journal) list() []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.runs)
}

func (j *journal) atOnce() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.most
}

// perTick counts the runs that began in each interval, from the first to the last that had any.
func (j *journal) perTick(interval time.Duration) (counts []int) {
	for _, e := range j.list() {
		tick := int((e.from + interval/2) / interval)
		for len(counts) <= tick {
			counts = append(counts, 0)
		}
		counts[tick]++
	}
	for len(counts) > 0 && counts[0] == 0 {
		counts = counts[1:]
	}
	return counts
}
