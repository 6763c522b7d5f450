package lockclient

import (
	"bytes"
	"context"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	client           dynamodbiface.DynamoDBAPI
	table            string
	partitionKey     string
	sort             *sortKey // nil: none
	name, identity   string   // the lock's, and its client's in the record
	data             []byte
	lease, heartbeat time.Duration
	ttl              time.Duration
	deleteOnRelease  bool

	answered atomic.Bool // the server has answered once, whatever it said

	*expressions
}

func (s *store) init(c *DynamoDBLockClient, partitionKey, identity string, heartbeat time.Duration) {
	s.client = c.Client
	s.table = c.TableName
	s.partitionKey = partitionKey
	s.name, s.identity = c.LockName, identity
	s.data = bytes.Clone(c.Data)
	s.lease, s.heartbeat = c.LeaseDuration, heartbeat
	s.ttl = c.TTL
	s.deleteOnRelease = c.DeleteOnRelease
	if c.SortKeyName != "" {
		s.sort = &sortKey{c.SortKeyName, c.SortKeyValue}
	}
	s.expressions = prepare(s.shape())
}

type sortKey struct{ name, value string }

func (s *store) sortValue() string {
	if s.sort == nil {
		return ""
	}
	return s.sort.value
}

// key is the item's, made for each request: kept, it would be a sixth of a held lock's
// memory.
func (s *store) key() map[string]*dynamodb.AttributeValue {
	key := map[string]*dynamodb.AttributeValue{s.partitionKey: text(s.name)}
	if s.sort != nil {
		key[s.sort.name] = text(s.sort.value)
	}
	return key
}

func (s *store) shape() shape {
	return shape{s.partitionKey, s.data != nil, s.ttl > 0, s.deleteOnRelease}
}

// shape is what the texts of a lock's requests depend on.
type shape struct {
	partitionKey               string
	data, ttl, deleteOnRelease bool
}

// expressions are the parts of a lock's requests that never change. They hold no value
// of any one lock, so that all locks of a shape share them: made for each lock, they
// would be most of its memory.
type expressions struct {
	acquiring, renewing, announcing, releasing, checking *expression
}

var prepared sync.Map // shape -> *expressions; a process uses few shapes

func prepare(s shape) *expressions {
	if e, ok := prepared.Load(s); ok {
		return e.(*expressions)
	}
	checking := newExpression()
	checking.condition = ours(checking)
	e, _ := prepared.LoadOrStore(s, &expressions{
		acquiring:  s.acquire(),
		renewing:   s.renew(),
		announcing: announce(),
		releasing:  s.release(),
		checking:   checking,
	})
	return e.(*expressions)
}

