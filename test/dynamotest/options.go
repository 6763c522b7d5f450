package dynamotest

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// Option changes how an engine behaves. Give options to New, NewServer, NewGlobalTable or
// NewEventualGlobalTable.
type Option func(*options)

type options struct {
	transactionTime time.Duration
	conflict        func(Write) bool // nil: never
}

// WithTransactionTime has every TransactWriteItems take d between its prepare and its commit, as it
// takes time in DynamoDB. Its conditions are evaluated at the prepare, its changes appear together
// at the commit, and its answer follows. Between the two it holds its items, those of its
// ConditionChecks too:
//
//   - a PutItem, UpdateItem or DeleteItem of a held item is refused with
//     TransactionConflictException;
//   - a TransactWriteItems with a held item is refused with TransactionCanceledException, whose
//     reason for it is TransactionConflict;
//   - a TransactWriteItems with the same ClientRequestToken is refused with
//     TransactionInProgressException;
//   - reads are answered, and see the items as they were before the transaction.
//
// None of the refused requests changes anything. A transaction goes on to its commit when its
// caller gives up waiting. The time is that of the caller's goroutine: virtual in a
// testing/synctest bubble. 0, the default, commits at once, so that no request ever meets a
// transaction. It panics when d is negative.
func WithTransactionTime(d time.Duration) Option {
	if d < 0 {
		panic(fmt.Sprintf("dynamotest: WithTransactionTime(%v): the time is negative: give 0 or more", d))
	}
	return func(o *options) { o.transactionTime = d }
}

// WithConflicts has conflict decide which writes are refused as if another one had been under way:
// it is asked about each PutItem, UpdateItem and DeleteItem and about each action of a
// TransactWriteItems that is valid so far, and true refuses it. A single write then fails with
// TransactionConflictException, a transaction with TransactionCanceledException and
// TransactionConflict. Where all tables are strongly consistent global ones (NewGlobalTable), a
// write fails with ReplicatedWriteConflictException instead. Nothing is changed, whatever the
// condition of the write.
//
// The function may be called concurrently. No lock is held meanwhile, so that it may wait or send
// requests itself. It panics when conflict is nil.
func WithConflicts(conflict func(Write) bool) Option {
	if conflict == nil {
		panic("dynamotest: WithConflicts(nil): give a function, or leave the option out")
	}
	return func(o *options) { o.conflict = conflict }
}

// Write is one write of one item, as a function given to WithConflicts sees it.
type Write struct {
	Region    string // that the request was sent to; "" for an Engine that is alone
	Operation string // PutItem, UpdateItem, DeleteItem or TransactWriteItems
	TableName string
	Key       map[string]*dynamodb.AttributeValue // of the item, complete
	Check     bool                                // a ConditionCheck, which changes nothing
}

func (e *Engine) describeWrite(operation string, w *write) Write {
	key := map[string]*dynamodb.AttributeValue{}
	for name, v := range w.table.keyItem(w.keyItem) {
		key[name] = v.forSDK()
	}
	described := Write{Operation: operation, TableName: w.table.name, Key: key, Check: w.check}
	if e.region != nil {
		described.Region = e.region.name
	}
	return described
}

// forSDK is for the types that a key may have.
func (v *value) forSDK() *dynamodb.AttributeValue {
	switch v.kind {
	case kindNumber:
		return &dynamodb.AttributeValue{N: aws.String(v.num.String())}
	case kindBinary:
		return &dynamodb.AttributeValue{B: []byte(v.text)}
	}
	return &dynamodb.AttributeValue{S: aws.String(v.text)}
}
