package lockclient

import "time"

// jitter returns a duration from 0 to upTo.
type jitter func(upTo time.Duration) time.Duration

// backoff is the pause after the n-th failure in a row, between half and all of
// 50 ms x 2^(n-1), bounded by half a period so that several tries fit in a lease.
func backoff(n int, period time.Duration, jitter jitter) time.Duration {
	ceiling := max(period/2, time.Millisecond)
	pause := min(50*time.Millisecond, max(period/10, time.Millisecond))
	for i := 1; i < n && pause < ceiling; i++ {
		pause *= 2
	}
	pause = min(pause, ceiling)
	return pause/2 + jitter(pause/2)
}

// conflictPause is the pause after the n-th conflict in a row with a transaction. A
// transaction holds the item for milliseconds, so the pause stays short.
func conflictPause(n int, period time.Duration, jitter jitter) time.Duration {
	pause := min(time.Duration(min(n, 8))*2*time.Millisecond, max(period/10, time.Millisecond))
	return pause/2 + jitter(pause/2)
}
