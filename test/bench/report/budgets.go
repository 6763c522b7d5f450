package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/leaderkit/leaderkit/test/bench"
)

// verdict is one budget and what became of it.
type verdict struct {
	work, budget, measured string
	met                    bool
	why                    string // when it was missed: by how much, and why
}

// The budgets that are not exact counts.
const (
	hasLockBudget     = 100.0 // ns
	pairBudget        = 1.15  // acquire and release, against two UpdateItems of the bare SDK: the same ones, and minimal ones
	heartbeatBudget   = 1.10  // against one
	failoverP50Budget = 1.02  // multiples of the lease
	failoverP99Budget = 1.05  // two round trips more
	memoryBudget      = 3 << 10
	readsBudget       = 1.25
	sentBudget        = 0.999 // heartbeats sent of those due, with 10,000 plain locks; v0.1.0 0.991
	overloadBudget    = 0.97  // heartbeats completed, of those that the machine can do
)

const inVirtualTime = "; in virtual time, so it is the client's doing"

// verdicts judges everything that has a budget and was measured.
func (f *findings) verdicts() []verdict {
	var all []verdict
	all = append(all, f.countVerdicts()...)
	all = append(all, f.waitingVerdicts()...)
	all = append(all, f.speedVerdicts()...)
	all = append(all, f.failoverVerdicts()...)
	all = append(all, f.handoverVerdicts()...)
	all = append(all, f.crowdVerdicts()...)
	all = append(all, f.companyVerdicts()...)
	all = append(all, f.stallVerdicts()...)
	all = append(all, f.overloadVerdicts()...)
	all = append(all, f.sessionVerdicts()...)
	all = append(all, f.shardVerdicts()...)
	return all
}

// countVerdicts puts the engines together where they agree, as they should.
func (f *findings) countVerdicts() []verdict {
	var all []verdict
	at := map[string]int{}
	for _, c := range f.counts {
		measured := bench.Consumption(c.Requests, c.Read, c.Write)
		if i, known := at[c.Operation]; known {
			if all[i].measured != measured {
				all[i].measured += "; on " + c.Engine + " " + measured
			}
			all[i].met = all[i].met && c.Met
			continue
		}
		at[c.Operation] = len(all)
		all = append(all, verdict{work: c.Operation, budget: c.Budget, measured: measured, met: c.Met,
			why: "an exact count: go test ./test/bench fails, too"})
	}
	return all
}

func (f *findings) waitingVerdicts() []verdict {
	if len(f.waiting) == 0 {
		return nil
	}
	worst, reads, units, writes := 0.0, 0, 0.0, 0
	for _, w := range f.waiting {
		worst = max(worst, w.ReadsPerHeartbeat())
		reads += w.Reads
		units += w.ReadUnits
		writes += w.Writes
	}
	each := units / float64(max(reads, 1))
	return []verdict{{
		work:     "waiting, per waiter and heartbeat of the holder, 1 to 100 waiters",
		budget:   "1.25 GetItem of 0.5 RCU, no write",
		measured: fmt.Sprintf("%.3f GetItem at most, of %.3g RCU, %d writes", worst, each, writes),
		met:      worst <= readsBudget && each == 0.5 && writes == 0,
		why:      fmt.Sprintf("by %.3f reads; counted in virtual time, so it is the protocol's doing", max(worst-readsBudget, 0)),
	}}
}

