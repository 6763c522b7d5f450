package main

import (
	"runtime"
	"syscall"
)

// The command's death signal comes when the thread ends that started it. The main thread lasts as
// long as the process.
func init() { runtime.LockOSThread() }

// endWithParent has the kernel tell the command to end when lockrun is gone, also where the warden
// is gone, too.
func endWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGTERM }

// ownProgram runs this program once more, also after its file was replaced. A process started so is
// called "exe", and is spared by "pkill -9 lockrun".
func ownProgram() (string, error) { return "/proc/self/exe", nil }

const prSetChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER, of prctl(2)

// adoptOrphans makes lockrun the parent of processes whose parents have ended. Otherwise, in a
// container without an init process, they would stay as zombies, and their group would never be
// empty.
func adoptOrphans() { _, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0) }
