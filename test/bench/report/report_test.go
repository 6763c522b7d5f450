package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/test/bench"
)

// samples are crashes that were survived after so many multiples of the lease.
func samples(lease time.Duration, multiples ...float64) []time.Duration {
	var all []time.Duration
	for _, m := range multiples {
		all = append(all, time.Duration(m*float64(lease)))
	}
	return all
}

const benchmarkLines = `goos: linux
BenchmarkHasLock-2   	 1968907	       185.6 ns/op	        72.5 cpu-ns/op	       0 B/op	       0 allocs/op
BenchmarkHeartbeat/engine=dynamodb-local/by=leaderkit-2   	     100	    1000 ns/op	    10 cpu-ns/op	   5 B/op	     2 allocs/op
BenchmarkHeartbeat/engine=dynamodb-local/by=bare-sdk-2    	     100	    1000 ns/op	    10 cpu-ns/op	   5 B/op	     2 allocs/op
BenchmarkHeartbeat/engine=dynamodb-local/by=leaderkit-2   	     100	    3600 ns/op	    10 cpu-ns/op	   5 B/op	     2 allocs/op
BenchmarkHeartbeat/engine=dynamodb-local/by=bare-sdk-2    	     100	    3000 ns/op	    10 cpu-ns/op	   5 B/op	     2 allocs/op
PASS
`

