package dynamolocal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/defaults"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// Version is the version of DynamoDB Local that Start starts.
const Version = "3.3.1"

// ErrUnavailable is the error of Start on a machine that cannot run DynamoDB Local: there is
// neither docker nor Java with mvn, or the download failed. Its text says what is missing and how
// to install it.
var ErrUnavailable = errors.New("DynamoDB Local is not available here")

const (
	startPatience  = 5 * time.Minute // for a download and a start
	answerPatience = time.Minute     // for a started engine to answer; 3 to 7 s on a machine with nothing else to do
	askPatience    = 10 * time.Second
)

// Option changes what Start does.
type Option func(*options)

type options struct {
	port   int
	folder string
}

// WithPort makes the server listen on a port from 1 to 65535. Without it, or with 0, Start takes a
// free port.
func WithPort(port int) Option { return func(o *options) { o.port = port } }

// WithFolder keeps the tables in files in an existing folder, where a later server finds them.
// Without it, or with "", they are in memory. A server with a folder runs in Java even if there is
// docker, because docker's files would belong to another user.
func WithFolder(path string) Option { return func(o *options) { o.folder = path } }

// Server is a running DynamoDB Local. All its methods are safe for concurrent use.
type Server struct {
	URL string // http://127.0.0.1:port

	origin  string // the random name that this engine, and no other, repeats in its answers
	engine  engine
	process *process
	http    *http.Client
}

