// Package bench measures what the toolkit promises in figures: requests and capacity per operation,
// how long failover and handover take, what thousands of locks cost a process, and how close each
// operation is to the bare SDK.
//
//	hack/bench.sh ──► go test -bench        ──► BENCHMARKS.txt, for benchstat
//	              ──► go test -run Measure  ──► one JSON file a measurement ──► report ──► REPORT.md, *.svg
//	              ──► report -readme       ──► the table under "Measured" in README.md
//
// The last step is done alone by go run ./test/bench/report -readme README.md, and a test fails
// where the table is not the report's.
//
// What is an exact count is a spec besides, and go test fails when it is wrong. What is a time is
// only reported, beside its budget: a test that fails on a slow machine proves nothing.
//
// Three kinds of time are used, and each figure in the report says which:
//
//   - virtual: dynamotest in a testing/synctest bubble behind a network with a given round trip. No
//     noise, and an hour takes no time; what is measured is the protocol.
//   - real: DynamoDB Local at DYNAMODB_ENDPOINT, on loopback. What is measured is the protocol and
//     the machine.
//   - a process of its own for the locks and another for a server that takes a whole round trip to
//     answer, where memory, connections and CPU are what is measured.
package bench
