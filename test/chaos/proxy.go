package chaos

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Mode is what a Proxy does to the bytes of one direction.
type Mode int

const (
	// Pass lets bytes through, after the latency.
	Pass Mode = iota
	// Hold keeps bytes until the mode changes and then lets them through: a request that arrives
	// seconds late, a half-open connection that comes back.
	Hold
	// Swallow loses bytes for good, without a word to the sender: a half-open connection that
	// doesn't come back. A connection that has lost bytes is reset when the mode changes.
	Swallow
	// Cut resets every connection and refuses new ones.
	Cut
)

func (m Mode) String() string { return [...]string{"pass", "hold", "swallow", "cut"}[m] }

// Conditions is the state of a network path. The zero Conditions are a healthy one.
type Conditions struct {
	Requests, Replies Mode
	Latency           time.Duration // of each direction
}

func (c Conditions) String() string {
	return fmt.Sprintf("requests %v, replies %v, latency %v", c.Requests, c.Replies, c.Latency)
}

// Proxy is a TCP proxy on a loopback port whose conditions can be changed at any time. Close it
// when done.
type Proxy struct {
	listener net.Listener
	target   string
	pumps    sync.WaitGroup

	mu         sync.Mutex // guards all below
	conditions Conditions
	changed    chan struct{} // closed when the conditions change
	links      map[*link]struct{}
	closed     bool
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	lost           bool // bytes were swallowed; guarded by the proxy's mu
}

// NewProxy starts a proxy in front of a host:port.
func NewProxy(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, target: target, changed: make(chan struct{}), links: map[*link]struct{}{}}
	p.pumps.Add(1)
	go p.accept()
	return p, nil
}

// URL is where the proxy listens.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Set changes the conditions, for the connections that are open too.
func (p *Proxy) Set(c Conditions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		if c.Requests == Cut || c.Replies == Cut || l.lost && c.Requests != Swallow && c.Replies != Swallow {
			l.reset()
		}
	}
	p.conditions = c
	close(p.changed)
	p.changed = make(chan struct{})
}

// Close resets all connections and returns when the proxy's goroutines have ended.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Set(Conditions{Requests: Cut, Replies: Cut})
	p.pumps.Wait()
}

func (p *Proxy) accept() {
	defer p.pumps.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.pumps.Add(1)
		go p.serve(client)
	}
}

// serve opens the other half of a connection and carries bytes both ways until both ends are
// closed.
func (p *Proxy) serve(client net.Conn) {
	defer p.pumps.Done()
	l := &link{client: client}
	if !p.open(l) {
		l.reset()
		return
	}
	replied := make(chan struct{})
	p.pumps.Add(1)
	go func() {
		defer p.pumps.Done()
		defer close(replied)
		p.pump(l, l.server, l.client, func(c Conditions) Mode { return c.Replies })
		l.close()
	}()
	p.pump(l, l.client, l.server, func(c Conditions) Mode { return c.Requests })
	// A client that has given up has still sent what it has sent: the server gets it, and an end
	// after it.
	if tcp, ok := l.server.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	<-replied
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) open(l *link) bool {
	now, _ := p.now()
	if now.Requests == Cut || now.Replies == Cut {
		return false
	}
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return false
	}
	l.server = server
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.conditions.Requests == Cut || p.conditions.Replies == Cut {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) now() (Conditions, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conditions, p.changed
}

// pump carries bytes one way until there are no more or the connection is over.
func (p *Proxy) pump(l *link, from, to net.Conn, mode func(Conditions) Mode) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !p.carry(l, to, buffer[:n], mode) {
			l.reset()
			return
		}
		if err != nil {
			return
		}
	}
}

// carry does to some bytes what the conditions say; false: the connection is over.
func (p *Proxy) carry(l *link, to net.Conn, bytes []byte, mode func(Conditions) Mode) bool {
	for {
		now, changed := p.now()
		switch mode(now) {
		case Cut:
			return false
		case Hold:
			<-changed
		case Swallow:
			p.mu.Lock()
			l.lost = true
			p.mu.Unlock()
			return true
		case Pass:
			if now.Latency > 0 {
				select {
				case <-time.After(now.Latency):
				case <-changed: // whatever is new holds for these bytes too
					continue
				}
			}
			_, err := to.Write(bytes)
			return err == nil
		}
	}
}

// reset closes both ends so that the peers see an error rather than an end.
func (l *link) reset() {
	for _, conn := range []net.Conn{l.client, l.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	l.close()
}

func (l *link) close() {
	for _, conn := range []net.Conn{l.client, l.server} {
		if conn != nil {
			_ = conn.Close()
		}
	}
}
