// Package lockclient is a distributed lock on one Amazon DynamoDB item.
//
// The promise, in order:
//
//  1. At no instant do two clients both believe that they hold one lock, under
//     any crash, pause, lost, late or repeated message, or wall-clock jump, as
//     long as the rates of two monotonic clocks differ by less than 1 %.
//  2. A holder that crashed is replaced soon after its lease has run out, and a
//     lock that was released within one poll. One failed request never costs a
//     lock; permanent errors are returned at once.
//  3. It takes the fewest requests: one write acquires, one write renews, one write
//     releases, one cheap read is one poll, and HasLock sends none.
//
// # The states of a tenure
//
// A tenure is the time from one won lock to its end. A client has one tenure at
// most, and each has a fencing token of its own.
//
//	   GetLock, TryLock, PollLock, WaitForLock
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
//     The next step is a read, never another write: a client that hears nothing
//     would else keep the lock from all. If the read shows our own write, the next
//     write takes it over at once. If the caller gives up instead, a bounded release
//     frees it.
//   - The caller gives up while an acquire is under way: its answer is waited for, half
//     a second at most, because a request that is cancelled may be carried out all the
//     same, after the release that was to undo it.
//   - The reply to a heartbeat or a release was lost: the retry succeeds, since
//     the condition names the tenure (owner and fencing token), not the version.
//   - A heartbeat finds another's record, or none: the tenure ends, ErrLockLost.
//   - Nothing gets through until the window closes, the process stood still, or
//     the machine slept: the tenure ends, ErrLeaseExpired, by a timer that waits
//     for no request, and by every call of HasLock.
//   - A heartbeat meets a transaction on the lock's item: it is repeated within
//     milliseconds, and the tenure's own fenced transactions wait until it is
//     confirmed.
//   - Heartbeats hang: two at most are in flight, and a third takes the place of the
//     oldest.
//   - The machine is asked for more than it can do: requests wait in one line for each
//     DynamoDB client, those of sessions and of the leases that run out first go first,
//     and a slow answer is not taken for a lost one. While answers are slow, or do not
//     come in time, fewer requests are under way. What is completed levels off.
//   - Another client writes the record in place, perhaps under our name: ourVersion no
//     longer equals recordVersionNumber, and the tenure ends, ErrLockLost.
//   - A holder releases and acquires again at once, over and over: a waiter whose reads
//     find ever new tenures polls by writing.
//   - A heartbeat lands late, after a takeover: its condition fails, nothing
//     changes. A request repeated by the network raises heartbeatCount, so that
//     it never shows watchers an old version again.
//   - An acquire lands late, or once more: the record has its token by then, or a
//     higher one, and it changes nothing. See "Fencing tokens".
//   - The process crashed: waiters see the version stay unchanged for the
//     recorded lease and take over on condition that it still is.
//   - The table is missing, access is denied, the key's name is wrong: GetLock, TryLock
//     and WaitForLock return at once with an error that says what to do. A holder
//     keeps trying, since a permission may come back, until its window closes.
//
// No lock can prevent what a paused process does after its check of HasLock. The
// fencing token can: put ConditionCheck into the transaction that does the work (or use
// TransactWrite), guard an update with Stamp, or compare FencingToken where the work is
// stored.
//
// # Fencing tokens
//
// The client that acquires chooses the token: its wall clock in milliseconds, or one more
// than the highest that it has seen or tried, whichever is higher. Every acquire is
// conditional on a record without a token or with a lower one, so a token rises with each
// change of holder whatever the clocks say:
//
//   - The clock is behind that of an earlier holder: the acquire is refused, the refusal
//     shows the record's token, and the client acquires at once with a higher one. That
//     is the only case in which a free lock costs a second request. A client that has
//     looked at the record since does not need it.
//   - An acquire arrives twice, or after its client has given up: its own token, or that of
//     a later tenure, is in the record, also after a release, and the copy is refused.
//   - The reply is lost: the next attempt has a higher token, and takes the record over from
//     the first by its version. The first can't land any more.
//   - Another client's record has no token (Java, dynamolock, v0.1.0), or the item is gone:
//     only the clock, and what the client has seen, keep the token high. See "Not promised".
//   - The token is no number, or so near to the top of its range that there is no room
//     above: ErrNotALock, and the record is left as it is.
//
// No two attempts of a client have the same token, so an owner and a token name one tenure.
//
// # How it is built
//
// Three pure types decide: contender (what a waiter knows, and what to do next), tenure
// (what a holder may believe, and when to renew) and ledger (which records may still
// carry our name). They read no clock and send nothing. testdata/stories plays scenarios
// to them. A driver does what they decide, for one client; a keeper renews one tenure; the
// line and the schedule are shared by all locks of one DynamoDB client.
//
// Requests are built in requests.go, and in the files whose names end so, for sessions and
// tables. Only expression.go, fence.go and stamp.go know DynamoDB's request types beside them:
// for the texts of their conditions, and for the caller's own requests.
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
