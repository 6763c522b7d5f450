// Package shards divides the shards of a service evenly among its replicas. Of N shards, each of M
// replicas leads N/M, and each shard has one leader. A replica that joins gets its part. If a
// replica leaves or crashes, the others get its part. One lockclient.Session keeps all locks of a
// replica, with one write a heartbeat for any number of shards.
//
// The promises, in order of importance:
//
//  1. No shard is led twice at once. A shard's leading context has ended before anybody else can
//     lead the shard, under the same conditions as in package election. Each shard has a lock, a
//     term and a fencing token of its own (election.TermFromContext). Who belongs to the group, and
//     who should lead what, decides only who tries to acquire a lock. The lock decides who leads.
//  2. A shard's lock is released only after its work has returned. OnStopped runs once for each
//     OnStarted of a shard, after it.
//  3. Each shard is led by somebody as long as a replica runs that has room for it. After a crash
//     all shards are led again 1.15 leases later at the latest, in 99 of 100 cases. A shard that
//     moves is without a leader for as long as its work takes to return, and 100 ms.
//  4. Replicas of equal weight lead equal numbers of shards, or numbers that differ by one. Nothing
//     moves while nobody joins or leaves. A join moves the new replica's part and hardly anything
//     else: of 512 shards on 3 replicas 134 on average, where its part is 128.
//  5. A replica never has more than MaxPerReplica works under way, those that are returning
//     included. Where there is such a limit, no replica gives a shard away and gets another for it.
//
// # The states of a replica
//
//	       Run                the lock of its own      one heartbeat later
//	┌──────┐       ┌─────────┐      and its entry      ┌─────────┐  Run's ctx ended   ┌─────────┐
//	│ idle ├──────►│ joining ├────────────────────────►│ serving ├───────────────────►│ leaving │
//	└──────┘       └─────────┘                         └────┬────┘                    └────┬────┘
//	   ▲                ▲                                   │                              │ all its shards
//	   │                └───────────────────────────────────┘                              │ are released
//	   │                      its session was lost                                         │
//	   └───────────────────────────────────────────────────────────────────────────────────┘
//
// # The states of a shard, seen from one replica
//
//	                    belongs to this one               acquired: OnStarted(ctx, shard)
//	┌───────────┐             ┌────────┐                         ┌─────────┐
//	│ elsewhere ├────────────►│ wanted ├────────────────────────►│ leading │
//	└───────────┘             └──┬──▲──┘                         └────┬────┘
//	      ▲   belongs to another │  │ after a pause,                  │ belongs to another, Run's ctx ended, lock lost,
//	      │◄─────────────────────┘  │ where it still belongs here     │ or the work returned: ctx is cancelled
//	      │                         │                                 ▼
//	      │                   ┌─────┴─────┐  OnStopped(shard)    ┌──────────┐
//	      └───────────────────┤ releasing │◄─────────────────────┤ draining │
//	                          └───────────┘  the work returned   └──────────┘
//
// A shard that is elsewhere costs nothing: no goroutine, no request, no memory but its name. A
// shard that is led has one goroutine, which runs its work.
//
// # Who belongs to the group
//
// The item "leaderkit/group/<Group>" in the lock's table has an attribute for each member, with its
// identity and weight. Each replica writes its own entry, once when it joins and twice when it
// leaves, and reads the item once a heartbeat. The item has no recordVersionNumber, so lock clients
// see that it is not a lock. If somebody deletes the entry of a running replica, the replica writes
// it again.
//
// A member also holds a lock of its own, "leaderkit/group/<Group>/<member>". The three members that
// follow it in the ring of all members wait for that lock. When the session of the member is over,
// one of them gets the lock and deletes the member's entry. If a member's heartbeat is late, a
// watching member writes that into the item, and all read the item often until the member is known
// to be alive or dead.
//
// # Which replica leads a shard
//
// Each replica computes the assignment from the members and the names of the shards, with a pure
// function: rendezvous hashing with a limit for each replica. There is no coordinator that could
// fail. If two replicas have different members for a moment, that costs a delay: one of them
// acquires the lock, and the other waits until it is released or gives up.
//
// Where MaxPerReplica limits the group, the function has one more argument: which shards each
// member says that it leads, in its entry. A member keeps them as far as its part allows, and only
// the rest is assigned by hashes. Otherwise a replica that is full would have to let one shard go
// before it takes another in exchange, and nobody would lead the other meanwhile. So a new replica
// takes slots that are free, or stands by, and whoever leads goes on. A change of the members
// changes what a replica leads in one direction only.
//
// The function needs the same names and the same MaxPerReplica everywhere. During a deploy that
// changes them, replicas with the old ones and with the new ones run at the same time. So a replica
// counts only those members that have its names and its limit. The old replicas share the old
// shards, the new replicas share the new shards, and if both want a shard, the lock decides. No
// shard is led twice, and each shard that a running replica knows has a leader. When the last
// replica has changed, all agree. Until then some replicas lead more than their part. Resize does
// the same without a restart.
//
// # How a shard moves
//
//	the old leader    sees the join    announces       one heartbeat later: ctx ends    released, says so
//	 leading ├──────────────┼──────────────┼─────────────────────┼──── the work drains ───────┤
//	the new leader                             reads it          └ reads closely ─────────────┴┬─ leading
//	                                                                                           └ acquires
//
// A leader announces its moves in the item "leaderkit/handover/<Group>/<member>", and lists there
// what it has released. A replica that waits for shards looks for such items once a heartbeat, and
// then reads each of them every 25 ms. A quarter of a replica's shards move at a time
// (MovesAtOnce). A replica that leaves hands over all its shards this way, and then leaves the
// group.
//
// # What each failure does
//
//   - A replica crashes or is cut off: its session runs out, and the others lead its shards. Its
//     own contexts have ended before, two thirds of a lease after its last heartbeat.
//   - The group's item can't be read or written: leaders go on leading. Until it can, no replica
//     joins, leaves or takes over.
//   - The work of a shard ignores its ctx: its lock is kept for DrainTimeout, and runs out a lease
//     later. From then on another may lead the shard while that work goes on. The replica logs it
//     and fails Check, and does not lead that shard until the work has returned.
//   - The work of a shard returns by itself: the shard is released, and led again after a pause of
//     one heartbeat, doubled each time up to a lease.
//   - A callback panics: all contexts end, the replica waits for all work to return, but no longer
//     than DrainTimeout, and the locks are released. Then the panic goes on.
package shards
