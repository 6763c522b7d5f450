// Package account runs the suites of this repository on real DynamoDB, in an AWS account of yours.
//
//	AWS_PROFILE=... AWS_REGION=eu-west-1 go test -tags aws -v -timeout 0 ./test/account
//	AWS_PROFILE=... AWS_REGION=eu-west-1 go test -tags aws -v -timeout 0 ./test/account -spend 0.50
//
// The first command spends nothing. It runs the suites on dynamotest, counts what they ask for, and
// says what that would cost and how long the tables would take. The second runs them in the account
// if the estimate is below the dollars that it names.
//
// The suites know one engine, the one at DYNAMODB_ENDPOINT, and sign with a key of their own. So
// they talk to an Account, a server on this machine that stands before the real one:
//
//	suite ──any signature──► Account ──signed with your credentials──► DynamoDB
//
// An Account keeps the tables of the account safe: those that were there before it are refused to
// the suites, whatever the operation. It deletes all tables that the suites have made and left, and
// Close says which it could not delete. A table takes seconds to make and to delete there, and no
// time in the engines that the suites know. So the Account answers when that is done.
//
// The credentials need all actions of lockclient/README.md, and ListTables, CreateTable,
// DeleteTable, DescribeTable, UpdateTimeToLive and DescribeTimeToLive. An account that is used for
// nothing else is best.
package account
