package dynamolocal

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// leash runs a command that cannot outlive the process that started it. A watcher reads the other
// end of a pipe which that process holds open and never writes to. The end of the pipe is the end
// of that process, whatever ended it. So this needs no pid file and no polling, and works in a
// container too.
//
// The command takes the place of the shell and has its pid. It ignores the signals that a terminal
// sends to a group of processes: its owner may still have to clean up. A line in the pipe lets the
// watcher go.
const leash = `echo "pid $$"; exec 3<&0 </dev/null; trap '' HUP INT TERM; ` +
	`(read -r _ <&3 || kill -9 $$) >/dev/null 2>&1 & exec 3<&-; exec "$@"`

// killPatience is how long the watcher has to end the engine.
const killPatience = 10 * time.Second

// process is a command on a leash.
type process struct {
	cmd   *exec.Cmd
	leash io.WriteCloser
	ended chan struct{} // closed when the process has ended and all that it said is in said

	mu   sync.Mutex
	said strings.Builder
}

// startProcess starts a command that has the leash in it.
func startProcess(command []string) (*process, error) {
	p := &process{cmd: exec.Command(command[0], command[1:]...), ended: make(chan struct{})}
	var err error
	if p.leash, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.follow(stdout) // ends with the process
	return p, nil
}

func (p *process) follow(stdout io.Reader) {
	defer close(p.ended)
	_, _ = io.Copy(p, stdout)
	// The process has ended, and its pid is free for another one as soon as Wait has returned: the
	// watcher must not kill that.
	_, _ = io.WriteString(p.leash, "\n")
	_ = p.cmd.Wait()
}

// Write keeps the beginning of what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if room := 16<<10 - p.said.Len(); room > 0 {
		p.said.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// failure says how a process that has ended came to its end.
func (p *process) failure() error {
	said := strings.TrimSpace(p.output())
	return fmt.Errorf("DynamoDB Local has ended (%v); it said:\n%s", p.cmd.ProcessState, said[max(0, len(said)-2000):])
}

// kill returns when the process has ended.
func (p *process) kill() {
	_ = p.leash.Close()
	select {
	case <-p.ended:
	case <-time.After(killPatience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// run runs a command and has what it said in its error.
func run(cmd *exec.Cmd) error {
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(string(said))
	return errors.New(strings.Join([]string{cmd.Args[0] + ": " + err.Error(), text[max(0, len(text)-1000):]}, ": "))
}
