// Package election makes one of many processes the leader, on a lock with a lease such as *lockclient.DynamoDBLockClient. It
// has the names of Kubernetes client-go's leaderelection and not its known faults.
//
// The promise, in order:
//
//  1. No two electors lead at once: a leading context has ended before any other client can acquire the lock, whatever the network,
//     the store or a clock does, as long as the rates of two monotonic clocks differ by less than 1 %. What a process does
//     that was stopped after it last looked is caught by fencing.
//  2. The lock is released only after the work has returned, and renewed until then. OnStartedLeading never runs twice at
//     once; OnStoppedLeading runs once for each, after it, and never without it.
//  3. A leader that leaves is followed within one poll of a candidate, one that crashed within its lease and one poll. No single
//     error ends a term.
//  4. When Run has returned, no goroutine of the elector is left.
//
// # The states of an elector
//
//	                          won: OnStartedLeading(leading ctx)
//	             ┌─────────────┐                        ┌─────────┐
//	      Run    │             ├───────────────────────►│ leading │
//	   ┌────────►│ campaigning │                        └────┬────┘
//	   │         │             │                             │ RenewDeadline, lock lost, Resign, work returned,
//	   │ ◄───────┤             │                             │ or Run's ctx ended: the leading ctx is cancelled
//	   │ ctx     └────▲───▲────┘                             ▼
//	   │ ended        │   │                             ┌──────────┐ the lease is gone and   ┌─────────┐
//	   │              │   │ the lease was lost          │ draining ├────────────────────────►│ overdue │
//	┌──┴───┐          │   │                             └────┬─────┘ the work still runs     └────┬────┘
//	│ idle │ has stood│   └───────────────┐                  │                                    │
//	└──────┘    aside │                   │                  │ the work has returned,             │ and at last
//	   ▲    ┌─────────┴──────┐ resigned   │                  │ OnStoppedLeading()                 │ it returns
//	   │    │ standing aside │◄────────┐  │                  ▼                                    │
//	   │    └────────────────┘         │  │             ┌───────────┐                             │
//	   │                               └──┴─────────────┤ releasing │◄────────────────────────────┘
//	   └────────────────────────────────────────────────┤           │
//	                    Run's ctx ended, or OneTerm     └───────────┘
//
// One stretch from leading to the end of releasing is a term, and has a fencing token of its own: a lock that is lost and won
// again is two terms, however quickly. IsLeader is true in leading only, and there too only while the lease is younger than
// RenewDeadline at the moment of the call. The names are those that Handler reports.
//
// # The time of a term
//
// All is counted from the moment when the last confirmed renewal was sent:
//
//	sent           RenewDeadline                0.99 lease     lease
//	 ├──────────────────┼───────────────────────────┼────────────┤
//	 │ leading          │ draining: the work's time │            │ another may lead
//	 │                  │ to stop                   │ overdue    │
//	 └ next renewals:   └ the leading ctx has ended └ Check fails, by the tolerance it was given
//	   one each HeartbeatPeriod
//
// A graceful end (Run's context, Resign, the work's own return) does not use up the lease: it is renewed while the work drains,
// for DrainTimeout, and released then. The pictures hold only for figures that fit: NewLeaderElector refuses
//
//	RetryPeriod x JitterFactor >= RenewDeadline,   1.2 x HeartbeatPeriod > RenewDeadline,   RenewDeadline >= 0.99 lease
//
// # What each failure does
//
//   - Renewals fail: the lock retries them. If none is confirmed until RenewDeadline, the term ends (ErrLeaseExpired), and the elector
//     campaigns again.
//   - The record carries another's name, another token, or is gone: the term ends at once (ErrLockLost).
//   - The process or the machine stood still: with the first call after waking up, IsLeader is false and the leading context's Err is
//     set; its Done is closed within a quarter of a heartbeat period. What the work does before it asks, only fencing catches:
//     TermFromContext.
//   - The work ignores its context: its lease is renewed no longer than DrainTimeout and runs out; the elector logs it, fails
//     Check, and does not campaign until the work has returned. Let a liveness probe restart the process (HealthzAdaptor).
//   - The work returns by itself: it has resigned. Another candidate wins first, because the elector stands aside.
//   - A callback panics: leading context cancelled, work awaited, lock released; then the panic goes on.
//   - Polling fails: retried with backoff up to the lease. Where no retry can help (no table, no permission), Run returns that if it
//     is the store's first answer ever; later it is retried, logged, and fails Check.
//
// # What it does not promise
//
// A machine that is suspended and whose wall clock is set back meanwhile has no clock left that tells the truth. An operator who
// edits the record is noticed at the next heartbeat. In both cases, and for a write that was under way when the process
// stopped, the fencing token is what keeps two leaders' writes apart.
package election
