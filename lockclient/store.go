package lockclient

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"
)

// store sends the requests of one lock. It is the only place that knows
// DynamoDB's request types.
type store struct {
	client                  dynamodbiface.DynamoDBAPI
	table, lockName         string
	partitionKey, sortKey   string
	key                     map[string]*dynamodb.AttributeValue
	identity, lease, period string
	leaseDuration           time.Duration
	data                    []byte
	ttl                     time.Duration
	deleteOnRelease         bool
}

func newStore(c *DynamoDBLockClient, l *lock, partitionKey string) *store {
	s := &store{
		client:          c.Client,
		table:           c.TableName,
		lockName:        c.LockName,
		partitionKey:    partitionKey,
		sortKey:         c.SortKeyName,
		key:             map[string]*dynamodb.AttributeValue{partitionKey: text(c.LockName)},
		identity:        l.identity,
		lease:           formatMillis(l.lease),
		period:          formatMillis(max(l.heartbeat, time.Millisecond)),
		leaseDuration:   l.lease,
		data:            c.Data,
		ttl:             c.TTL,
		deleteOnRelease: c.DeleteOnRelease,
	}
	if s.sortKey != "" {
		s.key[s.sortKey] = text(c.SortKeyValue)
	}
	return s
}

func (s *store) keyText() string {
	if s.sortKey == "" {
		return strconv.Quote(s.partitionKey) + " as the only key"
	}
	return strconv.Quote(s.partitionKey) + " and the sort key " + strconv.Quote(s.sortKey)
}

// once is given with every request: the library owns the retries. A body that the
// SDK repeats on its own could put an old recordVersionNumber back after a newer one.
// What the SDK's retries do besides, dropping credentials that have expired, is done
// here.
func once(r *request.Request) {
	r.Retryer = client.NoOpRetryer{}
	r.Handlers.Complete.PushBackNamed(dropExpiredCredentials)
}

var dropExpiredCredentials = request.NamedHandler{
	Name: "leaderkit.DropExpiredCredentials",
	Fn: func(r *request.Request) {
		if r.Error != nil && r.IsErrorExpired() && r.Config.Credentials != nil {
			r.Config.Credentials.Expire()
		}
	},
}

// claims are the records that an acquire may replace besides none and a released one.
type claims struct {
	expired *version // watched unchanged for a whole lease; nil: none
	doubts  []string // written by attempts of ours whose outcome is unknown
	token   int64    // of an ended tenure of ours; 0: none
}

// acquire writes our name into the record on condition that one of claims, or nobody,
// has it. seen is the highest fencing token known. The reply, or the refusal, brings
// the record.
func (s *store) acquire(ctx context.Context, number string, c claims, seen int64, at instant) (map[string]*dynamodb.AttributeValue, error) {
	e := newExpression()
	free := []string{
		"attribute_not_exists(" + e.name(s.partitionKey) + ")",
		// Something that isn't a lock may have an attribute of this name too.
		"(" + e.name(attrReleased) + " = " + e.value(text(releasedMark)) + " AND attribute_type(" + e.name(attrVersion) + ", " + e.value(text("S")) + "))",
	}
	if c.expired != nil {
		free = append(free, s.unchanged(e, *c.expired))
	}
	if len(c.doubts) > 0 {
		ours := make([]string, len(c.doubts))
		for i, number := range c.doubts {
			ours[i] = e.value(text(number))
		}
		free = append(free, e.name(attrVersion)+" IN ("+strings.Join(ours, ", ")+")")
	}
	if c.token != 0 {
		free = append(free, "("+e.name(attrOwner)+" = "+e.value(text(s.identity))+" AND "+e.name(attrToken)+" = "+e.value(integer(c.token))+")")
	}

	// A token that is there goes up by one. Where there is none it starts from the
	// clock, above all that were given out before the item was deleted or overwritten.
	start := max(at.wall/int64(time.Millisecond), seen, 1)
	set := []string{
		e.name(attrOwner) + " = " + e.value(text(s.identity)),
		e.name(attrHeartbeat) + " = " + e.value(numeral(s.period)),
		e.name(attrToken) + " = if_not_exists(" + e.name(attrToken) + ", " + e.value(integer(start)) + ") + " + e.value(integer(1)),
	}
	set = append(set, s.renewal(e, number, time.Unix(0, at.wall))...)
	remove := []string{e.name(attrReleased), e.name(attrReleasing), e.name(attrSeedOwner), e.name(attrSeedExpiry)}
	if s.data != nil {
		set = append(set, e.name(attrData)+" = "+e.value(&dynamodb.AttributeValue{B: s.data}))
	}
	if s.ttl == 0 {
		// An earlier holder's would delete the item while we hold it.
		remove = append(remove, e.name(attrTTL))
	}
	out, err := s.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 s.key,
		ConditionExpression:                 aws.String(strings.Join(free, " OR ")),
		UpdateExpression:                    aws.String("SET " + strings.Join(set, ", ") + " REMOVE " + strings.Join(remove, ", ") + " ADD " + e.name(attrCount) + " " + e.value(integer(1))),
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValues:                        aws.String(dynamodb.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	}, once)
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// unchanged is the condition that the record is still the write that v names.
func (s *store) unchanged(e *expression, v version) string {
	if v.dialect == dialectSeed {
		return "(" + e.name(attrSeedOwner) + " = " + e.value(text(v.count)) + " AND " + e.name(attrSeedExpiry) + " = " + e.value(numeral(v.number)) +
			" AND attribute_not_exists(" + e.name(attrVersion) + "))"
	}
	condition := "(" + e.name(attrVersion) + " = " + e.value(text(v.number)) + " AND "
	if v.count == "" {
		return condition + "attribute_not_exists(" + e.name(attrCount) + "))"
	}
	return condition + e.name(attrCount) + " = " + e.value(numeral(v.count)) + ")"
}