func (s *store) keyText() string {
	if s.sort == nil {
		return strconv.Quote(s.partitionKey) + " as the only key"
	}
	return strconv.Quote(s.partitionKey) + " and the sort key " + strconv.Quote(s.sort.name)
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

func (s shape) acquire() *expression {
	e := newExpression()
	e.condition = "attribute_not_exists(" + e.name(s.partitionKey) + ")" +
		// Something that isn't a lock may have an attribute of this name too.
		" OR (" + e.name(attrReleased) + " = " + e.value(text(releasedMark)) +
		" AND attribute_type(" + e.name(attrVersion) + ", " + e.value(text("S")) + "))"

	one := e.value(integer(1))
	set := []string{
		e.name(attrOwner) + " = " + bindOwner,
		e.name(attrHeartbeat) + " = " + bindHeartbeat,
		// A token that is there goes up by one. Where there is none it starts from the
		// clock, above all that were given out before the item was deleted or overwritten.
		e.name(attrToken) + " = if_not_exists(" + e.name(attrToken) + ", " + bindToken + ") + " + one,
		s.renewal(e),
	}
	if s.data {
		set = append(set, e.name(attrData)+" = "+bindData)
	}
	remove := []string{e.name(attrReleased), e.name(attrReleasing), e.name(attrSeedOwner), e.name(attrSeedExpiry)}
	if !s.ttl {
		// An earlier holder's would delete the item while we hold it.
		remove = append(remove, e.name(attrTTL))
	}
	e.update = "SET " + strings.Join(set, ", ") + " REMOVE " + strings.Join(remove, ", ") + " ADD " + e.name(attrCount) + " " + one
	return e
}

// acquire writes our name into the record on condition that one of claims, or nobody,
// has it. seen is the highest fencing token known. The reply, or the refusal, brings
// the record.
func (s *store) acquire(ctx context.Context, number string, c claims, seen int64, at instant) (map[string]*dynamodb.AttributeValue, error) {
	e := s.acquiring
	values := e.bind(12 + len(c.doubts))
	s.bindRenewal(values, number, time.Unix(0, at.wall))
	values[bindOwner], values[bindHeartbeat] = text(s.identity), integer(max(s.heartbeat.Milliseconds(), 1))
	if s.data != nil {
		values[bindData] = &dynamodb.AttributeValue{B: s.data}
	}
	values[bindToken] = integer(max(at.wall/int64(time.Millisecond), seen, 1))
	condition := e.condition
	if c.expired != nil {
		condition += " OR " + s.unchanged(e, values, *c.expired)
	}
	if len(c.doubts) > 0 {
		condition += " OR " + s.written(e, values, c.doubts)
	}
	if c.token != 0 {
		values[":claim"] = integer(c.token)
		condition += " OR (" + e.name(attrOwner) + " = " + bindOwner + " AND " + e.name(attrToken) + " = :claim)"
	}
	out, err := s.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 s.key(),
		ConditionExpression:                 &condition,
		UpdateExpression:                    &e.update,
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           values,
		ReturnValues:                        aws.String(dynamodb.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	}, once)
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// unchanged is the condition that the record is still the write that v names. All
// names are in every acquire's expression already.
func (s *store) unchanged(e *expression, values map[string]*dynamodb.AttributeValue, v version) string {
	if v.dialect == dialectSeed {
		values[":watched"], values[":expiry"] = text(v.count), numeral(v.number)
		return "(" + e.name(attrSeedOwner) + " = :watched AND " + e.name(attrSeedExpiry) + " = :expiry AND attribute_not_exists(" + e.name(attrVersion) + "))"
	}
	values[":watched"] = text(v.number)
	if v.count == "" {
		return "(" + e.name(attrVersion) + " = :watched AND attribute_not_exists(" + e.name(attrCount) + "))"
	}
	values[":count"] = numeral(v.count)
	return "(" + e.name(attrVersion) + " = :watched AND " + e.name(attrCount) + " = :count)"
}

// written is the condition that the record is one of these writes.
func (s *store) written(e *expression, values map[string]*dynamodb.AttributeValue, numbers []string) string {
	placeholders := make([]string, len(numbers))
	for i, number := range numbers {
		placeholders[i] = ":mine" + strconv.Itoa(i)
		values[placeholders[i]] = text(number)
	}
	return e.name(attrVersion) + " IN (" + strings.Join(placeholders, ", ") + ")"
}

// renewal is what every write that holds the lock sets. The lease goes with each
// version, so that a watcher who saw one saw the lease that its holder counts.
func (s shape) renewal(e *expression) string {
	set := e.name(attrVersion) + " = " + bindVersion + ", " +
		e.name(attrLease) + " = " + bindLease + ", " +
		e.name(attrExpires) + " = " + bindExpires
	if s.ttl {
		set += ", " + e.name(attrTTL) + " = " + bindTTL
	}
	return set
}

func (s *store) bindRenewal(values map[string]*dynamodb.AttributeValue, number string, wall time.Time) {
	values[bindVersion], values[bindLease] = text(number), text(formatMillis(s.lease))
	values[bindExpires] = integer(wall.Add(s.lease).UnixMilli())
	if s.ttl > 0 {
		values[bindTTL] = integer(wall.Add(s.ttl).Unix())
	}
}

// ours is the condition that the record is the tenure with the bound owner and token. It
// names no version, so that the retry of a write whose reply was lost still succeeds.
func ours(e *expression) string {
	return e.name(attrOwner) + " = " + bindOwner + " AND " + e.name(attrToken) + " = " + bindToken +
		" AND attribute_not_exists(" + e.name(attrReleased) + ")"
}

func (s shape) renew() *expression {
	e := newExpression()
	e.condition = ours(e) + " AND (attribute_not_exists(" + e.name(attrExpires) + ") OR " + e.name(attrExpires) + " <= " + bindExpires + ")"
	e.update = "SET " + s.renewal(e) + " ADD " + e.name(attrCount) + " " + e.value(integer(1))
	return e
}

// renew is one heartbeat. wall never goes back within a tenure: a heartbeat that lands
// after a newer one fails its condition, or it would set back the expiry that MaxClockSkew
// lets others believe.
func (s *store) renew(ctx context.Context, token int64, wall time.Time) error {
	number, err := newVersion()
	if err != nil {
		return err
	}
	values := s.renewing.bind(6)
	s.bindRenewal(values, number, wall)
	values[bindOwner], values[bindToken] = text(s.identity), integer(token)
	return s.update(ctx, s.renewing, values)
}

func announce() *expression {
	e := newExpression()
	e.condition = ours(e)
	// By name: a Java client that takes the record over and updates it in place leaves this
	// attribute there.
	e.update = "SET " + e.name(attrReleasing) + " = " + bindOwner
	return e
}

// announce marks the record as about to be released. It leaves the version as it is: the
// lease is not renewed.
func (s *store) announce(ctx context.Context, token int64) error {
	values := s.announcing.bind(2)
	values[bindOwner], values[bindToken] = text(s.identity), integer(token)
	return s.update(ctx, s.announcing, values)
}

// update sends what asks for nothing back but, where it is refused, the record.
func (s *store) update(ctx context.Context, e *expression, values map[string]*dynamodb.AttributeValue) error {
	_, err := s.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 s.key(),
		ConditionExpression:                 &e.condition,
		UpdateExpression:                    &e.update,
		ExpressionAttributeNames:            e.names,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	}, once)
	return err
}

