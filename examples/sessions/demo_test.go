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

// The demo starts its holders as processes of its own program, which here is the test.
func TestMain(m *testing.M) {
	if demo.IsReplica() {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestTheDemoShowsATakeoverAndAHandoverOfManyLocks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some 15 seconds of real time")
	}
	_, said, closeIdle, err := wire.Engine(os.Getenv("DYNAMODB_ENDPOINT"))
	if err != nil {
		t.Fatal(err)
	}
	closeIdle()
	fmt.Println(said)
	var out bytes.Buffer
	began := time.Now()
	err = tell(context.Background(), &out, demo.Flags{Table: "leaderkit-demo", Endpoint: os.Getenv("DYNAMODB_ENDPOINT")},
		setting{prefix: fmt.Sprintf("test-%d-", began.UnixNano()), count: 300, lease: 2 * time.Second})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"all locks are held", "AT REST for 3 heartbeats", "(SIGKILL)", "TAKEOVER: b and c have the first",
		"(SIGTERM)", "HANDOVER: c has the first", "holds  300, waits for    0", "no lock had two holders"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.String())
		}
	}
}

func TestADemoWithoutALockForEachProcessIsRefused(t *testing.T) {
	if code := run([]string{"-count", "2"}); code != 2 {
		t.Errorf("the exit code is %d, want 2", code)
	}
}

func TestTheLedgerSeesTwoHoldersOfOneLock(t *testing.T) {
	for name, c := range map[string]struct {
		reports []said
		wrong   bool
	}{
		"one after the other":            {[]said{{"a", 1, holds, 10}, {"a", 1, stopped, 20}, {"b", 2, holds, 30}}, false},
		"reports that overtake":          {[]said{{"a", 1, holds, 10}, {"b", 2, holds, 30}, {"a", 1, stopped, 20}}, false},
		"one before the other stops":     {[]said{{"a", 1, holds, 10}, {"b", 2, holds, 15}, {"a", 1, stopped, 20}}, true},
		"one that never stops":           {[]said{{"a", 1, holds, 10}, {"b", 2, holds, 30}}, true},
		"one token twice":                {[]said{{"a", 1, holds, 10}, {"a", 1, stopped, 20}, {"b", 1, holds, 30}}, true},
		"the same one again":             {[]said{{"a", 1, holds, 10}, {"a", 1, stopped, 20}, {"a", 2, holds, 30}}, false},
		"a loss that was noticed late":   {[]said{{"a", 1, holds, 10}, {"b", 2, holds, 30}, {"a", 1, lost, 31}}, false},
		"a loss that was never reported": {[]said{{"a", 1, holds, 10}, {"b", 2, holds, 30}, {"a", 3, lost, 31}}, true},
	} {
		l := newLedger(1)
		for _, r := range c.reports {
			l.take(r.who, report{Token: r.token, Event: r.what, At: r.at})
		}
		if err := l.err(); (err != nil) != c.wrong {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheLedgerTellsWhatAProcessThatWasKilledLeft(t *testing.T) {
	l, start := newLedger(2), time.Unix(0, 1000)
	l.take("a", report{Lock: 0, Token: 1, Event: holds, At: 10, Writes: 2})
	l.take("a", report{Lock: 1, Token: 1, Event: holds, At: 20, Writes: 3})
	if held := l.Held(); held["a"] != 2 {
		t.Errorf("held are %v", held)
	}
	l.Killed("a", start)
	l.take("b", report{Lock: 1, Token: 2, Event: holds, At: 1500, Reads: 1})
	if held := l.Held(); held["a"] != 0 || held["b"] != 1 {
		t.Errorf("after the kill held are %v", held)
	}
	if taken := l.takenSince(start); len(taken) != 1 || taken[0] != 500 {
		t.Errorf("taken were %v", taken)
	}
	if c := l.requests(); c["a"] != (counts{writes: 3}) || c["b"] != (counts{reads: 1}) {
		t.Errorf("the counts are %v", c)
	}
	if err := l.err(); err != nil {
		t.Error(err)
	}
}

// said is a report of lock 0.
type said struct {
	who   string
	token int64
	what  event
	at    int64
}
