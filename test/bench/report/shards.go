package main

import (
	"fmt"
	"slices"

	"github.com/leaderkit/leaderkit/test/bench"
)

func (f *findings) shardVerdicts() []verdict {
	var all []verdict
	for _, s := range f.shards {
		all = append(all, f.shardVerdictsOf(s)...)
	}
	return all
}

// shardVerdictsOf are the budgets of one series.
func (f *findings) shardVerdictsOf(s bench.Shards) []verdict {
	where := fmt.Sprintf("%d shards, %d replicas, %s", s.Shards, s.Replicas, s.Engine)
	blame := func(by string) string {
		if s.Engine == bench.EngineVirtual {
			return by + inVirtualTime
		}
		return f.machine(by, "replicas and engine share the machine; the same without its noise is in the rows of virtual time")
	}
	spread := 0
	for _, parts := range append(s.Left, s.Parts) {
		spread = max(spread, slices.Max(parts)-slices.Min(parts))
	}
	reads, writes := float64(slices.Max(s.Reads))/float64(s.Periods), float64(slices.Max(s.Writes))/float64(s.Periods)
	latest := multiple(s.AllAgain, 0.99, s.Lease)
	crash := bench.ShardCrashBudget + 2*float64(s.RoundTrip)/float64(s.Lease)
	moved, share := slices.Max(s.Join.Moved), s.JoinBudget()
	verdicts := []verdict{
		{
			work: where + ": balance", budget: "no two replicas differ by more than 1 shard",
			measured: fmt.Sprintf("%v, %s after the start; %v after a crash", s.Parts, short(s.Even), s.Left[0]), met: spread <= 1, why: fmt.Sprintf("by %d", spread-1),
		},
		{
			work: where + ": at rest, requests of a replica, a heartbeat", budget: fmt.Sprintf("1 write, at most %.0f reads", bench.ShardReadsBudget),
			measured: fmt.Sprintf("%.2f writes, %.2f reads at most, in %d heartbeats", writes, reads, s.Periods),
			met:      slices.Max(s.Writes) <= s.Periods+1 && reads <= bench.ShardReadsBudget, // a window may begin just before a heartbeat
			why:      fmt.Sprintf("by %.2f writes, %.2f reads", max(writes-1, 0), max(reads-bench.ShardReadsBudget, 0)),
		},
		{
			work:   fmt.Sprintf("%s: a replica crashes, until all its shards are led again, lease %s, %d crashes", where, plain(s.Lease), len(s.AllAgain)),
			budget: fmt.Sprintf("p99 %.3f x the lease", crash),
			measured: fmt.Sprintf("p50 %.3f, p99 %.3f x; of each of %d shards p50 %.3f, p99 %.3f x", multiple(s.AllAgain, 0.5, s.Lease), latest, len(s.Again),
				multiple(s.Again, 0.5, s.Lease), multiple(s.Again, 0.99, s.Lease)),
			met: latest <= crash, why: blame(fmt.Sprintf("by %.3f x", latest-crash)),
		},
		{
			work: where + ": a replica joins, shards that move", budget: fmt.Sprintf("%d: %.2f x its part", share, bench.ShardMovesBudget),
			measured: fmt.Sprintf("%d at most, %d joins", moved, len(s.Join.Moved)), met: moved <= share, why: fmt.Sprintf("by %d", moved-share),
		},
	}
	for _, c := range []struct {
		what  string
		moves bench.Moves
	}{{"a replica joins", s.Join}, {"rolling restart", s.Roll}} {
		most, p99 := bench.HandoverBudget+2*s.RoundTrip, bench.Quantile(c.moves.Gap, 0.99)
		verdicts = append(verdicts, verdict{
			work:   fmt.Sprintf("%s: %s, nobody leads a shard that moves, %d moves", where, c.what, len(c.moves.Gap)),
			budget: "p99 " + short(most) + ": 100 ms and two round trips", measured: fmt.Sprintf("p50 %s, p99 %s", short(bench.Quantile(c.moves.Gap, 0.5)), short(p99)),
			met: p99 <= most, why: blame("by " + short(p99-most)),
		})
	}
	return verdicts
}

func (f *findings) writeShards(p *page) {
	p.say("\n## Shards\n")
	p.say("Replicas of `election/shards` in one process, each with a session of its own; the works end as soon as their contexts do. After each crash one replica joins. In a")
	p.say("rolling restart each replica stops, and another one is started then. Times after a crash count from the send of the replica's last renewal. A gap is the time from the")
	p.say("end of a shard's work to the begin of the next.")
	rows := [][]string{{"shards, replicas", "engine", "lease, heartbeat", "round trip", "even after the start", "parts", "reads a heartbeat and replica", "writes",
		"crashes", "led again p50", "p99", "max", "all led again p50", "max"}}
	for _, s := range f.shards {
		rows = append(rows, []string{fmt.Sprintf("%d, %d", s.Shards, s.Replicas), s.Engine, plain(s.Lease) + ", " + plain(s.Heartbeat), short(s.RoundTrip), short(s.Even),
			fmt.Sprint(s.Parts), fmt.Sprintf("%.2f", mean(s.Reads)/float64(s.Periods)), fmt.Sprintf("%.2f", mean(s.Writes)/float64(s.Periods)), fmt.Sprint(len(s.AllAgain)),
			fmt.Sprintf("%.3f", multiple(s.Again, 0.5, s.Lease)), fmt.Sprintf("%.3f", multiple(s.Again, 0.99, s.Lease)), fmt.Sprintf("%.3f", multiple(s.Again, 1, s.Lease)),
			fmt.Sprintf("%.3f x the lease", multiple(s.AllAgain, 0.5, s.Lease)), fmt.Sprintf("%.3f", multiple(s.AllAgain, 1, s.Lease))})
	}
	p.table(rows...)
	rows = [][]string{{"what", "engine", "times", "shards moved, mean", "most", "even again p50", "max", "gap p50", "p90", "p99", "max"}}
	for _, s := range f.shards {
		for _, c := range []struct {
			what  string
			moves bench.Moves
		}{{"one joins", s.Join}, {"one stops, another joins", s.Roll}} {
			row := []string{c.what, s.Engine, fmt.Sprint(len(c.moves.Moved)), fmt.Sprintf("%.0f", mean(c.moves.Moved)), fmt.Sprint(slices.Max(c.moves.Moved)),
				short(bench.Quantile(c.moves.Took, 0.5)), short(bench.Quantile(c.moves.Took, 1))}
			for _, q := range []float64{0.5, 0.9, 0.99, 1} {
				row = append(row, short(bench.Quantile(c.moves.Gap, q)))
			}
			rows = append(rows, row)
		}
	}
	p.table(rows...)
}

func mean(counts []int) float64 {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / float64(max(len(counts), 1))
}
