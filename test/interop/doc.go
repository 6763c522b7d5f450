// Package interop tests that awslabs' Java lock client (com.amazonaws:dynamodb-lock-client) and
// lockclient can share a lock. While one kind holds the lock, the other is refused. When one
// releases it or crashes, the other takes over, and not too early. Each reads what the other has
// stored. Our fencing tokens never fall, although Java's PutItem drops them.
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
// With DYNAMODB_ENDPOINT set, the other contender is the Java client itself, on the engine there:
//
//	go run ./test/dynamolocal/cmd/dynamolocal go test -race -v ./test/interop
//
// Its program is built once, with Maven and javac, into the cache beside DynamoDB Local's. If there
// is no JDK or no Maven, it is left out, and a line says so. Without the variable, or if it is left
// out, a stand-in takes its place: a few lines of Go that send the requests that the Java client
// sends. TestStandInSendsWhatJavaSends compares the two. The stand-in also plays
// cirello.io/dynamolock, which is the same protocol with another form of the lease. We can read
// that form, and it can't read ours. Records of dynamodb-lock-client-golang v0.1.0 and all other
// unusual records are tested in test/integration.
//
// The lock of a session is held for both of them, with a lease of ten years, until it is released.
// The end of the session frees it for our clients alone (sessions_test.go).
//
// # What is a belief
//
// Every contender looks at its own lock every few milliseconds and records an interval: it read the
// clock, the lock said yes (isExpired said no), it read the clock again. It also records until when
// it may believe without another renewal. The ledger makes tenures of these, and counts only what
// is certain, as test/chaos does. A tenure has begun when its first look had ended. It lasts until
// its last look began or until its furthest claim, cut where the contender gave the lock up. The
// processes' clocks are compared by asking them for the time. The uncertainty of the round trip is
// always counted so that it can't cause a false alarm.
//
// # What is not promised of a mixed fleet
//
// A Java holder trusts the whole of its lease, and up to a millisecond more, not 99 % of it. So
// beside Java the promise for clocks whose rates differ by 1 % holds for our own tenures only.
// withHoldLockOnServiceUnavailable(true) is not a lock, as its documentation says and a test here
// shows.
//
// Java's PutItem drops every attribute that is not its own. With withReplaceData(true), its
// default, it also drops the data that we have stored. With withUpdateExistingLockRecord(true) it
// keeps them, also those that are true of our tenure only. Those don't count beside its write,
// because its version is not the one in ourVersion. DynamoDB doesn't know that. Don't use TTL
// beside such clients: it would delete the item of a Java holder that keeps it for longer.
package interop
