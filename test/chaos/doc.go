// Package chaos disturbs real processes that compete for locks. From what they wrote down it checks
// that no two of them ever believed in one lock at once. It runs on unix.
//
//	┌──────────┐ SIGKILL, SIGSTOP, SIGCONT, SIGTERM   ┌───────────┐
//	│          ├─────────────────────────────────────►│ worker    ├──► journal
//	│ the test │ cut, hold, swallow, delay  ┌───────┐ └─────┬─────┘
//	│          ├───────────────────────────►│ proxy │◄──────┘  one of each
//	│          │ stop, restart   ┌────────┐ └───┬───┘          a contender
//	│          ├────────────────►│ engine │◄────┘
//	└────┬─────┘                 └────────┘
//	     └► its own journal, and at the end the checker over all of them
//
// The engine is the one at DYNAMODB_ENDPOINT. Without that variable it is dynamotest in its own
// process. The suite prints which. On DynamoDB Local:
//
//	go run github.com/leaderkit/leaderkit/test/dynamolocal/cmd/dynamolocal go test -race -v .
//
// One scenario stops an engine with SIGSTOP and restarts it with SIGKILL. The suite does that only
// to an engine that it has started itself. With DYNAMODB_ENDPOINT set that is a DynamoDB Local with
// its tables on disk (test/dynamolocal). Otherwise it is dynamotest, which loses its tables with
// the process. There the restart is only one of its listener: every connection is cut, and no new
// one is accepted for a while.
//
// Most scenarios are about one lock. TestManyLocks has 60 shards led by three replicas
// (election/shards), or as many as CHAOS_SHARDS says, and 50 locks of which most are members of
// sessions. Replicas are killed, stopped, cut off and restarted one after the other, and their own
// clocks differ. A Skew shifts the clocks that a worker gives to the toolkit. What it writes down
// is in true time.
//
// # Longer runs, and the picture
//
//	CHAOS_DURATION=60s go test -race -run TestTwentyContenders .
//	CHAOS_SHARDS=200 go test -run TestManyLocks .
//	CHAOS_OPERATIONS=10000 go test -run TestHistories .
//	go test -run TestFence -picture testdata/unguarded.svg .
//
// The first has twenty contenders for a minute. CHAOS_SEED repeats the faults of a run. The second
// has 200 shards, and wants the machine for itself. The third has histories of 10,000 operations
// of 2, 4 and 8 clients, where the suite has 1,000. The fourth draws what a paused holder does to
// an unguarded counter, from the run's own journals.
//
// # One clock
//
// All processes run on one machine and read its CLOCK_MONOTONIC. They use the system call, because
// the monotonic readings of package time can't leave a process. On one machine this is one clock:
// if a reading is taken in one process, and then something happens, a reading taken after that in
// another process is never earlier. The lock uses this clock too, but never compares readings of
// two processes. Only the checker does.
//
// # What is a belief
//
// A stopped process believes nothing and writes nothing. It may have been stopped before any line
// of its program, and continued after it. So the checker counts only what is certain:
//
//   - A sample is an interval [from, to]: the process read the clock, HasLock (or IsLeader)
//     returned true, and the process read the clock again. The process believed at some moment in
//     the interval. If it was stopped in between, the interval is as long as the pause, and only
//     that one moment is certain.
//   - A tenure is a process and a fencing token. A tenure that was left never comes back. So the
//     process believed from the moment of its first sample to that of its last.
//   - A claim reaches further. Every sample also asks Deadline: until then the tenure is certain
//     even without another renewal. Until then no other process may believe, whether this one runs,
//     is stopped or dies. There are two exceptions: the process gave the tenure up before, and
//     wrote that down first (a yield); or it died and its successor continues under its name
//     (ReclaimOnRestart).
//
// So a tenure has certainly begun when its first sample had ended (begun). It certainly lasts until
// its last sample began or until its furthest claim, cut at the yield (until). Two tenures of two
// processes are a violation if each of them certainly lasts beyond the certain beginning of the
// other:
//
//	A  from├─?─┤to=begun ────────────────────────────── until
//	B                        from├──?──┤to=begun ──── until          a violation
//	C                                             from├────────?────────┤to=begun ─── until
//	                                                  none: C's moment may be after A's end
//
// A context can't look at a clock. When a stopped process is continued, its leading context stays
// alive until a timer has run. Moments at which only the context was alive are held to the same
// rule, except in the first contextGrace after a SIGCONT. Those are counted and reported: fencing
// is for them.
//
// The leading context of a shard looks at its lease when it is asked for its Err. So that is held
// to the same rule as HasLock, without a grace.
//
// # What is checked
//
// Of each lock by itself:
//
//   - No two tenures overlap in the sense above. Their tokens rise strictly in the order in which
//     they began. The record's own token, read by an observer, never falls.
//   - The fenced counter. Holders read it and write one more in a transaction with the lock's
//     ConditionCheck. The counter has no condition of its own, so only the fence protects it. The
//     same transaction writes a receipt: an item with the value, the token and the process. The
//     values of the receipts must be 1, 2, 3, ... without a gap or a repetition (no increment
//     lost), and their tokens must never fall. Every acknowledged increment must have its receipt,
//     and no refused one may have one. No increment may have begun after a later tenure was seen to
//     have begun (none taken from a stale holder).
//   - The counter's history, increments and reads, must be linearizable. porcupine judges that
//     against a register that refuses falling tokens. An increment without an answer is in the
//     history if it has left its receipt, with no end.
//   - The unfenced counter. Holders increment it by a read, a check of HasLock and a plain write.
//     Its losses are reported and fail nothing, except in the scenarios that stop a process exactly
//     between the check and the write. Those must show a loss, and a history that no order
//     explains.
//
// Of all locks together:
//
//   - A session is lost as a whole. When one of its members was found lost, no sample of another
//     member of that session begins later, and each that was not given up before is found lost,
//     too. No tenure lasts from one session into the next.
//   - If the scenario requires it: no lock is without a leader for longer than a bound, from the
//     last certain moment of a tenure to the first of the next. And at one moment near the end each
//     replica leads the same number of shards, or one more or less.
//
// The checker has tests of its own: runs told by hand, sound ones and broken ones, and replicas
// that make a mistake on purpose (Mistake).
package chaos
