package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/leaderkit/leaderkit/test/bench"
)

// The budgets of sessions.
const (
	memberBudget   = 1 << 10 // bytes a held member
	takeoverBudget = 1.15    // all locks of a crashed session, against as many bare UpdateItems
)

func (f *findings) sessionVerdicts() []verdict {
	var all []verdict
	all = append(all, f.curveVerdicts()...)
	if w := f.crowded; w.Locks > 0 {
		reads := float64(w.Reads) / float64(w.Periods)
		all = append(all, verdict{
			work:     fmt.Sprintf("%s waiting locks whose holders are %d sessions, a heartbeat, virtual time", number(float64(w.Locks)), w.Sessions),
			budget:   "3 to 3.75 reads, nothing else but its own session's heartbeat",
			measured: fmt.Sprintf("%.2f reads, %.2f writes, %d others", reads, float64(w.Writes)/float64(w.Periods), w.Others),
			met:      reads <= 1.25*float64(w.Sessions) && w.Others == 0 && w.Writes <= w.Periods+1,
			why:      fmt.Sprintf("by %.2f reads, %d writes, %d others%s", max(reads-3.75, 0), w.Writes-w.Periods, w.Others, inVirtualTime),
		})
	}
	all = append(all, f.memberVerdicts()...)
	return append(all, f.takeoverVerdicts()...)
}

// curveVerdicts are those of the curve's longest point with sessions, and of all crashes in it.
func (f *findings) curveVerdicts() []verdict {
	var most bench.Curve
	var crashes, closes []time.Duration
	for _, c := range f.sessions {
		if c.Session {
			crashes, closes = append(crashes, c.First...), append(closes, c.FreedFirst...)
			if c.Locks > most.Locks {
				most = c
			}
		}
	}
	if most.Locks == 0 {
		return nil
	}
	locks := number(float64(most.Locks))
	first := multiple(crashes, 0.5, most.Lease)
	noticed, soon := bench.Quantile(closes, 0.5), bench.HandoverBudget+2*most.RoundTrip
	return []verdict{
		{
			work: locks + " held locks of a session, writes a heartbeat, virtual time", budget: "1",
			measured: fmt.Sprintf("%.2f, and %d other requests", most.WritesPerHeartbeat(), most.Others),
			met:      most.Writes == most.Periods && most.Others == 0, why: "an exact count: go test ./test/bench fails, too",
		},
		{
			work:   fmt.Sprintf("a session crashes: the first of its locks taken over, lease %s, round trip %s, virtual time, %d crashes", plain(most.Lease), short(most.RoundTrip), len(crashes)),
			budget: fmt.Sprintf("p50 %.2f x the lease", failoverP50Budget), measured: fmt.Sprintf("p50 %.3f, p99 %.3f x", first, multiple(crashes, 0.99, most.Lease)),
			met: first <= failoverP50Budget, why: fmt.Sprintf("by %.3f x%s", first-failoverP50Budget, inVirtualTime),
		},
		{
			work: "Close of a session with " + locks + " held locks", budget: "1 write",
			measured: fmt.Sprintf("%d", most.CloseRequests), met: most.CloseRequests == 1, why: "an exact count: go test ./test/bench fails, too",
		},
		{
			work:   fmt.Sprintf("Close of a session, announced 1.1 to 1.3 heartbeats before: the first of its locks held again, virtual time, %d of them", len(closes)),
			budget: "p50 " + short(soon) + ": 100 ms and two round trips", measured: fmt.Sprintf("p50 %s, p99 %s", short(noticed), short(bench.Quantile(closes, 0.99))),
			met: noticed <= soon, why: "by " + short(noticed-soon) + inVirtualTime,
		},
	}
}

// memberVerdicts are of the process with the most members.
func (f *findings) memberVerdicts() []verdict {
	most := bench.Scale{}
	for _, s := range f.scale {
		if s.Session && s.Locks > most.Locks {
			most = s
		}
	}
	if most.Locks == 0 {
		return nil
	}
	return []verdict{{
		work:     fmt.Sprintf("a held member of a session, of %s", number(float64(most.Locks))),
		budget:   "less than 1 KiB of reachable memory, no goroutine",
		measured: fmt.Sprintf("%.0f B (%.0f B in use, with the room between live objects, and stacks); %d goroutines in all", most.Live, most.Heap+most.Stacks, most.Goroutines),
		met:      most.Live < memberBudget && most.Goroutines*100 <= most.Locks,
		why:      fmt.Sprintf("by %.0f B", max(most.Live-memberBudget, 0)),
	}}
}

