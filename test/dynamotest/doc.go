// Package dynamotest is an in-memory DynamoDB for tests and demos. It is an http.Handler that
// speaks DynamoDB's JSON protocol, so that the AWS SDKs work with it unchanged. For the operations
// that it has, it answers as DynamoDB Local does.
//
//	           dynamodb.DynamoDB (the SDK, unchanged)
//	            |                              |
//	http over a loopback port        Transport: no socket, no network;
//	NewServer().Client()             runs inside a testing/synctest bubble
//	            |                              |  NewClient(handler)
//	            +--------> ServeHTTP <---------+
//	                          |
//	    request -> expressions parsed and bound -> one mutex: check, then commit
//	                          (a transaction may take time in between: WithTransactionTime)
//
// # Promise
//
// Every operation is atomic, a transaction too, under any concurrency. Values, error types and
// error messages are those of DynamoDB Local 3.3, except for the differences listed below. What
// the engine does not support is refused with an error that says so. No member of a request is
// ignored.
//
// The engine starts no goroutine, reads no clock but time.Now, and draws no random numbers. Two
// runs with equal requests give equal answers.
//
// To delay, drop, repeat or refuse requests, put an http.Handler around the engine, or an
// http.RoundTripper around Transport.
//
// # Conflicts
//
// DynamoDB refuses a write that meets a transaction on the same item. By default a transaction
// takes no time here, as in DynamoDB Local, so that no write ever meets one. Two options change
// that:
//
//   - [WithTransactionTime] puts time between a transaction's prepare and its commit.
//   - [WithConflicts] lets a function of the test decide which writes are refused.
//
// # Regions
//
// [NewGlobalTable] gives several Regions. Their tables are global tables with multi-Region strong
// consistency (MRSC):
//
//	Region(0)     Region(1)     Region(2)      writes and consistent reads use one history;
//	   |             |             |           a write that meets another Region's is refused
//	   +------- the history -------+           with ReplicatedWriteConflictException
//	   |             |             |
//	 copy          copy          copy          eventually consistent reads use the Region's
//	                                           own copy, which lags
//
// [NewEventualGlobalTable] gives Regions with multi-Region eventual consistency (MREC). Each Region
// reads and writes a replica of its own. Changes reach the other Regions after a lag, and the last
// writer of an item wins. Do not keep a lock in such a table: two Regions can both acquire it
// before the change arrives.
//
// A test sets the lag and the time that a write takes, cuts Regions off and lets them rejoin. The
// behaviour follows "How DynamoDB global tables work" and "Error handling with DynamoDB" in the
// DynamoDB Developer Guide, and "Using DynamoDB global tables" in the AWS Prescriptive Guidance.
//
// aws-sdk-go v1 is older than MRSC. In DescribeTable its clients see Replicas and
// GlobalTableVersion. They do not see MultiRegionConsistency and GlobalTableWitnesses, though both
// are on the wire. ReplicatedWriteConflictException reaches them as an awserr.RequestFailure with
// that code, and the SDK does not retry it.
//
// # Operations
//
// CreateTable, DescribeTable, DeleteTable, ListTables, UpdateTimeToLive, GetItem, BatchGetItem,
// PutItem, UpdateItem, DeleteItem, Query, Scan and TransactWriteItems. Any other operation is
// UnknownOperationException.
//
//   - Condition, filter, key-condition, projection and update expressions are complete, for all
//     types of value and for numbers of 38 digits.
//   - Secondary indexes, streams, encryption settings and the legacy parameters (Expected,
//     AttributeUpdates, KeyConditions, AttributesToGet and the like) are refused.
//   - CreateTable accepts Tags and forgets them. No operation here could show them.
//   - All clients of an engine share its tables, and all Regions of a GlobalTable share theirs,
//     whatever access key or Region a request was signed with. Signatures are not checked.
//
// # Time to live
//
// UpdateTimeToLive is accepted, but nothing expires by itself. Call [Engine.ExpireItems] to remove
// expired items. DynamoDB promises no moment either, and an expired item that has not been removed
// yet reads like any other.
//
// # Differences from DynamoDB Local
//
// Where DynamoDB Local departs from what AWS documents, the engine follows AWS:
//
//   - Numbers are always normalised (1.0 is "1", 1e3 is "1000"). Local keeps those that an update
//     brought, and those inside documents, as they were written.
//   - Only ASCII digits make a number.
//   - SIZE and CONVERT are reserved words.
//   - A request that is not JSON, or has a member of the wrong JSON type, is a
//     SerializationException. Local answers InternalFailure, or takes a number for a string. An
//     unknown value of ReturnConsumedCapacity or BillingMode is a ValidationException.
//   - DeleteItem of a missing item gives ConsumedCapacity only when asked.
//   - A transaction's ConsumedCapacity counts every action, twice what it costs alone. Local counts
//     one of them.
//   - CancellationReasons has one entry for every action, also when an action is invalid. Local
//     stops at that one.
//   - Two actions of a transaction on one item are always refused. Local overlooks them when a
//     condition of one fails.
//   - X-Amz-Crc32 is sent with errors, too.
//   - Reading a missing item in a BatchGetItem consumes the least that a read consumes. Local
//     consumes nothing. Keys that are equal as numbers (1 and 1.0) are duplicates. Local compares
//     how they are written.
//   - With [WithTransactionTime], writes that meet a transaction are refused. Local commits at once
//     and refuses none.
//   - [NewGlobalTable] and [NewEventualGlobalTable] have several Regions. Local has one.
//
// Where it makes no difference to a program, the engine goes its own way:
//
//   - The order in which Scan visits the partitions, and which segment a partition is in. AWS
//     promises none.
//   - Which of several mistakes is reported, in one update, one batch or one transaction.
//   - BatchGetItem reads the tables in the order of their names, and gives the items in the order
//     of their keys. AWS promises no order. It stops before the item that would make 16 MB, as
//     Local does, and leaves keys unprocessed for no other reason.
//   - Placeholders that no expression uses are listed in alphabetical order. Of two overlapping
//     paths both are named.
//   - The second operand of attribute_type, when it is a path, is called one.
//     IdempotentParameterMismatchException has a message.
//   - A member that the engine does not support is refused, where Local ignores or honours it. So
//     is a member unknown to DynamoDB, which Local ignores.
//   - ExclusiveStartKey of a Scan need not be an item's key. The scan goes on after the place where
//     the item would be.
//
// Where DynamoDB Local departs from AWS and tests may rely on it, the engine follows Local: tables
// are ACTIVE at once. UPDATED_OLD and UPDATED_NEW give whole top-level attributes, where AWS gives
// the nested parts. Several messages have Local's wording. A Query or Scan that finds nothing
// consumes nothing. A ConditionCheck consumes a transactional read.
//
// # Differences from DynamoDB
//
// In general, besides those that DynamoDB Local has too:
//
//   - Nothing is throttled, and no account or partition has a limit.
//   - Without Regions, an eventually consistent read sees the latest version.
//   - No request takes time unless an option or a setting asks for it.
//   - A transaction takes as long as WithTransactionTime says, whatever its size.
//
// In global tables:
//
//   - CreateTable and DeleteTable act in all Regions at once, and fail in a Region that is cut off.
//     AWS adds and removes replicas with UpdateTable, and can delete one replica of an MREC table.
//   - AWS documents neither the messages with which MRSC tables refuse transactions and time to
//     live, nor the error of writes and consistent reads in a Region that is cut off. Here that
//     error is InternalServerError, and a write that got it has changed nothing. At AWS it may have
//     been carried out: to test that, lose the reply in front of the handler.
//   - All pairs of Regions have the same lag. A Region is cut off from all others or from none.
//   - All clocks agree: the last writer is the one whose request was carried out last.
//   - Changes from one Region arrive in order, and those of one MREC transaction arrive together.
//     AWS promises neither.
//   - Streams are not shown, though AWS switches them on in MREC tables. ConsumedCapacity counts
//     plain units, not replicated ones.
package dynamotest
