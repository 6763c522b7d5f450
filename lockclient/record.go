package lockclient

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// The attributes of a record.
const (
	// awslabs/amazon-dynamodb-lock-client writes these.
	attrOwner    = "ownerName"
	attrLease    = "leaseDuration"
	attrVersion  = "recordVersionNumber"
	attrReleased = "isReleased"
	attrData     = "data"

	// We write these as well. Those below attrOurVersion count only while it equals
	// attrVersion: a client that knows none of them and updates the record in place
	// leaves them behind, and then they describe an earlier holder.
	attrToken      = "fencingToken"
	attrOurVersion = "ourVersion"
	attrCount      = "heartbeatCount"
	attrHeartbeat  = "heartbeatPeriod"
	attrExpires    = "expiresAt"
	attrTTL        = "ttl"
	attrReleasing  = "isReleasing"

	// We write these with a release that names an heir. They count only while
	// attrHeirVersion equals attrVersion, so that the next write of any client ends them.
	attrHeir        = "heir"
	attrHeirVersion = "heirVersion"

	// dynamodb-lock-client-golang v0.1.0 writes these two and the key.
	attrV010Owner  = "identifier"
	attrV010Expiry = "expiry"

	// A lock that is held under a session has these, bound like the others to attrOurVersion.
	attrSession      = "sessionName"
	attrSessionLease = "sessionLease" // milliseconds; for waiters that find no session of that name

	// A session's item has these: how many of its locks were let go, and how often a release
	// was announced.
	attrChanges       = "changes"
	attrAnnouncements = "announcements"
)

// recordKind tells the records that we write apart.
type recordKind uint8

const (
	lockRecord    recordKind = iota // of a lock that is renewed itself
	memberRecord                    // of a lock that is held under a session
	sessionRecord                   // of a session
)

var recordAttributes = []string{attrOwner, attrLease, attrVersion, attrReleased, attrData, attrToken, attrOurVersion,
	attrCount, attrHeartbeat, attrExpires, attrTTL, attrReleasing, attrHeir, attrHeirVersion, attrV010Owner, attrV010Expiry,
	attrSession, attrSessionLease, attrChanges, attrAnnouncements}

// releasedMark is the only value of isReleased that any of the clients writes.
const releasedMark = "1"

// maxLease is the longest lease that can be given, and what a longer one in a record
// counts as.
const maxLease = 10 * 365 * 24 * time.Hour

// tokenLimit is above all tokens that clients give out. It leaves room for a few more.
const tokenLimit = math.MaxInt64 - 1<<40

// unknownLease is how long a record without a readable lease is watched at least.
const unknownLease = time.Minute

// LockItem is a lock's record as Peek and Locks show it. Nothing in it decides
// whether anyone may lead: it was true when it was read.
type LockItem struct {
	// Name is the lock's name, SortKeyValue its sort key's value or "".
	Name, SortKeyValue string
	// Owner is the Identifier of the holder, or of the last one once Released.
	Owner string
	// Released is true when the lock is free: released, or never taken. A holder that crashed is
	// not Released.
	Released bool
	// Heir is the Identifier of the client that may take the Released lock first, for one
	// HeartbeatPeriod after the release (ReleaseTo). "": none.
	Heir string
	// FencingToken is the tenure's number; 0 where the client that holds the lock
	// writes none (Java, dynamolock, dynamodb-lock-client-golang).
	FencingToken int64
	// LeaseDuration is the recorded lease; 0 when it can't be read.
	LeaseDuration time.Duration
	// HeartbeatPeriod is the holder's; 0 when not recorded.
	HeartbeatPeriod time.Duration
	// ExpiresAt is when the lease ends if it is not renewed, by the holder's wall clock. It
	// is a hint, since clocks differ. Zero where the holder's client does not record it.
	ExpiresAt time.Time
	// Session is the name of the session that holds the lock; "" if none does.
	Session string
	// SessionOver is true when that session is over: the lock is free, and Released is true as
	// well. A session whose process has crashed is over only when a client has marked it.
	SessionOver bool
	// RecordVersionNumber changes with every write; "" where its client writes none.
	RecordVersionNumber string
	// Data is what the holder stored with the lock, or nil.
	Data []byte
}

// dialect says which client's schema a record is in.
type dialect uint8

const (
	dialectNone  dialect = iota // not a lock
	dialectAWS                  // awslabs', ours, dynamolock's
	dialectV010                 // dynamodb-lock-client-golang v0.1.0
	dialectEmpty                // no item
)

// version is what changes with every write of a holder. Two equal versions are the same
// write.
type version struct {
	dialect dialect
	number  string // recordVersionNumber; v0.1.0's expiry
	count   string // heartbeatCount as stored, "" where the record has none; v0.1.0's identifier
}

// record is a decoded item.
type record struct {
	item    LockItem
	version version
	// bound says that this library wrote this version, so that our own attributes belong to
	// it. Where it is false, item.FencingToken, the heartbeat period and the fields below
	// token are zero.
	bound bool
	token int64 // fencingToken as stored, also where it is an earlier holder's; 0 when absent
	// unusableToken says that fencingToken is no number, or too high to give out a higher one.
	unusableToken bool
	count         int64  // heartbeatCount
	session       string // the name of the session that holds the lock; "": it has its own heartbeat
	changes       int64  // of a session's item
	announcements int64  // of a session's item
	// sessionLease is that session's lease; 0 where it can't be read.
	sessionLease time.Duration
	expiresAt    time.Time // the end of the lease on its holder's wall clock
	releasing    bool      // its holder has announced a release
}

// released reports whether the lock is free.
func (r *record) released() bool { return r.item.Released }

// isReservedForOther reports whether the lock was released to another heir than this client.
func (r *record) isReservedForOther(identity string) bool {
	return r.released() && r.item.Heir != "" && r.item.Heir != identity
}

