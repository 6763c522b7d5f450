// Package lockclient is a distributed lock on one Amazon DynamoDB item.
//
// The promise, in order:
//
//  1. At no instant do two clients both believe that they hold one lock, under
//     any crash, pause, lost, late or repeated message, or wall-clock jump, as
//     long as the rates of two monotonic clocks differ by less than 1 %.
//  2. A holder that crashed is replaced soon after its lease has run out, and a
//     lock that was released within one poll. One failed request never costs a
//     lock; what no retry can mend is reported at once.
//  3. Both are had for the fewest requests that can do it: one write acquires,
//     one write renews, one write releases, one cheap read is one poll, and
//     HasLock asks nobody.
//
// # The states of a tenure
//
// A tenure is the time from one won lock to its end. A client has one tenure at
// most, and each has a fencing token of its own.
//
//	        GetLock, PollLock, WaitForLock
//	┌──────┐ wins one UpdateItem        ┌──────┐ heartbeat confirmed:
//	│ idle ├───────────────────────────►│ held │ the trust window moves on
//	└──────┘                            └┬─┬─┬─┘
//	   ▲  ▲                RemoveLock    │ │ │  the window closed unrenewed
//	   │  │            ┌──────────┐      │ │ │ (partition, pause, StopHeartbeat)
//	   │  └────────────┤ released │◄─────┘ │ └──────────────┐
//	   │               └──────────┘        │ a heartbeat    │
//	   │                                   │ found another's│
//	   │                                   ▼ record         ▼
//	   │  the next acquire            ┌──────────────────────────┐
//	   └──────────────────────────────┤ lost: ErrLockLost,       │
//	                                  │       ErrLeaseExpired    │
//	                                  └──────────────────────────┘
//
// Leaving "held" is final for a tenure: HasLock turns false, the channel of
// Lost is closed, and no reply that arrives later brings it back. What follows
// is another tenure, with a higher token.
//
// # The trust window
//
// A holder counts its lease from the moment before its last acknowledged write
// was sent and trusts it for 99 % of LeaseDuration. A waiter counts the same
// lease from the moment when the reply that first showed the record's present
// version had arrived, and waits for all of it. Whatever the network does, the
// holder has stopped believing before the waiter starts:
//
//	holder   sent├─────────────── 0.99 lease ──────────────┤stops believing
//	              ╲ request, commit, somebody's reply
//	waiter          ╲arrived├──────────────── lease ────────────────┤may take over
//
// Each counts on its own monotonic clock; no machine's wall clock is compared
// with another's (except where MaxClockSkew says that it may be). The holder
// also looks at its own wall clock, which goes on while a suspended machine's
// monotonic clock stands still, and believes whichever says that more time has
// passed.
//
// # What each failure does
//
//   - A request failed, timed out, was throttled, met a transaction, or its
//     credentials had expired: it is sent again with jittered backoff until the
//     trust window closes. The lock stays held.
//   - The reply to an acquire was lost: the lock may be ours without our knowing.
//     The next attempt recognises its own write and takes it over at once; where
//     the caller gives up instead, a bounded release frees it.
//   - The caller gives up while an acquire is under way: its answer is waited for, half
//     a second at most, because a request that is cancelled may be carried out all the
//     same, after the release that was to undo it.
//   - The reply to a heartbeat or a release was lost: the retry succeeds, since
//     the condition names the tenure (owner and fencing token), not the version.
//   - A heartbeat finds another's record, or none: the tenure ends, ErrLockLost.
//   - Nothing gets through until the window closes, the process stood still, or
//     the machine slept: the tenure ends, ErrLeaseExpired, by a timer that waits
//     for no request, and by every call of HasLock.
//   - A heartbeat lands late, after a takeover: its condition fails, nothing
//     changes. A request repeated by the network raises heartbeatCount, so that
//     it never shows watchers an old version again.
//   - The process crashed: waiters see the version stay unchanged for the
//     recorded lease and take over on condition that it still is.
//   - The table is missing, access is denied, the key's name is wrong: GetLock and
//     WaitForLock return at once with an error that says what to do. A holder
//     keeps trying, since a permission may come back, until its window closes.
//
// What a paused process does after its check of HasLock no lock can prevent.
// The fencing token can: put ConditionCheck into the transaction that does the
// work (or use TransactWrite), or compare FencingToken where the work is stored.
//
// # Not promised
//
// A machine that is suspended and has its wall clock set back meanwhile, a virtual
// machine that is stopped with both its clocks, or copied while it runs (its clocks
// then lie, or there are two of it); an operator who edits or deletes a held item (its holder
// notices at its next heartbeat, and fencing still holds); MaxClockSkew set lower
// than the truth; ReclaimOnRestart with an Identifier that two live processes
// share. Fencing tokens restart from a wall clock in milliseconds when an item
// has been deleted (DeleteOnRelease, TTL, by hand) or overwritten by a Java
// client: there, and only there, they are as good as the fleet's clocks, and as fresh as
// the request that makes the item anew.
//
// # The record
//
// The schema is that of awslabs/amazon-dynamodb-lock-client, so that Java and Go
// can share a table; cirello.io/dynamolock's spelling of a lease ("5s") is read;
// and an item of dynamodb-lock-client-golang v0.1.0, the library whose API this
// is, is watched and taken over as one of its own, so that a fleet can be upgraded
// in place. Any other item is not a lock: it is reported and never overwritten.
package lockclient
