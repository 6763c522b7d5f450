package lockclient

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// SweepSessions deletes the items of sessions that ended a day ago or earlier, and returns
// how many that were. Call it once a day or less often for a table whose time-to-live is
// off, which would delete them otherwise. It is safe at any time, and several processes may
// call it at once. An item that a lock still names is kept.
//
// It reads the whole table once, eventually consistent, and sends a DeleteItem for each item. If a
// session has ended without a mark, its item is first watched for the session's lease. All such
// items are watched at the same time, so a call takes as long as the longest lease. Items with a
// lease above 10 minutes are kept.
//
// A request that fails is repeated for up to 10 s. removed counts also where err is not nil.
// It needs dynamodb:DescribeTable, Scan and DeleteItem. ErrInvalidConfig, ErrTableNotFound,
// ErrAccessDenied, ctx's error, or the SDK's.
//
// # Why nothing goes wrong without the item
//
// No client believes in a lock because of another's session item, and a lock is taken only after a
// mark was confirmed or seen. So without the item only time can be lost:
//
//   - The session's own process may not know yet that it has ended. Its heartbeats and its Close
//     name their tenure, are refused without an item, and never create one. It had stopped
//     believing before: an item is deleted only after a mark, or after it was unchanged for a
//     lease.
//   - A waiter that has seen the mark does not look again. It takes locks by their versions.
//   - A waiter that has not seen it finds no item, watches that for a lease, and makes a mark, as
//     for any missing item. So it takes the lock later, never earlier. To avoid that, items that a
//     lock names are kept.
//   - An acquire that arrives after its session's item was deleted leaves a lock whose session has
//     no item. The same applies to that lock.
//   - A copy of the request that created the item may arrive again, and create it again, without a
//     process. It is watched and marked like the item of any crashed session.
//   - If a wall clock is wrong, an item is deleted too early, which is one of the cases above, or
//     it stays. An item that is renewed meanwhile is never deleted: the deletion names the version
//     that was seen.
func SweepSessions(ctx context.Context, client dynamodbiface.DynamoDBAPI, table string) (removed int, err error) {
	if isNil(client) {
		return 0, errNilClient
	}
	s := &requests{rules: &rules{}, client: client, table: table}
	key, err := repeatedly(ctx, s, sweeping, s.describe)
	if err != nil {
		return 0, err
	}
	ended, err := s.endedSessions(ctx, key)
	if err != nil {
		return 0, err
	}
	seen := time.Now()
	for _, e := range ended {
		if err := wait(ctx, time.Until(seen.Add(e.watch))); err != nil {
			return removed, err
		}
		gone, err := repeatedly(ctx, s, sweeping, func(ctx context.Context) (bool, error) { return s.deleteUnchanged(ctx, e) })
		if err != nil {
			return removed, err
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

// sweeping is what SweepSessions does, for its errors.
const sweeping = "sweep the sessions of"

// longestWatch is the longest lease for which SweepSessions watches an item without a mark.
const longestWatch = 10 * time.Minute

// endedSession is a session's item that may go when it has been seen unchanged for that
// long: its lease, or 0 if it is marked.
type endedSession struct {
	key     item
	version version
	watch   time.Duration
}

// endedSessions reads the table. It returns the items whose ttl has passed and which no lock
// names, those first that need no watching.
func (s *requests) endedSessions(ctx context.Context, key *tableKey) (ended []endedSession, err error) {
	now, named := time.Now().Unix(), make(map[string]bool)
	for after := item(nil); ; {
		page, err := repeatedly(ctx, s, sweeping, func(ctx context.Context) (*page, error) { return s.scan(ctx, after) })
		if err != nil {
			return nil, err
		}
		for _, attributes := range page.items {
			r := decodeRecord(attributes)
			if r.session != "" {
				named[r.session] = true
			}
			name, _ := stringOf(attributes[key.partition])
			ttl, known := integerOf(attributes[attrTTL])
			if !strings.HasPrefix(name, sessionPrefix) || !r.bound || !known || ttl > now {
				continue
			}
			e := endedSession{key: key.of(name), version: r.version}
			if !r.released() {
				e.watch = r.item.LeaseDuration
			}
			if r.released() || e.watch > 0 && e.watch <= longestWatch {
				ended = append(ended, e)
			}
		}
		if after = page.last; len(after) == 0 {
			break
		}
	}
	ended = slices.DeleteFunc(ended, func(e endedSession) bool { return named[*e.key[key.partition].S] })
	slices.SortFunc(ended, func(a, b endedSession) int { return cmp.Compare(a.watch, b.watch) })
	return ended, nil
}

// of is the key of the session with that name.
func (k *tableKey) of(session string) item {
	key := item{k.partition: text(session)}
	if k.sort != "" {
		key[k.sort] = text(session)
	}
	return key
}
