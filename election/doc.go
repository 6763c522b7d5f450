// Package election makes one of many processes the leader. It works on a lock with a lease, such as
// *lockclient.DynamoDBLockClient. It has the names of Kubernetes client-go's leaderelection,
// without its known faults.
//
// The promises, in order of importance:
//
//  1. No two electors lead at once. A leading context ends before any other client can acquire the
//     lock, whatever the network, the store or a clock does. It assumes that the rates of two
//     monotonic clocks differ by less than 1 %. A process that is paused after its last check can
//     still write late. Only fencing refuses that write.
//  2. The lock is renewed until the work has returned, and released only then. OnStartedLeading
//     never runs twice at once. OnStoppedLeading runs once for each OnStartedLeading, after it has
//     returned, and never without one.
//  3. A leader that stops is replaced within one poll of a candidate, or within 100 ms if it gives
//     notice (HandoverNotice). A leader that crashed is replaced within its lease and one poll. No
//     single error ends a term.
//  4. The Logger, metrics and OnNewLeader never delay the elector. When Run has returned, no
//     goroutine of the elector is left, unless one of these calls has not returned.
//
// # The states of an elector
//
//	                          won: OnStartedLeading(leading ctx)
//	             ┌─────────────┐                        ┌─────────┐
//	      Run    │             ├───────────────────────►│ leading │
//	   ┌────────►│ campaigning │                        └────┬────┘
//	   │         │             │                             │ RenewDeadline, lock lost, Resign,
//	   │ ◄───────┤             │                             │ work returned, or Run's ctx ended:
//	   │ ctx     └────▲───▲────┘                             ▼ the leading ctx is cancelled
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
// A term lasts from the beginning of leading to the end of releasing. Each term has its own fencing
// token. A lock that is lost and won again is two terms, however quickly that happens. IsLeader is
// true only in the state leading, and only while the lease is younger than RenewDeadline at the
// moment of the call. Handler reports these names. With HandoverNotice there is one more: "handing
// over" is the last part of leading, from being told to stop to the end of the leading context.
//
// # The time of a term
//
// All times count from the moment when the last confirmed renewal was sent:
//
//	sent           RenewDeadline                0.99 lease     lease
//	 ├──────────────────┼───────────────────────────┼────────────┤
//	 │ leading          │ draining: the work's time │            │ another may lead
//	 │                  │ to stop                   │ overdue    │
//	 └ next renewals:   └ the leading ctx has ended └ Check fails, by the tolerance it was given
//	   one each HeartbeatPeriod
//
// A graceful end is one by Run's context, Resign, TransferTo, or the return of the work. The lease
// is then renewed while the work drains, for DrainTimeout at most, and released afterwards.
// NewLeaderElector refuses durations that do not fit into this drawing:
//
//	RetryPeriod x JitterFactor >= RenewDeadline
//	1.2 x HeartbeatPeriod > RenewDeadline
//	RenewDeadline >= 0.99 lease
//
// # What each failure does
//
//   - Renewals fail: the lock retries them. If none is confirmed until RenewDeadline, the term ends
//     (ErrLeaseExpired), and the elector campaigns again.
//   - The record has another owner or token, or was deleted: the term ends at once (ErrLockLost).
//   - The process or the machine was paused: from the first call after that, IsLeader is false and
//     the leading context's Err is set. Its Done is closed within a quarter of a heartbeat period.
//     Writes of the work before its check are refused only by fencing: see TermFromContext.
//   - The work ignores its context: its lease is renewed for DrainTimeout at most, and then
//     expires. Before that, OnLeaseEnding may exit the process. Otherwise another leads while the
//     work goes on. The elector then logs it, fails Check, and does not campaign until the work has
//     returned. Let a liveness probe restart the process (HealthzAdaptor).
//   - The work returns by itself: it has resigned. The elector stands aside, so another candidate
//     wins first.
//   - A callback, the Logger or a metric panics: the leading context is cancelled, the work
//     returns, the lock is released, and then the panic goes on.
//   - Polling fails: it is retried with backoff up to the lease. If the store's first answer ever
//     is a permanent error (no table, no permission), Run returns it. A Run that follows at once
//     waits as a retry does. A later permanent error is retried, logged, and fails Check.
//
// # What it does not promise
//
// If a machine is suspended and its wall clock is set back meanwhile, both its clocks are wrong. If
// an operator edits the record, the leader notices at the next heartbeat. In both cases the fencing
// token keeps the writes of two leaders apart. The same is true for a write that was under way when
// the process was paused.
package election
