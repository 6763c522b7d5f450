package chaos

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/test/dynamolocal"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"golang.org/x/sys/unix"
)

// Engine is what the workers' requests arrive at, behind their proxies.
type Engine interface {
	Address() string // host:port
	Close()
}

// OwnEngine is one that the suite has started and may break.
type OwnEngine interface {
	Engine
	Name() string
	// Freeze stops the engine's process and continues it after d.
	Freeze(d time.Duration) error
	// Restart takes the engine down the hard way, keeps it down for d and brings it up again, with
	// its tables.
	Restart(d time.Duration) error
}

// endpoint is an engine that somebody else has started.
type endpoint string

func (e endpoint) Address() string {
	return strings.TrimSuffix(strings.TrimPrefix(string(e), "http://"), "/")
}
func (endpoint) Close() {}

const engineVariable = "LEADERKIT_CHAOS_ENGINE"

// runEngine is a process that serves dynamotest. It says its address on stdout and obeys "down" and
// "up" on stdin; it ends with stdin.
func runEngine() error {
	engine := dynamotest.New()
	port, err := freePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	up := func() (*http.Server, error) {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		server := &http.Server{Handler: engine, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }() // ends with the server
		fmt.Println(address)
		return server, nil
	}
	server, err := up()
	if err != nil {
		return err
	}
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		switch commands.Text() {
		case "down":
			_ = server.Close()
			fmt.Println("down")
		case "up":
			if server, err = up(); err != nil {
				return err
			}
		}
	}
	return commands.Err()
}

// freePort finds a port for an engine that will be away for a while and must find it free when it
// comes back: one below those that systems hand out to clients.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(10000)
		var listener net.Listener
		if listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			return port, listener.Close()
		}
	}
	return 0, err
}

// memoryEngine is dynamotest in a process of its own.
type memoryEngine struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	replies *bufio.Scanner
	address string
}

func startMemoryEngine() (*memoryEngine, error) {
	e := &memoryEngine{process: exec.Command(os.Args[0])}
	e.process.Env = append(os.Environ(), engineVariable+"=1")
	e.process.Stderr = os.Stderr
	stdin, err := e.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := e.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	e.stdin, e.replies = stdin, bufio.NewScanner(stdout)
	if err := e.process.Start(); err != nil {
		return nil, err
	}
	if e.address, err = e.reply(); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *memoryEngine) reply() (string, error) {
	if !e.replies.Scan() {
		return "", fmt.Errorf("chaos: the engine's process has ended: %w", e.replies.Err())
	}
	return e.replies.Text(), nil
}

func (e *memoryEngine) Address() string { return e.address }
func (e *memoryEngine) Name() string    { return "dynamotest" }

func (e *memoryEngine) Close() {
	_ = e.stdin.Close()
	_ = e.process.Wait()
}

func (e *memoryEngine) Freeze(d time.Duration) error {
	if err := e.process.Process.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	<-time.After(d)
	return e.process.Process.Signal(unix.SIGCONT)
}

func (e *memoryEngine) Restart(d time.Duration) error {
	if err := e.tell("down"); err != nil {
		return err
	}
	<-time.After(d)
	return e.tell("up")
}

func (e *memoryEngine) tell(command string) error {
	if _, err := fmt.Fprintln(e.stdin, command); err != nil {
		return err
	}
	_, err := e.reply()
	return err
}

// localEngine is DynamoDB Local with its tables in a folder.
type localEngine struct {
	*dynamolocal.Server
	port   int
	folder string
}

func startLocalEngine(folder string) (*localEngine, error) {
	server, err := dynamolocal.Start(context.Background(), dynamolocal.WithFolder(folder))
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(endpoint(server.URL).Address())
	if err != nil {
		return nil, err
	}
	e := &localEngine{Server: server, folder: folder}
	e.port, err = strconv.Atoi(port)
	return e, err
}

func (e *localEngine) Address() string { return endpoint(e.URL).Address() }
func (e *localEngine) Name() string    { return e.String() }

func (e *localEngine) Freeze(d time.Duration) error {
	if err := e.Pause(); err != nil {
		return err
	}
	<-time.After(d)
	return e.Resume()
}

func (e *localEngine) Restart(d time.Duration) (err error) {
	e.Close()
	<-time.After(d)
	e.Server, err = dynamolocal.Start(context.Background(), dynamolocal.WithFolder(e.folder), dynamolocal.WithPort(e.port))
	return err
}
