package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// benchmarks are what go test -bench said, in several rounds.
type benchmarks struct {
	values map[string]map[string][]float64 // by name without "Benchmark" and the number of processors, then by unit
}

func readBenchmarks(path string) (*benchmarks, error) {
	b := &benchmarks{values: map[string]map[string][]float64{}}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		b.add(lines.Text())
	}
	return b, lines.Err()
}

// add takes in a line such as "BenchmarkPeek/by=bare-sdk-2 1000 523 ns/op 12 B/op"; others say
// nothing.
func (b *benchmarks) add(line string) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return
	}
	name := strings.TrimPrefix(fields[0], "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			name = name[:i]
		}
	}
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return
		}
		if b.values[name] == nil {
			b.values[name] = map[string][]float64{}
		}
		b.values[name][fields[i+1]] = append(b.values[name][fields[i+1]], value)
	}
}

// median of one benchmark's figure; false when it was not taken.
func (b *benchmarks) median(name, unit string) (float64, bool) {
	values := slices.Sorted(slices.Values(b.values[name][unit]))
	return middle(values), len(values) > 0
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// minimalFloor is AcquireRelease against the least that any lock could send.
const minimalFloor = "AcquireReleaseAgainstMinimal"

// v010Floor is Heartbeat against what v0.1.0 sends.
const v010Floor = "HeartbeatAgainstV010"

// pair are the names of what is measured and of its floor.
func pair(operation, engine string) (ours, floor string) {
	name := operation + "/engine=" + engine + "/by="
	return name + "leaderkit", name + "bare-sdk"
}

// ratio of an operation to its floor: the median over the rounds, in each of which the two were
// measured one right after the other. Whatever else the machine was doing then, it did to both.
func (b *benchmarks) ratio(operation, engine, unit string) (float64, bool) {
	ours, floor := pair(operation, engine)
	mine, least := b.values[ours][unit], b.values[floor][unit]
	var ratios []float64
	for round := range min(len(mine), len(least)) {
		if least[round] > 0 {
			ratios = append(ratios, mine[round]/least[round])
		}
	}
	slices.Sort(ratios)
	return middle(ratios), len(ratios) > 0
}
