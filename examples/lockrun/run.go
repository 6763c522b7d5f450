//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// runMain is lockrun without a sub-command.
func runMain(args []string, t *terminal) int {
	f, err := t.parseRun(args)
	if err != nil {
		return t.verdict(err)
	}
	client, err := f.connect()
	if err != nil {
		return t.verdict(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	s := catchSignals(func(s syscall.Signal) { cancel(signalError{s}) })
	defer s.stop()

	lock := newLock(f, client)
	if err := acquire(ctx, f, lock); err != nil {
		code := t.verdict(err)
		if code == exitHeld {
			return f.heldCode
		}
		return code
	}
	r := &run{terminal: t, runFlags: f, lock: lock, signals: s, acquired: time.Now(), clock: lease.System()}
	r.deadline = deadline{grace: f.grace, margin: marginOf(f.lease)}
	return r.runCommand(ctx)
}

// run is one command under a lock that is held.
type run struct {
	*terminal
	*runFlags
	lock     *lockclient.DynamoDBLockClient
	signals  *signals
	clock    lease.Clock
	acquired time.Time

	group    *group
	warden   *warden
	deadline deadline
	window   time.Duration // how long a renewal is good for
	age      time.Duration // of the lease, when it was last looked at
	cut      bool          // the command was told to end because of the lock
	waiting  bool          // for what the command has left behind
}

// runCommand starts the command, supervises it, and releases the lock.
func (r *run) runCommand(ctx context.Context) int {
	code, started := r.start(ctx)
	if started {
		r.supervise()
		r.warden.dismiss()
		code = r.group.code()
		if held, why := r.lock.HasLock(); !held && !r.cut {
			// This process stood still, and the warden has ended the command; or the command was
			// quicker by itself.
			r.say("%v, and the command has ended (%v)", why, r.group.cmd.ProcessState)
			r.cut = true
		}
		if r.cut {
			code = exitLost
		}
		r.keep()
	}
	r.release()
	return code
}

// start starts the warden and then the command. code is the exit code if that fails.
func (r *run) start(ctx context.Context) (code int, started bool) {
	timing, err := r.lock.Timing()
	if err != nil {
		return r.verdict(err), false
	}
	r.window = timing.Window
	if r.warden, err = startWarden(&r.deadline); err != nil {
		return r.verdict(startError{fmt.Errorf("the command was not run, because the warden (a second process) could not be started: %w", err)}), false
	}
	if !r.warden.isReady(r.lease / 3) {
		r.warden.discard()
		return r.verdict(startError{errors.New("the command was not run, because the warden (a second process) was not ready in time")}), false
	}
	adoptOrphans()
	token, held := r.lock.FencingToken()
	left, fresh := leftOf(r.lock, r.window)
	if !held || !fresh || left <= r.deadline.grace+r.deadline.margin {
		r.say("the lease of lock %q was nearly over before the command could be run: this machine or DynamoDB is too slow for a lease of %v", r.name, r.lease)
		code = exitLost
	} else if err := r.startCommand(ctx, token); err == nil {
		r.renewed(left)
		return 0, true
	} else {
		code = r.verdict(err)
	}
	r.warden.dismiss()
	return code, false
}

// startCommand starts the command, unless a signal has come since the lock was acquired.
func (r *run) startCommand(ctx context.Context, token int64) error {
	return r.signals.handOver(func() (func(syscall.Signal), error) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var err error
		r.group, err = startGroup(r.command, environment(r.name, r.lock.Identity(), token))
		if err != nil {
			return nil, startError{err}
		}
		return r.group.forward, nil
	})
}

// supervise returns when the command and its group have ended. It ends them in time if the lock is
// lost.
func (r *run) supervise() {
	tick := time.NewTicker(max(r.deadline.margin/4, 2*time.Millisecond))
	defer tick.Stop()
	lost, exited := r.lock.Lost(), r.group.exited
	for !r.group.isEmpty() {
		r.look()
		if r.group.hasExited() && !r.waiting && !r.cut {
			r.waiting = true
			r.say("the command has ended, but has left behind other processes (process group %d). The lock is kept until they end", r.group.id())
		}
		select {
		case <-tick.C:
		case <-exited:
			exited = nil // from now on the ticks look for the rest of the group
		case <-lost:
			lost = nil
		}
	}
}

// look asks the lock how long its lease goes on, and ends the group if that is too short.
func (r *run) look() {
	left, held := leftOf(r.lock, r.window)
	if age := r.window - left; held && age < r.age {
		r.renewed(left)
	} else if held {
		r.age = age
	}
	switch r.deadline.next(held, lease.Now(r.clock)) {
	case sendTerm:
		r.cut = true
		if held {
			r.say("lock %q could not be renewed for %v: ending the command (SIGTERM)", r.name, r.age.Round(time.Millisecond))
		} else {
			r.say("%v: ending the command (SIGTERM)", r.lock.LockError())
		}
		terminateGroup(r.group.id())
	case sendKill:
		if !r.cut {
			r.say("the lease of lock %q is over: killing the command (SIGKILL)", r.name)
		}
		r.cut = true
		killGroup(r.group.id())
	}
}

// renewed notes a renewal of the lease and tells the warden.
func (r *run) renewed(left time.Duration) {
	r.age = r.window - left
	r.deadline.renewed(left, lease.Now(r.clock))
	if r.warden.guard(r.group.id(), left) {
		return
	}
	r.say("the warden, which ends the command if lockrun is killed, has ended: starting another one")
	r.warden.discard()
	w, err := startWarden(&r.deadline)
	if err != nil {
		r.say("the warden could not be started, and nothing ends the command if lockrun is killed: %v", err)
		return // the next renewal tries again
	}
	r.warden = w
	w.guard(r.group.id(), left)
}

// keep holds the lock until -hold has passed. A signal ends that: the lock then runs out by itself,
// a lease later.
func (r *run) keep() {
	rest := r.hold - time.Since(r.acquired)
	if rest <= 0 || r.cut {
		return
	}
	interrupted := make(chan struct{})
	var once sync.Once
	_ = r.signals.handOver(func() (func(syscall.Signal), error) {
		return func(syscall.Signal) { once.Do(func() { close(interrupted) }) }, nil
	})
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.lock.Lost():
	case <-interrupted:
		r.lock.StopHeartbeat()
		r.hold = -1
		r.say("interrupted during -hold: lock %q runs out by itself within %v", r.name, r.lease)
	}
}

