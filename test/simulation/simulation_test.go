package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
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
	untilFlag   = flag.String("until", "", "with -shard: go on after violations of other invariants than this one")
	seedsFlag   = flag.Int("seeds", 0, "how many seeds TestSeeds runs; 0: as many as SIMULATION_SEEDS says")
	journalFlag = flag.String("journal", "", "a file in which TestSeeds keeps what is done, and goes on from there")
	shardFlag   = flag.String("shard", "", "run one share of TestSeeds here: i/n is every n-th seed, from the i-th on")
)

// seedsByDefault is what a run of all tests can spare. CI and hack/simulate.sh say how many they
// want.
const seedsByDefault = 200

// tail is how much of the timeline of a violation is printed.
const tail = 120

func seedsWanted(t *testing.T) int {
	if *seedsFlag > 0 {
		return *seedsFlag
	}
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
	sum := runBlocks(t, max(*workersFlag, 1), n)
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

// TestARunIsAFunctionOfItsSeed: what a failure prints can be seen again. A run with a crowd may
// differ (crowd.go).
func TestARunIsAFunctionOfItsSeed(t *testing.T) {
	if *shardFlag != "" {
		t.Skip("the shards are for TestSeeds")
	}
	var seeds []uint64
	for seed := uint64(1); len(seeds) < 40; seed++ {
		if p := planOf(seed); !p.isCrowded() {
			seeds = append(seeds, seed)
		}
	}
	tell := func(seed uint64) string {
		var b strings.Builder
		r := Run(t, seed)
		r.Write(&b, 0)
		if r.draws == 0 {
			t.Fatal("the lock has asked its clock for no jitter: its pauses are not the seed's")
		}
		return b.String()
	}
	told := map[uint64]string{}
	for _, seed := range seeds {
		told[seed] = tell(seed)
	}
	// The other way round, so that nothing left behind by an earlier run can go unnoticed.
	for _, seed := range slices.Backward(seeds) {
		if again := tell(seed); again != told[seed] {
			t.Fatalf("seed %d: %s", seed, firstDifference(told[seed], again))
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
