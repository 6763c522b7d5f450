// Package chaos breaks real processes that contend for one lock, and proves from what they wrote down that no two of them ever
// believed in it at once. It runs on unix.
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
// The engine is DynamoDB Local at DYNAMODB_ENDPOINT; without that variable, dynamotest in a process of its own. The suite
// prints which. One scenario stops an engine with SIGSTOP and restarts it with SIGKILL, which only an engine that the suite
// has started itself may suffer: DynamoDB Local with its tables on disk, where its jars are in the cache of
// hack/dynamodb-local.sh; else dynamotest, whose tables live and die with the process, so that there the restart is one of its
// listener: every connection is cut and none accepted for a while.
//
// # One clock
//
// All processes run on one machine and read its CLOCK_MONOTONIC, by the system call rather than through package time, whose
// monotonic readings can't leave a process. On one machine that clock is one clock: a reading taken in one process before
// something happened in another is never later than one taken there afterwards. The lock itself uses it too, but never
// compares readings of two processes; only the checker does.
//
// # What is a belief
//
// A process that is stopped believes nothing and writes nothing, and at any line of a program it may have been stopped just
// before and continued just after. So the checker counts only what is certain:
//
//   - A sample is an interval [from, to]: the clock was read, HasLock (or IsLeader) was called and said yes, the clock was read
//     again. At some moment in the interval, not known better, the process believed. If it was stopped in between, the interval
//     is as long as the pause, and nothing is certain but that one moment.
//   - A tenure is a process and a fencing token. Leaving a tenure is final, so between the moments of its first sample and of
//     its last one the process believed throughout.
//   - A claim reaches further: every sample also asks Deadline, until when the tenure is certain if nothing more is heard. Until
//     then nobody else may believe, whether this process goes on, is stopped or dies, unless it gave the tenure up before,
//     which it writes down first (a yield), or is a dead process whose successor goes on under its name (ReclaimOnRestart).
//
// So a tenure has certainly begun when its first sample had ended (begun), and certainly lasts until its last sample began or
// until the furthest claim, cut at the yield (until). Two tenures of two processes are a violation if each of them certainly
// lasts beyond the certain beginning of the other:
//
//	A  from├─?─┤to=begun ────────────────────────────── until
//	B                        from├──?──┤to=begun ──── until          a violation
//	C                                             from├────────?────────┤to=begun ─── until     none: C's moment may be after A's end
//
// A context can't look at a clock: when a stopped process is continued, its leading context stays alive until a timer has run.
// Moments at which only the context was alive are held to the same rule, except in the first contextGrace after a SIGCONT, where they
// are counted and reported: they are what fencing is for.
//
// # What is checked
//
//   - No two tenures overlap in the sense above; their tokens rise strictly in the order in which they began; the record's own
//     token, read by an observer, never falls.
//   - The fenced counter: holders read it and write back one more in a transaction with the lock's ConditionCheck, without
//     any condition on the counter itself, so that nothing but the fence protects it. The same transaction leaves a receipt (an item
//     with the value, the token, the process). The values of the receipts must be 1, 2, 3, ... without a gap or a repetition
//     (no increment lost), with tokens that never fall; every acknowledged increment must have its receipt and no refused one may
//     have one; none may have begun after a later tenure was seen to have begun (none taken from a stale holder).
//   - Its history, increments and an observer's reads, must be linearizable, judged by porcupine against a register that refuses falling
//     tokens. An increment without an answer is in the history if it has left its receipt, with no end.
//   - The unfenced counter beside it is incremented under the same lock by a read, a look at HasLock and a plain write. What it
//     loses is reported and fails nothing, save in the scenario that stops a process exactly between the look and the write,
//     which shows that it does lose.
package chaos
