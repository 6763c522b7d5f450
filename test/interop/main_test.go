package interop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"
	"github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// What all tests share.
var (
	engineURL string
	transport http.RoundTripper // to the engine
	admin     dynamodbiface.DynamoDBAPI
	table     string       // with the key "key"
	sorted    string       // with the keys "key" and "range"
	java      *javaProgram // nil: the stand-in takes its place
	locks     atomic.Int64
	totals    struct{ tenures, looks, increments atomic.Int64 }
)

func TestMain(m *testing.M) {
	if arguments := os.Getenv(workerVariable); arguments != "" {
		if err := runWorker(arguments); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Most of the time is spent waiting for leases to run out, which more tests than there are
	// cores can do at once.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	closeEngine, err := setUp()
	code := 1
	if err != nil {
		fmt.Println("interop:", err)
	} else {
		code = m.Run()
		with := "a stand-in for the Java client"
		if java != nil {
			with = "the Java client"
		}
		fmt.Printf("interop with %s: %d tenures, %d looks, %d increments of shared counters\n", with, totals.tenures.Load(), totals.looks.Load(), totals.increments.Load())
	}
	closeEngine()
	os.Exit(code)
}

func setUp() (closeEngine func(), err error) {
	var closeIdle func()
	closeEngine = func() {}
	if engineURL = os.Getenv("DYNAMODB_ENDPOINT"); engineURL != "" {
		var said string
		if transport, said, closeIdle, err = wire.Engine(engineURL); err != nil {
			return closeEngine, fmt.Errorf("DYNAMODB_ENDPOINT: %w", err)
		}
		fmt.Println(said)
		java, err = buildJava()
		var without *missing
		if errors.As(err, &without) {
			// Loud: the runner of the suites shows lines that begin so.
			fmt.Printf("skipped interop with the Java client itself, a stand-in takes its place: %v\n", err)
		} else if err != nil {
			return closeEngine, err
		}
	} else {
		server := dynamotest.NewServer()
		engineURL, closeEngine = server.URL, server.Close
		fmt.Println("leaderkit-engine: dynamotest")
		if transport, closeIdle, err = wire.Endpoint(engineURL); err != nil {
			return closeEngine, err
		}
	}
	admin = wire.NewClient(transport)
	table, sorted = "interop-"+uuid.NewString(), "interop-sorted-"+uuid.NewString()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := lockclient.EnsureTable(ctx, admin, table, lockclient.WithoutTTL()); err != nil {
		return closeEngine, err
	}
	if err := lockclient.EnsureTable(ctx, admin, sorted, lockclient.WithoutTTL(), lockclient.WithSortKeyName("range")); err != nil {
		return closeEngine, err
	}
	engine := closeEngine
	return func() {
		for _, name := range []string{table, sorted} {
			_, _ = admin.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name})
		}
		closeIdle()
		engine()
	}, nil
}

// lease is what everybody has, long enough for a busy machine not to matter.
func lease() time.Duration { return 3 * time.Second }

func heartbeat() time.Duration { return lease() / 6 }

// scene is one lock and those who contend for it. When its test ends, no two may have believed at
// once.
type scene struct {
	*testing.T
	g      gomega.Gomega
	lock   string
	table  string
	ledger *ledger
}

func newScene(t *testing.T) *scene {
	t.Helper()
	c := &scene{T: t, g: gomega.NewWithT(t), lock: fmt.Sprintf("lock-%d", locks.Add(1)), table: table, ledger: &ledger{}}
	t.Cleanup(func() {
		for _, two := range c.ledger.overlaps() {
			t.Errorf("two believed at once: %s", two)
		}
		tenures, looks := c.ledger.size()
		totals.tenures.Add(int64(tenures))
		totals.looks.Add(int64(looks))
	})
	return c
}

// ours makes a lock client of ours.
func (c *scene) ours(owner string, change ...func(*lockclient.DynamoDBLockClient)) *ours {
	w := wire.New(transport)
	o := &ours{wire: w, ledger: c.ledger, DynamoDBLockClient: &lockclient.DynamoDBLockClient{
		LockName: c.lock, TableName: c.table, Identifier: owner, LeaseDuration: lease(), HeartbeatPeriod: heartbeat(), Client: wire.NewClient(w),
	}}
	if c.table == sorted {
		o.SortKeyName, o.SortKeyValue = "range", "a"
	}
	for _, f := range change {
		f(o.DynamoDBLockClient)
	}
	c.Cleanup(func() {
		w.SetHook(nil)
		_ = o.free()
		w.Settle()
	})
	return o
}

func (c *scene) with(s settings) settings {
	s.lock, s.table = c.lock, c.table
	if c.table == sorted {
		s.sortKeyName, s.sortKey = "range", "a"
	}
	if s.owner == "" {
		s.owner = "java"
	}
	if s.lease == 0 {
		s.lease = lease()
	}
	if s.heartbeat == 0 {
		s.heartbeat = heartbeat()
	}
	if s.endpoint == "" {
		s.endpoint = engineURL
	}
	return s
}

// peer starts a contender that speaks Java's protocol: the Java program, or the stand-in.
func (c *scene) peer(s settings) peer {
	c.Helper()
	s = c.with(s)
	if java != nil && !s.goLease {
		return c.javaPeer(s)
	}
	return c.standIn(s)
}

func (c *scene) javaPeer(s settings) peer {
	c.Helper()
	return c.process(s.owner, java.command(s))
}

func (c *scene) standIn(s settings) peer {
	c.Helper()
	path, closeIdle, err := wire.Endpoint(s.endpoint)
	c.g.Expect(err).NotTo(gomega.HaveOccurred())
	p := newStandIn(s, c.ledger, wire.NewClient(path, func(config *aws.Config) {
		config.HTTPClient.Timeout = 30 * time.Second // Java's
		if s.withoutRetries {
			config.WithMaxRetries(0)
		}
	}))
	c.Cleanup(func() {
		p.kill()
		closeIdle()
	})
	return p
}

// oursElsewhere starts a lock client of ours in a process of its own.
func (c *scene) oursElsewhere(s settings) *process {
	c.Helper()
	s = c.with(s)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerVariable+"="+strings.Join(s.arguments(), "\n"))
	return c.process(s.owner, cmd)
}

func (c *scene) process(who string, cmd *exec.Cmd) *process {
	c.Helper()
	said := &strings.Builder{} // read when the process has ended
	p, err := startProcess(who, c.ledger, cmd, said)
	c.g.Expect(err).NotTo(gomega.HaveOccurred())
	c.Cleanup(func() {
		p.kill()
		if c.Failed() && said.Len() > 0 {
			c.Logf("%s said: %s", who, said)
		}
	})
	return p
}

// item is the lock's record; nil: there is none.
func (c *scene) item() attributes {
	c.Helper()
	key := attributes{"key": s(c.lock)}
	if c.table == sorted {
		key["range"] = s("a")
	}
	out, err := admin.GetItem(&dynamodb.GetItemInput{TableName: &c.table, Key: key, ConsistentRead: aws.Bool(true)})
	c.g.Expect(err).NotTo(gomega.HaveOccurred())
	return out.Item
}
