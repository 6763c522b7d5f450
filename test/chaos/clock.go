package chaos

import (
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic reads the machine's CLOCK_MONOTONIC, which is the same clock in all its processes.
func Monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic("chaos: this system has no CLOCK_MONOTONIC: " + err.Error())
	}
	return time.Duration(now.Nano())
}
