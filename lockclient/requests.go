package lockclient

import (
	"context"
	"fmt"
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

// requests builds and sends the requests of one lock, of a session's item (sessionrequests.go)
// and of a table (tablerequests.go).
type requests struct {
	*rules
	client          dynamodbiface.DynamoDBAPI
	table           string
	partitionKey    string
	sort            *sortKey // nil: none
	data            []byte
	ttl             time.Duration
	deleteOnRelease bool
	kind            recordKind
	changes         *atomic.Int64 // of a session's item: how many of its locks were let go

	answered atomic.Bool // the server has answered at least once

	*expressions
}

type sortKey struct{ name, value string }

func (s *requests) sortValue() string {
	if s.sort == nil {
		return ""
	}
	return s.sort.value
}

// key is the item's key. It is made for each request: to keep it would add a sixth to the
// memory of a held lock.
func (s *requests) key() map[string]*dynamodb.AttributeValue {
	key := map[string]*dynamodb.AttributeValue{s.partitionKey: text(s.name)}
	if s.sort != nil {
		key[s.sort.name] = text(s.sort.value)
	}
	return key
}

func (s *requests) shape() shape {
	return shape{s.partitionKey, s.kind, s.data != nil, s.ttl > 0, s.deleteOnRelease}
}

// shape is what the expressions of a lock's requests depend on.
type shape struct {
	partitionKey               string
	kind                       recordKind
	data, ttl, deleteOnRelease bool
}

// expressions are the parts of a lock's requests that never change. They hold nothing of a
// single lock, so that all locks of one shape share them. Otherwise they would be most of
// a lock's memory.
type expressions struct {
	acquiring, renewing, announcing, releasing, checking *expression
	session                                              *sessionExpressions // nil: not a session's item
}

var prepared sync.Map // shape -> *expressions; a process uses few shapes

func prepare(s shape) *expressions {
	if e, ok := prepared.Load(s); ok {
		return e.(*expressions)
	}
	checking := newExpression()
	checking.onlyPlaceholders = true // callers add to them
	checking.condition = ours(checking)
	e, _ := prepared.LoadOrStore(s, &expressions{
		acquiring:  s.acquire(claims{}),
		renewing:   s.renew(),
		announcing: s.announce(),
		releasing:  s.release(false),
		checking:   checking,
		session:    s.session(),
	})
	return e.(*expressions)
}

func (s *requests) keyText() string {
	if s.sort == nil {
		return strconv.Quote(s.partitionKey) + " as the only key"
	}
	return strconv.Quote(s.partitionKey) + " and the sort key " + strconv.Quote(s.sort.name)
}

// once is given with every request: it turns the SDK's retries off. A request that the
// SDK repeats could put an old recordVersionNumber back after a newer one. The SDK's
// retries also drop expired credentials. That is done here instead.
func once(r *request.Request) {
	r.Retryer = client.NoOpRetryer{}
	r.Handlers.Sign.PushBackNamed(markUnsigned)
	r.Handlers.Complete.PushBackNamed(dropExpiredCredentials)
}

// markUnsigned tells a request that could not be signed, and so never left, from one
// that may have been carried out.
var markUnsigned = request.NamedHandler{
	Name: "leaderkit.MarkUnsigned",
	Fn: func(r *request.Request) {
		if r.Error != nil {
			r.Error = fmt.Errorf("%w: %w", errNotSent, r.Error)
		}
	},
}

var dropExpiredCredentials = request.NamedHandler{
	Name: "leaderkit.DropExpiredCredentials",
	Fn: func(r *request.Request) {
		if r.Error != nil && r.IsErrorExpired() && r.Config.Credentials != nil {
			r.Config.Credentials.Expire()
		}
	},
}

// acquire is the request that takes a free lock, or one that a claim names. Only the one without
// claims is prepared: the others are rare, and DynamoDB refuses names and values that go unused.
func (s shape) acquire(c claims) *expression {
	if s.kind == sessionRecord {
		return s.openSession()
	}
	e := newExpression()
	token := e.name(attrToken)
	// Something that isn't a lock may have an attribute of this name too.
	takes := e.name(attrReleased) + " = " + e.value(text(releasedMark)) + " AND attribute_type(" + e.name(attrVersion) + ", " + e.value(text("S")) + ")"
	if claimed := c.conditions(e); len(claimed) > 0 {
		takes = "((" + takes + ") OR " + strings.Join(claimed, " OR ") + ")"
	}
	// The token rises in any case. If it would not, the record is newer than known, or this request
	// is a late copy of one that has won before.
	e.condition = "attribute_not_exists(" + e.name(s.partitionKey) + ") OR (" + takes +
		" AND (attribute_not_exists(" + token + ") OR " + token + " < " + bindToken + "))"

	set := []string{
		e.name(attrOwner) + " = " + bindOwner,
		token + " = " + bindToken,
		s.renewal(e),
	}
	if s.data {
		set = append(set, e.name(attrData)+" = "+bindData)
	}
	remove := []string{e.name(attrReleased)}
	if s.kind == memberRecord {
		set = append(set, e.name(attrSession)+" = "+bindSession, e.name(attrSessionLease)+" = "+bindSessionLease)
		remove = append(remove, e.name(attrHeartbeat), e.name(attrExpires))
	} else {
		set = append(set, e.name(attrHeartbeat)+" = "+bindHeartbeat)
		remove = append(remove, e.name(attrSession))
	}
	if !s.ttl || s.kind == memberRecord {
		// An earlier holder's would delete the item while we hold it.
		remove = append(remove, e.name(attrTTL))
	}
	if c.expired != nil {
		// v0.1.0's. Its clients would go by them.
		remove = append(remove, e.name(attrV010Owner), e.name(attrV010Expiry))
	}
	e.update = "SET " + strings.Join(set, ", ") + " REMOVE " + strings.Join(remove, ", ")
	return e
}

// conditions are one for each claim, with the values in e.
func (c claims) conditions(e *expression) (conditions []string) {
	if c.expired != nil {
		conditions = append(conditions, unchanged(e, *c.expired))
	}
	if len(c.versions) > 0 {
		conditions = append(conditions, written(e, e.fixed, c.versions))
	}
	if c.token != 0 {
		e.fixed[":claim"] = integer(c.token)
		conditions = append(conditions, "("+e.name(attrOwner)+" = "+bindOwner+" AND "+e.name(attrToken)+" = :claim AND "+
			e.name(attrVersion)+" = "+e.name(attrOurVersion)+")")
	}
	return conditions
}

// acquisition is what one acquire writes, and over what.
type acquisition struct {
	version string
	token   int64
	claims  claims
	wall    time.Time // when it leaves, on our wall clock
	session string    // under which the lock is acquired; "": none
}

// acquire writes our name and token into the record, on condition that the record is free or
// matches one of claims, and that the token rises. Only a refusal returns the record.
func (s *requests) acquire(ctx context.Context, a acquisition) error {
	e := s.acquiring
	if !a.claims.none() {
		e = s.shape().acquire(a.claims)
	}
	values := e.bind(8)
	s.bindRenewal(values, a.version, a.wall)
	values[bindOwner], values[bindToken] = text(s.identity), integer(a.token)
	if s.kind == memberRecord {
		values[bindSession], values[bindSessionLease] = text(a.session), integer(s.Lease.Milliseconds())
	} else {
		values[bindHeartbeat] = integer(max(s.Heartbeat.Milliseconds(), 1))
	}
	if s.data != nil {
		values[bindData] = &dynamodb.AttributeValue{B: s.data}
	}
	return s.update(ctx, e, values)
}

// unchanged is the condition that the record is still the write that v names.
func unchanged(e *expression, v version) string {
	if v.dialect == dialectV010 {
		e.fixed[":watched"], e.fixed[":expiry"] = text(v.count), numeral(v.number)
		return "(" + e.name(attrV010Owner) + " = :watched AND " + e.name(attrV010Expiry) + " = :expiry AND attribute_not_exists(" + e.name(attrVersion) + "))"
	}
	e.fixed[":watched"] = text(v.number)
	if v.count == "" {
		return "(" + e.name(attrVersion) + " = :watched AND attribute_not_exists(" + e.name(attrCount) + "))"
	}
	e.fixed[":count"] = numeral(v.count)
	return "(" + e.name(attrVersion) + " = :watched AND " + e.name(attrCount) + " = :count)"
}

// written is the condition that the record is one of these writes.
func written(e *expression, values map[string]*dynamodb.AttributeValue, numbers []string) string {
	placeholders := make([]string, len(numbers))
	for i, number := range numbers {
		placeholders[i] = ":mine" + strconv.Itoa(i)
		values[placeholders[i]] = text(number)
	}
	return e.name(attrVersion) + " IN (" + strings.Join(placeholders, ", ") + ")"
}

// renewal is what every write that holds the lock sets. The lease goes with each version, so that a
// watcher sees the version together with the lease that its holder counts.
func (s shape) renewal(e *expression) string {
	set := e.name(attrVersion) + " = " + bindVersion + ", " +
		e.name(attrOurVersion) + " = " + bindVersion + ", " +
		e.name(attrLease) + " = " + bindLease
	if s.kind == memberRecord {
		return set
	}
	set += ", " + e.name(attrExpires) + " = " + bindExpires
	if s.kind == sessionRecord {
		set += ", " + e.name(attrChanges) + " = " + bindChanges
	}
	if s.ttl {
		set += ", " + e.name(attrTTL) + " = " + bindTTL
	}
	return set
}

func (s *requests) bindRenewal(values map[string]*dynamodb.AttributeValue, number string, wall time.Time) {
	values[bindVersion] = text(number)
	if s.kind == memberRecord {
		// A client that does not know sessions must never take it.
		values[bindLease] = text(formatMillis(maxLease))
		return
	}
	if s.kind == sessionRecord {
		values[bindChanges] = integer(s.changes.Load())
	}
	values[bindLease] = text(formatMillis(s.Lease))
	values[bindExpires] = integer(wall.Add(s.Lease).UnixMilli())
	if s.ttl > 0 {
		values[bindTTL] = integer(wall.Add(s.ttl).Unix())
	}
}

// ours is the condition that the record is the tenure with the bound owner and token. It
// names no version, so that the retry of a write whose reply was lost succeeds. The two
// equal versions say that no client without tokens has written the record since and left
// our token in it, under our name or another one.
func ours(e *expression) string {
	return e.name(attrOwner) + " = " + bindOwner + " AND " + e.name(attrToken) + " = " + bindToken +
		" AND " + e.name(attrVersion) + " = " + e.name(attrOurVersion) +
		" AND attribute_not_exists(" + e.name(attrReleased) + ")"
}

func (s shape) renew() *expression {
	e := newExpression()
	e.condition = ours(e) + " AND (attribute_not_exists(" + e.name(attrExpires) + ") OR " + e.name(attrExpires) + " <= " + bindExpires + ")"
	e.update = "SET " + s.renewal(e) + " ADD " + e.name(attrCount) + " " + e.value(integer(1))
	return e
}

// renew is one heartbeat. wall never goes back within a tenure: a heartbeat that arrives
// after a newer one must fail its condition. Otherwise it would set back the expiry that
// clients with MaxClockSkew rely on.
func (s *requests) renew(ctx context.Context, token int64, wall time.Time) error {
	number, err := newVersion()
	if err != nil {
		return err
	}
	values := s.renewing.bind(6)
	s.bindRenewal(values, number, wall)
	values[bindOwner], values[bindToken] = text(s.identity), integer(token)
	return s.update(ctx, s.renewing, values)
}

func (s shape) announce() *expression {
	e := newExpression()
	e.condition = ours(e)
	// The value is the tenure's token, so it need not be removed.
	e.update = "SET " + e.name(attrReleasing) + " = " + bindToken
	if s.kind == sessionRecord {
		// The release of one member may be announced while that of another one is.
		e.update += " ADD " + e.name(attrAnnouncements) + " " + e.value(integer(1))
	}
	return e
}

// announce marks the record as about to be released. It leaves the version as it is: the
// lease is not renewed.
func (s *requests) announce(ctx context.Context, token int64) error {
	values := s.announcing.bind(2)
	values[bindOwner], values[bindToken] = text(s.identity), integer(token)
	return s.update(ctx, s.announcing, values)
}

// update sends an update that needs no reply, but the record if it is refused.
func (s *requests) update(ctx context.Context, e *expression, values map[string]*dynamodb.AttributeValue) error {
	_, err := s.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 s.key(),
		ConditionExpression:                 &e.condition,
		UpdateExpression:                    &e.update,
		ExpressionAttributeNames:            e.attributeNames(),
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	}, once)
	return err
}

