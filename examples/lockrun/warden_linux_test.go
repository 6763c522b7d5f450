package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// wardenOf finds the process that is lockrun's child and in a session of its own; 0: there is none.
func (w *world) wardenOf(p *process) int {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.cmd.Process.Pid, p.cmd.Process.Pid))
	w.Expect(err).NotTo(HaveOccurred())
	for _, child := range strings.Fields(string(children)) {
		if command, _ := os.ReadFile("/proc/" + child + "/cmdline"); strings.Contains(string(command), "\x00"+wardenCommand+"\x00") {
			pid, _ := strconv.Atoi(child)
			return pid
		}
	}
	return 0
}

// ignoresTerm says whether a process has come so far that it is the warden.
func ignoresTerm(pid int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, mask, _ := strings.Cut(string(status), "\nSigIgn:\t")
	mask, _, _ = strings.Cut(mask, "\n")
	ignored, _ := strconv.ParseUint(mask, 16, 64)
	return ignored&(1<<(syscall.SIGTERM-1)) != 0
}

func TestAWardenThatWasKilledIsReplaced(t *testing.T) {
	w := newWorld(t)
	p := w.start("-name", "job", "-lease", "3s", "--", "sh", "-c", stubborn)
	child, grandchild := w.pid("child"), w.pid("grandchild")
	first := w.wardenOf(p)
	w.Expect(syscall.Kill(first, syscall.SIGKILL)).To(Succeed())
	w.Eventually(func() bool { second := w.wardenOf(p); return second != first && ignoresTerm(second) }).Should(BeTrue())
	w.Eventually(p.said).Should(ContainSubstring("another one"))
	w.Expect(isAlive(child)).To(BeTrue())
	p.signal(syscall.SIGKILL)
	w.endsInTime("job", child, grandchild)
}
