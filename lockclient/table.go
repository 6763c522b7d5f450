package lockclient

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// Peek reads the lock's record, consistently, and changes nothing. A lock that was never taken is a
// LockItem that is Released and has no Owner. If the item is not a lock, the error is ErrNotALock.
func (c *DynamoDBLockClient) Peek(ctx context.Context) (*LockItem, error) {
	d, err := c.driver()
	if err != nil {
		return nil, err
	}
	found, err := d.fetch(ctx, true)
	if err != nil {
		return nil, err
	}
	if found.version.dialect == dialectNone {
		return nil, d.requests.notALock()
	}
	item := found.item
	item.ExpiresAt = found.expiresAt
	item.Name, item.SortKeyValue = d.name, d.requests.sortValue()
	if found.session == "" {
		return &item, nil
	}
	holder, err := ask(ctx, d, 0, func(ctx context.Context) (*record, error) {
		return d.requests.ofSession(&rules{name: found.session}).read(ctx, true)
	})
	if err != nil {
		return nil, d.requests.failure("read the session of", err)
	}
	item.underSession(found, holder)
	return &item, nil
}

// underSession fills in what a lock's record leaves to that of its session. holder is the
// session's, or an empty record if there is none.
func (i *LockItem) underSession(lock, holder *record) {
	i.Session, i.LeaseDuration = lock.session, lock.sessionLease
	switch {
	case holder.version.dialect == dialectEmpty: // deleted: a waiter for the lock will mark it
	case holder.released():
		i.SessionOver, i.Released = true, true
	default:
		i.LeaseDuration, i.HeartbeatPeriod = holder.item.LeaseDuration, holder.item.HeartbeatPeriod
		i.ExpiresAt = holder.expiresAt
	}
}

// Locks yields every lock of a table, in no order. It reads page by page as the loop goes on, and
// leaving the loop stops it. Items that are not locks are skipped, and so are the items of
// sessions. A lock of a session has its name (LockItem.Session). An error is yielded once, last. A
// request that fails is repeated for up to 10 s. Locks reads the whole table, eventually
// consistent: it is for operators and dashboards, not for deciding who leads.
func Locks(ctx context.Context, client dynamodbiface.DynamoDBAPI, table string) iter.Seq2[*LockItem, error] {
	return func(yield func(*LockItem, error) bool) {
		if isNil(client) {
			yield(nil, errNilClient)
			return
		}
		s := &requests{rules: &rules{}, client: client, table: table}
		key, err := repeatedly(ctx, s, "list the locks of", s.describe)
		if err != nil {
			yield(nil, err)
			return
		}
		holders := sessionsOfTable{requests: s, key: key, known: make(map[string]*record)}
		for after := item(nil); ; {
			page, err := repeatedly(ctx, s, "list the locks of", func(ctx context.Context) (*page, error) { return s.scan(ctx, after) })
			if err != nil {
				yield(nil, err)
				return
			}
			if err := holders.learn(ctx, page.items); err != nil {
				yield(nil, err)
				return
			}
			for _, attributes := range page.items {
				item := holders.lockItem(attributes)
				if item != nil && !yield(item, nil) {
					return
				}
			}
			if after = page.last; len(after) == 0 {
				return
			}
		}
	}
}

// sessionsOfTable are the sessions that hold locks of a table, as far as they were read.
type sessionsOfTable struct {
	*requests
	key   *tableKey
	known map[string]*record
}

// learn reads the sessions that those items name and that are not known yet.
func (s *sessionsOfTable) learn(ctx context.Context, items []map[string]*dynamodb.AttributeValue) error {
	var keys []map[string]*dynamodb.AttributeValue
	for _, attributes := range items {
		name := decodeRecord(attributes).session
		if s.known[name] != nil || name == "" {
			continue
		}
		s.known[name] = decodeRecord(nil)
		keys = append(keys, s.key.of(name))
	}
	for part := range slices.Chunk(keys, mostBatchKeys) {
		found, err := repeatedly(ctx, s.requests, "list the sessions of", func(ctx context.Context) ([]map[string]*dynamodb.AttributeValue, error) {
			return s.readAll(ctx, part)
		})
		if err != nil {
			return err
		}
		for _, attributes := range found {
			name, _ := stringOf(attributes[s.key.partition])
			s.known[name] = decodeRecord(attributes)
		}
	}
	return nil
}

// lockItem is the lock that an item is, or nil.
func (s *sessionsOfTable) lockItem(attributes map[string]*dynamodb.AttributeValue) *LockItem {
	r := decodeRecord(attributes)
	name, _ := stringOf(attributes[s.key.partition])
	if r.version.dialect == dialectNone || strings.HasPrefix(name, sessionPrefix) {
		return nil
	}
	item := r.item
	item.Name, item.ExpiresAt = name, r.expiresAt
	item.SortKeyValue, _ = stringOf(attributes[s.key.sort])
	if r.session != "" {
		item.underSession(r, s.known[r.session])
	}
	return &item
}

// TableOption changes what EnsureTable asks for.
type TableOption func(*tableOptions)

