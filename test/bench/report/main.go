// Command report turns what hack/bench.sh has measured into REPORT.md and four charts.
//
//	report -from FOLDER -to FOLDER -engine TEXT -load-before TEXT -load-after TEXT -effort quick|full
//	report -readme FILE     copies the summary of test/bench/REPORT.md into README.md
//	report -cost-table      prints the table of lockclient/README.md's section on cost
//
// -from holds BENCHMARKS.txt, the output of go test -bench, and the JSON files of the measurements.
// What is missing there is missing in the report, which says so.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/leaderkit/leaderkit/test/bench"
)

// findings are all that was measured.
type findings struct {
	environment environment
	benchmarks  *benchmarks

	counts                        []bench.Counted
	failoverVirtual, failoverReal []bench.Failover
	handoverVirtual, handoverReal []bench.Handover
	waiting                       []bench.Waiting
	cost                          []bench.Cost
	scale, connections            []bench.Scale
	heartbeats                    []bench.Scale // of leaderkit, and of v0.1.0
	company                       bench.Company
	stall                         []bench.Stall
	overload                      []bench.Overload
	sessions                      []bench.Curve
	crowded                       bench.Crowded
	takeover                      []bench.Takeover
	shards                        []bench.Shards
}

func main() {
	from := flag.String("from", "", "the folder with the results")
	to := flag.String("to", "", "the folder for REPORT.md and the charts")
	f := &findings{}
	flag.StringVar(&f.environment.engine, "engine", "none", "which engine the real figures come from")
	flag.StringVar(&f.environment.loadBefore, "load-before", "?", "the load average before the run")
	flag.StringVar(&f.environment.loadAfter, "load-after", "?", "the load average after the run")
	flag.StringVar(&f.environment.effort, "effort", "full", "quick or full")
	table := flag.Bool("cost-table", false, "only print the cost table")
	readme := flag.String("readme", "", "only copy the summary of test/bench/REPORT.md into this file")
	flag.Parse()
	if *table {
		fmt.Print(costTable())
		return
	}
	if *readme != "" {
		if err := updateReadme(*readme, filepath.Join("test", "bench", "REPORT.md")); err != nil {
			fmt.Fprintln(os.Stderr, "report:", err)
			os.Exit(1)
		}
		return
	}
	if *from == "" || *to == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(f, *from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(f *findings, from, to string) error {
	if err := f.load(from); err != nil {
		return err
	}
	f.environment.look()
	files := map[string]string{"REPORT.md": f.markdown(), "failover.svg": f.failoverChart(), "cost.svg": f.costChart(),
		"handover.svg": f.handoverChart(), "sessions.svg": f.sessionsChart()}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(to, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	for _, v := range f.verdicts() {
		if !v.met {
			fmt.Printf("missed: %s: %s instead of %s, %s\n", v.work, v.measured, v.budget, v.why)
		}
	}
	return nil
}

func (f *findings) load(from string) error {
	var err error
	if f.benchmarks, err = readBenchmarks(filepath.Join(from, "BENCHMARKS.txt")); err != nil {
		return err
	}
	for name, into := range map[string]any{
		"counts":           &f.counts,
		"failover-virtual": &f.failoverVirtual,
		"failover-real":    &f.failoverReal,
		"handover-virtual": &f.handoverVirtual,
		"handover-real":    &f.handoverReal,
		"waiting":          &f.waiting,
		"cost":             &f.cost,
		"scale":            &f.scale,
		"connections":      &f.connections,
		"heartbeats":       &f.heartbeats,
		"company":          &f.company,
		"stall":            &f.stall,
		"overload":         &f.overload,
		"sessions":         &f.sessions,
		"crowded":          &f.crowded,
		"takeover":         &f.takeover,
		"shards":           &f.shards,
	} {
		if err := bench.Load(from, name, into); err != nil {
			return err
		}
	}
	return nil
}
