package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// childMark is set in the environment of a replica that a demo has started.
const childMark = "LEADERKIT_DEMO_REPLICA"

// IsReplica says that this process was started by Crew.Start.
func IsReplica() bool { return ReplicaName() != "" }

// ReplicaName is the name that Crew.Start was given for this process; "" if it was not started so.
func ReplicaName() string { return os.Getenv(childMark) }

// orphanPatience is how long a replica whose demo is gone may still wind down.
const orphanPatience = 2 * time.Second

// Context ends on SIGTERM and on an interrupt, and in a replica also when its demo is gone: then
// the pipe on its standard input closes, however the demo came to its end.
func Context() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	if !IsReplica() {
		return ctx, stop
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
		time.Sleep(orphanPatience)
		os.Exit(1)
	}()
	return ctx, func() { cancel(); stop() }
}

// Crew is a set of replicas: processes of this very program. None of them outlives Close.
type Crew struct {
	story  *Story
	failed chan error

	mu        sync.Mutex // guards processes
	processes []*Process
}

// NewCrew makes a crew whose members are heard in the story.
func NewCrew(story *Story) *Crew { return &Crew{story: story, failed: make(chan error, 1)} }

// Failed tells of a replica that ended on its own.
func (c *Crew) Failed() <-chan error { return c.failed }

// Process is one replica.
type Process struct {
	Name string

	crew  *Crew
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when the process has ended and all that it said was read
	err   error         // how it ended; set before done is closed

	mu    sync.Mutex // guards ended
	ended bool       // it was told to end
}

// Start runs this program once more, with these arguments. heard is given each line of its standard
// output, one at a time; its standard error goes into the story, as does its output if heard is
// nil.
func (c *Crew) Start(name string, heard func(line string), args ...string) (*Process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	p := &Process{Name: name, crew: c, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childMark+"="+name)
	stdout, err1 := p.cmd.StdoutPipe()
	stderr, err2 := p.cmd.StderrPipe()
	stdin, err3 := p.cmd.StdinPipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	say := func(line string) { c.story.Tell(name, "%s", line) }
	if heard == nil {
		heard = say
	}
	c.mu.Lock()
	c.processes = append(c.processes, p)
	c.mu.Unlock()
	go p.attend(stdout, stderr, heard, say)
	return p, nil
}

// attend reads what the process says until it has ended.
func (p *Process) attend(stdout, stderr io.Reader, heard, say func(string)) {
	var readers sync.WaitGroup
	for _, r := range []struct {
		from io.Reader
		to   func(string)
	}{{stdout, heard}, {stderr, say}} {
		readers.Go(func() {
			lines := bufio.NewScanner(r.from)
			for lines.Scan() {
				r.to(lines.Text())
			}
			_, _ = io.Copy(io.Discard, r.from) // what a scanner refuses, so that the process is not blocked
		})
	}
	readers.Wait()
	p.err = p.cmd.Wait()
	p.mu.Lock()
	unexpected := !p.ended
	p.mu.Unlock()
	if unexpected {
		select {
		case p.crew.failed <- fmt.Errorf("replica %s ended on its own: %v", p.Name, p.cmd.ProcessState):
		default:
		}
	}
	close(p.done)
}

// Kill ends the process as a crash would (SIGKILL) and waits until it is gone.
func (p *Process) Kill() {
	p.expectEnd()
	_ = p.cmd.Process.Kill() // fails only if it has ended already
	<-p.done
	_ = p.stdin.Close()
}

// Terminate asks the process to end, as Kubernetes and ECS do (SIGTERM), and does not wait.
func (p *Process) Terminate() {
	p.expectEnd()
	if p.cmd.Process.Signal(syscall.SIGTERM) != nil {
		_ = p.stdin.Close() // where there are no signals: a replica without its demo winds down, too
	}
}

// Wait waits for a process that was told to end. The error is its exit code, or ctx's end.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		_ = p.stdin.Close()
		if p.err != nil {
			return fmt.Errorf("replica %s did not end well: %w", p.Name, p.err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("replica %s does not end: %w", p.Name, context.Cause(ctx))
	}
}

func (p *Process) expectEnd() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
}

// Close kills whatever is left of the crew and waits until it is gone.
func (c *Crew) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.processes {
		p.expectEnd()
		_ = p.cmd.Process.Kill()
	}
	for _, p := range c.processes {
		<-p.done
		_ = p.stdin.Close()
	}
}
