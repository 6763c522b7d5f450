package dynamotest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// closePatience is how long Close waits for requests that are being answered before it cuts them
// off.
const closePatience = time.Second

// Server is an Engine on a loopback port, for other processes and for clients that want a URL.
type Server struct {
	URL    string // http://127.0.0.1:port
	Engine *Engine

	http    *http.Server
	client  *http.Client
	served  chan struct{} // closed when the server's goroutine has ended
	closing sync.Once
}

// NewServer starts a server with an empty engine. Close it when done. It panics when there is no
// loopback port to be had, or when an option makes no sense.
func NewServer(options ...Option) *Server {
	engine := New(options...)
	engine.closed = make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("dynamotest: no port on the loopback interface: %v", err))
	}
	s := &Server{
		URL:    "http://" + listener.Addr().String(),
		Engine: engine,
		http:   &http.Server{Handler: engine, ReadHeaderTimeout: time.Minute},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
		served: make(chan struct{}),
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // always an error; after Close it says so
	}()
	return s
}

// Client returns a client of this server that needs no credentials and no configuration. It stops
// working when the server is closed.
func (s *Server) Client() dynamodbiface.DynamoDBAPI { return newClient(s.URL, region, s.client) }

// Close answers what is being answered, for at most a second, then closes all connections and
// returns when the server's goroutine has ended. A transaction between prepare and commit
// (WithTransactionTime) is committed at once. Close may be called again.
func (s *Server) Close() {
	s.closing.Do(func() { close(s.Engine.closed) })
	s.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // the listener is closed already
	}
	<-s.served
}
