//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestACommandRunsUnderTheLock(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-owner", "me", "-lease", "6s", "--", "sh", "-c",
		`echo "$LOCK_NAME $LOCK_OWNER $LOCK_TOKEN" >$DIR/said; until [ -e $DIR/go ]; do sleep 0.05; done; exit 7`)
	said := w.appears("said")
	held := w.peek("job")
	w.Expect(held.Released).To(BeFalse())
	w.Expect(said).To(Equal(fmt.Sprintf("job me %d", held.FencingToken)))
	w.Expect(w.run("-name", "job", "--", "true")).To(Equal(exitHeld))
	w.Expect(w.run("-name", "job", "-held-code", "0", "-q", "--", "sh", "-c", "touch $DIR/ran")).To(Equal(0))
	w.Expect(filepath.Join(w.dir, "ran")).NotTo(BeAnExistingFile())
	w.Expect(w.run("sh", "-c", "true")).To(Equal(exitUsage), "a forgotten --")
	touch(w, "go")
	w.Expect(p.code()).To(Equal(7))
	w.Expect(w.peek("job").Released).To(BeTrue())
	w.Expect(p.said()).To(BeEmpty())
}

func touch(w *world, name string) {
	w.Expect(os.WriteFile(filepath.Join(w.dir, name), []byte("x\n"), 0o600)).To(Succeed())
}

func TestExitCodesTellWhatHappened(t *testing.T) {
	w := newWorld(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	w.Expect(err).NotTo(HaveOccurred())
	nobody := "http://" + closed.Addr().String()
	_ = closed.Close()
	for name, c := range map[string]struct {
		code int
		args []string
		says string
	}{
		"the command's own":       {3, []string{"--", "sh", "-c", "exit 3"}, ""},
		"the command's signal":    {128 + 9, []string{"--", "sh", "-c", "kill -9 $$"}, ""},
		"no such command":         {exitNotFound, []string{"--", "no-such-command"}, "no-such-command"},
		"no such file":            {exitNotFound, []string{"--", "/no/such/file"}, "/no/such/file"},
		"not a program":           {exitCannot, []string{"--", "/dev/null"}, "/dev/null"},
		"no command":              {exitUsage, nil, "there is no command"},
		"no name":                 {exitUsage, []string{"-name", "", "--", "true"}, "-name is missing"},
		"no table":                {exitUsage, []string{"-table", "", "--", "true"}, "-table is missing"},
		"no such flag":            {exitUsage, []string{"-nmae", "x", "--", "true"}, "-nmae"},
		"two ways to wait":        {exitUsage, []string{"-try", "-wait", "1s", "--", "true"}, "exclude each other"},
		"no time to wait":         {exitUsage, []string{"-wait", "0s", "--", "true"}, "-wait is 0s"},
		"all that is wrong":       {exitUsage, []string{"-lease", "1ms", "-hold", "-1s", "--", "true"}, "-hold is -1s"},
		"a long grace":            {exitUsage, []string{"-lease", "10s", "-grace", "6s", "--", "true"}, "-grace is 6s"},
		"no URL":                  {exitUsage, []string{"-endpoint", "here", "--", "true"}, "-endpoint is"},
		"nobody answers":          {exitStore, []string{"-endpoint", nobody, "-timeout", "1s", "--", "true"}, "connection refused"},
		"nobody answers, waiting": {exitStore, []string{"-endpoint", nobody, "-wait", "1s", "--", "true"}, "connection refused"},
		"no such table":           {exitStore, []string{"-table", "none", "--", "true"}, "create-table"},
		"another key":             {exitStore, []string{"-partition-key", "id", "--", "true"}, "another key"},
	} {
		p := w.start(append([]string{"-name", strings.ReplaceAll(name, " ", "-")}, c.args...)...)
		w.Expect(p.code()).To(Equal(c.code), "%s: %s", name, p.said())
		w.Expect(p.said()).To(ContainSubstring(c.says), name)
		w.Expect(strings.Count(p.said(), "\n")).To(BeNumerically("<=", 2), "%s: a mistake must not drown in help: %s", name, p.said())
		if c.says == "" {
			w.Expect(p.said()).To(BeEmpty(), name)
		}
	}
}

func TestTryTakesOverFromACrashedHolder(t *testing.T) {
	w := newWorld(t)
	crashed := w.lock("job", 2*time.Second)
	w.Expect(crashed.WaitForLock(t.Context())).To(Succeed())
	crashed.StopHeartbeat()
	before, _ := crashed.FencingToken()
	w.Expect(w.run("-name", "job", "--", "sh", "-c", "echo $LOCK_TOKEN >$DIR/token")).To(Equal(0))
	token, err := strconv.ParseInt(w.file("token"), 10, 64)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(token).To(BeNumerically(">", before))
}

func TestTryGivesUpOnAHolderThatIsAlive(t *testing.T) {
	w := newWorld(t)
	alive := w.lock("job", 2*time.Second)
	w.Expect(alive.WaitForLock(t.Context())).To(Succeed())
	p := w.start("-name", "job", "-try", "--", "touch", filepath.Join(w.dir, "ran"))
	w.Expect(p.code()).To(Equal(exitHeld))
	w.Expect(p.said()).To(ContainSubstring(`held by "the-test"`))
	w.Expect(alive.HasLock()).To(BeTrue())
	w.Expect(filepath.Join(w.dir, "ran")).NotTo(BeAnExistingFile())
}

func TestMaxClockSkewTakesOverWithoutWatching(t *testing.T) {
	w := newWorld(t)
	crashed := w.lock("job", 500*time.Millisecond)
	w.Expect(crashed.WaitForLock(t.Context())).To(Succeed())
	crashed.StopHeartbeat()
	w.Eventually(crashed.Lost()).Should(BeClosed())
	<-time.After(600 * time.Millisecond) // sleep: the recorded end must be past by more than the skew
	w.Expect(w.run("-name", "job", "-max-clock-skew", "500ms", "-timeout", "10s", "--", "true")).To(Equal(0))
}

func TestWaitRunsAfterTheHolder(t *testing.T) {
	w := newWorld(t)
	holder := w.lock("job", 2*time.Second)
	w.Expect(holder.WaitForLock(t.Context())).To(Succeed())
	w.Expect(w.run("-name", "job", "-wait", "300ms", "--", "true")).To(Equal(exitHeld))
	p := w.start("-name", "job", "-wait", "1m", "--", "sh", "-c", "touch $DIR/ran")
	w.Consistently(p.ended, "500ms").ShouldNot(BeClosed())
	w.Expect(holder.RemoveLock()).To(Succeed())
	w.Expect(p.code()).To(Equal(0))
	w.Expect(filepath.Join(w.dir, "ran")).To(BeAnExistingFile())
}

func TestASignalEndsTheWait(t *testing.T) {
	w := newWorld(t)
	holder := w.lock("job", 5*time.Second)
	w.Expect(holder.WaitForLock(t.Context())).To(Succeed())
	p := w.start("-name", "job", "-wait", "5m", "--", "touch", filepath.Join(w.dir, "ran"))
	w.Eventually(w.asked.Load).Should(BeNumerically(">", 0))
	p.signal(syscall.SIGTERM)
	w.Expect(p.code()).To(Equal(exitSignal + int(syscall.SIGTERM)))
	w.Expect(filepath.Join(w.dir, "ran")).NotTo(BeAnExistingFile())
}

func TestSignalsAreForwarded(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "--", "sh", "-c",
		`trap 'echo usr1 >>$DIR/heard' USR1; trap 'echo term >>$DIR/heard; exit 5' TERM; echo x >$DIR/ready; while :; do sleep 0.05; done`)
	w.appears("ready")
	p.signal(syscall.SIGTSTP) // which must not stop it
	p.signal(syscall.SIGUSR1)
	w.Expect(w.appears("heard")).To(Equal("usr1"))
	p.signal(syscall.SIGTERM)
	w.Expect(p.code()).To(Equal(5))
	w.Expect(w.file("heard")).To(Equal("usr1\nterm"))
	w.Expect(w.peek("job").Released).To(BeTrue())
}

