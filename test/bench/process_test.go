package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// What costs memory, connections and CPU is measured in a process that does nothing else. This test
// binary, started again with roleVariable set, plays a role that reads its task from stdin, writes
// its result to stdout, and ends.
const (
	roleVariable = "LEADERKIT_BENCH_ROLE"
	roleServer   = "server"
	roleHolder   = "holder"
	roleV010     = "v0.1.0"
	roleStalled  = "stalled"
)

func play(role string) int {
	var err error
	switch role {
	case roleServer:
		err = serve(os.Stdin, os.Stdout)
	case roleHolder:
		err = perform(os.Stdin, os.Stdout, holdMany)
	case roleV010:
		err = perform(os.Stdin, os.Stdout, holdLikeV010)
	case roleStalled:
		err = perform(os.Stdin, os.Stdout, holdStalled)
	default:
		err = fmt.Errorf("%s is %q: no such role", roleVariable, role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func perform[Task, Result any](in io.Reader, out io.Writer, do func(Task) (Result, error)) error {
	var task Task
	if err := json.NewDecoder(in).Decode(&task); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	result, err := do(task)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// inProcess has another process carry out a task.
func inProcess[Result any](t *testing.T, role string, task any) Result {
	t.Helper()
	result, err := processResult[Result](t.Context(), role, task)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// processResult is inProcess for any goroutine.
func processResult[Result any](ctx context.Context, role string, task any) (result Result, err error) {
	command := exec.CommandContext(ctx, os.Args[0])
	command.Env = append(os.Environ(), roleVariable+"="+role)
	command.Stdin = bytes.NewReader(mustJSON(task))
	var said bytes.Buffer
	command.Stderr = &said
	answer, err := command.Output()
	if err == nil {
		err = json.Unmarshal(answer, &result)
	}
	if err != nil {
		return result, fmt.Errorf("%s: %w\n%s", role, err, said.Bytes())
	}
	return result, nil
}

// serve is dynamotest on a loopback port, behind a whole round trip: it takes that long to answer.
// It says its address and ends with its stdin.
func serve(in io.Reader, out io.Writer) error {
	var task struct {
		RoundTrip time.Duration
		TLS       bool
	}
	input := bufio.NewReader(in)
	line, err := input.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	if err := json.Unmarshal([]byte(line), &task); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	remote := &remote{engine: dynamotest.New(), roundTrip: task.RoundTrip, stall: make(chan struct{})}
	server := httptest.NewUnstartedServer(remote)
	server.Config.ConnState = remote.connection
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that hang up are part of what is measured
	if task.TLS {
		server.StartTLS()
	} else {
		server.Start()
	}
	if _, err := fmt.Fprintln(out, server.URL); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, input)
	server.CloseClientConnections()
	return nil
}

// remote is an engine that is some way off, and may go silent.
type remote struct {
	engine    http.Handler
	roundTrip time.Duration
	stalled   atomic.Bool
	stall     chan struct{} // never closed: a silent server answers nobody

	opened, open, mostOpen atomic.Int64
}

// connections is what a remote says of them.
type connections struct{ Opened, Open, MostOpen int64 }

func (s *remote) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/connections":
		_ = json.NewEncoder(w).Encode(connections{s.opened.Load(), s.open.Load(), s.mostOpen.Load()})
		return
	case "/stall":
		s.stalled.Store(true)
		return
	}
	// All of it before the pause: the context tells of a client that has gone only when its body
	// has been read.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	pass(s.roundTrip)
	if s.stalled.Load() {
		select {
		case <-s.stall:
		case <-r.Context().Done():
		}
		return
	}
	s.engine.ServeHTTP(w, r)
}

func (s *remote) connection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.opened.Add(1)
		open := s.open.Add(1)
		for most := s.mostOpen.Load(); open > most && !s.mostOpen.CompareAndSwap(most, open); most = s.mostOpen.Load() {
		}
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// startServer starts a server process for the length of the test and returns its address.
func startServer(t *testing.T, roundTrip time.Duration, tls bool) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), roleVariable+"="+roleServer)
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = command.Wait()
	})
	if _, err := fmt.Fprintf(stdin, "%s\n", mustJSON(map[string]any{"RoundTrip": roundTrip, "TLS": tls})); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the server process did not start: %v", err)
	}
	return strings.TrimSpace(address)
}
