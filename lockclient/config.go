package lockclient

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

const (
	defaultPartitionKey = "key"
	maxDataBytes        = 256 << 10
	minTTL              = time.Hour
)

// newDriver checks every field and reports all invalid ones in one error.
func newDriver(c *DynamoDBLockClient) (*driver, error) {
	var bad invalidFields
	var session *sessionDriver
	if c.Session != nil {
		var err error
		if session, err = c.Session.driver(); err != nil {
			return nil, fmt.Errorf("%w (the Session of lock %q)", err, c.LockName)
		}
		c = bad.mergeSession(c, session)
	}
	heartbeat := c.HeartbeatPeriod
	if heartbeat == 0 {
		// Whole milliseconds, which the record can say: waiters predict heartbeats by it.
		heartbeat = max((c.LeaseDuration / 3).Truncate(time.Millisecond), min(c.LeaseDuration/3, time.Millisecond))
	}
	partitionKey := c.PartitionKeyName
	if partitionKey == "" {
		partitionKey = defaultPartitionKey
	}
	bad.checkNames(c, partitionKey)
	bad.checkDurations(c, heartbeat)
	bad.checkRest(c)
	if bad != nil {
		return nil, &configError{errors.Join(bad...)}
	}

	identity, err := identityOf(c)
	if err != nil {
		return nil, err
	}
	d := &driver{
		rules: rules{
			name:      c.LockName,
			identity:  identity,
			Timing:    lease.NewTiming(c.LeaseDuration, heartbeat),
			poll:      c.PollPeriod,
			pollFixed: c.PollPeriod > 0,
			skew:      c.MaxClockSkew,
			reclaim:   c.ReclaimOnRestart,
		},
		clock:   c.Clock,
		log:     c.Logger,
		session: session,
	}
	if d.log.GetSink() != nil {
		d.log = d.log.WithValues("lock", c.LockName)
	}
	if d.rules.poll == 0 {
		d.rules.poll = heartbeat
	}
	if d.clock == nil {
		d.clock = lease.System()
	}
	d.contender.rules = &d.rules
	d.requests = newRequests(c, &d.rules, partitionKey)
	d.line = lineOf(c.Client, d.clock)
	return d, nil
}

func identityOf(c *DynamoDBLockClient) (string, error) {
	if c.Identifier != "" {
		return c.Identifier, nil
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("lockclient: make an Identifier: %w", err)
	}
	return id.String(), nil
}

// invalidFields are errors that name a field, its value and the remedy.
type invalidFields []error

func (r *invalidFields) add(field string, value any, remedy string) {
	*r = append(*r, fmt.Errorf("%s is %v: %s", field, value, remedy))
}

// mergeSession returns the lock's fields with those of its session filled in. Where a field
// says something else than the session, it is refused.
func (r *invalidFields) mergeSession(c *DynamoDBLockClient, session *sessionDriver) *DynamoDBLockClient {
	s := session.config
	m := &DynamoDBLockClient{
		LockName: c.LockName, Logger: c.Logger, SortKeyName: c.SortKeyName, SortKeyValue: c.SortKeyValue, Data: c.Data,
		DeleteOnRelease: c.DeleteOnRelease, TTL: c.TTL, PollPeriod: c.PollPeriod, ReclaimOnRestart: c.ReclaimOnRestart,
		MaxClockSkew: c.MaxClockSkew, Session: c.Session,
		TableName: s.TableName, Client: s.Client, LeaseDuration: s.LeaseDuration, HeartbeatPeriod: session.Heartbeat,
		Identifier: s.Identifier, PartitionKeyName: s.PartitionKeyName, Clock: s.Clock,
	}
	differs := func(field string, given, its any) {
		r.add(field, given, fmt.Sprintf("the Session of the lock has %v; leave it empty, or give the same", its))
	}
	if c.TableName != "" && c.TableName != s.TableName {
		differs("TableName", quoted(c.TableName), quoted(s.TableName))
	}
	if !isNil(c.Client) && !same(c.Client, s.Client) {
		differs("Client", "another one", "its own")
	}
	if c.LeaseDuration != 0 && c.LeaseDuration != s.LeaseDuration {
		differs("LeaseDuration", c.LeaseDuration, s.LeaseDuration)
	}
	if c.HeartbeatPeriod != 0 && c.HeartbeatPeriod != session.Heartbeat {
		differs("HeartbeatPeriod", c.HeartbeatPeriod, session.Heartbeat)
	}
	if c.Identifier != "" && c.Identifier != s.Identifier {
		differs("Identifier", quoted(c.Identifier), quoted(s.Identifier))
	}
	if theirs := cmp.Or(s.PartitionKeyName, defaultPartitionKey); c.PartitionKeyName != "" && c.PartitionKeyName != theirs {
		differs("PartitionKeyName", quoted(c.PartitionKeyName), quoted(theirs))
	}
	if c.SortKeyName == "" {
		m.SortKeyName = s.SortKeyName
	} else if c.SortKeyName != s.SortKeyName {
		differs("SortKeyName", quoted(c.SortKeyName), quoted(s.SortKeyName))
	}
	if c.Clock != nil && !same(c.Clock, s.Clock) {
		differs("Clock", "another one", "its own")
	}
	return m
}

