package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/test/wire"
)

// The demo starts its contenders as processes of its own program, which here is the test.
func TestMain(m *testing.M) {
	if demo.IsReplica() {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestTheDemoShowsATakeoverAndAHandover(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	_, said, closeIdle, err := wire.Engine(os.Getenv("DYNAMODB_ENDPOINT"))
	if err != nil {
		t.Fatal(err)
	}
	closeIdle()
	fmt.Println(said)
	var out bytes.Buffer
	err = tell(context.Background(), &out, demo.Flags{Table: "leaderkit-demo", Endpoint: os.Getenv("DYNAMODB_ENDPOINT")}, time.Second)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"LEADS with fencing token", "(SIGKILL)", "TAKEOVER", "(SIGTERM)", "HANDOVER", "x lease", "no two led at once"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.String())
		}
	}
}

func TestTheVerdictFindsBrokenPromises(t *testing.T) {
	const lease = 3 * time.Second
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	led := func(name string, token int64, how string, from, to, renewed, stopped int) *term {
		t := &term{name: name, token: token, how: how, renewed: at(renewed),
			beliefs: []report{{Asked: at(from), At: at(from)}, {Asked: at(to), At: at(to)}}}
		if stopped > 0 {
			t.stopped = at(stopped)
		}
		return t
	}
	for _, c := range []struct {
		promise string
		terms   []*term
		broken  string // "": none
	}{
		{"kept", []*term{
			led("a", 7, "SIGKILL", 0, 3000, 2900, 0), led("b", 8, "SIGTERM", 5900, 7000, 6900, 7100), led("c", 9, "SIGTERM", 7200, 8000, 7900, 8100)}, ""},
		{"one leader at a time", []*term{
			led("a", 7, "SIGKILL", 0, 3000, 0, 0), led("b", 8, "SIGTERM", 2990, 7000, 6900, 7100), led("c", 9, "SIGTERM", 7200, 8000, 7900, 8100)}, "led at once"},
		{"tokens rise", []*term{
			led("a", 7, "SIGKILL", 0, 3000, 2900, 0), led("b", 7, "SIGTERM", 5900, 7000, 6900, 7100), led("c", 9, "SIGTERM", 7200, 8000, 7900, 8100)}, "not higher"},
		{"a live lease is not taken over", []*term{
			led("a", 7, "SIGKILL", 0, 3000, 2900, 0), led("b", 8, "SIGTERM", 5000, 7000, 6900, 7100), led("c", 9, "SIGTERM", 7200, 8000, 7900, 8100)}, "within its lease"},
		{"the work stops before the next leader's begins", []*term{
			led("a", 7, "SIGKILL", 0, 3000, 2900, 0), led("b", 8, "SIGTERM", 5900, 7000, 6900, 7300), led("c", 9, "SIGTERM", 7200, 8000, 7900, 8100)}, "had stopped its work"},
		{"who stops says so", []*term{
			led("a", 7, "SIGKILL", 0, 3000, 2900, 0), led("b", 8, "SIGTERM", 5900, 7000, 6900, 0), led("c", 9, "SIGTERM", 7200, 8000, 7900, 8100)}, "without OnStoppedLeading"},
		{"three terms", []*term{led("a", 7, "SIGKILL", 0, 3000, 2900, 0)}, "3 terms"},
	} {
		v := verdict{terms: c.terms}
		err := v.check(lease)
		if c.broken == "" && err != nil || c.broken != "" && (err == nil || !strings.Contains(err.Error(), c.broken)) {
			t.Errorf("%s: the verdict is %v, want %q", c.promise, err, c.broken)
		}
	}
}
