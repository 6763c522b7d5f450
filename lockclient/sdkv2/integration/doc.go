// Package integration runs the tests of lockclient on clients of aws-sdk-go-v2: the specification
// in test/integration, and the tests in virtual time that stand beside lockclient.
//
// Nothing is copied. The test compiles those packages with one more file, clients_test.go of this
// package, which replaces how their clients are made. The specification runs on dynamotest, or on
// the engine at DYNAMODB_ENDPOINT if that is set.
package integration