// release frees the lock, unless it is to run out by itself.
func (r *run) release() {
	if r.hold < 0 {
		return
	}
	if err := within(context.Background(), min(r.timeout, r.lease), r.lock.RemoveLockWithContext); err != nil {
		r.say("lock %q could not be released and runs out by itself within %v: %v", r.name, r.lease, err)
	}
}

// signals are those that lockrun is sent. They go to one handler at a time.
type signals struct {
	caught chan os.Signal
	ended  chan struct{}

	mu      sync.Mutex // guards handler
	handler func(syscall.Signal)
}

func catchSignals(handler func(syscall.Signal)) *signals {
	s := &signals{caught: make(chan os.Signal, 16), ended: make(chan struct{}), handler: handler}
	for _, wanted := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		if !signal.Ignored(wanted) { // as under nohup
			signal.Notify(s.caught, wanted)
		}
	}
	// A lost standard error must not end lockrun, and Ctrl-Z must not stop it: nobody would renew
	// the lock.
	signal.Notify(s.caught, syscall.SIGPIPE, syscall.SIGTSTP)
	go func() {
		defer close(s.ended)
		for caught := range s.caught {
			if caught != syscall.SIGPIPE && caught != syscall.SIGTSTP {
				s.handle(caught.(syscall.Signal))
			}
		}
	}()
	return s
}

func (s *signals) handle(caught syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler(caught)
}

// handOver changes the handler to the one that begin gives. A signal that comes meanwhile waits for
// it. After an error the handler stays.
func (s *signals) handOver(begin func() (func(syscall.Signal), error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	handler, err := begin()
	if err == nil {
		s.handler = handler
	}
	return err
}

func (s *signals) stop() {
	signal.Stop(s.caught)
	close(s.caught)
	<-s.ended
}
