package dynamotest

import (
	"maps"
	"slices"
	"time"
)

// maxTableNames is how many names a ListTables answers with at most.
const maxTableNames = 100

func checkTableName(given bool, name string) error {
	const rule = "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'"
	if !given {
		return invalid("Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	}
	if len(name) < 3 || len(name) > 255 {
		return invalid(rule)
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !isWordByte(c) && c != '-' && c != '.' {
			return invalid(rule)
		}
	}
	return nil
}

func (e *Engine) createTable(r *request) (reply, error) {
	name := r.text("TableName")
	if r.err != nil {
		return nil, r.err
	}
	if !r.has("TableName") {
		return nil, checkTableName(true, "")
	}
	if err := checkTableName(true, name); err != nil {
		return nil, err
	}
	t, err := newTable(r, name)
	if err != nil {
		return nil, err
	}
	e.lock()
	defer e.mu.Unlock()
	if e.tables[name] != nil {
		return nil, &failure{kind: "ResourceInUseException", message: "Cannot create preexisting table"}
	}
	if err := e.checkConnected(); err != nil {
		return nil, err
	}
	e.addTable(t)
	return reply{"TableDescription": e.describe(t)}, nil
}

func newTable(r *request, name string) (*table, error) {
	t := &table{name: name, created: now(), byHash: map[string]*partition{}, protected: r.flag("DeletionProtectionEnabled")}
	if err := t.readSchema(r); err != nil {
		return nil, err
	}
	return t, t.readBilling(r)
}

func (t *table) readBilling(r *request) error {
	mode, err := r.enum("BillingMode", "PROVISIONED", "PAY_PER_REQUEST")
	if err != nil || mode == "PAY_PER_REQUEST" {
		return err
	}
	if !r.has("ProvisionedThroughput") {
		return invalid("No provisioned throughput specified for the table")
	}
	given := &request{members: r.object("ProvisionedThroughput")}
	t.throughput = &throughput{read: given.whole("ReadCapacityUnits"), write: given.whole("WriteCapacityUnits")}
	if err := firstError(r.err, given.err); err != nil {
		return err
	}
	if t.throughput.read < 1 || t.throughput.write < 1 {
		return invalid("Table read and write throughput must be at least 1, and cannot be null")
	}
	return nil
}

func (e *Engine) describeTable(r *request) (reply, error) {
	e.lock()
	defer e.mu.Unlock()
	t, err := e.table(r)
	if err != nil {
		return nil, err
	}
	return reply{"Table": e.describe(t)}, nil
}

// listTables answers in the order of the names, as DynamoDB Local does.
func (e *Engine) listTables(r *request) (reply, error) {
	start, limit := r.text("ExclusiveStartTableName"), r.whole("Limit")
	if r.err != nil {
		return nil, r.err
	}
	switch {
	case !r.has("Limit"):
		limit = maxTableNames
	case limit < 1:
		return nil, invalid("Limit must be greater than or equal to 1")
	case limit > maxTableNames:
		return nil, invalid("Limit must be less than or equal to 100")
	}
	if r.has("ExclusiveStartTableName") {
		if err := checkTableName(true, start); err != nil {
			return nil, err
		}
	}
	e.lock()
	defer e.mu.Unlock()
	names := slices.Sorted(maps.Keys(e.tables))
	first, found := slices.BinarySearch(names, start)
	if found {
		first++
	}
	names = names[first:]
	if len(names) <= limit {
		return reply{"TableNames": names}, nil
	}
	names = names[:limit]
	return reply{"TableNames": names, "LastEvaluatedTableName": names[limit-1]}, nil
}

func (e *Engine) deleteTable(r *request) (reply, error) {
	e.lock()
	defer e.mu.Unlock()
	t, err := e.table(r)
	if err != nil {
		return nil, err
	}
	if t.protected {
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	if err := e.checkConnected(); err != nil {
		return nil, err
	}
	e.dropTable(t.name)
	return reply{"TableDescription": e.describe(t)}, nil
}

// describe is the table's description; like DynamoDB Local's, a table is ACTIVE from its creation
// to its end.
func (t *table) describe() reply {
	items, size := 0, 0
	for _, p := range t.partitions {
		items += len(p.rows)
		for _, r := range p.rows {
			size += r.size
		}
	}
	var schema, definitions []reply
	for i, a := range t.keyAttributes() {
		schema = append(schema, reply{"AttributeName": a.name, "KeyType": []string{"HASH", "RANGE"}[i]})
	}
	for _, a := range t.defined {
		definitions = append(definitions, reply{"AttributeName": a.name, "AttributeType": string(a.kind)})
	}
	never := time.Unix(0, 0)
	provisioned := reply{
		"ReadCapacityUnits": 0, "WriteCapacityUnits": 0,
		"NumberOfDecreasesToday": 0, "LastIncreaseDateTime": never, "LastDecreaseDateTime": never,
	}
	description := reply{
		"TableName":                 t.name,
		"TableStatus":               "ACTIVE",
		"TableArn":                  "arn:aws:dynamodb:ddblocal:000000000000:table/" + t.name,
		"KeySchema":                 schema,
		"AttributeDefinitions":      definitions,
		"CreationDateTime":          t.created,
		"ItemCount":                 items,
		"TableSizeBytes":            size,
		"DeletionProtectionEnabled": t.protected,
		"ProvisionedThroughput":     provisioned,
	}
	if t.throughput != nil {
		provisioned["ReadCapacityUnits"] = t.throughput.read
		provisioned["WriteCapacityUnits"] = t.throughput.write
	} else {
		description["BillingModeSummary"] = reply{"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": t.created}
	}
	return description
}
