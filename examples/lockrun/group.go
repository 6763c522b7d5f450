//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// group is the process group of the command: the command, and the processes that it started and
// that did not leave the group.
type group struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the command, not all of its group, has ended
}

// startGroup starts a command as the leader of a group of its own. It must be called on a thread
// that lasts as long as lockrun does, because on Linux the command's death signal comes when the
// thread ends.
func startGroup(command, environment []string) (*group, error) {
	g := &group{cmd: exec.Command(command[0], command[1:]...), exited: make(chan struct{})}
	g.cmd.Env = environment
	// Files, not pipes: the command writes on where lockrun is gone.
	g.cmd.Stdin, g.cmd.Stdout, g.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(g.cmd.SysProcAttr)
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = g.cmd.Wait() // the state says how it ended
		close(g.exited)
	}()
	return g, nil
}

func (g *group) id() int { return g.cmd.Process.Pid }

// hasExited reports whether the command has ended.
func (g *group) hasExited() bool {
	select {
	case <-g.exited:
		return true
	default:
		return false
	}
}

// isEmpty reports whether the command and all processes of its group have ended.
func (g *group) isEmpty() bool {
	if !g.hasExited() {
		return false
	}
	for { // lockrun is the parent of the group's orphans, and must wait for them
		if pid, err := syscall.Wait4(-g.id(), nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			break
		}
	}
	return isGone(g.id())
}

// code is the exit code of a command that has ended, as a shell would give it.
func (g *group) code() int {
	status, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return exitSignal + int(status.Signal())
	}
	return g.cmd.ProcessState.ExitCode()
}

// forward hands a signal on. Those that end a process go to the whole group, as a terminal sends
// them.
func (g *group) forward(s syscall.Signal) {
	if s == syscall.SIGUSR1 || s == syscall.SIGUSR2 {
		_ = g.cmd.Process.Signal(s) // it may have ended
		return
	}
	signalGroup(g.id(), s)
}

// terminateGroup asks all processes of a group to end. Those that are stopped could not hear it.
func terminateGroup(id int) {
	signalGroup(id, syscall.SIGTERM)
	signalGroup(id, syscall.SIGCONT)
}

func killGroup(id int) { signalGroup(id, syscall.SIGKILL) }

// signalGroup can only fail because no process is left, or because a process has another user now,
// which root alone may signal.
func signalGroup(id int, s syscall.Signal) { _ = syscall.Kill(-id, s) }

// isGone reports whether no process of a group is left.
func isGone(id int) bool { return errors.Is(syscall.Kill(-id, 0), syscall.ESRCH) }

// environment is that of the command.
func environment(name, owner string, token int64) []string {
	return append(os.Environ(), "LOCK_NAME="+name, "LOCK_OWNER="+owner, fmt.Sprintf("LOCK_TOKEN=%d", token))
}