func (f *findings) takeoverVerdicts() []verdict {
	if len(f.takeover) == 0 {
		return nil
	}
	var ratios []float64
	for _, t := range f.takeover {
		ratios = append(ratios, float64(t.All)/float64(max(t.Bare, 1)))
	}
	slices.Sort(ratios)
	ratio, run := middle(ratios), f.takeover[0]
	return []verdict{{
		work:     fmt.Sprintf("the other %s locks of a session that crashed, 64 at a time, %s", number(float64(run.Locks-1)), run.Engine),
		budget:   fmt.Sprintf("%.2f x the time of %s bare UpdateItems, 64 at a time", takeoverBudget, number(float64(run.Locks))),
		measured: fmt.Sprintf("%.2f x", ratio), met: ratio <= takeoverBudget,
		why: f.machine(fmt.Sprintf("by %.2f x", ratio-takeoverBudget), "one process goes on waiting, believes, and tells as many callers; the bare one does nothing but send"),
	}}
}

func kind(session bool) string {
	if session {
		return "one session"
	}
	return "plain"
}

// byLocks is the processes with held locks, except the one that was watched for minutes.
func (f *findings) byLocks() []bench.Scale {
	var all []bench.Scale
	for _, s := range f.scale {
		if s.Locks != bench.Enduring || s.Session {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b bench.Scale) int { return a.Locks - b.Locks })
	return all
}

func released(s bench.Scale) string {
	if s.PartingFailed {
		return short(s.Parting) + ", not all"
	}
	return short(s.Parting)
}

func perSecond(n int, window time.Duration) float64 {
	if window == 0 {
		return 0
	}
	return float64(n) / window.Seconds()
}

func (f *findings) writeSessions(p *page) {
	p.say("\n## Sessions\n\n![Writes a second against the number of held locks](sessions.svg)\n")
	p.say("Many locks of one process, plain or members of one session. First what holding them takes: one process with nothing but the locks, the server")
	p.say("is another process that takes the round trip to answer. Memory is per lock, as in the section before. Acquiring, and releasing plain locks, is done 64 at a time.")
	p.say("A session's locks are all released by its Close.")
	rows := [][]string{{"locks", "", "acquired in", "requests a second", "heap in use a lock", "of it reachable", "stacks a lock", "goroutines at most", "CPU", "lost", "released in", "requests of that"}}
	for _, s := range f.byLocks() {
		rows = append(rows, []string{number(float64(s.Locks)), kind(s.Session), short(s.Gathering), fmt.Sprintf("%.1f", perSecond(s.Requests, s.Window)),
			number(s.Heap) + " B", number(s.Live) + " B", number(s.Stacks) + " B", fmt.Sprint(s.Goroutines), fmt.Sprintf("%.2f %% of a core", 100*float64(s.CPU)/float64(max(s.Window, 1))),
			fmt.Sprint(s.Lost), released(s), number(float64(s.PartingRequests))})
	}
	p.table(rows...)
	p.say("\nThen the protocol, in virtual time, while another process waits for all of the locks. The holder crashes, at any moment between two heartbeats: from then on until")
	p.say("the other process holds each of them. That one announces the end, and lets all go 1.1 to 1.3 heartbeats later: from then on until a third process holds each of them.")
	rows = [][]string{{"locks", "", "writes of the holder a heartbeat", "reads of the waiting process a heartbeat", "crashes", "first lock taken over after the last renewal, p50", "after the crash: first", "p50",
		"p99", "last", "requests of that", "released in", "requests of that", "held again: first", "p50", "p99", "last"}}
	for _, c := range byLocksThenKind(f.sessions) {
		q := func(all []time.Duration, q float64) string { return short(bench.Quantile(all, q)) }
		rows = append(rows, []string{number(float64(c.Locks)), kind(c.Session), number(c.WritesPerHeartbeat()), number(float64(c.Reads) / float64(max(c.Periods, 1))),
			fmt.Sprint(len(c.First)), fmt.Sprintf("%.3f x the lease", multiple(c.First, 0.5, c.Lease)), q(c.Taken, 0), q(c.Taken, 0.5), q(c.Taken, 0.99), q(c.Taken, 1),
			number(float64(c.TakeoverRequests)), q(c.CloseTook, 0.5), number(float64(c.CloseRequests)), q(c.FreedFirst, 0.5), q(c.Freed, 0.5), q(c.Freed, 0.99), q(c.Freed, 1)})
	}
	p.table(rows...)
	if len(f.sessions) > 0 {
		p.say("\nLease %s, heartbeat %s, round trip %s. Plain locks' renewals are spread over a heartbeat, and so are the ends of their leases. With 64 requests under way",
			plain(f.sessions[0].Lease), plain(f.sessions[0].Heartbeat), short(f.sessions[0].RoundTrip))
		p.say("and that round trip, 10,000 requests take 1.57 s. Waiting for 10,000 plain locks is not measured: it is 2,000 reads a second beside 2,000 writes, some 400,000")
		p.say("requests for one crash. How they are held is in the table above.")
	}
	p.say("\nThe same takeover of a session in real time, beside as many UpdateItems of the bare SDK, each the request that acquires a new lock, by 64 callers:")
	rows = [][]string{{"locks", "engine", "lease, heartbeat", "first after the last renewal", "the others", "bare UpdateItems", "ratio", "requests"}}
	for _, t := range f.takeover {
		rows = append(rows, []string{number(float64(t.Locks)), t.Engine, plain(t.Lease) + ", " + plain(t.Heartbeat), fmt.Sprintf("%.3f x the lease", float64(t.First)/float64(max(t.Lease, 1))), short(t.All), short(t.Bare),
			fmt.Sprintf("%.2f", float64(t.All)/float64(max(t.Bare, 1))), bench.Consumption(t.Requests, 0, 0)})
	}
	p.table(rows...)
}

