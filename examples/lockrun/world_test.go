//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// asProgram in the environment makes the test binary lockrun.
const asProgram = "LOCKRUN_TEST_IS_PROGRAM"

// engine is the URL of dynamotest, or of the engine at DYNAMODB_ENDPOINT.
var engine string

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	engine = os.Getenv("DYNAMODB_ENDPOINT")
	_, said, closeIdle, err := wire.Engine(engine)
	if err != nil {
		panic(err)
	}
	closeIdle()
	fmt.Println(said)
	if engine == "" {
		server := dynamotest.NewServer()
		defer server.Close()
		engine = server.URL
	}
	os.Exit(m.Run())
}

// world is a table of a test's own, with a proxy before it that can be cut.
type world struct {
	*WithT
	t      *testing.T
	table  string
	dir    string
	client dynamodbiface.DynamoDBAPI // straight to the engine
	proxy  string
	cut    atomic.Bool
	asked  atomic.Int64 // requests that have reached the proxy
}

// patience is for what a busy machine may take.
const patience = 60 * time.Second

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{WithT: NewWithT(t), t: t, table: "lockrun-" + uuid.NewString(), dir: t.TempDir()}
	w.SetDefaultEventuallyTimeout(patience)
	s := store{table: w.table, endpoint: engine, timeout: patience}
	var err error
	w.client, err = s.connect()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(lockclient.EnsureTable(t.Context(), w.client, w.table, lockclient.WithoutTTL())).To(Succeed())
	t.Cleanup(func() {
		_, _ = w.client.DeleteTableWithContext(context.Background(), &dynamodb.DeleteTableInput{TableName: &w.table})
	})
	target, err := url.Parse(engine)
	w.Expect(err).NotTo(HaveOccurred())
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	over := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(reply http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		if w.cut.Load() {
			_, _ = io.Copy(io.Discard, r.Body)
			select { // nobody answers
			case <-r.Context().Done():
			case <-over:
			}
			return
		}
		forward.ServeHTTP(reply, r)
	}))
	t.Cleanup(func() {
		close(over)
		proxy.CloseClientConnections()
		proxy.Close()
	})
	w.proxy = proxy.URL
	return w
}

// process is a lockrun.
type process struct {
	w      *world
	cmd    *exec.Cmd
	ended  chan struct{} // closed when the process has ended
	heard  chan struct{} // closed when nobody is left who could say anything
	mu     sync.Mutex    // guards output
	output bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// program makes the command that is lockrun with these arguments.
func (w *world) program(args ...string) *exec.Cmd {
	program, err := os.Executable()
	w.Expect(err).NotTo(HaveOccurred())
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "LOCK_TABLE="+w.table, "DYNAMODB_ENDPOINT="+w.proxy,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "DIR="+w.dir,
		"GORACE=atexit_sleep_ms=0")
	return cmd
}

// start starts lockrun and sees to it that it ends with the test.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	p := &process{w: w, cmd: w.program(args...), ended: make(chan struct{}), heard: make(chan struct{})}
	// Read by a pipe of our own: a process that is left behind must not keep Wait from returning.
	read, write, err := os.Pipe()
	w.Expect(err).NotTo(HaveOccurred())
	p.cmd.Stdout, p.cmd.Stderr = write, write
	w.Expect(p.cmd.Start()).To(Succeed())
	_ = write.Close()
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := read.Read(buffer)
			_, _ = p.Write(buffer[:n])
			if err != nil {
				_ = read.Close()
				close(p.heard)
				return
			}
		}
	}()
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if w.t.Failed() {
			w.t.Logf("lockrun %q said:\n%s", args, p.said())
		}
	})
	return p
}

// code waits until lockrun has ended, and returns its exit code.
func (p *process) code() int {
	p.w.t.Helper()
	p.w.Eventually(p.ended).Should(BeClosed(), "lockrun does not end")
	p.w.Eventually(p.heard).Should(BeClosed(), "a process is left behind")
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return -int(status.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) {
	p.w.t.Helper()
	p.w.Expect(p.cmd.Process.Signal(s)).To(Succeed())
}

// run is start, and code.
func (w *world) run(args ...string) int {
	w.t.Helper()
	return w.start(args...).code()
}

// file is the content of a file of the test's folder; "" if there is none.
func (w *world) file(name string) string {
	content, _ := os.ReadFile(filepath.Join(w.dir, name))
	return strings.TrimSpace(string(content))
}

// appears waits until a file has a content, and returns it.
func (w *world) appears(name string) string {
	w.t.Helper()
	w.Eventually(func() string { return w.file(name) }).ShouldNot(BeEmpty(), "the file %s of the command", name)
	return w.file(name)
}

// pid waits until a command has written a pid into a file. The process must not outlive the test.
func (w *world) pid(name string) int {
	w.t.Helper()
	pid, err := strconv.Atoi(w.appears(name))
	w.Expect(err).NotTo(HaveOccurred())
	w.t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

// isAlive also knows that a zombie is dead.
func isAlive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil // no /proc here
	}
	_, state, _ := strings.Cut(string(status), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// lock is a client of the test's own, straight to the engine.
func (w *world) lock(name string, lease time.Duration) *lockclient.DynamoDBLockClient {
	l := &lockclient.DynamoDBLockClient{LockName: name, Identifier: "the-test", LeaseDuration: lease, TableName: w.table, Client: w.client}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.RemoveLockWithContext(ctx)
	})
	return l
}

func (w *world) peek(name string) *lockclient.LockItem {
	w.t.Helper()
	item, err := w.lock(name, time.Minute).Peek(w.t.Context())
	w.Expect(err).NotTo(HaveOccurred())
	return item
}