func (s shape) release() *expression {
	e := newExpression()
	e.condition = ours(e)
	if !s.deleteOnRelease {
		e.update = "SET " + e.name(attrReleased) + " = " + e.value(text(releasedMark)) + ", " + e.name(attrVersion) + " = " + bindVersion
	}
	return e
}

// release marks the record released, or deletes it, on condition that it is the
// tenure with this token (0: none, which no record has) or was written by one of
// doubts.
func (s *store) release(ctx context.Context, token int64, doubts []string) error {
	e := s.releasing
	values := e.bind(3 + len(doubts))
	values[bindOwner], values[bindToken] = text(s.identity), integer(token)
	condition, names := e.condition, e.names
	if len(doubts) > 0 {
		// Rare: an expression of its own, since DynamoDB refuses names that go unused.
		rare := s.shape().release()
		condition = "(" + condition + ") OR (" + s.written(rare, values, doubts) + " AND attribute_not_exists(" + rare.name(attrReleased) + "))"
		names = rare.names
	}
	if s.deleteOnRelease {
		_, err := s.client.DeleteItemWithContext(ctx, &dynamodb.DeleteItemInput{
			TableName:                 &s.table,
			Key:                       s.key(),
			ConditionExpression:       &condition,
			ExpressionAttributeNames:  names,
			ExpressionAttributeValues: values,
		}, once)
		return err
	}
	number, err := newVersion()
	if err != nil {
		return err
	}
	values[bindVersion] = text(number)
	_, err = s.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &s.table,
		Key:                       s.key(),
		ConditionExpression:       &condition,
		UpdateExpression:          &e.update,
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: values,
	}, once)
	return err
}

// read fetches the record: consistent costs 1 RCU, else half of one and may be old.
func (s *store) read(ctx context.Context, consistent bool) (map[string]*dynamodb.AttributeValue, error) {
	out, err := s.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{
		TableName:      &s.table,
		Key:            s.key(),
		ConsistentRead: &consistent,
	}, once)
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// conditionCheck is the condition that the record is the tenure with this token, as
// an item of somebody's transaction. Its maps are the caller's to add to; what they
// lead to is not to be changed.
func (s *store) conditionCheck(token int64) *dynamodb.ConditionCheck {
	values := s.checking.bind(2)
	values[bindOwner], values[bindToken] = text(s.identity), integer(token)
	return &dynamodb.ConditionCheck{
		TableName:                           aws.String(s.table),
		Key:                                 s.key(),
		ConditionExpression:                 aws.String(s.checking.condition),
		ExpressionAttributeNames:            maps.Clone(s.checking.names),
		ExpressionAttributeValues:           values,
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
