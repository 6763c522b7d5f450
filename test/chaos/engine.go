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
	"path/filepath"
	"strings"
	"time"

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
	// Restart takes the engine down the hard way, keeps it down for d and brings it up again, with its tables.
	Restart(d time.Duration) error
}

// endpoint is an engine that somebody else has started.
type endpoint string

func (e endpoint) Address() string {
	return strings.TrimSuffix(strings.TrimPrefix(string(e), "http://"), "/")
}
func (endpoint) Close() {}

const engineVariable = "LEADERKIT_CHAOS_ENGINE"

// runEngine is a process that serves dynamotest. It says its address on stdout and obeys "down" and "up" on stdin; it ends with stdin.
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

func (e *memoryEngine) Freeze(d time.Duration) error { return freeze(e.process.Process, d) }

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
	command func() *exec.Cmd
	process *exec.Cmd
	port    int
}

// startLocalEngine starts DynamoDB Local from the cache of hack/dynamodb-local.sh. ok is false where there is none, or no Java.
func startLocalEngine(tables string) (e *localEngine, ok bool, err error) {
	java, jars, native := findLocal()
	if java == "" {
		return nil, false, nil
	}
	port, err := freePort()
	if err != nil {
		return nil, false, err
	}
	e = &localEngine{port: port, command: func() *exec.Cmd {
		return exec.Command(java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Djava.library.path="+native, "-cp", jars,
			"software.amazon.dynamodb.services.local.main.ServerRunner", "-dbPath", tables, "-sharedDb", "-disableTelemetry", "-port", fmt.Sprint(port))
	}}
	if err := e.start(); err != nil {
		return nil, false, err
	}
	return e, true, nil
}

// findLocal looks for a Java and for what hack/dynamodb-local.sh has downloaded from Maven or npm.
func findLocal() (java, jars, native string) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	java, err := exec.LookPath("java")
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java, err = exec.LookPath(filepath.Join(home, "bin", "java"))
	}
	if err != nil {
		return "", "", ""
	}
	if found, _ := filepath.Glob(filepath.Join(cache, "leaderkit", "dynamodb-local-*", "maven", "DynamoDBLocal-*.jar")); len(found) > 0 {
		dir := filepath.Dir(found[len(found)-1])
		return java, filepath.Join(dir, "*"), dir
	}
	if found, _ := filepath.Glob(filepath.Join(cache, "leaderkit", "dynamodb-local-*", "npm", "DynamoDBLocal.jar")); len(found) > 0 {
		native := filepath.Join(filepath.Dir(found[len(found)-1]), "DynamoDBLocal_lib")
		return java, found[len(found)-1] + string(os.PathListSeparator) + filepath.Join(native, "*"), native
	}
	return "", "", ""
}

// freePort finds a port for an engine that will be away for a while and must find it free when it comes back: one below those that systems
// hand out to clients.
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

func (e *localEngine) Address() string { return fmt.Sprintf("127.0.0.1:%d", e.port) }
func (e *localEngine) Name() string    { return "DynamoDB Local" }

func (e *localEngine) start() error {
	e.process = e.command()
	if err := e.process.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := answers(ctx, "http://"+e.Address()); err != nil {
		e.Close()
		return err
	}
	return nil
}

// answers waits until something does.
func answers(ctx context.Context, url string) error {
	client, err := NewClient(url)
	if err != nil {
		return err
	}
	for {
		_, err := client.ListTablesWithContext(ctx, nil, once)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("chaos: %s does not answer: %w", url, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Close kills the process: its tables are the test's and go with it.
func (e *localEngine) Close() {
	_ = e.process.Process.Kill()
	_ = e.process.Wait()
}

func (e *localEngine) Freeze(d time.Duration) error { return freeze(e.process.Process, d) }

func (e *localEngine) Restart(d time.Duration) error {
	e.Close()
	<-time.After(d)
	return e.start()
}

func freeze(p *os.Process, d time.Duration) error {
	if err := p.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	<-time.After(d)
	return p.Signal(unix.SIGCONT)
}
