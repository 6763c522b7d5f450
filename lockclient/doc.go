// Package lockclient is a distributed lock on one Amazon DynamoDB item.
//
// The promises, in order of importance:
//
//  1. At no instant do two clients both believe that they hold one lock. This holds under any crash
//     or pause, if messages are lost, late or repeated, and if wall clocks jump. It assumes that
//     the rates of two monotonic clocks differ by less than 1 %.
//  2. A crashed holder is replaced soon after its lease has run out, and a released lock is taken
//     within one poll. One failed request never costs a lock. Permanent errors are returned at
//     once.
//  3. It sends the fewest requests: one write to acquire, one to renew, one to release, and one
//     cheap read for a poll. HasLock sends none.
//
// # The states of a tenure
//
// A tenure is the time from acquiring a lock to releasing or losing it. A client has one tenure at
// a time, and each has its own fencing token.
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
// The end of a tenure is final: HasLock returns false, the channel of Lost is closed, and no late
// reply changes that. If the client acquires the lock again, that is another tenure, with a higher
// token.
//
// # The trust window
//
// A holder counts its lease from the moment before it sent its last acknowledged write, and trusts
// it for 99 % of LeaseDuration. A waiter counts the same lease from the moment after the reply
// arrived that first showed the current version of the record, and waits for all of it. So the
// holder has stopped believing before the waiter may act, whatever the network does:
//
//	holder   sent├─────────────── 0.99 lease ──────────────┤stops believing
//	              ╲ request, commit, somebody's reply
//	waiter          ╲arrived├──────────────── lease ────────────────┤may take over
//
// Each counts on its own monotonic clock. Wall clocks of different machines are not compared,
// unless MaxClockSkew allows it. The holder also reads its own wall clock, because the monotonic
// clock of a suspended machine may stop. If the two differ, the one that shows more time counts.
//
// # What each failure does
//
//   - A request failed, timed out, was throttled, conflicted with a transaction, or its credentials
//     had expired: it is sent again with jittered backoff until the trust window closes. The lock
//     stays held.
//   - The reply to an acquire was lost: this client may have the lock without knowing it. The next
//     step is a read, never another write. Otherwise a client whose replies are all lost would keep
//     the lock from the others. If the read shows its own write, the next write takes the lock over
//     at once. If the caller gives up, a release frees it, for a limited time.
//   - The caller gives up during an acquire: the client waits for the answer for at most half a
//     second. A cancelled request may still be carried out, and then after the release that should
//     undo it.
//   - The reply to a heartbeat or a release was lost: the retry succeeds, because the condition
//     names the tenure (owner and fencing token), not the version.
//   - A heartbeat finds the record of another client, or none: the tenure ends with ErrLockLost.
//   - No renewal succeeds until the window closes, or the process or the machine was paused: the
//     tenure ends with ErrLeaseExpired. A timer that waits for no request does this, and so does
//     every call of HasLock.
//   - A heartbeat conflicts with a transaction on the lock's item: it is repeated within
//     milliseconds. The tenure's own fenced transactions wait until it is confirmed.
//   - Heartbeats hang: two at most are in flight, and a third replaces the oldest.
//   - The machine or the server is overloaded: all requests of one DynamoDB client wait in one
//     queue. Those of sessions go first, and of the heartbeats those of leases that end first. A
//     slow answer does not count as lost. While answers are slow, or do not come in time, fewer
//     requests are in flight.
//   - Another client updates the record in place, perhaps with the same Identifier: ourVersion no
//     longer equals recordVersionNumber, and the tenure ends with ErrLockLost.
//   - A holder releases and acquires again at once, repeatedly: a waiter that finds a new tenure at
//     each read polls by writing.
//   - A heartbeat arrives late, after a takeover: its condition fails, and nothing changes. If the
//     network repeats a request, heartbeatCount rises, so watchers never see an old version again.
//   - An acquire arrives late, or twice: the record has its token by then, or a higher one, and
//     nothing changes. See "Fencing tokens".
//   - The process crashed: waiters see that the version stays unchanged for the recorded lease.
//     They take over, on condition that it is still unchanged.
//   - A process lost its session: waiters are told of each later release at once. The process marks
//     the session as over when each of its locks was released or acquired anew.
//   - The table is missing, access is denied, or the key has another name: GetLock, TryLock and
//     WaitForLock return at once with an error that says what to do. A holder retries until its
//     window closes, because a permission may come back.
//
// A lock can't prevent what a paused process does after its check of HasLock. The fencing token
// can: put ConditionCheck into the transaction that does the work (or use TransactWrite), guard an
// update with Stamp, or compare FencingToken where the work is stored.
//
// # Fencing tokens
//
// The client that acquires chooses the token. It is the client's wall clock in milliseconds, or one
// more than the highest token that the client has seen or tried, whichever is higher. An acquire
// succeeds only if the record has no token or a lower one. So the token rises with each change of
// holder, whatever the clocks show:
//
//   - The clock is behind that of an earlier holder: the acquire is refused, the refusal shows the
//     record's token, and the client acquires at once with a higher one. Only then does a free lock
//     cost a second request, and not if the client has read the record before.
//   - An acquire arrives twice, or after its client has given up: the record has its token, or that
//     of a later tenure, also after a release. So the copy is refused.
//   - The reply is lost: the next attempt has a higher token, and replaces the version that the
//     first attempt wrote. If the first one arrives later, it is refused.
//   - The record of another library has no token (Java, dynamolock, v0.1.0), or the item was
//     deleted: the token is then as high as the clock and what the client has seen. See "Not
//     promised".
//   - The token is not a number, or there is no higher number: ErrNotALock, and the record is not
//     changed.
//
// No two attempts of a client have the same token, so owner and token together name one tenure.
//
// # How it is built
//
// Three pure types make the decisions: contender (what a waiter knows, and its next step), tenure
// (what a holder may believe, and when to renew) and ledger (which records may still carry this
// client's name). They read no clock and send nothing. The files in testdata/stories test them with
// scenarios. A driver carries out the decisions for one client, and a keeper renews one tenure. The
// line (the queue of requests) and the schedule of heartbeats are shared by all locks of one
// DynamoDB client.
//
// Requests are built in requests.go, sessionrequests.go and tablerequests.go. Besides them, only
// expression.go, fence.go and stamp.go use DynamoDB's request types: for the texts of conditions,
// and for the caller's own requests.
//
// # Not promised
//
// The promises do not hold in these cases:
//
//   - A machine is suspended and its wall clock is set back meanwhile. A virtual machine is stopped
//     so that both its clocks stop, or is copied while it runs.
//   - Somebody edits or deletes the item of a held lock. The holder notices at its next heartbeat,
//     and fencing works.
//   - MaxClockSkew is lower than the real difference.
//   - ReclaimOnRestart is set, and two running processes share an Identifier.
//
// Fencing tokens start again from a wall clock if an item was deleted (DeleteOnRelease, TTL, by
// hand) or overwritten by a Java client. Only then they depend on the clocks of the fleet, and on
// the delay of the request that creates the item again.
//
// # The record
//
// The schema is that of awslabs/amazon-dynamodb-lock-client, so Java and Go can share a table. The
// lease of cirello.io/dynamolock ("5s") can be read. Items of dynamodb-lock-client-golang v0.1.0,
// whose API this package has, are watched and taken over, so a fleet can be upgraded in place. Any
// other item is not a lock: it is reported and never overwritten.
package lockclient
