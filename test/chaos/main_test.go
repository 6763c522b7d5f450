package chaos

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/test/wire"
)

// The suite's own binary is also its worker processes and its in-memory engine.
func TestMain(m *testing.M) {
	if config := os.Getenv(workerVariable); config != "" {
		exitWith(runWorker(config))
	}
	if os.Getenv(engineVariable) != "" {
		exitWith(runEngine())
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(parallel())); err != nil {
		exitWith(err)
	}
	code := m.Run()
	closeEngine()
	total.mu.Lock()
	defer total.mu.Unlock()
	if total.runs > 0 {
		fmt.Printf("chaos: %d runs: %v; violations: %d\n", total.runs, total.figures, total.violations)
	}
	os.Exit(code)
}

// parallel is how many scenarios run at a time if -parallel doesn't say: most of each is waiting.
func parallel() int {
	n := max(3, runtime.GOMAXPROCS(0))
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.parallel" {
			n, _ = strconv.Atoi(f.Value.String())
		}
	})
	return n
}

func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// total sums the runs of the suite up.
var total struct {
	mu               sync.Mutex
	runs, violations int
	figures          Figures
}

// shared is the engine of all scenarios that don't break it.
var shared struct {
	once   sync.Once
	engine Engine
	err    error
}

func sharedEngine(t *testing.T) Engine {
	t.Helper()
	shared.once.Do(func() {
		if url := os.Getenv("DYNAMODB_ENDPOINT"); url != "" {
			shared.engine = endpoint(url)
			var said string
			_, said, _, shared.err = wire.Engine(url)
			fmt.Println(said)
			return
		}
		shared.engine, shared.err = startMemoryEngine()
		fmt.Println("leaderkit-engine: dynamotest")
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.engine
}

func closeEngine() {
	if shared.engine != nil {
		shared.engine.Close()
	}
}

// setting reads a duration from the environment.
func setting(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s is %q: give a duration, e.g. 60s", name, text)
	}
	return d
}

// count reads a number from the environment.
func count(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 3 {
		t.Fatalf("%s is %q: give a number from 3 up", name, text)
	}
	return n
}

// seed is CHAOS_SEED, or a new one. It repeats the faults, not the processes' answer to them.
func seed(t *testing.T) uint64 {
	t.Helper()
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CHAOS_SEED is %q: give a number", text)
		}
		return n
	}
	return uint64(time.Now().UnixNano())
}