func (f *findings) speedVerdicts() []verdict {
	var all []verdict
	for _, name := range []string{"HasLock", "IsLeader", "HasLockOfAMember", "LeaseAgeOfAMember"} {
		ns, ok := f.benchmarks.median(name, "ns/op")
		if !ok {
			continue
		}
		allocs, _ := f.benchmarks.median(name, "allocs/op")
		// It never waits, so that the processor's time is its time, whoever else wants the
		// processor.
		if cpu, known := f.benchmarks.median(name, "cpu-ns/op"); known && cpu > 0 {
			ns = min(ns, cpu)
		}
		v := verdict{work: name, budget: "0 allocations", measured: fmt.Sprintf("%.0f allocations, %.0f ns", allocs, ns), met: allocs == 0,
			why: fmt.Sprintf("by %.0f allocations", allocs)}
		if name != "IsLeader" {
			v.budget = "0 requests, 0 allocations, < 100 ns"
			v.met = v.met && ns < hasLockBudget
			v.why = fmt.Sprintf("by %.0f allocations and %.0f ns, most of it the machine's clock", allocs, max(ns-hasLockBudget, 0))
		}
		all = append(all, v)
	}
	for _, target := range []struct {
		operation, work string
		budget          float64
	}{
		{"AcquireRelease", "acquire and release, against the same two requests of the bare SDK", pairBudget},
		{minimalFloor, "acquire and release, against two minimal UpdateItems", pairBudget},
		{"Heartbeat", "heartbeat, against the same request of the bare SDK", heartbeatBudget},
	} {
		if ratio, ok := f.benchmarks.ratio(target.operation, bench.EngineLocal, "ns/op"); ok {
			alone, _ := f.benchmarks.ratio(target.operation, bench.EngineNone, "cpu-ns/op")
			all = append(all, verdict{
				work: target.work + ", DynamoDB Local", budget: fmt.Sprintf("%.2f x the time", target.budget),
				measured: fmt.Sprintf("%.2f x", ratio), met: ratio <= target.budget,
				why: f.machine(fmt.Sprintf("by %.2f x", ratio-target.budget),
					fmt.Sprintf("our own work, without any engine, is %.2f x the bare SDK's in CPU time", alone)),
			})
		}
	}
	return all
}

func (f *findings) failoverVerdicts() []verdict {
	var all []verdict
	judge := func(run bench.Failover, virtual bool) {
		if run.Scene != bench.SceneSettled {
			return
		}
		p50, p99 := multiple(run.SinceSent, 0.5, run.Lease), multiple(run.SinceSent, 0.99, run.Lease)
		most := failoverP99Budget + 2*float64(run.RoundTrip)/float64(run.Lease)
		v := verdict{
			work: fmt.Sprintf("crash failover, %s, lease %s, round trip %s, %s, %d crashes", run.Who, plain(run.Lease), short(run.RoundTrip),
				run.Engine, len(run.SinceSent)),
			budget:   fmt.Sprintf("p50 %.2f, p99 %.3f x the lease", failoverP50Budget, most),
			measured: fmt.Sprintf("p50 %.3f, p99 %.3f x", p50, p99), met: p50 <= failoverP50Budget && p99 <= most,
		}
		by := fmt.Sprintf("by %.3f x at p50 and %.3f x at p99", max(p50-failoverP50Budget, 0), max(p99-most, 0))
		if virtual {
			v.why = by + "; in virtual time, so it is the protocol's doing"
		} else {
			v.why = f.machine(by, "the same protocol without the machine's noise is in the rows of virtual time")
		}
		all = append(all, v)
	}
	for _, run := range f.failoverVirtual {
		judge(run, true)
	}
	for _, run := range f.failoverReal {
		judge(run, false)
	}
	return all
}

func (f *findings) handoverVerdicts() []verdict {
	var all []verdict
	for _, h := range f.handoverReal {
		if h.Scene != bench.SceneDrained {
			continue
		}
		p50 := bench.Quantile(h.Gap, 0.5)
		all = append(all, verdict{
			work:   fmt.Sprintf("handover after an announced release, work that drains longer than a poll, %s, %d releases", h.Engine, len(h.Gap)),
			budget: "p50 100 ms", measured: "p50 " + short(p50), met: p50 <= bench.HandoverBudget,
			why: f.machine("by "+short(p50-bench.HandoverBudget), ""),
		})
	}
	for _, h := range slices.Concat(f.handoverVirtual, f.handoverReal) {
		if h.Scene != bench.SceneNotice && h.Scene != bench.SceneTransfer {
			continue
		}
		most, p99 := bench.HandoverBudget+2*h.RoundTrip, bench.Quantile(h.Gap, 0.99)
		v := verdict{
			work:   fmt.Sprintf("nobody leads, %s, to a waiting %s, %s, %d handovers", h.Scene, h.Who, h.Engine, len(h.Gap)),
			budget: "p99 " + short(most) + ": 100 ms and two round trips", measured: "p99 " + short(p99), met: p99 <= most,
			why: "by " + short(p99-most) + inVirtualTime,
		}
		if h.Engine != bench.EngineVirtual {
			v.why = f.machine("by "+short(p99-most), "the same protocol without the machine's noise is in the rows of virtual time")
		}
		all = append(all, v)
	}
	return all
}

