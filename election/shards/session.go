package shards

import (
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// sessionSource makes locks that are members of a session.
type sessionSource struct{ *lockclient.Session }

func (s sessionSource) timing() (lease.Timing, error) { return s.Timing() }
func (s sessionSource) identity() string              { return s.Identity() }

func (s sessionSource) newID() (string, error) {
	id, err := uuid.NewRandom()
	return id.String(), err
}

func (s sessionSource) clock() lease.Clock {
	if s.Clock == nil {
		return lease.System()
	}
	return s.Clock
}

func (s sessionSource) table() table {
	t := table{client: s.Client, name: s.TableName, partitionKey: s.PartitionKeyName, sortKey: s.SortKeyName}
	if t.partitionKey == "" {
		t.partitionKey = "key"
	}
	return t
}

func (s sessionSource) lock(name string, deleted bool) lock {
	l := &lockclient.DynamoDBLockClient{LockName: name, Session: s.Session, DeleteOnRelease: deleted}
	if s.SortKeyName != "" {
		// As the session's own item does.
		l.SortKeyName, l.SortKeyValue = s.SortKeyName, name
	}
	return l
}

// New checks the configuration and makes a replica of it; Run starts it. The error is
// ErrInvalidConfig and names every field that must be changed. No request is sent. Session is the
// caller's to close, after Run. Several replicas, of different groups, may have the same one.
func New(c Config) (*Replica, error) {
	if c.Session == nil {
		var bad refusals
		bad.add("Session is nil: give the lockclient.Session that is to keep the locks")
		c.settings(lease.Timing{}, &bad)
		c.shardNamesOf(&bad)
		return nil, bad.err()
	}
	return newReplica(c, sessionSource{c.Session})
}
