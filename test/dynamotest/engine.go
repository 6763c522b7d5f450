package dynamotest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Engine is an in-memory DynamoDB. It is an http.Handler, safe for concurrent use, without goroutines of its own; its zero
// value is not usable, call New. Its clock is time.Now, which a testing/synctest bubble replaces.
type Engine struct {
	mu       sync.Mutex // guards tables and tokens, and is held for whole operations: they are short and never block
	tables   map[string]*table
	tokens   map[string]*pastTransaction
	requests atomic.Int64
}

// New returns an engine without tables.
func New() *Engine {
	return &Engine{tables: map[string]*table{}, tokens: map[string]*pastTransaction{}}
}

// operation is one that the engine knows, with the members of its request that the engine honours.
type operation struct {
	run     func(*Engine, *request) (reply, error)
	members []string
}

var operations map[string]operation

func init() { // not in the declaration: the operations refer to the engine, and the engine to them
	operations = map[string]operation{
		"CreateTable": {(*Engine).createTable, []string{
			"TableName", "KeySchema", "AttributeDefinitions", "BillingMode", "ProvisionedThroughput", "Tags", "DeletionProtectionEnabled"}},
		"DescribeTable": {(*Engine).describeTable, []string{"TableName"}},
		"DeleteTable":   {(*Engine).deleteTable, []string{"TableName"}},
		"GetItem": {(*Engine).getItem, []string{
			"TableName", "Key", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames", "ReturnConsumedCapacity"}},
		"PutItem": {(*Engine).putItem, []string{
			"TableName", "Item", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValues",
			"ReturnConsumedCapacity", "ReturnItemCollectionMetrics", "ReturnValuesOnConditionCheckFailure"}},
		"UpdateItem": {(*Engine).updateItem, []string{
			"TableName", "Key", "UpdateExpression", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValues",
			"ReturnConsumedCapacity", "ReturnItemCollectionMetrics", "ReturnValuesOnConditionCheckFailure"}},
		"DeleteItem": {(*Engine).deleteItem, []string{
			"TableName", "Key", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValues",
			"ReturnConsumedCapacity", "ReturnItemCollectionMetrics", "ReturnValuesOnConditionCheckFailure"}},
		"TransactWriteItems": {(*Engine).transactWriteItems, []string{
			"TransactItems", "ClientRequestToken", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics"}},
		"Query": {(*Engine).query, []string{
			"TableName", "KeyConditionExpression", "FilterExpression", "ProjectionExpression", "ExpressionAttributeNames",
			"ExpressionAttributeValues", "ConsistentRead", "ExclusiveStartKey", "Limit", "ScanIndexForward", "Select", "ReturnConsumedCapacity"}},
		"Scan": {(*Engine).scan, []string{
			"TableName", "FilterExpression", "ProjectionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues", "ConsistentRead",
			"ExclusiveStartKey", "Limit", "Select", "Segment", "TotalSegments", "ReturnConsumedCapacity"}},
		"UpdateTimeToLive": {(*Engine).updateTimeToLive, []string{"TableName", "TimeToLiveSpecification"}},
	}
}

// table finds the table that a request names. The engine's mutex is held.
func (e *Engine) table(r *request) (*table, error) {
	name := r.text("TableName")
	if r.err != nil {
		return nil, r.err
	}
	if err := checkTableName(r.has("TableName"), name); err != nil {
		return nil, err
	}
	t, ok := e.tables[name]
	if !ok {
		return nil, errNoTable()
	}
	return t, nil
}

func now() time.Time { return time.Now() }
