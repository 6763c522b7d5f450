package simulation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// The seeds of a batch are shared out among processes, which run this test again with -shard. Not
// among goroutines: lockclient spreads the heartbeats of all locks of a process, and so one run
// would have a say in another.

// figuresPrefix begins the line in which a shard tells its parent what it has done, seedPrefix that
// in which it says what it does, and caughtPrefix that in which it names a violated invariant.
const (
	figuresPrefix = "simulation-figures: "
	seedPrefix    = "simulation-seed: "
	caughtPrefix  = "simulation-caught: "
)

// runShard runs the share "i/n" of so many seeds in this process, up to the first violation: of the
// invariant that -until names, where it does.
func runShard(t *testing.T, share string, seeds int) {
	var i, n int
	if _, err := fmt.Sscanf(share, "%d/%d", &i, &n); err != nil || n < 1 || i < 0 || i >= n {
		t.Fatalf("-shard %q: give i/n", share)
	}
	sum := &Figures{}
	for k := i; k < seeds; k += n {
		seed := *fromFlag + uint64(k)
		fmt.Printf("%s%d\n", seedPrefix, seed) // so that a crash has a seed as well
		r := Run(t, seed)
		sum.Add(&r.Figures)
		if r.Violation != nil {
			sum.Violations++
			fmt.Printf("%s%s\n", caughtPrefix, r.Violation.Invariant)
			if *untilFlag != "" && *untilFlag != string(r.Violation.Invariant) {
				continue
			}
			var b strings.Builder
			r.Write(&b, tail)
			t.Error(b.String())
			break
		}
		if t.Failed() {
			break
		}
	}
	told, err := json.Marshal(sum)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s%s\n", figuresPrefix, told)
}

// runBlocks runs so many seeds, a block of them after the other in each of so many processes.
func runBlocks(t *testing.T, workers, seeds int) *Figures {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBlocks(self, *journalFlag, *fromFlag, seeds, sizeOfBlocks(seeds, workers))
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				from, n := b.next()
				if n == 0 || t.Context().Err() != nil {
					return
				}
				// One thread is what a run needs, and less garbage collection is faster.
				c := exec.CommandContext(t.Context(), self, "-test.run=^TestSeeds$", "-test.timeout=0", "-shard=0/1", fmt.Sprintf("-from=%d", from))
				c.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", fmt.Sprintf("SIMULATION_SEEDS=%d", n))
				said, err := c.CombinedOutput()
				figures, seed, rest := readShard(said)
				if err != nil {
					t.Errorf("at seed %s: %v\n%s", seed, err, rest)
				}
				if err := b.done(from, n, &figures, err == nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	return &b.sum
}

// readShard takes apart what a shard has printed: its figures, the last seed that it began, and all
// else.
func readShard(said []byte) (f Figures, seed, rest string) {
	var others strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(said))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		line := lines.Text()
		if told, ok := strings.CutPrefix(line, figuresPrefix); ok {
			_ = json.Unmarshal([]byte(told), &f)
		} else if s, ok := strings.CutPrefix(line, seedPrefix); ok {
			seed = s
		} else {
			fmt.Fprintln(&others, line)
		}
	}
	return f, seed, others.String()
}