type tableOptions struct {
	key   tableKey
	noTTL bool
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

// unusable are the states that a table does not leave without an operator.
var unusable = []string{dynamodb.TableStatusArchiving, dynamodb.TableStatusArchived, dynamodb.TableStatusInaccessibleEncryptionCredentials}

// tablePoll is the mean pause between two polls of a table that is being created.
const tablePoll = 500 * time.Millisecond

// EnsureTable makes sure that table exists with the key that the lock client uses, is
// ACTIVE, and has time-to-live switched on. A missing table is created, billed on demand.
// Of an existing one only the time-to-live is changed. EnsureTable blocks until that is
// done or ctx is. A request that fails is repeated for up to 10 s. A table with another key
// is ErrTableMismatch. Several processes may call EnsureTable at once. It needs
// dynamodb:DescribeTable, CreateTable and UpdateTimeToLive.
func EnsureTable(ctx context.Context, client dynamodbiface.DynamoDBAPI, table string, options ...TableOption) error {
	o := tableOptions{key: tableKey{partition: defaultPartitionKey}}
	for _, option := range options {
		option(&o)
	}
	s := &requests{rules: &rules{}, client: client, table: table}
	switch {
	case isNil(client):
		return errNilClient
	case table == "":
		return fmt.Errorf("%w: table is \"\": name the table", ErrInvalidConfig)
	case o.key.partition == "" || o.key.partition == o.key.sort:
		return fmt.Errorf("%w: partition key %q, sort key %q: give two different names, or no sort key", ErrInvalidConfig, o.key.partition, o.key.sort)
	}
	for {
		key, err := repeatedly(ctx, s, "describe", s.describe)
		switch {
		case errors.Is(err, ErrTableNotFound):
			created, err := s.create(ctx, o.key)
			if err != nil {
				return err
			}
			if created {
				continue
			}
			key = &tableKey{status: dynamodb.TableStatusCreating}
		case err != nil:
			return err
		case key.partition != o.key.partition || key.sort != o.key.sort || key.other != "":
			return &requestError{doing: "use", table: table, kind: ErrTableMismatch, permanent: true,
				remedy: fmt.Sprintf("it has %s, and the key wanted is %s; name another table, or give EnsureTable and the clients the table's key names", key, o.key)}
		case key.status == dynamodb.TableStatusActive || key.status == dynamodb.TableStatusUpdating:
			if o.noTTL {
				return nil
			}
			return s.ensureTTL(ctx)
		case slices.Contains(unusable, key.status):
			return &requestError{doing: "use", table: table, permanent: true,
				remedy: fmt.Sprintf("it is %s and will not become ACTIVE by itself; restore it or its KMS key, or name another table", key.status)}
		}
		if err := wait(ctx, tablePoll/2+rand.N(tablePoll)); err != nil {
			return fmt.Errorf("lockclient: table %q is %s: %w", table, key.status, err)
		}
	}
}

// create creates the table. false: another process is creating it, or an earlier try did.
func (s *requests) create(ctx context.Context, key tableKey) (created bool, err error) {
	return repeatedly(ctx, s, "create", func(ctx context.Context) (bool, error) {
		err := s.createTable(ctx, key)
		if errorCode(err) == dynamodb.ErrCodeResourceInUseException {
			return false, nil
		}
		return true, err
	})
}

const (
	// tablePatience is how long a request about a table is repeated, and tableTimeout how
	// long one may take.
	tablePatience = 10 * time.Second
	tableTimeout  = 5 * time.Second
)

// repeatedly sends a request about a table until it succeeds, fails for good, has been
// repeated for tablePatience, or ctx is done. The error says what DynamoDB answered last.
func repeatedly[T any](ctx context.Context, s *requests, doing string, send func(context.Context) (T, error)) (T, error) {
	var none T
	began, last := time.Now(), error(nil)
	for failures := 1; ; failures++ {
		attempt, cancel := context.WithTimeoutCause(ctx, tableTimeout, errNoAnswer)
		result, err := send(attempt)
		if err != nil && attempt.Err() != nil {
			err = contextError(attempt) // rather than the SDK's RequestCanceled
		}
		cancel()
		if err == nil {
			return result, nil
		}
		if ctx.Err() == nil || last == nil {
			last = s.failure(doing, err)
		}
		if isPermanent(last) || time.Since(began) >= tablePatience {
			return none, last
		}
		if err := wait(ctx, backoff(failures, tablePoll*4, func(upTo time.Duration) time.Duration { return rand.N(upTo + 1) })); err != nil {
			return none, fmt.Errorf("%w (last: %w)", err, last)
		}
	}
}

// ensureTTL switches time-to-live on.
func (s *requests) ensureTTL(ctx context.Context) error {
	_, err := repeatedly(ctx, s, "set the time-to-live of", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.enableTTL(ctx)
	})
	if err == nil || errorCode(err) == "ValidationException" && (strings.Contains(err.Error(), "already enabled") || strings.Contains(err.Error(), "modified multiple times")) {
		return nil
	}
	if errorCode(err) == "ValidationException" && strings.Contains(err.Error(), "different AttributeName") {
		return &requestError{doing: "set the time-to-live of", table: s.table, cause: err, permanent: true,
			remedy: fmt.Sprintf("expiry is on for another attribute than %q; give WithoutTTL, or change the table", attrTTL)}
	}
	return err
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
