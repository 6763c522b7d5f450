package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/test/bench"
)

// page collects the report's text.
type page struct{ strings.Builder }

func (p *page) say(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// table writes a table; the first row is its head. One without further rows says that nothing was
// measured.
func (p *page) table(rows ...[]string) {
	if len(rows) == 1 {
		p.say("\nNot measured in this run.")
		return
	}
	p.say("")
	for i, row := range rows {
		p.say("| %s |", strings.Join(row, " | "))
		if i == 0 {
			p.say("|%s", strings.Repeat("---|", len(row)))
		}
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// short is a duration with three figures at most.
func short(d time.Duration) string {
	switch {
	case d >= time.Second || d <= -time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond || d <= -10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	default:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
}

func number(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// plain is a round duration as people say it.
func plain(d time.Duration) string {
	switch {
	case d >= 10*time.Minute, d >= time.Minute && d%time.Minute == 0 && d != time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%v s", float64(d.Round(10*time.Millisecond))/1e9)
	default:
		return fmt.Sprintf("%v ms", float64(d.Round(time.Millisecond))/1e6)
	}
}

func (f *findings) markdown() string {
	p := &page{}
	p.say("# What leaderkit costs, and how fast it is\n")
	p.say("Written by `hack/bench.sh`; don't edit. `BENCHMARKS.txt` beside it is what `go test -bench` said, for benchstat.")
	f.writeEnvironment(p)
	f.writeSummary(p)
	f.writeBudgets(p)
	f.writeFailover(p)
	f.writeHandover(p)
	f.writeWaiting(p)
	f.writeSpeed(p)
	f.writeScale(p)
	f.writeSessions(p)
	f.writeShards(p)
	f.writeOverload(p)
	f.writeConnections(p)
	f.writeStall(p)
	f.writeRivals(p)
	f.writeCost(p)
	return p.String()
}

func (f *findings) writeEnvironment(p *page) {
	e := f.environment
	p.table([]string{"", ""},
		[]string{"date", e.date.Format("2006-01-02 15:04 MST")},
		[]string{"CPU", e.cpu},
		[]string{"cores", fmt.Sprint(e.cores)},
		[]string{"memory", e.memory},
		[]string{"system, Go", e.system + ", " + e.language},
		[]string{"engine of the real figures", e.engine + ", on loopback, on the same machine"},
		[]string{"load average before, after", e.loadBefore + ", " + e.loadAfter},
		[]string{"run", e.effort})
	p.say("\n*Virtual time*: dynamotest, Go's synctest, a network with a fixed round trip; no noise, so what is seen is the protocol.")
	p.say("*Real*: DynamoDB Local or another process, with whatever else the machine does.")
}

func (f *findings) writeBudgets(p *page) {
	p.say("\n## Budgets")
	rows := [][]string{{"work", "budget", "measured", "met"}}
	missed := 0
	for _, v := range f.verdicts() {
		met := "yes"
		if !v.met {
			met = "**no**, " + v.why
			missed++
		}
		rows = append(rows, []string{v.work, v.budget, v.measured, met})
	}
	if len(rows) > 1 {
		p.say("\n%d budgets, %d missed. Counts were taken at the wire, on dynamotest and on DynamoDB Local, and are specs besides.", len(rows)-1, missed)
	}
	p.table(rows...)
}

func (f *findings) writeFailover(p *page) {
	p.say("\n## Crash failover\n\n![Failover against lease](failover.svg)\n")
	p.say("From the moment when the crashed holder's last renewal was sent to the moment when the waiter knows that it holds the lock, in")
	p.say("multiples of the lease. A lease can't be taken over before 1.00.")
	rows := [][]string{{"who waits", "scene", "engine", "lease", "round trip", "crashes", "p50", "p90", "p99", "max", "p50 from the commit", "reads"}}
	for _, run := range slices.Concat(f.failoverVirtual, f.failoverReal) {
		row := []string{run.Who, run.Scene, run.Engine, plain(run.Lease), short(run.RoundTrip), fmt.Sprint(len(run.SinceSent))}
		for _, q := range []float64{0.5, 0.9, 0.99, 1} {
			row = append(row, fmt.Sprintf("%.3f", multiple(run.SinceSent, q, run.Lease)))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.3f", multiple(run.SinceCommitted, 0.5, run.Lease)), fmt.Sprintf("%.0f", run.Reads)))
	}
	p.table(rows...)
	p.say("\nA waiter that has come just before the crash doesn't know when the record was written, and has to watch it for a whole lease from then on.")
	p.say("The round trip is the median; where it is 20 ms, each way takes 5 to 15 ms at random. Reads are the waiter's, of half a unit, from the crash to")
	p.say("its win: a holder that is late is looked for with growing gaps, which are smaller where it had announced a release.")
}

func (f *findings) writeHandover(p *page) {
	p.say("\n## Handover\n\n![How long nobody leads](handover.svg)\n")
	p.say("A lock client announces, drains and releases: from the call of RemoveLock to the moment when the waiter knows that it holds the lock. An elector is told")
	p.say("to stop, and its work ends at once: from the end of the leading context to that moment. With HandoverNotice it goes on leading for the time of the notice.")
	p.say("A candidate that has come less than a heartbeat before knows the holder's rhythm already. One that comes after the announcement sees it with its first poll.")
	rows := [][]string{{"who leads", "who waits", "scene", "engine", "lease, heartbeat", "round trip", "times", "p50", "p90", "p99", "max", "notice p50", "max", "reads of the waiter meanwhile"}}
	for _, h := range slices.Concat(f.handoverVirtual, f.handoverReal) {
		row := []string{h.Leader, h.Who, h.Scene, h.Engine, plain(h.Lease) + ", " + plain(h.Heartbeat), short(h.RoundTrip), fmt.Sprint(len(h.Gap))}
		for _, q := range []float64{0.5, 0.9, 0.99, 1} {
			row = append(row, short(bench.Quantile(h.Gap, q)))
		}
		notice, longest := "", ""
		if len(h.Notice) > 0 {
			notice, longest = short(bench.Quantile(h.Notice, 0.5)), short(bench.Quantile(h.Notice, 1))
		}
		rows = append(rows, append(row, notice, longest, fmt.Sprintf("%.0f", h.ReadsWhileEnding)))
	}
	p.table(rows...)
}

func (f *findings) writeWaiting(p *page) {
	p.say("\n## Waiters on one lock\n")
	p.say("Virtual time, steady state. The lag is from a renewal's commit to a waiter's having seen it: what a crash right after would cost.")
	rows := [][]string{{"who waits", "waiters", "lease, heartbeat", "round trip", "heartbeats", "reads per heartbeat and waiter", "writes", "lag p50", "p99", "max"}}
	for _, w := range f.waiting {
		trip := short(w.RoundTrip)
		if w.Jitter > 0 {
			trip += " to " + short(w.RoundTrip+w.Jitter)
		}
		rows = append(rows, []string{w.Who, fmt.Sprint(w.Waiters), plain(w.Lease) + ", " + plain(w.Heartbeat), trip, fmt.Sprint(w.Heartbeats),
			fmt.Sprintf("%.3f", w.ReadsPerHeartbeat()), fmt.Sprint(w.Writes),
			short(bench.Quantile(w.Lag, 0.5)), short(bench.Quantile(w.Lag, 0.99)), short(bench.Quantile(w.Lag, 1))})
	}
	p.table(rows...)
}

func (f *findings) writeSpeed(p *page) {
	p.say("\n## One operation, against the bare SDK\n")
	p.say("The floor is the very request that the lock client sends, taken off the wire and sent by the SDK alone. Engine *none* answers at once with")
	p.say("canned replies, so that only the client's own work is left; *dynamotest* is called without a socket. Medians of the rounds; each round measured an")
	p.say("operation and its floor one right after the other, and a ratio is the median of the rounds' ratios. CPU time is this process's.")
	p.say("*AcquireReleaseAgainstMinimal* has another floor: two UpdateItems that set one attribute on no condition. *HeartbeatAgainstV010* has the bare SDK send what")
	p.say("dynamodb-lock-client-golang v0.1.0 documents: a PutItem of name, identifier and expiry, on the condition that the identifier is its own.")
	rows := [][]string{{"operation", "engine", "time", "floor", "ratio", "CPU time", "floor", "ratio", "allocations", "floor", "bytes", "floor"}}
	for _, operation := range []string{"AcquireRelease", minimalFloor, "Heartbeat", v010Floor, "RefusedAttempt", "Peek", "WatchStep"} {
		for _, engine := range []string{bench.EngineNone, bench.EngineMemory, bench.EngineLocal} {
			ours, floor := pair(operation, engine)
			if _, ok := f.benchmarks.median(ours, "ns/op"); !ok {
				continue
			}
			row := []string{operation, engine}
			for _, unit := range []string{"ns/op", "cpu-ns/op"} {
				mine, _ := f.benchmarks.median(ours, unit)
				least, _ := f.benchmarks.median(floor, unit)
				ratio, _ := f.benchmarks.ratio(operation, engine, unit)
				row = append(row, fmt.Sprintf("%.0f µs", mine/1e3), fmt.Sprintf("%.0f µs", least/1e3), fmt.Sprintf("%.2f", ratio))
			}
			for _, unit := range []string{"allocs/op", "B/op"} {
				mine, _ := f.benchmarks.median(ours, unit)
				least, _ := f.benchmarks.median(floor, unit)
				row = append(row, number(mine), number(least))
			}
			rows = append(rows, row)
		}
	}
	for _, operation := range []string{"HasLock", "IsLeader", "HasLockOfAMember", "LeaseAgeOfAMember"} {
		if ns, ok := f.benchmarks.median(operation, "ns/op"); ok {
			allocs, _ := f.benchmarks.median(operation, "allocs/op")
			bytes, _ := f.benchmarks.median(operation, "B/op")
			rows = append(rows, []string{operation, "", fmt.Sprintf("%.0f ns", ns), "", "", "", "", "", number(allocs), "", number(bytes), ""})
		}
	}
	p.table(rows...)
}

func (f *findings) writeScale(p *page) {
	p.say("\n## Many locks in one process\n")
	p.say("One process with nothing but the locks, on one `dynamodb.DynamoDB`; the server is another process that takes the round trip to answer. Memory")
	p.say("is what is in use after a garbage collection, two heartbeats after the locks were acquired, less what was in use before. A heartbeat is due one")
	p.say("period after the one before was sent.")
	rows := [][]string{{"locks", "heartbeat", "round trip", "watched", "heap in use a lock", "of it reachable", "stacks a lock", "goroutines at most", "sent of due",
		"late p50", "p99", "max", "unconfirmed", "lost", "CPU a heartbeat", "CPU"}}
	for _, s := range f.scale {
		if s.Session {
			continue
		}
		rows = append(rows, []string{number(float64(s.Locks)), plain(s.Heartbeat), plain(s.RoundTrip), plain(s.Window),
			number(s.Heap) + " B", number(s.Live) + " B", number(s.Stacks) + " B", fmt.Sprint(s.Goroutines), fmt.Sprintf("%d of %d", s.Sent, s.Due),
			short(bench.Quantile(s.Lateness, 0.5)), short(bench.Quantile(s.Lateness, 0.99)), short(bench.Quantile(s.Lateness, 1)),
			fmt.Sprint(s.Failed), fmt.Sprint(s.Lost), fmt.Sprintf("%.0f µs", float64(s.CPU.Microseconds())/float64(max(s.Sent, 1))),
			fmt.Sprintf("%.1f %% of a core", 100*float64(s.CPU)/float64(s.Window))})
	}
	p.table(rows...)
	p.say("\nWith few locks, memory a lock is mostly what Go rounds up to, and the connections; see the larger ones. Goroutines exist only while a request is under way: two of the SDK's")
	p.say("transport for each open connection, and the heartbeat's own.")
}

func (f *findings) writeConnections(p *page) {
	p.say("\n## Connections\n")
	p.say("The same, on the transport that the SDK takes by default, which keeps two idle connections to a host, and on `lockclient.NewHTTPClient`. The CPU")
	p.say("is the client's; the server's part of a TLS handshake comes on top.")
	rows := [][]string{{"transport", "TLS", "locks", "heartbeats", "new connections", "a second", "open at the end", "late p99", "unconfirmed", "lost", "CPU a heartbeat",
		"CPU"}}
	for _, s := range f.connections {
		rows = append(rows, []string{s.Transport, yes(s.TLS), number(float64(s.Locks)), fmt.Sprint(s.Sent), fmt.Sprint(s.NewConnections),
			fmt.Sprintf("%.1f", float64(s.NewConnections)/s.Window.Seconds()), fmt.Sprint(s.OpenConnections), short(bench.Quantile(s.Lateness, 0.99)), fmt.Sprint(s.Failed),
			fmt.Sprint(s.Lost), fmt.Sprintf("%.0f µs", float64(s.CPU.Microseconds())/float64(max(s.Sent, 1))), fmt.Sprintf("%.1f %% of a core", 100*float64(s.CPU)/float64(s.Window))})
	}
	p.table(rows...)
}

func (f *findings) writeStall(p *page) {
	p.say("\n## An endpoint that goes silent\n")
	p.say("From one moment on the server takes requests and answers none. The end of a tenure is when Lost is closed; the holder's trust ends at 0.99")
	p.say("of the lease, and nobody else acquires before 1.00.")
	rows := [][]string{{"locks", "transport", "lease, heartbeat", "requests sent meanwhile", "at once at most", "connections at most", "tenures ended", "after 0.99 of the lease p50", "max",
		"requests left 1 s later"}}
	for _, s := range f.stall {
		rows = append(rows, []string{number(float64(s.Locks)), s.Transport, plain(s.Lease) + ", " + plain(s.Heartbeat), fmt.Sprint(s.Requests), fmt.Sprint(s.MaxInFlight),
			fmt.Sprint(s.MaxConnections), fmt.Sprintf("%d of %d", s.Ended, s.Locks), short(bench.Quantile(s.EndLate, 0.5)), short(bench.Quantile(s.EndLate, 1)),
			fmt.Sprint(s.InFlightAfter)})
	}
	if c := f.company; c.Silent > 0 {
		rows = append(rows, []string{number(float64(c.Silent)), "none: virtual time", plain(c.Lease) + ", " + plain(c.Heartbeat), fmt.Sprint(c.SilentSent),
			fmt.Sprint(c.SilentAtOnce), "", fmt.Sprintf("%d of %d", len(c.SilentLate), c.Silent),
			short(bench.Quantile(c.SilentLate, 0.5)), short(bench.Quantile(c.SilentLate, 1)), fmt.Sprint(c.SilentInFlight)})
	}
	p.table(rows...)
}

func (f *findings) writeCost(p *page) {
	p.say("\n## What a month costs\n\n![Cost against failover time](cost.svg)\n")
	p.say("One leader and 2 waiters for 30 days, heartbeats at a third of the lease, from requests and capacity counted in virtual time. On demand, %s,", priceRegion)
	p.say("%s: $%v for a million write units, $%v for a million read units.\n", priceDate, writePrice, readPrice)
	p.say("    dollars a month = 2,592,000 s / heartbeat x ($%v + waiters x 0.5 x $%v) / 1,000,000", writePrice, readPrice)
	rows := [][]string{{"library", "lease", "requests", "WCU", "RCU", "dollars", "crash failover p50"}}
	for _, c := range f.cost {
		b := monthly(c)
		failover := ""
		if p50, _, ok := f.failoverOf(c.Lease); ok && c.Who == bench.ByLock {
			failover = fmt.Sprintf("%.1f s", p50*c.Lease.Seconds())
		}
		rows = append(rows, []string{"leaderkit, " + c.Who, plain(c.Lease), number(b.requests), number(b.write), number(b.read), fmt.Sprintf("%.2f", b.dollars()), failover})
	}
	if len(f.cost) > 0 {
		for _, r := range rivals {
			for _, lease := range bench.Leases {
				b := r.bill(lease, bench.Waiters)
				rows = append(rows, []string{r.name, plain(lease), number(b.requests), number(b.write), number(b.read), fmt.Sprintf("%.2f", b.dollars()),
					fmt.Sprintf("%.1f s", r.failover*lease.Seconds())})
			}
		}
	}
	p.table(rows...)
	p.say("\nThe rivals are not run here. Their requests follow from their documented protocols, with the same heartbeats and a poll each sixth of the lease; that is how")
	p.say("their failover was measured earlier (DynamoDB Local 3.3, lease 3 s, heartbeat 0.7 s, poll 0.5 s, 2 cores), which is scaled to the lease here:\n")
	for _, r := range rivals {
		note := ""
		if r.note != "" {
			note = " (" + r.note + ")"
		}
		p.say("- %s: a poll is %s, a heartbeat 1 UpdateItem or PutItem; failover p50 %.2f, max %.2f x the lease%s", r.name, r.poll, r.failover, r.max, note)
	}
}