// Start downloads DynamoDB Local if necessary, starts it, and returns when it answers. ctx is only
// for the start: the server does not end with it. Start gives up after 5 minutes, or after 1 minute
// without an answer.
//
// A bad option or a port in use is an error, and so is an engine that ends or is of another
// version.
func Start(ctx context.Context, with ...Option) (*Server, error) {
	var o options
	for _, option := range with {
		option(&o)
	}
	if o.port < 0 || o.port > 65535 {
		return nil, fmt.Errorf("dynamolocal: WithPort(%d): give a port from 1 to 65535, or 0 for a free one", o.port)
	}
	if o.folder != "" {
		var err error
		if o.folder, err = filepath.Abs(o.folder); err != nil {
			return nil, fmt.Errorf("dynamolocal: WithFolder(%q): %w", o.folder, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	docker, noDocker := findDocker(ctx, o)
	var inDocker error
	if noDocker == nil {
		var server *Server
		if server, inDocker = o.start(ctx, docker); inDocker == nil {
			return server, nil
		}
	}
	java, noJava := findJava(ctx)
	switch {
	case noJava == nil:
		server, err := o.start(ctx, java)
		if err != nil {
			return nil, fmt.Errorf("dynamolocal: %w", err)
		}
		return server, nil
	case inDocker != nil:
		return nil, fmt.Errorf("dynamolocal: docker: %w; Java: %w", inDocker, noJava)
	default:
		return nil, fmt.Errorf("dynamolocal: %w: docker: %w; Java: %w.\n%s", ErrUnavailable, noDocker, noJava, remedy)
	}
}

const remedy = "One of these is enough: a docker engine that can pull " + image + "; or Java 17 or newer and mvn\n" +
	"(apt-get install default-jdk-headless maven, or brew install openjdk maven) that can reach Maven Central."

// start starts an engine from a source, on the port asked for or on a free one. Another process may
// take a free port before the engine does. The engine then ends, and another port is tried.
func (o options) start(ctx context.Context, from source) (*Server, error) {
	for attempt := 1; ; attempt++ {
		port := o.port
		if port == 0 {
			var err error
			if port, err = freePort(); err != nil {
				return nil, err
			}
		} else if err := isFree(port); err != nil {
			return nil, fmt.Errorf("port %d is in use: %w", port, err)
		}
		server, err := from.launch(ctx, port, o.folder)
		if err == nil || o.port != 0 || attempt == 3 || isFree(port) == nil {
			return server, err
		}
	}
}

// freePort finds a port below those that systems hand out to clients, so that no connection takes
// it before the engine does, or while a test has the engine away.
func freePort() (int, error) {
	var err error
	for range 100 {
		n, _ := rand.Int(rand.Reader, big.NewInt(10000)) // never an error
		port := 20000 + int(n.Int64())
		if err = isFree(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port from 20000 to 29999: %w", err)
}

func isFree(port int) error {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	return listener.Close()
}

// launch starts the engine once and waits until it answers.
func (from source) launch(ctx context.Context, port int, folder string) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	s := &Server{
		URL:    fmt.Sprintf("http://127.0.0.1:%d", port),
		origin: "http://" + strings.ToLower(rand.Text()) + ".invalid",
		http:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: time.Minute},
	}
	s.engine = from(port, folder, s.origin)
	var err error
	if s.process, err = startProcess(s.engine.command); err != nil {
		return nil, err
	}
	if err := s.await(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

var versionLine = regexp.MustCompile(`(?m)^Version:\s*(\S+)`)

// await waits until the engine answers, or ends, or ctx does.
func (s *Server) await(ctx context.Context) error {
	var why error
	for {
		err := s.Check(ctx)
		if err == nil {
			break
		}
		if ctx.Err() == nil || why == nil { // what the last question died of says less
			why = err
		}
		select {
		case <-s.process.ended:
			return s.process.failure()
		case <-ctx.Done():
			return fmt.Errorf("DynamoDB Local has been started and does not answer: %w: %w", ctx.Err(), why)
		case <-time.After(50 * time.Millisecond):
		}
	}
	if said := versionLine.FindStringSubmatch(s.process.output()); said == nil || said[1] != Version {
		return fmt.Errorf("DynamoDB Local %s was to be started, and its version is %q", Version, said)
	}
	return nil
}

// Check returns nil if the engine that Start started runs, and is the one that answers at URL. It
// takes one request.
func (s *Server) Check(ctx context.Context) error {
	select {
	case <-s.process.ended:
		return fmt.Errorf("dynamolocal: %w", s.process.failure())
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	// DynamoDB Local wants the form of a signature and does not check it.
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=dynamolocal/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=none")
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
	request.Header.Set("Origin", s.origin)
	reply, err := s.http.Do(request)
	if err != nil {
		return fmt.Errorf("dynamolocal: no answer at %s: %w", s.URL, err)
	}
	_ = reply.Body.Close()
	if reply.StatusCode != http.StatusOK || reply.Header.Get("Access-Control-Allow-Origin") != s.origin {
		return fmt.Errorf("dynamolocal: something else answers at %s (status %s, server %q)", s.URL, reply.Status, reply.Header.Get("Server"))
	}
	return nil
}

// String returns the engine and version, for logs: "DynamoDB Local 3.3.1 in Java, pid 4711".
func (s *Server) String() string {
	if s.engine.container != "" {
		return "DynamoDB Local " + Version + " in docker, container " + s.engine.container
	}
	return fmt.Sprintf("DynamoDB Local %s in Java, pid %d", Version, s.process.cmd.Process.Pid)
}

// Pause stops the engine: connections stay open and nothing is answered, until Resume.
func (s *Server) Pause() error { return s.signal("STOP") }

// Resume continues the engine after Pause.
func (s *Server) Resume() error { return s.signal("CONT") }

var pidLine = regexp.MustCompile(`(?m)^pid (\d+)$`)

// signal sends a signal from where the engine has the pid that it said.
func (s *Server) signal(name string) error {
	select {
	case <-s.process.ended:
		return fmt.Errorf("dynamolocal: %w", s.process.failure())
	default:
	}
	pid := pidLine.FindStringSubmatch(s.process.output())
	if pid == nil {
		return errors.New("dynamolocal: the engine did not say its pid")
	}
	command := append(slices.Clone(s.engine.inside), "sh", "-c", "kill -"+name+" "+pid[1])
	return run(exec.Command(command[0], command[1:]...))
}

// Ended is closed when the engine has ended, by Close or by itself. Check then says why.
func (s *Server) Ended() <-chan struct{} { return s.process.ended }

// Close kills the engine and returns when it has ended. Tables in memory are gone. It may be called
// again.
func (s *Server) Close() {
	s.http.CloseIdleConnections()
	s.process.kill()
}

// Client returns a client of this server that needs no credentials and no configuration, and reads
// nothing from the environment. All clients that Client returns see the same tables.
func (s *Server) Client() dynamodbiface.DynamoDBAPI { return dynamodb.New(fixedConfig{s}) }

// fixedConfig takes the place of a session, which would read the environment.
type fixedConfig struct{ server *Server }

const region = "us-east-1"

func (f fixedConfig) ClientConfig(string, ...*aws.Config) client.Config {
	config := defaults.Config().
		WithRegion(region).
		WithCredentials(credentials.NewStaticCredentials("dynamolocal", "dynamolocal", "")).
		WithHTTPClient(f.server.http)
	return client.Config{
		Config:        config,
		Handlers:      defaults.Handlers(),
		Endpoint:      f.server.URL,
		SigningRegion: region,
		SigningName:   dynamodb.EndpointsID,
	}
}