func (s shape) release(toHeir bool) *expression {
	e := newExpression()
	e.condition = ours(e)
	if s.deleteOnRelease && !toHeir {
		return e
	}
	e.update = "SET " + e.name(attrReleased) + " = " + e.value(text(releasedMark)) + ", " +
		e.name(attrVersion) + " = " + bindVersion + ", " + e.name(attrOurVersion) + " = " + bindVersion
	if s.ttl && s.kind == memberRecord {
		e.update += ", " + e.name(attrTTL) + " = " + bindTTL
	}
	if toHeir && s.kind == memberRecord {
		e.update += ", " + e.name(attrHeartbeat) + " = " + bindHeartbeat // for how long the heir goes first
	}
	if toHeir {
		e.update += ", " + e.name(attrHeir) + " = " + bindHeir + ", " + e.name(attrHeirVersion) + " = " + bindVersion
	}
	if s.kind == memberRecord {
		// An older version of this library acquires without removing the pointer, and sets
		// attrOurVersion: it would count beside a lease that has nothing to do with the session.
		e.update += " REMOVE " + e.name(attrSession) + ", " + e.name(attrSessionLease)
	}
	return e
}

// release marks the record released, or deletes it, on condition that it carries one of our
// writes. No record has the token 0. A release to an heir never deletes: a missing item
// could not name one. version is what it has written, "" if it has deleted.
func (s *requests) release(ctx context.Context, own ownWrites, heir string, wall time.Time) (version string, err error) {
	e := s.releasing
	if len(own.versions) > 0 || heir != "" {
		// Rare: an expression of its own, since DynamoDB refuses names that go unused.
		e = s.shape().release(heir != "")
	}
	values := e.bind(4 + len(own.versions))
	values[bindOwner], values[bindToken] = text(s.identity), integer(own.token)
	condition := e.condition
	if len(own.versions) > 0 {
		condition = "(" + condition + ") OR (" + written(e, values, own.versions) + " AND attribute_not_exists(" + e.name(attrReleased) + "))"
	}
	if e.update == "" {
		_, err := s.client.DeleteItemWithContext(ctx, &dynamodb.DeleteItemInput{
			TableName:                 &s.table,
			Key:                       s.key(),
			ConditionExpression:       &condition,
			ExpressionAttributeNames:  e.attributeNames(),
			ExpressionAttributeValues: values,
		}, once)
		return "", err
	}
	if version, err = newVersion(); err != nil {
		return "", err
	}
	values[bindVersion] = text(version)
	if heir != "" {
		values[bindHeir] = text(heir)
	}
	if heir != "" && s.kind == memberRecord {
		values[bindHeartbeat] = integer(max(s.Heartbeat.Milliseconds(), 1))
	}
	if s.ttl > 0 && s.kind == memberRecord {
		values[bindTTL] = integer(wall.Add(s.ttl).Unix())
	}
	_, err = s.client.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &s.table,
		Key:                       s.key(),
		ConditionExpression:       &condition,
		UpdateExpression:          &e.update,
		ExpressionAttributeNames:  e.attributeNames(),
		ExpressionAttributeValues: values,
	}, once)
	return version, err
}

