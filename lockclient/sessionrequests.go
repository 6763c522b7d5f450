package lockclient

import (
	"context"
	"strings"
	"time"
)

// sessionExpressions are the parts of the requests that only a session's item sees.
type sessionExpressions struct {
	telling, endingAnnouncement *expression
}

func (s shape) session() *sessionExpressions {
	if s.kind != sessionRecord {
		return nil
	}
	return &sessionExpressions{telling: s.tell(false), endingAnnouncement: s.tell(true)}
}

// openSession creates the item. A name is used once: an item that is there already, marked or
// created by an earlier copy of the same request, is not changed.
func (s shape) openSession() *expression {
	e := newExpression()
	one := e.value(integer(1))
	e.condition = "attribute_not_exists(" + e.name(s.partitionKey) + ")"
	e.update = "SET " + strings.Join([]string{
		e.name(attrOwner) + " = " + bindOwner,
		e.name(attrHeartbeat) + " = " + bindHeartbeat,
		e.name(attrToken) + " = " + bindToken,
		s.renewal(e),
	}, ", ") + " ADD " + e.name(attrCount) + " " + one
	return e
}

// mark is the final mark that a session is over. It gets a new version, so that nothing
// that names an old one replaces it.
func (s shape) mark() *expression {
	e := newExpression()
	e.update = "SET " + e.name(attrReleased) + " = " + e.value(text(releasedMark)) + ", " +
		e.name(attrVersion) + " = " + bindVersion + ", " + e.name(attrOurVersion) + " = " + bindVersion + ", " +
		e.name(attrTTL) + " = " + bindTTL
	return e
}

// mark marks the session as over, on condition that its item still is the version that was
// watched, or, where that is nil, that there is no item.
func (s *requests) mark(ctx context.Context, watched *version, wall time.Time) error {
	number, err := newVersion()
	if err != nil {
		return err
	}
	e := s.shape().mark() // of its own, since DynamoDB refuses names that go unused
	if watched == nil {
		e.condition = "attribute_not_exists(" + e.name(s.partitionKey) + ")"
	} else {
		e.condition = unchanged(e, *watched) // a mark has a version of its own
	}
	values := e.bind(2)
	values[bindVersion], values[bindTTL] = text(number), integer(wall.Add(sessionTTL).Unix())
	return s.update(ctx, e, values)
}

// markOwn marks a session of ours as over, if its item still is the tenure with that token, or is
// gone. Its name is never used again, so that this is right however late it arrives.
func (s *requests) markOwn(ctx context.Context, token int64, wall time.Time) error {
	number, err := newVersion()
	if err != nil {
		return err
	}
	e := s.shape().mark()
	e.condition = "attribute_not_exists(" + e.name(s.partitionKey) + ") OR (" + ours(e) + ")"
	values := e.bind(4)
	values[bindOwner], values[bindToken] = text(s.identity), integer(token)
	values[bindVersion], values[bindTTL] = text(number), integer(wall.Add(sessionTTL).Unix())
	return s.update(ctx, e, values)
}

// tell is what tells waiters, between two heartbeats, that locks were let go. It leaves the
// version as it is: the lease is not renewed.
func (s shape) tell(last bool) *expression {
	e := newExpression()
	e.condition = ours(e)
	e.update = "SET " + e.name(attrChanges) + " = " + bindChanges
	if last {
		e.update += " REMOVE " + e.name(attrReleasing)
	}
	return e
}

// tell writes how many locks were let go. last says that no other release is announced.
func (s *requests) tell(ctx context.Context, token int64, last bool) error {
	e := s.expressions.session.telling
	if last {
		e = s.expressions.session.endingAnnouncement
	}
	values := e.bind(3)
	values[bindOwner], values[bindToken], values[bindChanges] = text(s.identity), integer(token), integer(s.changes.Load())
	return s.update(ctx, e, values)
}

// ofSession returns the requests for the item of a session in the same table.
func (s *requests) ofSession(r *rules) *requests {
	item := &requests{rules: r, client: s.client, table: s.table, partitionKey: s.partitionKey, ttl: sessionTTL, kind: sessionRecord}
	if s.sort != nil {
		item.sort = &sortKey{s.sort.name, r.name}
	}
	item.expressions = prepare(item.shape())
	return item
}

func (s *requests) sortName() string {
	if s.sort == nil {
		return ""
	}
	return s.sort.name
}