func (f *findings) crowdVerdicts() []verdict {
	var all []verdict
	for _, s := range f.scale {
		if s.Locks == 10_000 && !s.Session {
			all = append(all, f.tenThousand(s))
		}
		if s.Locks != bench.Enduring || s.Session {
			continue
		}
		latest, quarter := bench.Quantile(s.Lateness, 1), s.Heartbeat/4
		used := s.Heap + s.Stacks
		all = append(all, verdict{
			work: fmt.Sprintf("2,000 locks in one process, round trip %s, heartbeat %s, watched for %s", plain(s.RoundTrip), plain(s.Heartbeat),
				plain(s.Window)),
			budget: fmt.Sprintf("every heartbeat within %s of its due time, none lost", plain(quarter)),
			measured: fmt.Sprintf("%d sent (%d due), latest %s late, %d unconfirmed, %d tenures lost", s.Sent, s.Due, short(latest), s.Failed,
				s.Lost),
			met: latest <= quarter && s.Failed == 0 && s.Lost == 0 && float64(s.Sent) >= 0.99*float64(s.Due),
			why: f.machine(fmt.Sprintf("by %s late, %d not sent, %d unconfirmed, %d tenures", short(max(latest-quarter, 0)), max(s.Due-s.Sent, 0), s.Failed,
				s.Lost), ""),
		}, verdict{
			work: "2,000 locks in one process, memory", budget: "3 KiB a lock, heap and stacks in use",
			measured: fmt.Sprintf("%.2f KiB", used/1024), met: used <= memoryBudget,
			why: fmt.Sprintf("by %.2f KiB; %.2f KiB of heap are reachable, %.2f KiB are stacks, the rest is room between live objects", used/1024-3,
				s.Live/1024, s.Stacks/1024),
		})
	}
	return append(all, f.beatCPU()...)
}

func (f *findings) tenThousand(s bench.Scale) verdict {
	sent := float64(s.Sent) / float64(max(s.Due, 1))
	return verdict{
		work: fmt.Sprintf("10,000 plain locks in one process, round trip %s, heartbeat %s, watched for %s", plain(s.RoundTrip), plain(s.Heartbeat),
			plain(s.Window)),
		budget:   fmt.Sprintf("%.1f %% of the heartbeats sent, none lost", 100*sentBudget),
		measured: fmt.Sprintf("%.2f %% (%d of %d), %d unconfirmed, %d tenures lost", 100*sent, s.Sent, s.Due, s.Failed, s.Lost),
		met:      sent >= sentBudget && s.Lost == 0,
		why:      f.machine(fmt.Sprintf("by %.2f %%, %d tenures", 100*max(sentBudget-sent, 0), s.Lost), "the server is another process on the same machine"),
	}
}

// beatCPU compares the CPU time of a heartbeat with v0.1.0's, measured right after.
func (f *findings) beatCPU() []verdict {
	if len(f.heartbeats) < 2 {
		return nil
	}
	each := func(s bench.Scale) float64 { return float64(s.CPU.Microseconds()) / float64(max(s.Sent, 1)) }
	ours, most := f.heartbeats[0], 1.05*each(f.heartbeats[1])
	return []verdict{{
		work:   fmt.Sprintf("%s locks in one process, CPU time of a heartbeat", number(float64(ours.Locks))),
		budget: fmt.Sprintf("%.0f µs: what v0.1.0's protocol takes a minute later, and 5 %% for noise", most), measured: fmt.Sprintf("%.0f µs", each(ours)),
		met: each(ours) <= most, why: f.machine(fmt.Sprintf("by %.0f µs", each(ours)-most), ""),
	}}
}

