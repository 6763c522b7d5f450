package lockclient

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"
	"github.com/google/uuid"
)

const (
	defaultPartitionKey = "key"
	maxDataBytes        = 256 << 10
	minTTL              = time.Hour
)

// lock is the working state behind a DynamoDBLockClient: its checked configuration
// and what it knows of the record.
type lock struct {
	store

	window       time.Duration // how long a tenure trusts one renewal
	poll         time.Duration
	maxClockSkew time.Duration
	pollsAtWill  bool // PollPeriod was given
	reclaim      bool
	clock        Clock
	log          logr.Logger

	current   atomic.Pointer[tenure] // the current or last tenure
	observers observers              // of heartbeats

	// turn is a slot for one attempt or release at a time. Waiting for it respects a
	// context, and heartbeats, HasLock and Lost never need it.
	turn turn
	// interrupt cancels the attempt that has the turn; nil when none has.
	interrupt atomic.Pointer[context.CancelCauseFunc]

	removal removal // ends each WaitForLock

	// Owned by whoever has the turn:
	watch  *watch  // what the record looked like, and since when; nil: nothing is watched
	doubts []doubt // attempts of ours that wrote, or may yet write, without our having heard
	claim  int64   // token of an ended tenure whose record may still stand; 0: none
	seen   int64   // highest fencing token ever seen on this lock
}

// newLock checks every field and reports all that don't fit in one error.
func newLock(c *DynamoDBLockClient) (*lock, error) {
	var bad []error
	refuse := func(field string, value any, remedy string) {
		bad = append(bad, fmt.Errorf("%s is %v: %s", field, value, remedy))
	}

	if n := len(c.LockName); n == 0 || n > 2048 || !utf8.ValidString(c.LockName) {
		refuse("LockName", quoted(c.LockName), "give a name of 1 to 2048 bytes of UTF-8")
	}
	heartbeat := c.HeartbeatPeriod
	if heartbeat == 0 {
		// Whole milliseconds, which the record can say: waiters foretell heartbeats by it.
		heartbeat = max((c.LeaseDuration / 3).Truncate(time.Millisecond), min(c.LeaseDuration/3, time.Millisecond))
	}
	switch {
	case c.LeaseDuration <= 0:
		refuse("LeaseDuration", c.LeaseDuration, "give a positive duration, e.g. 15s")
	case c.LeaseDuration%time.Millisecond != 0:
		refuse("LeaseDuration", c.LeaseDuration, "the record stores whole milliseconds; give a whole number of them")
	case c.LeaseDuration > maxLease:
		refuse("LeaseDuration", c.LeaseDuration, fmt.Sprintf("give at most %v", maxLease))
	}
	switch {
	case c.HeartbeatPeriod < 0:
		refuse("HeartbeatPeriod", c.HeartbeatPeriod, "give a positive duration, or 0 for a third of LeaseDuration")
	case tooShort(c.HeartbeatPeriod):
		refuse("HeartbeatPeriod", c.HeartbeatPeriod, "give a millisecond or more (5 is 5 ns, 5 * time.Second is 5 s), or 0 for a third of LeaseDuration")
	case c.LeaseDuration > 0 && heartbeat > c.LeaseDuration/2:
		refuse("HeartbeatPeriod", heartbeat,
			fmt.Sprintf("give at most half of LeaseDuration, %v, so that one failed heartbeat costs nothing", c.LeaseDuration/2))
	}
	if c.TableName == "" {
		refuse("TableName", `""`, "name the DynamoDB table that holds the locks (EnsureTable makes one)")
	}
	if !utf8.ValidString(c.Identifier) || len(c.Identifier) > 2048 {
		refuse("Identifier", quoted(c.Identifier), "give at most 2048 bytes of UTF-8, or leave it empty for a UUID")
	}
	if isNil(c.Client) {
		refuse("Client", "nil", "give a DynamoDB client, e.g. dynamodb.New(session)")
	}
	partitionKey := c.PartitionKeyName
	if partitionKey == "" {
		partitionKey = defaultPartitionKey
	}
	if slices.Contains(recordAttributes, partitionKey) {
		refuse("PartitionKeyName", quoted(partitionKey), "the record uses this attribute for something else; name the table's real key")
	}
	if (c.SortKeyName == "") != (c.SortKeyValue == "") {
		refuse("SortKeyName, SortKeyValue", fmt.Sprintf("%q, %q", c.SortKeyName, c.SortKeyValue), "give both or neither")
	}
	if c.SortKeyName != "" && (c.SortKeyName == partitionKey || slices.Contains(recordAttributes, c.SortKeyName)) {
		refuse("SortKeyName", quoted(c.SortKeyName), "the record uses this attribute for something else; name the table's real sort key")
	}
	if len(c.SortKeyValue) > 1024 || !utf8.ValidString(c.SortKeyValue) {
		refuse("SortKeyValue", quoted(c.SortKeyValue), "give 1 to 1024 bytes of UTF-8")
	}
	if len(c.Data) > maxDataBytes {
		refuse("Data", fmt.Sprintf("%d bytes", len(c.Data)), fmt.Sprintf("give at most %d; every heartbeat pays for the item's size", maxDataBytes))
	}
	if c.TTL != 0 && c.TTL < max(minTTL, 2*c.LeaseDuration) {
		refuse("TTL", c.TTL, fmt.Sprintf("give %v or more (and two leases or more), or 0 for none: DynamoDB deletes what has expired, held or not",
			minTTL))
	}
	if c.PollPeriod < 0 || tooShort(c.PollPeriod) || c.PollPeriod > maxLease {
		refuse("PollPeriod", c.PollPeriod, fmt.Sprintf("give from a millisecond to %v, or 0 for following the holder's heartbeats", maxLease))
	}
	if c.MaxClockSkew < 0 || tooShort(c.MaxClockSkew) || c.MaxClockSkew > maxLease {
		refuse("MaxClockSkew", c.MaxClockSkew, fmt.Sprintf("give how far the clocks may differ, from a millisecond to %v, or 0 for never comparing them", maxLease))
	}
	if c.ReclaimOnRestart && c.Identifier == "" {
		refuse("ReclaimOnRestart", true, "it needs an Identifier that survives the restart; set Identifier")
	}
	if bad != nil {
		return nil, &configError{errors.Join(bad...)}
	}

	identity := c.Identifier
	if identity == "" {
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, fmt.Errorf("lockclient: make an Identifier: %w", err)
		}
		identity = id.String()
	}
	l := &lock{
		window:       trustWindow(c.LeaseDuration),
		poll:         c.PollPeriod,
		pollsAtWill:  c.PollPeriod > 0,
		maxClockSkew: c.MaxClockSkew,
		reclaim:      c.ReclaimOnRestart,
		clock:        c.Clock,
		log:          c.Logger.WithValues("lock", c.LockName),
	}
	if l.poll == 0 {
		l.poll = heartbeat
	}
	if l.clock == nil {
		l.clock = systemClock{}
	}
	l.store.init(c, partitionKey, identity, heartbeat)
	return l, nil
}

// tooShort tells a duration that was given without its unit.
func tooShort(d time.Duration) bool { return d > 0 && d < time.Millisecond }

// isNil also sees a nil pointer in the interface.
func isNil(client dynamodbiface.DynamoDBAPI) bool {
	v := reflect.ValueOf(client)
	return client == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

// quoted shows a value in an error without flooding it.
func quoted(s string) string {
	if len(s) > 64 {
		return fmt.Sprintf("%q... (%d bytes)", s[:64], len(s))
	}
	return fmt.Sprintf("%q", s)
}
