package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/leaderkit/leaderkit/test/bench"
)

// The heading of the section of REPORT.md that README.md repeats, and what stands around it there.
const (
	summaryHeading = "## In short"
	summaryBegins  = "<!-- measured -->"
	summaryEnds    = "<!-- /measured -->"
)

// writeSummary writes what README.md repeats. A row whose figures were not measured is missing.
func (f *findings) writeSummary(p *page) {
	p.say("\n%s\n", summaryHeading)
	p.say("| | |\n|---|---|")
	for _, row := range []func() (work, figures string){
		f.shortFailover, f.shortWaiting, f.shortNotice, f.shortHandover, f.shortPair, f.shortMinimal, f.shortHasLock, f.shortEndurance, f.shortSession, f.shortMonth,
	} {
		if work, figures := row(); figures != "" {
			p.say("| %s | %s |", work, figures)
		}
	}
}

func (f *findings) shortFailover() (string, string) {
	for _, run := range f.failoverReal {
		if run.Scene == bench.SceneSettled && run.Who == bench.ByLock {
			return fmt.Sprintf("crash failover, lease %s, DynamoDB Local, from the last renewal: p50, p99", plain(run.Lease)),
				fmt.Sprintf("%.3f, %.3f x the lease", multiple(run.SinceSent, 0.5, run.Lease), multiple(run.SinceSent, 0.99, run.Lease))
		}
	}
	return "", ""
}

func (f *findings) shortWaiting() (string, string) {
	if len(f.waiting) == 0 {
		return "", ""
	}
	least, most := f.waiting[0].ReadsPerHeartbeat(), 0.0
	for _, w := range f.waiting {
		least, most = min(least, w.ReadsPerHeartbeat()), max(most, w.ReadsPerHeartbeat())
	}
	return "waiting, reads per waiter and heartbeat", fmt.Sprintf("%.2f to %.2f", least, most)
}

// realHandover is the row of one scene on the real engine.
func (f *findings) realHandover(scene string) (bench.Handover, bool) {
	for _, h := range f.handoverReal {
		if h.Scene == scene && len(h.Gap) > 0 {
			return h, true
		}
	}
	return bench.Handover{}, false
}

func (f *findings) shortNotice() (string, string) {
	with, ok := f.realHandover(bench.SceneNotice)
	without, both := f.realHandover(bench.SceneNoNotice)
	if !ok || !both {
		return "", ""
	}
	return fmt.Sprintf("nobody leads after a leader was told to stop, heartbeat %s, DynamoDB Local: p50, p99", plain(with.Heartbeat)),
		fmt.Sprintf("%s, %s with HandoverNotice; %s, %s without", short(bench.Quantile(with.Gap, 0.5)), short(bench.Quantile(with.Gap, 0.99)),
			short(bench.Quantile(without.Gap, 0.5)), short(bench.Quantile(without.Gap, 0.99)))
}

func (f *findings) shortHandover() (string, string) {
	h, ok := f.realHandover(bench.SceneDrained)
	if !ok {
		return "", ""
	}
	return "handover after an announced release, DynamoDB Local, p50", short(bench.Quantile(h.Gap, 0.5))
}

func (f *findings) shortPair() (string, string) {
	pair, ok := f.benchmarks.ratio("AcquireRelease", bench.EngineLocal, "ns/op")
	beat, both := f.benchmarks.ratio("Heartbeat", bench.EngineLocal, "ns/op")
	if !ok || !both {
		return "", ""
	}
	return "acquire and release; heartbeat; against the same requests of the bare SDK", fmt.Sprintf("%.2f x; %.2f x the time", pair, beat)
}

func (f *findings) shortMinimal() (string, string) {
	ratio, ok := f.benchmarks.ratio(minimalFloor, bench.EngineLocal, "ns/op")
	if !ok {
		return "", ""
	}
	return "acquire and release, against two UpdateItems of one attribute on no condition", fmt.Sprintf("%.2f x the time", ratio)
}

