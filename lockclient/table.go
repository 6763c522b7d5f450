package lockclient

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// Peek reads the lock's record, consistently, and changes nothing. A lock that was
// never taken is a LockItem that is Released and has no Owner. An item that is no lock
// is ErrNotALock.
func (c *DynamoDBLockClient) Peek(ctx context.Context) (*LockItem, error) {
	l, err := c.lock()
	if err != nil {
		return nil, err
	}
	found, err := l.read(ctx, true)
	if err != nil {
		return nil, err
	}
	if found.version.dialect == dialectNone {
		return nil, l.store.notALock()
	}
	item := found.item
	item.Name, item.SortKeyValue = l.name, l.store.sortValue()
	return &item, nil
}

// Locks yields every lock of a table, in no order, page by page as the loop goes on;
// leaving the loop stops reading. Items that are no locks are passed over. An error is
// yielded once, last. It reads the whole table (eventually consistent): for operators
// and dashboards, not for deciding who leads.
func Locks(ctx context.Context, client dynamodbiface.DynamoDBAPI, table string) iter.Seq2[*LockItem, error] {
	return func(yield func(*LockItem, error) bool) {
		if isNil(client) {
			yield(nil, errNilClient)
			return
		}
		s := &store{client: client, table: table}
		key, err := s.describe(ctx)
		if err != nil {
			yield(nil, s.failure("list the locks of", err))
			return
		}
		for from := (map[string]*dynamodb.AttributeValue)(nil); ; {
			items, next, err := s.scan(ctx, from)
			if err != nil {
				yield(nil, s.failure("list the locks of", err))
				return
			}
			for _, attributes := range items {
				r := decodeRecord(attributes)
				if r.version.dialect == dialectNone {
					continue
				}
				item := r.item
				item.Name, _ = stringOf(attributes[key.partition])
				item.SortKeyValue, _ = stringOf(attributes[key.sort])
				if !yield(&item, nil) {
					return
				}
			}
			if len(next) == 0 {
				return
			}
			from = next
		}
	}
}

// TableOption changes what EnsureTable asks for.
type TableOption func(*tableOptions)

type tableOptions struct {
	key   tableKey
	noTTL bool
}

// tableKey names a table's key attributes, both of type S; sort is "" for none.
type tableKey struct {
	partition, sort string
	status          string // of the table, when it was described
	other           string // what else is wrong with the key, "" for nothing
}

// WithPartitionKeyName names the partition key. Without it: "key".
func WithPartitionKeyName(name string) TableOption {
	return func(o *tableOptions) { o.key.partition = name }
}

// WithSortKeyName gives the table a sort key. Without it there is none.
func WithSortKeyName(name string) TableOption { return func(o *tableOptions) { o.key.sort = name } }

// WithoutTTL leaves the table's time-to-live setting alone. Without it, expiry by the
// attribute "ttl" is switched on, which touches only locks whose clients set TTL.
func WithoutTTL() TableOption { return func(o *tableOptions) { o.noTTL = true } }

var errNilClient = fmt.Errorf("%w: client is nil: give a DynamoDB client, e.g. dynamodb.New(session)", ErrInvalidConfig)

// tablePoll is the pause between two looks at a table that is being created.
const tablePoll = 500 * time.Millisecond

// EnsureTable makes sure that table exists with the key that the lock client uses, is
// ACTIVE, and has time-to-live switched on. A missing table is created, billed on
// demand; an existing one is left as it is but for its time-to-live. It blocks until
// that is done or ctx is. A table with another key is ErrTableMismatch. Several
// processes may call it at once. It needs dynamodb:DescribeTable, CreateTable and
// UpdateTimeToLive.
func EnsureTable(ctx context.Context, client dynamodbiface.DynamoDBAPI, table string, options ...TableOption) error {
	o := tableOptions{key: tableKey{partition: defaultPartitionKey}}
	for _, option := range options {
		option(&o)
	}
	s := &store{client: client, table: table}
	switch {
	case isNil(client):
		return errNilClient
	case table == "":
		return fmt.Errorf("%w: table is \"\": name the table", ErrInvalidConfig)
	case o.key.partition == "" || o.key.partition == o.key.sort:
		return fmt.Errorf("%w: partition key %q, sort key %q: give two different names, or no sort key", ErrInvalidConfig, o.key.partition, o.key.sort)
	}
	for {
		key, err := s.describe(ctx)
		switch {
		case errorCode(err) == dynamodb.ErrCodeResourceNotFoundException:
			err := s.createTable(ctx, o.key)
			if err == nil {
				continue
			}
			if errorCode(err) != dynamodb.ErrCodeResourceInUseException {
				return s.failure("create", err)
			}
			key = &tableKey{status: dynamodb.TableStatusCreating} // somebody else is at it
		case err != nil:
			return s.failure("describe", err)
		case key.partition != o.key.partition || key.sort != o.key.sort || key.other != "":
			return &requestError{doing: "use", table: table, kind: ErrTableMismatch, permanent: true,
				remedy: fmt.Sprintf("it has %s, and the key wanted is %s; name another table, or give EnsureTable and the clients the table's key names", key, o.key)}
		case key.status == dynamodb.TableStatusActive || key.status == dynamodb.TableStatusUpdating:
			if o.noTTL {
				return nil
			}
			return s.ensureTTL(ctx)
		}
		if err := wait(ctx, tablePoll/2+rand.N(tablePoll)); err != nil {
			return fmt.Errorf("lockclient: table %q is %s: %w", table, key.status, err)
		}
	}
}

// ensureTTL switches time-to-live on.
func (s *store) ensureTTL(ctx context.Context) error {
	err := s.enableTTL(ctx)
	if err == nil || errorCode(err) == "ValidationException" && (strings.Contains(err.Error(), "already enabled") || strings.Contains(err.Error(), "modified multiple times")) {
		return nil
	}
	if errorCode(err) == "ValidationException" && strings.Contains(err.Error(), "different AttributeName") {
		return &requestError{doing: "set the time-to-live of", table: s.table, cause: err, permanent: true,
			remedy: fmt.Sprintf("expiry is on for another attribute than %q; give WithoutTTL, or change the table", attrTTL)}
	}
	return s.failure("set the time-to-live of", err)
}

func (k tableKey) String() string {
	if k.sort == "" {
		return fmt.Sprintf("partition key %q (S)%s", k.partition, k.other)
	}
	return fmt.Sprintf("partition key %q (S) and sort key %q (S)%s", k.partition, k.sort, k.other)
}

// keyOf reads a table's key schema.
func keyOf(table *dynamodb.TableDescription) (*tableKey, error) {
	if table == nil {
		return nil, errors.New("the answer describes no table")
	}
	types := make(map[string]string, len(table.AttributeDefinitions))
	for _, definition := range table.AttributeDefinitions {
		types[aws.StringValue(definition.AttributeName)] = aws.StringValue(definition.AttributeType)
	}
	key := &tableKey{status: aws.StringValue(table.TableStatus)}
	for _, element := range table.KeySchema {
		name := aws.StringValue(element.AttributeName)
		if aws.StringValue(element.KeyType) == dynamodb.KeyTypeHash {
			key.partition = name
		} else {
			key.sort = name
		}
		if t := types[name]; t != dynamodb.ScalarAttributeTypeS {
			key.other += fmt.Sprintf(", but %q is of type %s", name, t)
		}
	}
	return key, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}
