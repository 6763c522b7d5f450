package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The flags of this package's tests; hack/simulate.sh gives them, too.
var (
	seedFlag    = flag.Uint64("seed", 0, "the seed that TestSeed runs")
	traceFlag   = flag.Bool("trace", false, "print all of a timeline, not only its end")
	fromFlag    = flag.Uint64("from", 1, "the first seed of TestSeeds")
	workersFlag = flag.Int("workers", runtime.GOMAXPROCS(0), "how many processes share the seeds of TestSeeds")
	shardFlag   = flag.String("shard", "", "run one share of TestSeeds here: i/n is every n-th seed, from the i-th on")
)

// seedsByDefault is what a run of all tests can spare. CI and hack/simulate.sh say how many they want.
const seedsByDefault = 200

// tail is how much of the timeline of a violation is printed.
const tail = 120

func seedsWanted(t *testing.T) int {
	s := os.Getenv("SIMULATION_SEEDS")
	if s == "" {
		return seedsByDefault
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("SIMULATION_SEEDS is %q: give a number of seeds", s)
	}
	return n
}

// TestSeeds runs many seeds and looks at each step of each of them for a violated invariant.
func TestSeeds(t *testing.T) {
	n := seedsWanted(t)
	if *shardFlag != "" {
		runShard(t, *shardFlag, n)
		return
	}
	began := time.Now()
	sum := runShards(t, min(*workersFlag, n), n)
	var b strings.Builder
	sum.Write(&b)
	took := time.Since(began)
	t.Logf("%v, %.1f runs a second\n%s", took.Round(time.Millisecond), float64(sum.Runs)/took.Seconds(), b.String())
	if !t.Failed() {
		mustHaveBeenHard(t, sum)
	}
}

// mustHaveBeenHard: a batch in which little went wrong proves little.
func mustHaveBeenHard(t *testing.T, sum *Figures) {
	t.Helper()
	if sum.Runs < 100 {
		return
	}
	if sum.CarelessStale == 0 {
		t.Error("no unguarded write of a stale holder has slipped through: nothing shows what fencing is for")
	}
	if sum.GuardedRefused == 0 {
		t.Error("no guarded write was refused")
	}
	if sum.Takeovers == 0 {
		t.Error("no lock was taken over from a holder that had not let go")
	}
	for f, n := range sum.Faults {
		if n == 0 && faultNames[f] != "" {
			t.Errorf("nothing has ever suffered: %s", faultNames[f])
		}
	}
}

// TestSeed shows one run, step by step.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("-seed says which")
	}
	r := Run(t, *seedFlag)
	last := tail
	if *traceFlag {
		last = 0
	}
	r.Write(os.Stdout, last)
	if r.Violation != nil {
		t.Error(r.Violation)
	}
}

// TestARunIsAFunctionOfItsSeed: what a failure prints can be seen again.
func TestARunIsAFunctionOfItsSeed(t *testing.T) {
	if *shardFlag != "" {
		t.Skip("the shards are for TestSeeds")
	}
	const first, runs = 1, 40
	tell := func(seed uint64) string {
		var b strings.Builder
		r := Run(t, seed)
		r.Write(&b, 0)
		if r.draws == 0 {
			t.Fatal("the lock has asked its clock for no jitter: its pauses are not the seed's")
		}
		return b.String()
	}
	var told [runs]string
	for i := range told {
		told[i] = tell(first + uint64(i))
	}
	// The other way round, so that nothing left behind by an earlier run can go unnoticed.
	for i := runs - 1; i >= 0; i-- {
		if again := tell(first + uint64(i)); again != told[i] {
			t.Fatalf("seed %d: %s", first+i, firstDifference(told[i], again))
		}
	}
}

func firstDifference(one, other string) string {
	a, b := strings.Split(one, "\n"), strings.Split(other, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is once\n%s\nand once\n%s", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("once there are %d lines, once %d", len(a), len(b))
}

// TestSeedsOfThePast runs the seeds that have found something.
func TestSeedsOfThePast(t *testing.T) {
	if *shardFlag != "" {
		t.Skip("the shards are for TestSeeds")
	}
	for _, seed := range pastSeeds {
		if r := Run(t, seed); r.Violation != nil {
			var b strings.Builder
			r.Write(&b, tail)
			t.Error(b.String())
		}
	}
}