func (f *findings) shortHasLock() (string, string) {
	ns, ok := f.benchmarks.median("HasLock", "ns/op")
	if !ok {
		return "", ""
	}
	if cpu, known := f.benchmarks.median("HasLock", "cpu-ns/op"); known && cpu > 0 {
		ns = min(ns, cpu)
	}
	allocs, _ := f.benchmarks.median("HasLock", "allocs/op")
	text := "nothing allocated"
	if allocs > 0 {
		text = fmt.Sprintf("%.0f allocations", allocs)
	}
	return "HasLock", fmt.Sprintf("%.0f ns, %s", ns, text)
}

func (f *findings) shortEndurance() (string, string) {
	for _, s := range f.scale {
		if s.Locks == bench.Enduring && !s.Session {
			sent := fmt.Sprintf("all of %s heartbeats", number(float64(s.Sent)))
			if missing := s.Due - s.Sent; float64(missing) > 0.001*float64(s.Due) || s.Failed > 0 || s.Lost > 0 {
				sent = fmt.Sprintf("%s of %s heartbeats, %d unconfirmed, %d locks lost;", number(float64(s.Sent)), number(float64(s.Due)), s.Failed, s.Lost)
			}
			return fmt.Sprintf("2,000 locks in one process, a heartbeat each %s, for %s", plain(s.Heartbeat), minutes(s)),
				fmt.Sprintf("%s within %s of their due time; %.1f KiB a lock, heap and stacks", sent, short(bench.Quantile(s.Lateness, 1)), (s.Heap+s.Stacks)/1024)
		}
	}
	return "", ""
}

func minutes(s bench.Scale) string { return fmt.Sprintf("%.0f minutes", s.Window.Minutes()) }

func (f *findings) shortSession() (string, string) {
	var session, plainLocks bench.Scale
	for _, s := range f.byLocks() {
		if s.Session {
			session = s
		} else {
			plainLocks = s
		}
	}
	if session.Locks == 0 || plainLocks.Locks != session.Locks {
		return "", ""
	}
	return fmt.Sprintf("%s locks of one session, against as many plain locks: writes a second, CPU, requests to release all", number(float64(session.Locks))),
		fmt.Sprintf("%.1f against %s; %.1f %% against %.0f %% of a core; %s against %s", perSecond(session.Requests, session.Window),
			number(perSecond(plainLocks.Requests, plainLocks.Window)), share(session), share(plainLocks), number(float64(session.PartingRequests)), number(float64(plainLocks.PartingRequests)))
}

// share is of a core, in percent.
func share(s bench.Scale) float64 { return 100 * float64(s.CPU) / float64(max(s.Window, 1)) }

func (f *findings) shortMonth() (string, string) {
	for _, c := range f.cost {
		if c.Who == bench.ByLock && plain(c.Lease) == "15 s" {
			return "one leader and two waiters, lease 15 s, for a month ([cost](../../lockclient/README.md#cost))", "$" + fmt.Sprintf("%.2f", monthly(c).dollars())
		}
	}
	return "", ""
}

// summaryOf returns the table of a report's summary as README.md shows it, in the folder above.
func summaryOf(report string) (string, error) {
	_, rest, ok := strings.Cut(report, summaryHeading+"\n\n")
	if !ok {
		return "", errors.New("the report has no section " + summaryHeading)
	}
	table, _, _ := strings.Cut(rest, "\n\n")
	return strings.ReplaceAll(strings.TrimRight(table, "\n"), "](../../", "](") + "\n", nil
}

// withSummary returns README.md with that table.
func withSummary(readme, report string) (string, error) {
	table, err := summaryOf(report)
	if err != nil {
		return "", err
	}
	before, rest, begins := strings.Cut(readme, summaryBegins+"\n")
	_, after, ends := strings.Cut(rest, summaryEnds)
	if !begins || !ends {
		return "", fmt.Errorf("README.md has no %s and %s", summaryBegins, summaryEnds)
	}
	return before + summaryBegins + "\n\n" + table + "\n" + summaryEnds + after, nil
}

// updateReadme copies the summary of REPORT.md into README.md.
func updateReadme(readme, report string) error {
	page, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	figures, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	changed, err := withSummary(string(page), string(figures))
	if err != nil {
		return err
	}
	return os.WriteFile(readme, []byte(changed), 0o644)
}
