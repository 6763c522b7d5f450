package dynamotest

import (
	"slices"
	"strconv"
	"time"
)

// maxExpiryAge is how long past its expiry an item may be and still be removed: DynamoDB takes an
// older time for a mistake.
const maxExpiryAge = 5 * 365 * 24 * time.Hour

func (e *Engine) updateTimeToLive(r *request) (reply, error) {
	e.lock()
	defer e.mu.Unlock()
	t, err := e.table(r)
	if err != nil {
		return nil, err
	}
	if e.isStrong() {
		return nil, invalid("Time to Live is not supported on global tables with multi-Region strong consistency")
	}
	if err := e.checkConnected(); err != nil {
		return nil, err
	}
	if !r.has("TimeToLiveSpecification") {
		return nil, invalid("TimeToLiveSpecification cannot be null")
	}
	given := &request{members: r.object("TimeToLiveSpecification")}
	attribute, enable := given.text("AttributeName"), given.flag("Enabled")
	if err := firstError(r.err, given.err); err != nil {
		return nil, err
	}
	if !given.has("AttributeName") || !given.has("Enabled") {
		return nil, invalid("AttributeName cannot be null when time to live is being enabled")
	}
	if err := checkKeyName(attribute); err != nil {
		return nil, err
	}
	switch {
	case t.ttl == "" && !enable:
		return nil, invalid("TimeToLive is already disabled")
	case t.ttl != "" && t.ttl != attribute:
		return nil, invalid("TimeToLive is active on a different AttributeName")
	case t.ttl != "" && enable:
		return nil, invalid("TimeToLive is already enabled")
	case !enable:
		attribute = ""
	}
	for _, replica := range e.replicas(t) {
		replica.ttl = attribute
	}
	return reply{"TimeToLiveSpecification": reply{"AttributeName": given.text("AttributeName"), "Enabled": enable}}, nil
}

// ExpireItems removes, in all tables with a time to live, the items whose time is before now, and
// returns how many they were. DynamoDB does so in the background, some time within days; here
// nothing expires until ExpireItems is called, so that a test decides when. An expired item that
// has not been removed is an item like any other, as it is in DynamoDB. Items of a transaction that
// is under way (WithTransactionTime) are left for the next call.
func (e *Engine) ExpireItems(now time.Time) int {
	e.lock()
	defer e.mu.Unlock()
	removed := 0
	for _, t := range e.tables {
		if t.ttl == "" {
			continue
		}
		for _, p := range slices.Clone(t.partitions) {
			for _, r := range slices.Clone(p.rows) {
				k := key{hash: p.hash, sort: r.sort}
				if r.item.expired(t.ttl, now) && e.held[t.itemID(k)] == nil {
					t.delete(k)
					e.publish(t, k, nil)
					removed++
				}
			}
		}
	}
	return removed
}

// expired: only a number of whole seconds is an expiry.
func (it item) expired(attribute string, now time.Time) bool {
	v := it[attribute]
	if v == nil || v.kind != kindNumber {
		return false
	}
	seconds, err := strconv.ParseInt(v.num.String(), 10, 64)
	if err != nil {
		return false
	}
	expiry := time.Unix(seconds, 0)
	return expiry.Before(now) && now.Sub(expiry) < maxExpiryAge
}