// stubborn ignores SIGTERM and has a child that does, too. Both write the time again and again.
const stubborn = `trap '' TERM
sh -c 'trap "" TERM; echo $$ >$DIR/grandchild; while :; do date +%s%N >$DIR/time2; sleep 0.01; done' &
echo $$ >$DIR/child; while :; do date +%s%N >$DIR/time1; sleep 0.01; done`

// endsInTime waits until somebody else acquires the lock, and checks that both processes of a
// stubborn command were dead before.
func (w *world) endsInTime(name string, pids ...int) {
	w.t.Helper()
	next := w.lock(name, 10*time.Second)
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	w.Expect(next.WaitForLock(ctx)).To(Succeed())
	for _, pid := range pids {
		w.Expect(isAlive(pid)).To(BeFalse(), "process %d is alive when another holds the lock", pid)
	}
}

func TestALostLockEndsAllProcessesBeforeTheLeaseIsOver(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-lease", "3s", "--", "sh", "-c", stubborn)
	child, grandchild := w.pid("child"), w.pid("grandchild")
	w.cut.Store(true)
	w.endsInTime("job", child, grandchild)
	w.Expect(p.code()).To(Equal(exitLost))
	w.Expect(p.said()).To(ContainSubstring("SIGTERM"))
}

func TestALostLockGivesTheCommandItsGrace(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-lease", "3s", "-grace", "1500ms", "--", "sh", "-c",
		`trap 'sleep 0.3; echo cleaned >$DIR/up; exit 0' TERM; echo x >$DIR/ready; while :; do sleep 0.05; done`)
	w.appears("ready")
	w.cut.Store(true)
	w.Expect(p.code()).To(Equal(exitLost))
	w.Expect(w.file("up")).To(Equal("cleaned"))
}