// written saves a run's results in which these budgets are met, or missed.
func written(t *testing.T, well bool) string {
	t.Helper()
	dir := t.TempDir()
	pick := func(good, bad float64) float64 {
		if well {
			return good
		}
		return bad
	}
	save := func(name string, result any) {
		if err := bench.Save(dir, name, result); err != nil {
			t.Fatal(err)
		}
	}
	const lease = 15 * time.Second
	save("counts", []bench.Counted{
		{Engine: bench.EngineMemory, Operation: "heartbeat", Requests: map[string]int{"UpdateItem": 1}, Write: 1, Budget: "1 UpdateItem, 1 WCU", Met: true},
		{Engine: bench.EngineLocal, Operation: "heartbeat", Requests: map[string]int{"UpdateItem": int(pick(1, 2))}, Write: pick(1, 2), Budget: "1 UpdateItem, 1 WCU", Met: well},
	})
	save("failover-virtual", []bench.Failover{{
		Engine: bench.EngineVirtual, Who: bench.ByLock, Scene: bench.SceneSettled, Lease: lease, Heartbeat: lease / 3, RoundTrip: 10 * time.Millisecond,
		SinceSent: samples(lease, 1, pick(1.01, 1.03), 1.04), SinceCommitted: samples(lease, 1),
	}})
	save("handover-real", []bench.Handover{{Engine: bench.EngineLocal, Who: bench.ByLock, Scene: bench.SceneDrained,
		Gap: []time.Duration{time.Duration(pick(20, 120)) * time.Millisecond}}})
	save("handover-virtual", []bench.Handover{{Engine: bench.EngineVirtual, Leader: bench.ByElector, Who: bench.ByElector, Scene: bench.SceneNotice,
		Gap: []time.Duration{time.Duration(pick(20, 120)) * time.Millisecond}, Notice: []time.Duration{time.Second}}})
	save("overload", []bench.Overload{{Locks: 10, Callers: 1, Offered: 400, Capacity: 200, Confirmed: pick(200, 190), Had: 5, Held: 5}})
	save("sessions", []bench.Curve{{Locks: 10_000, Session: true, Lease: lease, Heartbeat: lease / 3, Periods: 10, Writes: int(pick(10, 11)),
		First: samples(lease, pick(1.01, 1.03)), Taken: samples(lease, 1), CloseRequests: int(pick(1, 2)),
		FreedFirst: []time.Duration{time.Duration(pick(20, 120)) * time.Millisecond}}})
	save("crowded", bench.Crowded{Locks: 10_000, Sessions: 3, Periods: 10, Reads: int(pick(30, 40)), Writes: 10})
	gap := []time.Duration{time.Duration(pick(50, 150)) * time.Millisecond}
	save("shards", []bench.Shards{{Engine: bench.EngineLocal, Shards: 512, Replicas: 3, Lease: lease, Heartbeat: lease / 3, RoundTrip: 10 * time.Millisecond,
		Parts: []int{170, 171, 171}, Left: [][]int{{int(pick(256, 250)), 256}}, Periods: 10, Reads: []int{int(pick(32, 60))}, Writes: []int{10},
		Again: samples(lease, pick(1.02, 1.3)), AllAgain: samples(lease, pick(1.02, 1.3)),
		Join: bench.Moves{Moved: []int{int(pick(171, 300))}, Took: gap, Gap: gap}, Roll: bench.Moves{Moved: []int{256}, Took: gap, Gap: gap}}})
	save("takeover", []bench.Takeover{{Engine: bench.EngineLocal, Locks: 10_000, Lease: lease, All: time.Duration(pick(11, 12)) * time.Second, Bare: 10 * time.Second}})
	save("waiting", []bench.Waiting{{Who: bench.ByLock, Waiters: 1, Heartbeats: 100, Reads: int(pick(110, 130)), ReadUnits: pick(55, 65)}})
	save("cost", []bench.Cost{{Who: bench.ByLock, Waiters: 2, Lease: lease, Heartbeat: lease / 3, Window: time.Hour,
		Requests: map[string]int{"UpdateItem": 720, "GetItem": 1440}, Read: 720, Write: 720}})
	save("scale", []bench.Scale{{Locks: 2000, Lease: lease, Heartbeat: lease / 3, Window: 5 * time.Minute, Heap: pick(2000, 4000), Stacks: 500,
		Due: 100, Sent: 100, Lost: int(pick(0, 1)), Lateness: []time.Duration{time.Millisecond}},
		{Locks: 10_000, Lease: lease, Heartbeat: lease / 3, Window: 20 * time.Second, Due: 1000, Sent: int(pick(1000, 990)), Requests: 1000},
		{Locks: 10_000, Session: true, Lease: lease, Heartbeat: lease / 3, Window: 20 * time.Second, Live: pick(1000, 1100), Requests: 4, PartingRequests: 1}})
	save("heartbeats", []bench.Scale{{Locks: 2000, Sent: 100, CPU: time.Duration(pick(100, 300)) * 100 * time.Microsecond},
		{Locks: 2000, Sent: 100, CPU: 200 * 100 * time.Microsecond}})
	save("company", bench.Company{Lease: lease, Heartbeat: lease / 3, Locks: 300, Busiest: int(pick(9, 100)), HungLost: int(pick(0, 1)), Silent: 1,
		SilentLate: []time.Duration{0}, SilentInFlight: int(pick(0, 1))})
	save("stall", []bench.Stall{{Locks: 10, Lease: lease, Ended: int(pick(10, 9)), EndLate: []time.Duration{time.Millisecond}}})
	if err := os.WriteFile(filepath.Join(dir, "BENCHMARKS.txt"), []byte(benchmarkLines), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func loaded(t *testing.T, dir string) *findings {
	t.Helper()
	f := &findings{}
	if err := f.load(dir); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestABudgetIsMissedWhereItWasMissedAndNowhereElse(t *testing.T) {
	for _, v := range loaded(t, written(t, true)).verdicts() {
		if !v.met {
			t.Errorf("missed: %s: %s instead of %s", v.work, v.measured, v.budget)
		}
	}
	kept := 0
	for _, v := range loaded(t, written(t, false)).verdicts() {
		switch {
		case strings.HasPrefix(v.work, "HasLock"), strings.HasPrefix(v.work, "heartbeat, against"):
			kept++ // the same in both
		case v.met:
			t.Errorf("met, and should not be: %s: %s for %s", v.work, v.measured, v.budget)
		case v.why == "":
			t.Errorf("missed without a reason: %s", v.work)
		}
	}
	if kept != 2 {
		t.Errorf("%d of 2 verdicts on benchmarks", kept)
	}
}

func TestARatioIsTheMedianOfTheRoundsRatios(t *testing.T) {
	f := loaded(t, written(t, true))
	if ratio, ok := f.benchmarks.ratio("Heartbeat", bench.EngineLocal, "ns/op"); !ok || ratio < 1.0999 || ratio > 1.1001 {
		t.Errorf("ratio %v, %t: want the middle of 1.0 and 1.2", ratio, ok)
	}
	if ns, _ := f.benchmarks.median("HasLock", "cpu-ns/op"); ns != 72.5 {
		t.Errorf("HasLock takes %v ns", ns)
	}
}

func TestTheReportIsWrittenFromAnyMeasurements(t *testing.T) {
	for name, dir := range map[string]string{"everything": written(t, false), "nothing": t.TempDir()} {
		to := t.TempDir()
		if err := run(&findings{}, dir, to); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, chart := range []string{"failover.svg", "cost.svg", "handover.svg", "sessions.svg"} {
			file, err := os.Open(filepath.Join(to, chart))
			if err != nil {
				t.Fatal(err)
			}
			for decoder := xml.NewDecoder(file); ; {
				if _, err := decoder.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s: %s: %v", name, chart, err)
				}
			}
			_ = file.Close()
		}
		text, err := os.ReadFile(filepath.Join(to, "REPORT.md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"NaN", "Inf", "%!"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s: the report says %q", name, bad)
			}
		}
	}
}

// Readers of lockclient/README.md plan with its table, so it must be the one that the formula
// gives. report -cost-table prints it.
func TestReadmesCostTableIsTheFormulas(t *testing.T) {
	text, err := os.ReadFile("../../../lockclient/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, lease := range bench.Leases {
		b := formula(lease)
		for _, figure := range []string{number(b.write), number(b.read), dollarsText(b)} {
			row := ""
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "| "+plain(lease)+" |") && strings.Contains(line, figure) {
					row = line
				}
			}
			if row == "" {
				t.Errorf("no row of lockclient/README.md says %s for a lease of %s; go run ./test/bench/report -cost-table", figure, plain(lease))
			}
		}
	}
}

// Readers of README.md see the figures of the latest report. hack/bench.sh writes both.
func TestReadmesMeasuredTableIsTheReports(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile("../REPORT.md")
	if err != nil {
		t.Fatal(err)
	}
	if want, err := withSummary(string(readme), string(report)); err != nil {
		t.Error(err)
	} else if string(readme) != want {
		t.Error("README.md's table of figures is not that of test/bench/REPORT.md; go run ./test/bench/report -readme README.md")
	}
}
