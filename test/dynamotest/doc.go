// Package dynamotest is an in-memory DynamoDB for tests and demos: an http.Handler that speaks DynamoDB's JSON protocol, as the
// AWS SDKs do, well enough that a program can't tell it from DynamoDB Local for the operations it holds.
//
//	           dynamodb.DynamoDB (the SDK, unchanged)
//	            |                              |
//	http over a loopback port        Transport: no socket, no network;
//	NewServer().Client()             runs inside a testing/synctest bubble
//	            |                              |  NewClient(handler)
//	            +--------> ServeHTTP <---------+
//	                          |
//	    request -> expressions parsed and bound -> one mutex: check, then commit
//
// # Promise
//
// Every operation is atomic, a transaction too, under any concurrency. What the engine knows it answers as DynamoDB Local 3.3
// does: the values, the error's type and its message. What it does not know it refuses with an error that says so; it never
// ignores a member of a request. The engine starts no goroutine, reads no clock but time.Now and draws no random numbers, so that two
// runs with equal requests give equal answers.
//
// The engine may be wrapped: an http.Handler around it, or an http.RoundTripper around Transport, is the place to delay, drop,
// repeat or refuse requests.
//
// # Operations
//
// CreateTable, DescribeTable, DeleteTable, UpdateTimeToLive, GetItem, PutItem, UpdateItem, DeleteItem, Query, Scan and
// TransactWriteItems. Any other is UnknownOperationException. Within them:
//
//   - condition, filter, key-condition, projection and update expressions are complete, over all types of value and over numbers
//     of 38 digits;
//   - secondary indexes, streams, encryption settings and the legacy parameters (Expected, AttributeUpdates, KeyConditions,
//     AttributesToGet and their kind) are refused;
//   - CreateTable takes Tags and forgets them: no operation here could show them;
//   - tables belong to the engine: access keys and regions do not keep them apart, and signatures are not checked.
//
// # Time to live
//
// UpdateTimeToLive is accepted, and nothing expires by itself: call [Engine.ExpireItems] when the test wants expired items to
// go. DynamoDB promises no moment either, and an expired item that is still there reads like any other.
//
// # Differences from DynamoDB Local
//
// Where DynamoDB Local departs from DynamoDB as AWS documents it, the engine follows AWS:
//
//   - Numbers are always normalised (1.0 is "1", 1e3 is "1000"). Local keeps those that an update brought, and those inside
//     documents, as they were written.
//   - ASCII digits only make a number.
//   - SIZE and CONVERT are reserved words.
//   - A request that is no JSON, or has a member of the wrong JSON type, is a SerializationException; Local answers
//     InternalFailure, or takes a number for a string. An unknown value of ReturnConsumedCapacity or BillingMode is a
//     ValidationException.
//   - DeleteItem of an item that is not there gives ConsumedCapacity only when asked.
//   - A transaction's ConsumedCapacity counts every action, twice what it costs alone; Local counts one of them.
//   - CancellationReasons has one entry for every action, also when an action is invalid; Local stops at that one.
//   - Two actions of a transaction on one item are always refused; Local overlooks them when a condition of one fails.
//   - X-Amz-Crc32 is sent with errors, too.
//
// And where it makes no difference to a program, it is simply its own:
//
//   - The order in which Scan visits the partitions, and which segment a partition is in. AWS promises none.
//   - Of several mistakes in one update or in one transaction, which is reported.
//   - Placeholders that no expression uses are listed in alphabetical order; of two overlapping paths both are named.
//   - The second operand of attribute_type, when it is a path, is called one; IdempotentParameterMismatchException has a
//     message.
//   - A member that the engine does not support is refused, where Local ignores or honours it; so is a member unknown to
//     DynamoDB, which Local ignores.
//   - ExclusiveStartKey of a Scan need not be an item's key: the scan goes on after the place where it would be.
//
// Where DynamoDB Local departs from AWS and tests may have come to rely on it, the engine follows Local: tables are ACTIVE at
// once; UPDATED_OLD and UPDATED_NEW give whole top-level attributes where AWS gives the nested parts; the wording of several
// messages is Local's; a Query or Scan that finds nothing consumes nothing; a ConditionCheck consumes a transactional read.
package dynamotest
