package election

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// doomedVariable tells the test binary to be the process that a callback's panic kills.
const doomedVariable = "ELECTION_TEST_DOOMED"

var errBoom = errors.New("boom, with this value")

// runDoomed leads in real time until the callback of that name panics. What the lock saw goes to
// standard output.
func runDoomed(callback string) {
	w := &world{ctx: context.Background(), store: &fakeStore{}, start: time.Now()}
	n := &node{w: w, id: "a", clock: newNodeClock(1), journal: &journal{w: w}}
	lock := &fakeLock{store: w.fake(), id: "a", lease: 3 * time.Second, heartbeat: 500 * time.Millisecond, clock: n.clock, journal: n.journal}
	lock.after = func(_ context.Context, op operation) error {
		if op == opRelease {
			fmt.Printf("released, work running: %v\n", n.live)
		}
		return nil
	}
	boom := func(name string) {
		if name == callback {
			panic(errBoom)
		}
	}
	working := make(chan struct{})
	e, err := NewLeaderElector(LeaderElectionConfig{
		Lock:            lock,
		ReleaseOnCancel: true,
		Callbacks: LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				n.live++
				close(working)
				defer func() { n.live-- }()
				boom("OnStartedLeading")
				<-ctx.Done()
				fmt.Println("work cancelled:", context.Cause(ctx))
				if callback == "stubborn" {
					select {}
				}
			},
			OnStoppedLeading: func() {
				fmt.Println("OnStoppedLeading")
				boom("OnStoppedLeading")
			},
			OnNewLeader: func(string) {
				if callback == "stubborn" {
					<-working
					panic(errBoom)
				}
				boom("OnNewLeader")
			},
		},
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	if callback == "stubborn" || callback == "OnNewLeader" {
		ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	}
	defer cancel()
	defer func() {
		// A panic that passes here has reached Run's caller.
		if v := recover(); v != nil {
			fmt.Printf("Run panicked with the very value: %v; released: %v\n", v == any(errBoom), w.store.holder() == "")
			fmt.Println("Run again:", e.Run(cancelled()))
			panic(v)
		}
	}()
	fmt.Println("Run returned", e.Run(ctx))
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// doom runs this test binary as the doomed process.
func doom(callback string) (stdout, stderr string, err error) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestElection$")
	cmd.Env = append(os.Environ(), doomedVariable+"="+callback)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

var _ = Describe("A panic", func() {
	It("in OnStartedLeading releases the lock and then goes on in its own goroutine, with its value and its stack", func() {
		stdout, stderr, err := doom("OnStartedLeading")
		Expect(err).To(HaveOccurred())
		Expect(stdout).To(Equal("released, work running: 0\n"))
		Expect(stderr).To(ContainSubstring("panic: boom, with this value"))
		Expect(stderr).To(ContainSubstring("runDoomed.func"), "the stack of where it happened")
		Expect(stderr).NotTo(ContainSubstring("DATA RACE"))
	})

	It("in OnStoppedLeading releases the lock and then goes on to Run's caller", func() {
		stdout, stderr, err := doom("OnStoppedLeading")
		Expect(err).To(HaveOccurred())
		Expect(stdout).To(HavePrefix("work cancelled: context deadline exceeded\nOnStoppedLeading\nreleased, work running: 0\n" +
			"Run panicked with the very value: true; released: true\nRun again: <nil>\n"))
		Expect(stderr).To(ContainSubstring("panic: boom, with this value"))
	})

	It("in OnNewLeader cancels the work, waits for it, releases the lock and then goes on", func() {
		stdout, stderr, err := doom("OnNewLeader")
		Expect(err).To(HaveOccurred())
		Expect(stdout).To(HaveSuffix("released, work running: 0\n"))
		Expect(stdout).NotTo(ContainSubstring("OnStoppedLeading"))
		Expect(stderr).To(ContainSubstring("panic: boom, with this value"))
		Expect(stderr).NotTo(ContainSubstring("DATA RACE"))
	})

	It("in OnNewLeader goes on when the lease has run out, if the work does not return", func() {
		stdout, stderr, err := doom("stubborn")
		Expect(err).To(HaveOccurred())
		Expect(stdout).To(Equal("work cancelled: election: OnNewLeader panicked: boom, with this value\n"), "released under work that still runs: never")
		Expect(stderr).To(ContainSubstring("panic: boom, with this value"))
	})

	It("in OnStoppedLeading releases the lock also without ReleaseOnCancel", virtually(func(w *world) {
		a := w.node("a", keepsLease, func(_ *node, c *LeaderElectionConfig) {
			c.Callbacks.OnStoppedLeading = func() { panic(errBoom) }
		})
		ctx, cancel := context.WithCancel(w.ctx)
		value := make(chan any, 1)
		go func() {
			defer func() { value <- recover() }()
			_ = a.elector.Run(ctx)
		}()
		w.until("it leads", a.elector.IsLeader)
		cancel()
		w.Expect(<-value).To(Equal(errBoom))
		w.Expect(w.store.holder()).To(BeEmpty())
	}))

	It("in a metric, which Run's caller survives, leaves no heartbeats without a term, and no caller waiting", func() {
		provide(&ledger{})
		provider.Lock()
		provider.MetricsProvider = explosives{}
		provider.Unlock()
		virtually(func(w *world) {
			a := w.node("a")
			func() {
				defer func() { w.Expect(recover()).To(Equal(errBoom)) }()
				_ = a.elector.Run(w.ctx)
			}()
			w.at(testLease)
			w.Expect(a.elector.IsLeader()).To(BeFalse())
			w.Expect(a.elector.Resign(w.ctx)).To(Succeed())
			_, held := a.lock.LeaseAge()
			w.Expect(held).To(BeFalse())
		})()
	})
})

type explosives struct{}

func (explosives) NewLeaderMetric() LeaderMetric { return explosive{plainMetric{&ledger{}}} }

type explosive struct{ plainMetric }

func (explosive) On(string) { panic(errBoom) }
