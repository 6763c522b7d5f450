package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

const demoLease = 3 * time.Second

// show is the demonstration while it goes on.
type show struct {
	*demo.Story
	engine    *demo.Engine
	crew      *demo.Crew
	ledger    *ledger
	members   map[string]*demo.Process
	addresses map[string]string
}

// demonstrate runs three replicas, kills one leader, drains the next, and checks the ledger that
// they kept.
func demonstrate(ctx context.Context, out io.Writer, f demo.Flags) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s := show{Story: demo.NewStory(out), members: map[string]*demo.Process{}, addresses: map[string]string{}}
	if s.engine, err = demo.Open(ctx, f); err != nil {
		return err
	}
	defer s.engine.Close()
	client, err := demo.Connect(s.engine.Endpoint)
	if err != nil {
		return err
	}
	s.ledger = &ledger{book: "worker-" + strconv.FormatInt(time.Now().UnixNano(), 36), table: s.engine.Table, client: client}
	s.crew = demo.NewCrew(s.Story)
	defer s.crew.Close()
	if err := s.play(ctx); err != nil {
		return err
	}
	return s.verify(ctx)
}

func (s *show) play(ctx context.Context) error {
	s.Say("on %s, table %q; the lease is %v", s.engine, s.engine.Table, demoLease)
	for _, name := range []string{"a", "b", "c"} {
		if err := s.start(name); err != nil {
			return err
		}
	}
	first, err := s.awaitWriter(ctx, "")
	if err != nil {
		return err
	}
	follower := map[string]string{"a": "b", "b": "c", "c": "a"}[first]
	if err := s.ask(ctx, follower, "/work", "/leader", "/healthz"); err != nil {
		return err
	}

	s.members[first].Kill()
	killed := time.Now()
	s.Say("killed %s, the leader (SIGKILL)", first)
	second, err := s.awaitWriter(ctx, first)
	if err != nil {
		return err
	}
	s.Say("TAKEOVER: %s writes the ledger %s after the kill", second, demo.Span(time.Since(killed)))

	s.Say("telling %s, the leader, to stop (SIGTERM): it finishes its entry, hands over, and drains", second)
	s.members[second].Terminate()
	told := time.Now()
	third, err := s.awaitWriter(ctx, second)
	if err != nil {
		return err
	}
	s.Say("HANDOVER: %s writes the ledger %s after the SIGTERM", third, demo.Span(time.Since(told)))
	if err := s.members[second].Wait(ctx); err != nil {
		return fmt.Errorf("%s did not drain: %w", second, err)
	}
	if err := s.ask(ctx, third, "/work", "/leader", "/healthz"); err != nil {
		return err
	}
	s.members[third].Terminate()
	return s.members[third].Wait(ctx)
}

func (s *show) start(name string) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	s.addresses[name] = "http://" + address
	s.members[name], err = s.crew.Start(name, nil, append(s.engine.Args(), "-replica", "-identity", name, "-listen", address, "-book", s.ledger.book,
		"-lease", demoLease.String(), "-drain", "5s", "-notice", "500ms")...)
	return err
}

// freeAddress is a loopback address that nobody listens on, for a replica that is about to.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// awaitWriter waits until somebody else than last writes the ledger.
func (s *show) awaitWriter(ctx context.Context, last string) (string, error) {
	for {
		entries, err := s.ledger.read(ctx)
		if err != nil {
			return "", err
		}
		if n := len(entries); n > 2 && entries[n-1].Writer != last {
			return entries[n-1].Writer, nil
		}
		if err := s.pause(ctx); err != nil {
			return "", fmt.Errorf("waiting for another leader than %q: %w", last, err)
		}
	}
}

func (s *show) pause(ctx context.Context) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case err := <-s.crew.Failed():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask sends requests to one replica, as a load balancer and its probes do.
func (s *show) ask(ctx context.Context, name string, paths ...string) error {
	for _, path := range paths {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.addresses[name]+path, nil)
		if err != nil {
			return err
		}
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		body, err := io.ReadAll(reply.Body)
		_ = reply.Body.Close()
		if err != nil {
			return err
		}
		s.Say("GET %s of %s: %s", path, name, strings.TrimSpace(string(body)))
		if reply.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s with %s", name, path, reply.Status)
		}
	}
	return nil
}

// verify reads the ledger and says whether one writer at a time has kept it.
func (s *show) verify(ctx context.Context) error {
	entries, err := s.ledger.read(ctx)
	if err != nil {
		return err
	}
	terms, err := audit(entries)
	s.Print("")
	s.Print("term  leader  fencing token     entries")
	for i, t := range terms {
		s.Print("%4d  %-6s  %-16d  %d to %d", i+1, t.writer, t.token, t.from, t.to)
	}
	if err != nil {
		return err
	}
	if len(terms) != 3 {
		return fmt.Errorf("the ledger shows %d terms, want 3", len(terms))
	}
	s.Print("")
	s.Print("%d entries without a gap, each written once, in tenures whose fencing tokens rise.", len(entries))
	return nil
}

// term is what one leader wrote in a row.
type term struct {
	writer   string
	token    int64
	from, to int64
}

// audit groups the entries by term, and says what is wrong with them.
func audit(entries []entry) ([]term, error) {
	var terms []term
	var wrong []error
	for i, e := range entries {
		if want := int64(i + 1); e.Number != want {
			wrong = append(wrong, fmt.Errorf("entry %d says that it is number %d", want, e.Number))
		}
		n := len(terms)
		switch {
		case n == 0 || e.Token > terms[n-1].token:
			terms = append(terms, term{writer: e.Writer, token: e.Token, from: e.Number, to: e.Number})
			continue
		case e.Token < terms[n-1].token:
			wrong = append(wrong, fmt.Errorf("entry %d was written under token %d, after one under %d", e.Number, e.Token, terms[n-1].token))
		case e.Writer != terms[n-1].writer:
			wrong = append(wrong, fmt.Errorf("entry %d: %s and %s wrote under one token", e.Number, e.Writer, terms[n-1].writer))
		}
		terms[n-1].to = e.Number
	}
	return terms, errors.Join(wrong...)
}
