package main

import (
	"fmt"
	"slices"

	"github.com/leaderkit/leaderkit/test/bench"
)

// writeRivals puts the figures of other libraries beside ours. They are constants: nothing of the
// others runs here.
func (f *findings) writeRivals(p *page) {
	p.say("\n## Beside other libraries\n")
	p.say("**The other libraries were not measured here.** Their figures were measured earlier and elsewhere, side by side, on DynamoDB Local 3.3: lease 3 s,")
	p.say("heartbeat 0.7 s, poll 0.5 s, 2 cores. leaderkit's are from this run, from the tables above; its waiters poll once a heartbeat, not each 0.5 s.")
	p.table(
		[]string{"", "dynamodb-lock-client-golang v0.1.0", "dynamolock v2.2", "leaderkit", "no less is possible"},
		[]string{"uncontended acquire", "1 write", "1 consistent read + 1 write", f.counted("acquire, no item yet"), "1 write"},
		[]string{"waiting, per poll", "1 write (1 WCU)", "1 consistent read (1 RCU)", f.counted("watch step of a waiter"), "1 eventually consistent read (0.5 RCU)"},
		[]string{"HasLock", "Scan of the table", "local", f.counted("HasLock, 1,000 times"), "local"},
		[]string{"crash failover after the last renewal, p50 / max", "1.14 / 1.16 x lease (by wall clocks: unsafe)", "1.16 / 1.39 x lease", f.realFailover(), "1.00 x lease"},
		[]string{"handover after a release, p50 / max", "259 / 465 ms", "296 / 510 ms", f.realHandovers(), "one round trip"},
		[]string{"2,000 locks, 10 ms round trip, heartbeat 5 s: heartbeats sent of those due", "99.6 %", "33 %: the rest of the leases run out", f.sentOfDue(), "100 %"},
		[]string{"the same: goroutines at most, memory a held lock", "2,045, 6.0 KB", "16, 1.5 KB", f.footprint(), ""},
	)
}

const notMeasured = "not measured"

func (f *findings) counted(operation string) string {
	for _, c := range f.counts {
		if c.Operation == operation {
			return bench.Consumption(c.Requests, c.Read, c.Write)
		}
	}
	return notMeasured
}

func (f *findings) realFailover() string {
	for _, run := range slices.Concat(f.failoverReal, f.failoverVirtual) {
		if run.Scene == bench.SceneSettled && run.Who == bench.ByLock {
			return fmt.Sprintf("%.2f / %.2f x lease (%s, lease %s)", multiple(run.SinceSent, 0.5, run.Lease), multiple(run.SinceSent, 1, run.Lease), run.Engine, plain(run.Lease))
		}
	}
	return notMeasured
}

func (f *findings) realHandovers() string {
	text := ""
	for _, h := range f.handoverReal {
		if h.Leader == bench.ByLock && h.Scene != bench.SceneHasty {
			if text != "" {
				text += "; "
			}
			text += fmt.Sprintf("%s / %s (%s, heartbeat %s)", short(bench.Quantile(h.Gap, 0.5)), short(bench.Quantile(h.Gap, 1)), h.Scene, plain(h.Heartbeat))
		}
	}
	if text == "" {
		return notMeasured
	}
	return text
}

func (f *findings) sentOfDue() string {
	for _, s := range f.scale {
		if s.Locks == bench.Enduring && !s.Session {
			return fmt.Sprintf("%.1f %% in %s", 100*float64(s.Sent)/float64(max(s.Due, 1)), plain(s.Window))
		}
	}
	return notMeasured
}

func (f *findings) footprint() string {
	for _, s := range f.scale {
		if s.Locks == bench.Enduring && !s.Session {
			return fmt.Sprintf("%d, %.1f KB", s.Goroutines, (s.Heap+s.Stacks)/1000)
		}
	}
	return notMeasured
}
