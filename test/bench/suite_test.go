package bench

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/wire"
)

var (
	measureInto = flag.String("measure", "", "run the measurements and write their results into this folder")
	full        = flag.Bool("full", false, "measure as long as the report wants, not just long enough to see that it works")
	endurance   = flag.Duration("endurance", 3*time.Minute, "how long to watch 2,000 locks, with -full")
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	os.Exit(m.Run())
}

// suite is the test under which the specs open their bubbles of virtual time.
var suite *testing.T

func TestCosts(t *testing.T) {
	suite = t
	RegisterFailHandler(Fail)
	RunSpecs(t, "what leaderkit costs")
}

// underTest is the engine that exact counts are taken on; bubbles have dynamotest, whatever this
// is.
var underTest engine

var _ = BeforeSuite(func() {
	e, closeIdle, err := engineUnderTest()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(closeIdle)
	underTest = e
	ensureTable(suite, wire.NewClient(e.rt))
})

// readyEngine is the engine under test with the table in place, for one measurement.
func readyEngine(t *testing.T) engine {
	t.Helper()
	e, closeIdle, err := engineUnderTest()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeIdle)
	ensureTable(t, wire.NewClient(e.rt))
	return e
}

// engineUnderTest is the engine at DYNAMODB_ENDPOINT, or dynamotest where that is not set, and says
// which.
func engineUnderTest() (e engine, closeIdle func(), err error) {
	address := os.Getenv("DYNAMODB_ENDPOINT")
	rt, said, closeIdle, err := wire.Engine(address)
	if err != nil {
		return engine{}, nil, fmt.Errorf("DYNAMODB_ENDPOINT: %w", err)
	}
	fmt.Println(said)
	name := EngineLocal
	if address == "" {
		name = EngineMemory
	}
	return engine{name, rt}, closeIdle, nil
}

// measurement skips a test that only hack/bench.sh wants.
func measurement(t *testing.T) {
	t.Helper()
	if *measureInto == "" {
		t.Skip("a measurement, which says something only on a quiet machine: hack/bench.sh runs it with -measure FOLDER")
	}
}

// measured saves a result.
func measured(t *testing.T, name string, result any) {
	t.Helper()
	if err := Save(*measureInto, name, result); err != nil {
		t.Fatal(err)
	}
}

// many is how many trials, seconds or whatever there shall be.
func many[N any](quick, whole N) N {
	if *full {
		return whole
	}
	return quick
}
