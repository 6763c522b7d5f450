package dynamotest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Engine is an in-memory DynamoDB. It is an http.Handler, safe for concurrent use, without
// goroutines of its own; its zero value is not usable, call New. Its clock is time.Now, which a
// testing/synctest bubble replaces.
type Engine struct {
	options  options
	requests atomic.Int64
	closed   chan struct{} // closed with the engine's server; nil without one, so that a bubble may use an engine from outside
	region   *Region       // nil: the engine is alone

	mu     *sync.Mutex // guards what follows; nobody waits for anything while holding it. Regions share one
	tables map[string]*table
	tokens map[string]*pastTransaction
	held   map[itemID]*hold
}

// New returns an engine without tables. It panics when an option makes no sense.
func New(options ...Option) *Engine {
	e := &Engine{
		mu:     &sync.Mutex{},
		tables: map[string]*table{},
		tokens: map[string]*pastTransaction{},
		held:   map[itemID]*hold{},
	}
	for _, set := range options {
		set(&e.options)
	}
	return e
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
		"ListTables":    {(*Engine).listTables, []string{"ExclusiveStartTableName", "Limit"}},
		"GetItem": {(*Engine).getItem, []string{
			"TableName", "Key", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames", "ReturnConsumedCapacity"}},
		"BatchGetItem": {(*Engine).batchGetItem, []string{"RequestItems", "ReturnConsumedCapacity"}},
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

// lock takes the engine's mutex, and lets arrive what other Regions have sent.
func (e *Engine) lock() {
	e.mu.Lock()
	if e.region != nil {
		e.region.global.deliver()
	}
}

// lockedTable is table for a caller that does not hold the engine's mutex.
func (e *Engine) lockedTable(r *request) (*table, error) {
	e.lock()
	defer e.mu.Unlock()
	return e.table(r)
}

// table finds the table that a request names. The engine's mutex is held.
func (e *Engine) table(r *request) (*table, error) {
	name := r.text("TableName")
	if r.err != nil {
		return nil, r.err
	}
	if !r.has("TableName") {
		return nil, checkTableName(false, "")
	}
	return e.tableNamed(name)
}

// tableToRead is table for a request that only reads.
func (e *Engine) tableToRead(r *request) (*table, error) {
	t, err := e.table(r)
	if err != nil {
		return nil, err
	}
	return e.replicaToRead(t, r.flag("ConsistentRead"))
}

// tableNamed finds a table. The engine's mutex is held.
func (e *Engine) tableNamed(name string) (*table, error) {
	if err := checkTableName(true, name); err != nil {
		return nil, err
	}
	t, ok := e.tables[name]
	if !ok {
		return nil, errNoTable()
	}
	return t, nil
}

func now() time.Time { return time.Now() }
