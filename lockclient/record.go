package lockclient

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// The attributes of a record. The first five are awslabs/amazon-dynamodb-lock-client's.
const (
	attrOwner    = "ownerName"
	attrLease    = "leaseDuration"
	attrVersion  = "recordVersionNumber"
	attrReleased = "isReleased"
	attrData     = "data"

	attrToken     = "fencingToken"
	attrCount     = "heartbeatCount"
	attrHeartbeat = "heartbeatPeriod"
	attrExpires   = "expiresAt"
	attrTTL       = "ttl"
	attrReleasing = "isReleasing"

	// dynamodb-lock-client-golang v0.1.0 writes these two and the key.
	attrSeedOwner  = "identifier"
	attrSeedExpiry = "expiry"
)

var recordAttributes = []string{attrOwner, attrLease, attrVersion, attrReleased, attrData,
	attrToken, attrCount, attrHeartbeat, attrExpires, attrTTL, attrReleasing, attrSeedOwner, attrSeedExpiry}

// releasedMark is the only value of isReleased that any of the clients writes.
const releasedMark = "1"

// maxLease is the longest lease that can be given, and what a longer one in a record
// counts as.
const maxLease = 10 * 365 * 24 * time.Hour

// unknownLease is the least time for which a record without a readable lease is
// watched.
const unknownLease = time.Minute

// LockItem is a lock's record as Peek and Locks show it. Nothing in it decides
// whether anyone may lead: it was true when it was read.
type LockItem struct {
	// Name is the lock's name, SortKeyValue its sort key's value or "".
	Name, SortKeyValue string
	// Owner is the Identifier of the holder, or of the last one once Released.
	Owner string
	// Released is true when nobody holds the lock: released, or never taken. A holder
	// that crashed is not Released.
	Released bool
	// FencingToken is the tenure's number; 0 where the client that holds the lock
	// writes none (Java, dynamolock, dynamodb-lock-client-golang).
	FencingToken int64
	// LeaseDuration is the recorded lease; 0 when it can't be read.
	LeaseDuration time.Duration
	// HeartbeatPeriod is the holder's; 0 when not recorded.
	HeartbeatPeriod time.Duration
	// RecordVersionNumber changes with every write; "" where its client writes none.
	RecordVersionNumber string
	// Data is what the holder stored with the lock, or nil.
	Data []byte
}

// dialect says which client's spelling a record is in.
type dialect int

const (
	dialectNone  dialect = iota // not a lock
	dialectAWS                  // awslabs', ours, dynamolock's
	dialectSeed                 // dynamodb-lock-client-golang v0.1.0
	dialectEmpty                // no item
)

// version is what changes with every write of a holder. Two equal versions are one
// and the same write.
type version struct {
	dialect dialect
	number  string // recordVersionNumber, or the seed's expiry
	count   string // heartbeatCount as stored, "" where the record has none; or the seed's identifier
}

// record is a decoded item.
type record struct {
	item      LockItem
	version   version
	count     int64     // heartbeatCount, 0 when absent
	expiresAt time.Time // zero when absent
	releasing bool      // its holder has announced a release
}

// released reports whether nobody holds the lock.
func (r *record) released() bool { return r.item.Released }

// decodeRecord reads any item without complaint: what can't be understood stays
// zero, and the dialect says whether the item is a lock at all.
func decodeRecord(attributes map[string]*dynamodb.AttributeValue) *record {
	r := &record{}
	if len(attributes) == 0 {
		r.version.dialect = dialectEmpty
		r.item.Released = true
		return r
	}
	if count := attributes[attrCount]; count != nil && count.N == nil {
		return r // nobody counts in anything but numbers, and no condition could name it
	}
	if number, ok := stringOf(attributes[attrVersion]); ok {
		r.version = version{dialect: dialectAWS, number: number, count: numberText(attributes[attrCount])}
		r.item.RecordVersionNumber = number
		r.item.Owner, _ = stringOf(attributes[attrOwner])
		mark, _ := stringOf(attributes[attrReleased])
		r.item.Released = mark == releasedMark
		announcer, announced := stringOf(attributes[attrReleasing])
		r.releasing = announced && announcer == r.item.Owner
	} else if _, present := attributes[attrVersion]; !present {
		owner, hasOwner := stringOf(attributes[attrSeedOwner])
		expiry := numberText(attributes[attrSeedExpiry])
		if !hasOwner || expiry == "" {
			return r
		}
		r.version = version{dialect: dialectSeed, number: expiry, count: owner}
		r.item.Owner = owner
	} else {
		return r
	}
	if text, ok := stringOf(attributes[attrLease]); ok {
		r.item.LeaseDuration = parseLease(text)
	}
	if data := attributes[attrData]; data != nil {
		r.item.Data = data.B
	}
	r.item.FencingToken, _ = integerOf(attributes[attrToken])
	r.count, _ = integerOf(attributes[attrCount])
	if ms, ok := integerOf(attributes[attrHeartbeat]); ok && ms > 0 && ms <= maxLease.Milliseconds() {
		r.item.HeartbeatPeriod = time.Duration(ms) * time.Millisecond
	}
	if ms, ok := integerOf(attributes[attrExpires]); ok && ms > 0 {
		r.expiresAt = time.UnixMilli(ms)
	}
	return r
}

// parseLease reads milliseconds as a decimal integer (Java, ours) or Go's notation
// (dynamolock). 0 when it is neither, or not positive. One that is longer than maxLease
// is as good as endless: its holder may be alive, and never renews.
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
