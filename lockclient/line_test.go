package lockclient

import (
	"context"
	"testing"
	"time"
)

// handClock is moved by hand, and wakes nobody.
type handClock struct{ at time.Duration }

func (c *handClock) Monotonic() time.Duration { return c.at }
func (c *handClock) Wall() time.Time          { return time.Unix(0, int64(c.at)) }
func (c *handClock) AfterFunc(time.Duration, func()) (stop func() bool) {
	return func() bool { return true }
}

// placesOn takes so many places on a line.
func placesOn(t *testing.T, l *line, count int) (taken []*place) {
	t.Helper()
	for range count {
		p, err := l.enter(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, p)
	}
	return taken
}

// A part of the network is dead. What is sent elsewhere is answered as soon as ever.
func TestRequestsThatHangDoNotMakeTheLineNarrower(t *testing.T) {
	clock := &handClock{}
	l := newLine(clock)
	hung := placesOn(t, l, firstPlaces/2)
	clock.at += time.Second
	for _, p := range placesOn(t, l, firstPlaces/2) {
		p.giveBack(answered)
	}
	clock.at += time.Second
	for _, p := range hung {
		p.giveBack(timedOut)
	}
	if l.width.places < firstPlaces {
		t.Errorf("%d places, want %d", l.width.places, firstPlaces)
	}
}

func TestRequestsThatAllTimeOutMakeTheLineNarrower(t *testing.T) {
	clock := &handClock{}
	l := newLine(clock)
	all := placesOn(t, l, firstPlaces)
	clock.at += time.Second
	for _, p := range all {
		p.giveBack(timedOut)
		p.giveBack(unanswered) // as the request does when it ends
	}
	if l.width.places != fewestPlaces || l.taken != 0 {
		t.Errorf("%d places of which %d are taken, want %d and none", l.width.places, l.taken, fewestPlaces)
	}
}

// A line that is full, or has become narrower than what is under way, still lets sessions' requests
// go, up to a limit, and before those that came earlier.
func TestTheRequestsOfSessionsGoFirst(t *testing.T) {
	clock := &handClock{}
	l := newLine(clock)
	all := placesOn(t, l, firstPlaces)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	went := make(chan string, 3)
	started := make(chan struct{})
	go func() {
		close(started)
		if _, err := l.enter(ctx, false); err == nil {
			went <- "another"
		}
	}()
	<-started
	for waiting := 0; waiting == 0; {
		l.mu.Lock()
		waiting = len(l.callers)
		l.mu.Unlock()
	}
	for range placesForFirsts {
		p, err := l.enter(ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	l.beat(clock.at+time.Second, time.Second, true, func(p *place) {
		went <- "a session's heartbeat"
		p.giveBack(unanswered)
	})
	if len(went) > 0 {
		t.Fatalf("%s went beyond the limit", <-went)
	}
	for _, p := range all[:firstPlaces] {
		p.giveBack(unanswered)
	}
	if got := <-went; got != "a session's heartbeat" {
		t.Fatalf("%s went first", got)
	}
	if len(went) > 0 {
		t.Fatalf("%s went although the line is full", <-went)
	}
	all[firstPlaces].giveBack(unanswered)
	if got := <-went; got != "another" {
		t.Fatalf("%s went next", got)
	}
}