// renewal is what every write that holds the lock sets. The lease goes with each
// version, so that a watcher who saw one saw the lease that its holder counts.
func (s *store) renewal(e *expression, number string, wall time.Time) []string {
	set := []string{
		e.name(attrVersion) + " = " + e.value(text(number)),
		e.name(attrLease) + " = " + e.value(text(s.lease)),
		e.name(attrExpires) + " = " + e.value(integer(s.expiry(wall))),
	}
	if s.ttl > 0 {
		set = append(set, e.name(attrTTL)+" = "+e.value(integer(wall.Add(s.ttl).Unix())))
	}
	return set
}

// expiry is when a lease that is written at wall runs out, in milliseconds.
func (s *store) expiry(wall time.Time) int64 { return wall.Add(s.leaseDuration).UnixMilli() }

// ours is the condition that the record is the tenure with this token. It names no
// version, so that the retry of a write whose reply was lost still succeeds.
func (s *store) ours(e *expression, token int64) string {
	return e.name(attrOwner) + " = " + e.value(text(s.identity)) + " AND " + e.name(attrToken) + " = " + e.value(integer(token)) +
		" AND attribute_not_exists(" + e.name(attrReleased) + ")"
}

// renew is one heartbeat; announce marks the record as about to be released. wall
// never goes back within a tenure: a heartbeat that lands after a newer one fails its
// condition, or it would set back the expiry that MaxClockSkew lets others believe.
func (s *store) renew(ctx context.Context, token int64, wall time.Time, announce bool) error {
	number, err := newVersion()
	if err != nil {
		return err
	}
	e := newExpression()
	expires := e.value(integer(s.expiry(wall)))
	condition := s.ours(e, token) + " AND (attribute_not_exists(" + e.name(attrExpires) + ") OR " + e.name(attrExpires) + " <= " + expires + ")"
	set := s.renewal(e, number, wall)
	if announce {
		set = append(set, e.name(attrReleasing)+" = "+e.value(text(releasedMark)))
	}
	update := "SET " + strings.Join(set, ", ") + " ADD " + e.name(attrCount) + " " + e.value(integer(1))
	_, err = s.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 s.key,
		ConditionExpression:                 &condition,
		UpdateExpression:                    &update,
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	}, once)
	return err
}