// read fetches the record: consistent costs 1 RCU, else half of one and may be old.
func (s *requests) read(ctx context.Context, consistent bool) (*record, error) {
	out, err := s.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{
		TableName:      &s.table,
		Key:            s.key(),
		ConsistentRead: &consistent,
	}, once)
	if err != nil {
		return nil, err
	}
	return decodeRecord(out.Item), nil
}

// conditionCheck is the condition that the record is the tenure with this token, as an
// item of a caller's transaction. The caller may add to its maps. Their values are shared
// and must not be changed.
func (s *requests) conditionCheck(token int64) *dynamodb.ConditionCheck {
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

// mostBatchKeys is how many items one BatchGetItem asks for at most.
const mostBatchKeys = 100

// readAll reads up to mostBatchKeys items of the table, consistently. It asks again for what
// the answer had no room for.
func (s *requests) readAll(ctx context.Context, keys []map[string]*dynamodb.AttributeValue) (items []map[string]*dynamodb.AttributeValue, err error) {
	for left := keys; len(left) > 0; {
		out, err := s.client.BatchGetItemWithContext(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]*dynamodb.KeysAndAttributes{s.table: {Keys: left, ConsistentRead: aws.Bool(true)}},
		}, once)
		if err != nil {
			return nil, err
		}
		items = append(items, out.Responses[s.table]...)
		unread := out.UnprocessedKeys[s.table]
		switch {
		case unread == nil:
			return items, nil
		case len(unread.Keys) >= len(left):
			return nil, fmt.Errorf("%d of %d items were not read: the table is throttled", len(left), len(keys))
		}
		left = unread.Keys
	}
	return items, nil
}