func (f *findings) overloadVerdicts() []verdict {
	var all []verdict
	for _, o := range f.overload {
		want := overloadBudget * min(o.Offered, o.Capacity)
		all = append(all, verdict{
			work: fmt.Sprintf("%s locks that need %.0f heartbeats a second of a machine that can do %.0f, %s callers, virtual time",
				number(float64(o.Locks)), o.Offered, o.Capacity, number(float64(o.Callers))),
			budget:   fmt.Sprintf("%.0f a second, no lock lost that was had", want),
			measured: fmt.Sprintf("%.0f a second, %d lost", o.Confirmed, o.Had-o.Held),
			met:      o.Confirmed >= want && o.Held >= o.Had,
			why:      fmt.Sprintf("by %.0f a second, %d locks%s", max(want-o.Confirmed, 0), o.Had-o.Held, inVirtualTime),
		})
	}
	return all
}

func (f *findings) companyVerdicts() []verdict {
	c := f.company
	if c.Locks == 0 {
		return nil
	}
	burst := bench.BurstBudget(c.Locks, c.Heartbeat)
	silent := bench.Quantile(c.SilentLate, 1)
	return []verdict{
		{
			work:   fmt.Sprintf("%s locks acquired together: heartbeats in the busiest tenth of a second, virtual time", number(float64(c.Locks))),
			budget: fmt.Sprintf("no burst: %d, 3 times the mean", burst), measured: fmt.Sprint(c.Busiest), met: c.Busiest <= burst,
			why: fmt.Sprintf("by %d%s", c.Busiest-burst, inVirtualTime),
		},
		{
			work:     "a lock whose requests hang, for two leases: heartbeats of the others, virtual time",
			budget:   "delayed by nothing, none lost",
			measured: fmt.Sprintf("%s off the period at most (without it %s), %d lost", short(c.HungOff), short(c.Off), c.HungLost),
			met:      c.HungOff <= c.Off+c.RoundTrip && c.HungLost == 0,
			why:      fmt.Sprintf("by %s%s", short(c.HungOff-c.Off), inVirtualTime),
		},
		{
			work:   fmt.Sprintf("%s locks whose endpoint goes silent, virtual time", number(float64(c.Silent))),
			budget: "all tenures end before their leases have run out, no request outlives them",
			measured: fmt.Sprintf("%d of %d ended, the last %s after 0.99 of its lease; %d requests left", len(c.SilentLate), c.Silent,
				short(silent), c.SilentInFlight),
			met: len(c.SilentLate) > 0 && silent <= c.Lease/100 && c.SilentInFlight == 0,
			why: fmt.Sprintf("by %s, %d requests%s", short(max(silent-c.Lease/100, 0)), c.SilentInFlight, inVirtualTime),
		},
	}
}

func (f *findings) stallVerdicts() []verdict {
	var all []verdict
	for _, s := range f.stall {
		latest := bench.Quantile(s.EndLate, 1)
		all = append(all, verdict{
			work:   fmt.Sprintf("%s locks whose endpoint goes silent, %s", number(float64(s.Locks)), s.Transport),
			budget: "all tenures end before their leases have run out, no request outlives them",
			measured: fmt.Sprintf("%d of %d ended, the last %s after 0.99 of its lease; %d requests left", s.Ended, s.Locks, short(latest),
				s.InFlightAfter),
			met: s.Ended == s.Locks && latest <= s.Lease/100 && s.InFlightAfter == 0,
			why: f.machine(fmt.Sprintf("by %s, %d tenures, %d requests", short(max(latest-s.Lease/100, 0)), s.Locks-s.Ended, s.InFlightAfter),
				"HasLock turns false by itself, in time; what was late is the signal, which needs a processor to run on"),
		})
	}
	return all
}

// machine explains a time that was missed: others were using the machine, if they were, and what
// else is given.
func (f *findings) machine(by, otherwise string) string {
	if f.environment.busy() {
		by += fmt.Sprintf("; other programs were using the machine (load %s before the run)", f.environment.loadBefore)
	}
	if otherwise != "" {
		by += "; " + otherwise
	}
	return by
}

func multiple(samples []time.Duration, q float64, lease time.Duration) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	return float64(bench.Quantile(samples, q)) / float64(lease)
}
