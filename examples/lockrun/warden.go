//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// The warden is a second process of this program, which ends the command's process group where
// lockrun can't: because it was killed, or because it stands still until the lease is nearly over.
// It is in a session of its own, so that no terminal stops it.
//
//	lockrun ◄──────"ready"─────────────────────────────────── warden    then the command is started
//	        ──"guard 4711 1764096000000000000 19700000000"──► warden    with each renewal: the group, the time, and for how many
//	                                                                    nanoseconds the lease lasts from then on
//	        ──"done"────────────────────────────────────────►           all processes of the group have ended
//	        ──end of file───────────────────────────────────►           lockrun has ended: SIGTERM, the grace, SIGKILL
const wardenCommand = "warden"

// warden is lockrun's end of it. One goroutine uses it.
type warden struct {
	process *exec.Cmd
	pipe    *os.File  // to it
	ready   chan bool // true when it says that it is ready, false when it ends before
}

// startWarden starts a warden that knows of no group yet.
func startWarden(d *deadline) (*warden, error) {
	program, err := ownProgram()
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	w := &warden{pipe: write, ready: make(chan bool, 1), process: exec.Command(program, wardenCommand, d.grace.String(), d.margin.String())}
	w.process.Stdin, w.process.Stderr = read, os.Stderr
	w.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	said, err := w.process.StdoutPipe()
	if err == nil {
		err = w.process.Start()
	}
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	go func() { // ends with the warden
		n, _ := said.Read(make([]byte, 1))
		w.ready <- n == 1
	}()
	return w, nil
}

// isReady waits until the warden is ready. false: it does not get so in time.
func (w *warden) isReady(patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case ready := <-w.ready:
		return ready
	case <-timer.C:
		return false
	}
}

// guard tells the warden how long the lease of a process group lasts. false: the warden is gone, or
// does not listen.
func (w *warden) guard(group int, left time.Duration) bool {
	return w.tell(fmt.Sprintf("guard %d %d %d\n", group, time.Now().UnixNano(), left))
}

func (w *warden) tell(line string) bool {
	// The warden reads at once, and its pipe has room for a thousand lines: only one that stands
	// still makes this wait.
	_ = w.pipe.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := w.pipe.WriteString(line)
	return err == nil
}

// dismiss ends the warden, whose group is empty.
func (w *warden) dismiss() {
	w.tell("done\n")
	_ = w.pipe.Close()
	timer := time.AfterFunc(time.Second, w.kill)
	defer timer.Stop()
	_ = w.process.Wait()
}

// discard ends a warden that does not listen, before another one takes its place.
func (w *warden) discard() {
	w.kill()
	_ = w.pipe.Close()
	_ = w.process.Wait()
}

func (w *warden) kill() { _ = w.process.Process.Kill() }

// wardenMain is the warden's process.
func wardenMain(args []string, t *terminal) int {
	// Whoever ends a terminal, a service or a container signals lockrun as well.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	w, err := parseWarden(args)
	if err != nil {
		return t.verdict(err)
	}
	fmt.Fprintln(t.out, "ready")
	reports := make(chan report)
	ended := make(chan bool, 1) // true: nothing is left to do
	go func() { ended <- listen(t.in, reports) }()
	why, done := w.watch(reports, ended)
	if done {
		return exitOK
	}
	t.say("%s: ending the command", why)
	w.end()
	return exitOK
}

// watcher is the warden's end of it.
type watcher struct {
	group    int // 0: none yet
	deadline deadline
	clock    lease.Clock
}

func parseWarden(args []string) (*watcher, error) {
	if len(args) != 2 {
		return nil, usageError("warden is started by lockrun itself")
	}
	grace, err1 := time.ParseDuration(args[0])
	margin, err2 := time.ParseDuration(args[1])
	return &watcher{clock: lease.System(), deadline: deadline{grace: grace, margin: margin}}, errors.Join(err1, err2)
}

// report is what lockrun tells.
type report struct {
	group int
	left  time.Duration
}

// listen hands reports on. It returns true for "done", and false when lockrun is gone.
func listen(in io.Reader, reports chan<- report) (done bool) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var group int
		var at, left int64
		if _, err := fmt.Sscanf(lines.Text(), "guard %d %d %d", &group, &at, &left); err == nil && group > 1 {
			// It may have lain in the pipe while this process stood still.
			reports <- report{group, time.Duration(left) - max(time.Since(time.Unix(0, at)), 0)}
		} else if lines.Text() == "done" {
			return true
		}
	}
	return false
}

// watch waits until lockrun is gone or the lease is nearly over. While lockrun lives it ends the
// command in time by itself, so half of its margin is left to it.
func (w *watcher) watch(reports <-chan report, ended <-chan bool) (why string, done bool) {
	tick := time.NewTicker(wardenTick(w.deadline.margin))
	defer tick.Stop()
	for {
		select {
		case r := <-reports:
			w.group = r.group
			w.deadline.renewed(r.left, lease.Now(w.clock))
		case done := <-ended:
			return "lockrun has ended", done || w.group == 0
		case <-tick.C:
			if w.group != 0 && w.deadline.remains(lease.Now(w.clock)) <= w.deadline.margin/2 {
				return "lockrun has stopped running and the lease is nearly over", false
			}
		}
	}
}

// end asks the group to end, and kills it before the lease is over.
func (w *watcher) end() {
	tick := time.NewTicker(wardenTick(w.deadline.margin))
	defer tick.Stop()
	for !isGone(w.group) {
		switch w.deadline.next(false, lease.Now(w.clock)) {
		case sendTerm:
			terminateGroup(w.group)
		case sendKill:
			killGroup(w.group)
			if w.deadline.remains(lease.Now(w.clock)) < -wardenPatience {
				return // zombies that no parent waits for, or a process that hangs in the kernel
			}
		}
		<-tick.C
	}
}

const wardenPatience = 10 * time.Second

func wardenTick(margin time.Duration) time.Duration { return max(margin/4, 2*time.Millisecond) }