// same compares two values that may not be comparable.
func same(a, b any) bool {
	return a != nil && b != nil && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

func (r *invalidFields) checkRest(c *DynamoDBLockClient) {
	if isNil(c.Client) {
		r.add("Client", "nil", "give a DynamoDB client, e.g. dynamodb.New(session)")
	}
	if len(c.Data) > maxDataBytes {
		r.add("Data", fmt.Sprintf("%d bytes", len(c.Data)), fmt.Sprintf("give at most %d; every heartbeat pays for the item's size", maxDataBytes))
	}
	if c.ReclaimOnRestart && c.Identifier == "" {
		r.add("ReclaimOnRestart", true, "it needs an Identifier that survives the restart; set Identifier")
	}
}

func (r *invalidFields) checkNames(c *DynamoDBLockClient, partitionKey string) {
	if n := len(c.LockName); n == 0 || n > 2048 || !utf8.ValidString(c.LockName) {
		r.add("LockName", quoted(c.LockName), "give a name of 1 to 2048 bytes of UTF-8")
	}
	if c.kind != sessionRecord && strings.HasPrefix(c.LockName, sessionPrefix) {
		r.add("LockName", quoted(c.LockName), "names with this beginning are reserved for sessions; give another one")
	}
	if c.TableName == "" {
		r.add("TableName", `""`, "name the DynamoDB table that holds the locks (EnsureTable makes one)")
	}
	if !utf8.ValidString(c.Identifier) || len(c.Identifier) > 2048 {
		r.add("Identifier", quoted(c.Identifier), "give at most 2048 bytes of UTF-8, or leave it empty for a UUID")
	}
	if slices.Contains(recordAttributes, partitionKey) {
		r.add("PartitionKeyName", quoted(partitionKey), "the record uses this attribute for something else; name the table's real key")
	}
	if (c.SortKeyName == "") != (c.SortKeyValue == "") {
		r.add("SortKeyName, SortKeyValue", fmt.Sprintf("%q, %q", c.SortKeyName, c.SortKeyValue), "give both or neither")
	}
	if c.SortKeyName != "" && (c.SortKeyName == partitionKey || slices.Contains(recordAttributes, c.SortKeyName)) {
		r.add("SortKeyName", quoted(c.SortKeyName), "the record uses this attribute for something else; name the table's real sort key")
	}
	if len(c.SortKeyValue) > 1024 || !utf8.ValidString(c.SortKeyValue) {
		r.add("SortKeyValue", quoted(c.SortKeyValue), "give 1 to 1024 bytes of UTF-8")
	}
}

func (r *invalidFields) checkDurations(c *DynamoDBLockClient, heartbeat time.Duration) {
	switch {
	case c.LeaseDuration <= 0:
		r.add("LeaseDuration", c.LeaseDuration, "give a positive duration, e.g. 15s")
	case c.LeaseDuration%time.Millisecond != 0:
		r.add("LeaseDuration", c.LeaseDuration, "the record stores whole milliseconds; give a whole number of them")
	case c.LeaseDuration > maxLease:
		r.add("LeaseDuration", c.LeaseDuration, fmt.Sprintf("give at most %v", maxLease))
	}
	switch {
	case c.HeartbeatPeriod < 0:
		r.add("HeartbeatPeriod", c.HeartbeatPeriod, "give a positive duration, or 0 for a third of LeaseDuration")
	case tooShort(c.HeartbeatPeriod):
		r.add("HeartbeatPeriod", c.HeartbeatPeriod, "give a millisecond or more (5 is 5 ns, 5 * time.Second is 5 s), or 0 for a third of LeaseDuration")
	case c.LeaseDuration > 0 && heartbeat > c.LeaseDuration/2:
		r.add("HeartbeatPeriod", heartbeat,
			fmt.Sprintf("give at most half of LeaseDuration, %v, so that one failed heartbeat costs nothing", c.LeaseDuration/2))
	}
	if c.TTL != 0 && c.TTL < max(minTTL, 2*c.LeaseDuration) {
		r.add("TTL", c.TTL, fmt.Sprintf("give %v or more (and two leases or more), or 0 for none: DynamoDB deletes what has expired, held or not",
			minTTL))
	}
	if c.PollPeriod < 0 || tooShort(c.PollPeriod) || c.PollPeriod > maxLease {
		r.add("PollPeriod", c.PollPeriod, fmt.Sprintf("give from a millisecond to %v, or 0 for following the holder's heartbeats", maxLease))
	}
	if c.MaxClockSkew < 0 || tooShort(c.MaxClockSkew) || c.MaxClockSkew > maxLease {
		r.add("MaxClockSkew", c.MaxClockSkew, fmt.Sprintf("give how far the clocks may differ, from a millisecond to %v, or 0 for never comparing them", maxLease))
	}
}

// checkHeir checks the Identifier of an heir.
func checkHeir(heir, own string) error {
	var bad invalidFields
	switch {
	case heir == "" || len(heir) > 2048 || !utf8.ValidString(heir):
		bad.add("heir", quoted(heir), "give the Identifier of another client, 1 to 2048 bytes of UTF-8; RemoveLock releases the lock to all")
	case heir == own:
		bad.add("heir", quoted(heir), "this client's own Identifier; give another client's")
	}
	if bad == nil {
		return nil
	}
	return &configError{errors.Join(bad...)}
}

// tooShort reports whether a duration was probably given without its unit.
func tooShort(d time.Duration) bool { return d > 0 && d < time.Millisecond }

// isNil also sees a nil pointer in the interface.
func isNil(client dynamodbiface.DynamoDBAPI) bool {
	v := reflect.ValueOf(client)
	return client == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

// quoted shows a value in an error, shortened if it is long.
func quoted(s string) string {
	if len(s) > 64 {
		return fmt.Sprintf("%q... (%d bytes)", s[:64], len(s))
	}
	return fmt.Sprintf("%q", s)
}

func newRequests(c *DynamoDBLockClient, r *rules, partitionKey string) *requests {
	s := &requests{
		rules:           r,
		client:          c.Client,
		table:           c.TableName,
		partitionKey:    partitionKey,
		data:            bytes.Clone(c.Data),
		ttl:             c.TTL,
		deleteOnRelease: c.DeleteOnRelease,
		kind:            c.kind,
	}
	switch {
	case c.Session != nil:
		s.kind = memberRecord
	case c.kind == sessionRecord:
		s.changes = new(atomic.Int64)
	}
	if c.SortKeyName != "" {
		s.sort = &sortKey{c.SortKeyName, c.SortKeyValue}
	}
	s.expressions = prepare(s.shape())
	return s
}