func byLocksThenKind(curves []bench.Curve) []bench.Curve {
	return slices.SortedStableFunc(slices.Values(curves), func(a, b bench.Curve) int { return a.Locks - b.Locks })
}

func (f *findings) writeOverload(p *page) {
	p.say("\n## More locks than the machine can renew\n")
	p.say("Virtual time: one core that client and server share, and 5 ms of computing for each request. What the locks need, against what is completed.")
	rows := [][]string{{"locks", "callers", "heartbeats needed a second", "the machine can do", "completed a second", "locks that were had", "of them held at the end"}}
	for _, o := range f.overload {
		rows = append(rows, []string{number(float64(o.Locks)), number(float64(o.Callers)), number(o.Offered), number(o.Capacity), number(o.Confirmed), number(float64(o.Had)), number(float64(o.Held))})
	}
	p.table(rows...)
}

// sessionsChart shows how many requests a second a process sends that holds so many locks.
func (f *findings) sessionsChart() string {
	type point struct{ locks, requests float64 }
	const left, right, top, bottom = 70.0, 210.0, 70.0, 380.0
	d := &drawing{width: 960, height: 446}
	x := func(locks float64) float64 { return left + math.Log10(locks)/4*(d.width-left-right) }
	y := func(requests float64) float64 {
		return bottom - (math.Log10(max(requests, 0.1))+1)/5*(bottom-top)
	}
	d.text(24, 28, "start", ink, 17, "One heartbeat, however many locks a process holds")
	d.text(24, 47, "start", grey, 12, "requests a second of a process that holds so many locks, heartbeat 5 s; both scales logarithmic")
	for decade := range 5 {
		locks, requests := math.Pow10(decade), math.Pow10(decade-1)
		d.line(x(locks), top, x(locks), bottom, faint, 1, "")
		d.text(x(locks), bottom+16, "middle", grey, 11, "%s", number(locks))
		d.line(left, y(requests), d.width-right, y(requests), faint, 1, "")
		d.text(left-8, y(requests)+4, "end", grey, 11, "%v", requests)
	}
	d.text((left+d.width-right)/2, bottom+38, "middle", grey, 12, "locks held by one process")
	for _, session := range []bool{false, true} {
		shade, name := brown, "plain locks"
		if session {
			shade, name = blue, "locks of one session"
		}
		var points []point
		for _, s := range f.byLocks() {
			if s.Session == session && s.Requests > 0 {
				points = append(points, point{float64(s.Locks), perSecond(s.Requests, s.Window)})
			}
		}
		for i, at := range points {
			if i > 0 {
				d.line(x(points[i-1].locks), y(points[i-1].requests), x(at.locks), y(at.requests), shade, 2, "")
			}
			d.dot(x(at.locks), y(at.requests), 4.5, shade)
			if i > 0 {
				d.text(x(at.locks), y(at.requests)-10, "middle", shade, 11, "%.3g", at.requests)
			}
			if i == len(points)-1 {
				d.text(x(at.locks)+14, y(at.requests)+4, "start", shade, 12, "%s", name)
			}
		}
	}
	return d.svg("Requests a second against held locks")
}