func TestACommandThatIsStoppedWhenTheLockIsLostEndsToo(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-lease", "3s", "--", "sh", "-c", stubborn)
	child, grandchild := w.pid("child"), w.pid("grandchild")
	w.Expect(syscall.Kill(-child, syscall.SIGSTOP)).To(Succeed())
	w.cut.Store(true)
	w.endsInTime("job", child, grandchild)
	w.Expect(p.code()).To(Equal(exitLost))
}

func TestWhenLockrunIsKilledTheCommandEndsBeforeTheLease(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-lease", "3s", "--", "sh", "-c", stubborn)
	child, grandchild := w.pid("child"), w.pid("grandchild")
	p.signal(syscall.SIGKILL)
	w.endsInTime("job", child, grandchild)
	w.Eventually(p.said).Should(ContainSubstring("lockrun has ended"))
}

func TestWhenLockrunIsKilledTheCommandMayCleanUp(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "--", "sh", "-c", `trap 'sleep 0.3; echo cleaned >$DIR/up; exit 0' TERM; echo $$ >$DIR/child; while :; do sleep 0.05; done`)
	child := w.pid("child")
	p.signal(syscall.SIGKILL)
	w.Expect(w.appears("up")).To(Equal("cleaned"))
	w.Eventually(func() bool { return isAlive(child) }).Should(BeFalse())
}

func TestWhenLockrunStandsStillTheCommandEndsBeforeTheLease(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-lease", "3s", "--", "sh", "-c", stubborn)
	child, grandchild := w.pid("child"), w.pid("grandchild")
	p.signal(syscall.SIGSTOP)
	w.endsInTime("job", child, grandchild)
	p.signal(syscall.SIGCONT)
	w.Expect(p.code()).To(Equal(exitLost))
}

func TestACommandThatIsStoppedMayCleanUp(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-lease", "3s", "--", "sh", "-c",
		`trap 'echo cleaned >$DIR/up; exit 0' TERM; echo $$ >$DIR/child; while :; do sleep 0.05; done`)
	w.Expect(syscall.Kill(-w.pid("child"), syscall.SIGSTOP)).To(Succeed())
	w.cut.Store(true)
	w.Expect(p.code()).To(Equal(exitLost))
	w.Expect(w.file("up")).To(Equal("cleaned"))
}

func TestALockThatWasTakenAwayEndsTheCommand(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-lease", "3s", "--", "sh", "-c", "echo $$ >$DIR/child; exec sleep 300")
	w.pid("child")
	w.Expect(w.run("release", "-name", "job", "-force", "-yes")).To(Equal(0))
	w.Expect(p.code()).To(Equal(exitLost))
	w.Expect(p.said()).To(ContainSubstring("lock lost"))
}

func TestTheLockIsKeptForWhatTheCommandLeavesBehind(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "--", "sh", "-c", `sh -c 'echo $$ >$DIR/left; until [ -e $DIR/go ]; do sleep 0.05; done' & exit 4`)
	w.pid("left")
	w.Eventually(p.said).Should(ContainSubstring("left behind"))
	w.Expect(w.peek("job").Released).To(BeFalse())
	touch(w, "go")
	w.Expect(p.code()).To(Equal(4))
	w.Expect(w.peek("job").Released).To(BeTrue())
}

func TestHoldKeepsTheLockAfterAFastCommand(t *testing.T) {
	w := newWorld(t)
	began := time.Now()
	p := w.start("-name", "job", "-hold", "4s", "-lease", "2s", "--", "sh", "-c", "echo x >$DIR/ran")
	w.appears("ran")
	w.Expect(w.run("-name", "job", "--", "sh", "-c", "touch $DIR/again")).To(Equal(exitHeld))
	w.Expect(p.code()).To(Equal(0))
	w.Expect(time.Since(began)).To(BeNumerically(">=", 4*time.Second))
	w.Expect(filepath.Join(w.dir, "again")).NotTo(BeAnExistingFile())
	w.Expect(w.peek("job").Released).To(BeTrue())
}

func TestASignalInTheHoldLeavesTheLockToRunOut(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-hold", "5m", "-lease", "2s", "--", "sh", "-c", "echo x >$DIR/ran; exit 3")
	w.appears("ran")
	w.Eventually(func() error { // until the command has been seen to end, the signal is the command's
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.ended:
			return nil
		case <-time.After(50 * time.Millisecond):
			return fmt.Errorf("it holds on")
		}
	}).Should(Succeed())
	w.Expect(p.code()).To(Equal(3))
	w.Expect(w.peek("job").Released).To(BeFalse())
	w.endsInTime("job")
}