// release marks the record released, or deletes it, on condition that it is the
// tenure with this token (0: none) or was written by one of doubts.
func (s *store) release(ctx context.Context, token int64, doubts []string) error {
	e := newExpression()
	var mine []string
	if token != 0 {
		mine = append(mine, "("+s.ours(e, token)+")")
	}
	if len(doubts) > 0 {
		ours := make([]string, len(doubts))
		for i, number := range doubts {
			ours[i] = e.value(text(number))
		}
		mine = append(mine, "("+e.name(attrVersion)+" IN ("+strings.Join(ours, ", ")+") AND attribute_not_exists("+e.name(attrReleased)+"))")
	}
	condition := aws.String(strings.Join(mine, " OR "))
	if s.deleteOnRelease {
		_, err := s.client.DeleteItemWithContext(ctx, &dynamodb.DeleteItemInput{
			TableName:                 &s.table,
			Key:                       s.key,
			ConditionExpression:       condition,
			ExpressionAttributeNames:  e.names,
			ExpressionAttributeValues: e.values,
		}, once)
		return err
	}
	number, err := newVersion()
	if err != nil {
		return err
	}
	update := "SET " + e.name(attrReleased) + " = " + e.value(text(releasedMark)) + ", " + e.name(attrVersion) + " = " + e.value(text(number))
	_, err = s.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &s.table,
		Key:                       s.key,
		ConditionExpression:       condition,
		UpdateExpression:          &update,
		ExpressionAttributeNames:  e.names,
		ExpressionAttributeValues: e.values,
	}, once)
	return err
}

// read fetches the record: consistent costs 1 RCU, else half of one and may be old.
func (s *store) read(ctx context.Context, consistent bool) (map[string]*dynamodb.AttributeValue, error) {
	out, err := s.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{
		TableName:      &s.table,
		Key:            s.key,
		ConsistentRead: &consistent,
	}, once)
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// conditionCheck is the condition that the record is the tenure with this token, as
// an item of somebody's transaction.
func (s *store) conditionCheck(token int64) *dynamodb.ConditionCheck {
	e := newExpression()
	condition := s.ours(e, token)
	key := make(map[string]*dynamodb.AttributeValue, len(s.key))
	for name, value := range s.key {
		key[name] = value
	}
	return &dynamodb.ConditionCheck{
		TableName:                           aws.String(s.table),
		Key:                                 key,
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           e.values,
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	}
}

// newVersion makes a recordVersionNumber, one for each write attempt and never the
// same twice.
func newVersion() (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	return id.String(), nil
}

// describe reads the table's key and status.
func (s *store) describe(ctx context.Context) (*tableKey, error) {
	out, err := s.client.DescribeTableWithContext(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if err != nil {
		return nil, err
	}
	return keyOf(out.Table)
}

func (s *store) createTable(ctx context.Context, key tableKey) error {
	in := &dynamodb.CreateTableInput{
		TableName:   &s.table,
		BillingMode: aws.String(dynamodb.BillingModePayPerRequest),
	}
	add := func(name, keyType string) {
		in.AttributeDefinitions = append(in.AttributeDefinitions, &dynamodb.AttributeDefinition{
			AttributeName: &name, AttributeType: aws.String(dynamodb.ScalarAttributeTypeS),
		})
		in.KeySchema = append(in.KeySchema, &dynamodb.KeySchemaElement{AttributeName: &name, KeyType: &keyType})
	}
	add(key.partition, dynamodb.KeyTypeHash)
	if key.sort != "" {
		add(key.sort, dynamodb.KeyTypeRange)
	}
	_, err := s.client.CreateTableWithContext(ctx, in)
	return err
}

func (s *store) enableTTL(ctx context.Context) error {
	_, err := s.client.UpdateTimeToLiveWithContext(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &s.table,
		TimeToLiveSpecification: &dynamodb.TimeToLiveSpecification{AttributeName: aws.String(attrTTL), Enabled: aws.Bool(true)},
	})
	return err
}

// scan reads one page of the table.
func (s *store) scan(ctx context.Context, from map[string]*dynamodb.AttributeValue) (items []map[string]*dynamodb.AttributeValue, next map[string]*dynamodb.AttributeValue, err error) {
	out, err := s.client.ScanWithContext(ctx, &dynamodb.ScanInput{TableName: &s.table, ExclusiveStartKey: from})
	if err != nil {
		return nil, nil, err
	}
	return out.Items, out.LastEvaluatedKey, nil
}
