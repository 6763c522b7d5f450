// Package dynamolocal starts DynamoDB Local, the emulator that Amazon publishes, for tests that
// need the real emulator. Package dynamotest is faster and needs only Go.
//
//	var _ = BeforeSuite(func() {
//		server := dynamolocal.NewServer(GinkgoT()) // or t; it ends with the suite or the test
//		db = server.Client()
//	})
//
// Outside a test call [Start], or run the command:
//
//	go run github.com/leaderkit/leaderkit/test/dynamolocal/cmd/dynamolocal             runs it on port 8000 until Ctrl-C
//	go run github.com/leaderkit/leaderkit/test/dynamolocal/cmd/dynamolocal go test .   sets DYNAMODB_ENDPOINT for a command
//
// # Where it comes from
//
// If a docker engine answers, it runs the image amazon/dynamodb-local. Otherwise Java 17 or newer
// runs the jars, which mvn downloads from Maven Central: 50 MB, once, into [os.UserCacheDir]. The
// jars stay on the machine, because DynamoDB Local's licence forbids to redistribute them. If
// neither works, the error is [ErrUnavailable], and NewServer skips the test. If the environment
// variable named by [Required] is set, the test fails instead.
//
// # What Start promises
//
//   - The server that answers at URL is the one that was started, and its version is [Version].
//     Start gives the engine a random name, and the engine repeats it in its answers. So another
//     process that took the port meanwhile is recognised.
//   - The server ends at Close. It also ends when the process that called Start ends, however it
//     ends: SIGKILL included.
//   - Ctrl-C in a terminal does not reach it, so it is still there while a test cleans up.
//   - Servers do not share tables, and each one starts empty, unless [WithFolder] is used.
//
// # What to know about DynamoDB Local
//
// In Java it listens on all interfaces, and has no option to change that. In docker the port is on
// loopback only. Each access key has its own tables, and may contain only letters and digits. It
// deletes items with an expired TTL within seconds, where DynamoDB takes days.
package dynamolocal
