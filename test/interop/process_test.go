package interop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a contender in a process of its own, driven over stdin and stdout: the Java program,
// or a Go one (worker_test.go) that obeys the same commands.
type process struct {
	who    string
	ledger *ledger
	cmd    *exec.Cmd
	stdin  io.WriteCloser

	turn    sync.Mutex // one command at a time
	answers chan string
	ended   chan struct{} // closed when all of its stdout has been read

	// The process's clock, for the ledger: a reading x of it was taken between x+early and x+late
	// of ours.
	early, late time.Duration
}

// answerPatience is how long any answer may take on a busy machine, beyond what the command asks
// for.
const answerPatience = 45 * time.Second

func startProcess(who string, l *ledger, cmd *exec.Cmd, stderr io.Writer) (*process, error) {
	p := &process{who: who, ledger: l, cmd: cmd, answers: make(chan string, 1), ended: make(chan struct{}), early: math.MinInt64, late: math.MaxInt64}
	cmd.Stderr = stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.listen(stdout)
	for range 10 {
		before := clock()
		answer, err := p.ask("clock", 0)
		after := clock()
		if err != nil {
			p.kill()
			return nil, err
		}
		theirs, err := strconv.ParseInt(answer, 10, 64)
		if err != nil {
			p.kill()
			return nil, err
		}
		// Each exchange narrows it down, whatever the others said.
		p.early, p.late = max(p.early, before-time.Duration(theirs)), min(p.late, after-time.Duration(theirs))
	}
	return p, nil
}

// listen passes what the process believes on to the ledger, and everything else to whoever has
// asked.
func (p *process) listen(stdout io.Reader) {
	defer close(p.ended)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		at := func(i int) time.Duration {
			if i >= len(words) {
				return 0
			}
			n, _ := strconv.ParseInt(words[i], 10, 64)
			return time.Duration(n)
		}
		switch {
		case len(words) == 0:
		case words[0] == "belief":
			// To avoid a false alarm: it began rather later, and lasted rather shorter.
			p.ledger.believes(p.who, int64(at(1)), at(2)+p.early, at(3)+p.late, at(4)+p.early)
		case words[0] == "yield":
			p.ledger.yields(p.who, int64(at(1)), at(2)+p.early)
		case words[0] == "lost":
		default:
			p.answers <- lines.Text()
		}
	}
}

// ask sends a command and returns its answer without the first word, which says what kind of answer
// it is.
func (p *process) ask(command string, takes time.Duration) (string, error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	if _, err := fmt.Fprintln(p.stdin, command); err != nil {
		return "", err
	}
	timer := time.NewTimer(takes + answerPatience)
	defer timer.Stop()
	select {
	case answer := <-p.answers:
		kind, rest, _ := strings.Cut(answer, " ")
		switch kind {
		case "error":
			return "", fmt.Errorf("%s: %s: %s", p.who, command, rest)
		case "refused":
			return "", errRefused
		}
		return rest, nil
	case <-p.ended:
		return "", fmt.Errorf("%s has ended instead of answering %q", p.who, command)
	case <-timer.C:
		return "", fmt.Errorf("%s does not answer %q", p.who, command)
	}
}

var errRefused = errors.New("refused")

func (p *process) granted(command string, takes time.Duration) (bool, string, error) {
	data, err := p.ask(command, takes)
	if errors.Is(err, errRefused) {
		return false, "", nil
	}
	return err == nil, data, err
}

func (p *process) try() (bool, string, error) { return p.granted("try", 0) }

func (p *process) wait(d time.Duration) (bool, string, error) {
	return p.granted(fmt.Sprintf("wait %d", d.Milliseconds()), d)
}

func (p *process) store(data string) error {
	_, err := p.ask("store "+data, 0)
	return err
}

func (p *process) release() (bool, error) {
	answer, err := p.ask("release", 0)
	return answer == "true", err
}

func (p *process) contend(d time.Duration) (t tally, err error) {
	answer, err := p.ask(fmt.Sprintf("contend %d", d.Milliseconds()), d)
	if err != nil {
		return t, err
	}
	_, err = fmt.Sscan(answer, &t.tenures, &t.increments, &t.late, &t.conflicts)
	return t, err
}

// kill is SIGKILL; it returns when all that the process has said is in the ledger.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}

func (p *process) stop() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) cont() error { return p.cmd.Process.Signal(os.Signal(syscall.SIGCONT)) }

// number reads an attribute's number.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
