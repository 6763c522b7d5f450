// Package interop proves that awslabs' Java lock client (com.amazonaws:dynamodb-lock-client) and lockclient can share a lock:
// whichever kind holds it, the other is refused; what one releases or leaves behind by a crash the other takes over, and not a
// moment too early; what one stores the other reads; and our fencing tokens never fall, although Java's PutItem drops them.
//
//	┌──────────┐ try, wait, store, release    ┌──────────────┐
//	│          ├─────────────────────────────►│ Java process │◄─ SIGKILL, SIGSTOP, SIGCONT
//	│          │◄─ ─ ─ "belief from to until" ┤ (java/)      ├──────────┐
//	│ the test │                              └──────────────┘          │ a proxy that
//	│          ├────────────► lockclient, election ─────────────┐       │ may refuse
//	│          │                              ┌──────────────┐  ▼       ▼
//	│          ├─────────────────────────────►│ Go process   ├─► one item in one table
//	│          │◄─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─┤ (lockclient) │
//	└────┬─────┘                              └──────────────┘
//	     └► the ledger: who believed when, and whether two ever did at once
//
// With DYNAMODB_ENDPOINT set the contender is the Java client itself, on the engine there. Its program is built once, with Maven
// and javac, into the cache beside DynamoDB Local's; only where there is no JDK or no Maven is it left out, with a line that says
// so. Without the variable, and where it is left out, a stand-in takes its place: a few lines of Go that send the requests
// that the Java client sends. TestStandInSendsWhatJavaSends holds the one against the other. The stand-in also speaks for
// cirello.io/dynamolock, which is the same protocol with another spelling of the lease: we read it, and it can't read ours. (What
// dynamodb-lock-client-golang v0.1.0 wrote, and all other odd records, are in test/integration.)
//
// # What is a belief
//
// Every contender looks at its own lock every few milliseconds and notes an interval: the clock was read, the lock said yes
// (isExpired said no), the clock was read again; and until when it may go on believing if it hears nothing more. The
// ledger adds them up to tenures and counts only what is certain, as test/chaos does: a tenure has begun when its first look had ended,
// and lasts until its last look began or its furthest claim, cut where the contender gave the lock up. The processes' clocks are
// compared by asking them for the time, and the round trip's uncertainty is always counted in favour of innocence.
//
// # What is not promised of a mixed fleet
//
// A Java holder trusts the whole of its lease and up to a millisecond more, not 99 % of it. So beside Java the promise that bears clocks
// whose rates differ by 1 % holds for our own tenures only. withHoldLockOnServiceUnavailable(true) is not a lock, as its documentation
// says and a test here shows.
//
// Java's PutItem drops every attribute that is not its own, and with withReplaceData(true), its default, the data that we have stored. With
// withUpdateExistingLockRecord(true) it keeps them, also those that are true of our tenure only: don't use MaxClockSkew (it would believe
// our expiresAt) or TTL (DynamoDB would delete the item of a Java holder who keeps it for longer) beside such clients.
package interop