// decodeRecord reads any item and never fails. What it can't read stays zero, and the
// dialect says whether the item is a lock.
func decodeRecord(attributes map[string]*dynamodb.AttributeValue) *record {
	r := &record{}
	if len(attributes) == 0 {
		r.version.dialect = dialectEmpty
		r.item.Released = true
		return r
	}
	if count := attributes[attrCount]; count != nil && count.N == nil {
		return r // no lock client writes this, and no condition could name it
	}
	_, present := attributes[attrVersion]
	number, ok := stringOf(attributes[attrVersion])
	switch {
	case ok:
		r.decodeAWS(attributes, number)
	case present || !r.decodeV010(attributes):
		return r
	}
	if text, ok := stringOf(attributes[attrLease]); ok {
		r.item.LeaseDuration = parseLease(text)
	}
	if data := attributes[attrData]; data != nil {
		r.item.Data = data.B
	}
	var readable bool
	r.token, readable = integerOf(attributes[attrToken])
	r.unusableToken = attributes[attrToken] != nil && !readable || r.token >= tokenLimit
	if r.bound {
		r.decodeOurs(attributes)
	}
	return r
}

func (r *record) decodeAWS(attributes map[string]*dynamodb.AttributeValue, number string) {
	r.version = version{dialect: dialectAWS, number: number, count: numberText(attributes[attrCount])}
	r.item.RecordVersionNumber = number
	r.item.Owner, _ = stringOf(attributes[attrOwner])
	mark, _ := stringOf(attributes[attrReleased])
	r.item.Released = mark == releasedMark
	written, ok := stringOf(attributes[attrOurVersion])
	r.bound = ok && written == number
	if of, ok := stringOf(attributes[attrHeirVersion]); ok && of == number && r.item.Released {
		r.item.Heir, _ = stringOf(attributes[attrHeir])
	}
}

// decodeV010 reports whether the item is a lock of v0.1.0.
func (r *record) decodeV010(attributes map[string]*dynamodb.AttributeValue) bool {
	owner, ok := stringOf(attributes[attrV010Owner])
	expiry := numberText(attributes[attrV010Expiry])
	if !ok || expiry == "" {
		return false
	}
	r.version = version{dialect: dialectV010, number: expiry, count: owner}
	r.item.Owner = owner
	if ns, ok := integerOf(attributes[attrV010Expiry]); ok && ns > 0 {
		r.expiresAt = time.Unix(0, ns)
	}
	return true
}

// decodeOurs reads the attributes that only we write.
func (r *record) decodeOurs(attributes map[string]*dynamodb.AttributeValue) {
	r.item.FencingToken = r.token
	r.count, _ = integerOf(attributes[attrCount])
	if ms, ok := integerOf(attributes[attrHeartbeat]); ok && ms > 0 && ms <= maxLease.Milliseconds() {
		r.item.HeartbeatPeriod = time.Duration(ms) * time.Millisecond
	}
	if ms, ok := integerOf(attributes[attrExpires]); ok && ms > 0 {
		r.expiresAt = time.UnixMilli(ms)
	}
	announced, ok := integerOf(attributes[attrReleasing])
	r.releasing = ok && announced == r.token
	r.changes, _ = integerOf(attributes[attrChanges])
	r.announcements, _ = integerOf(attributes[attrAnnouncements])
	if !r.released() {
		r.session, _ = stringOf(attributes[attrSession])
	}
	if ms, ok := integerOf(attributes[attrSessionLease]); ok && ms > 0 && ms <= maxLease.Milliseconds() {
		r.sessionLease = time.Duration(ms) * time.Millisecond
	}
}

// isTenure reports whether the record is a held one with this owner and token, written by
// this library.
func (r *record) isTenure(owner string, token int64) bool {
	return r.bound && !r.released() && r.item.Owner == owner && r.token == token
}

// olderThan reports whether r is known to have been written before other.
func (r *record) olderThan(other *record) bool {
	if !r.bound || !other.bound || r.token == 0 || other.token == 0 {
		return false
	}
	return r.token < other.token || r.token == other.token && r.count < other.count
}

// renewalsSince returns how many heartbeats of one tenure lie between two records, or 0 if the
// records don't show it.
func (r *record) renewalsSince(earlier *record) int64 {
	if earlier == nil || r.item.FencingToken == 0 || r.item.FencingToken != earlier.item.FencingToken ||
		r.item.HeartbeatPeriod != earlier.item.HeartbeatPeriod {
		return 0
	}
	return max(r.count-earlier.count, 0)
}

// parseLease reads milliseconds as a decimal integer (Java, ours) or Go's notation
// (dynamolock). 0 when it is neither, or not positive. One that is longer than maxLease
// counts as maxLease.
func parseLease(text string) time.Duration {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		if ms <= 0 {
			return 0
		}
		return time.Duration(min(ms, maxLease.Milliseconds())) * time.Millisecond
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0
	}
	return min(d, maxLease)
}

func formatMillis(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10)
}

func stringOf(v *dynamodb.AttributeValue) (string, bool) {
	if v == nil || v.S == nil {
		return "", false
	}
	return *v.S, true
}

// numberText is a number as DynamoDB spells it, "" when v is not one.
func numberText(v *dynamodb.AttributeValue) string {
	if v == nil || v.N == nil {
		return ""
	}
	return *v.N
}

// integerOf reads a number that fits an int64. DynamoDB may spell an integer with
// an exponent or a fraction of zeros where a client sent it so.
func integerOf(v *dynamodb.AttributeValue) (int64, bool) {
	text := numberText(v)
	if text == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	if !strings.ContainsAny(text, ".eE") {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return 0, false
	}
	return int64(f), true
}
