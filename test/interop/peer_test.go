package interop

import (
	"strconv"
	"time"
)

// settings are how a contender that speaks Java's protocol is to go about it; the zero value is the
// Java client's default.
type settings struct {
	lock, owner      string
	lease, heartbeat time.Duration

	inPlace   bool // withUpdateExistingLockRecord(true): UpdateItem instead of PutItem
	keepsItem bool // withDeleteLockOnRelease(false)
	keepsData bool // withReplaceData(false)

	data                      string
	attribute                 string // an additional attribute's name
	sortKeyName, sortKey      string
	withoutHeartbeats         bool
	withoutRetries            bool // of the SDK
	holdsOnServiceUnavailable bool
	goLease                   bool // the lease is spelt as Go does: the stand-in as dynamolock

	endpoint string // "": the engine itself
	table    string // "": the suite's
}

// arguments are the settings as the Java program takes them.
func (s settings) arguments() []string {
	args := []string{"endpoint=" + s.endpoint, "table=" + s.table, "lock=" + s.lock, "owner=" + s.owner,
		"lease=" + strconv.FormatInt(s.lease.Milliseconds(), 10), "heartbeat=" + strconv.FormatInt(s.heartbeat.Milliseconds(), 10)}
	for name, value := range map[string]string{"data": s.data, "attribute": s.attribute, "sortKeyName": s.sortKeyName, "sortKey": s.sortKey} {
		if value != "" {
			args = append(args, name+"="+value)
		}
	}
	for name, value := range map[string]bool{"inPlace": s.inPlace, "keepsItem": s.keepsItem, "keepsData": s.keepsData,
		"withoutHeartbeats": s.withoutHeartbeats, "withoutRetries": s.withoutRetries, "holdsOnServiceUnavailable": s.holdsOnServiceUnavailable} {
		if value {
			args = append(args, name+"=true")
		}
	}
	return args
}

// peer is a contender that isn't ours. Its beliefs go to the scene's ledger by themselves.
type peer interface {
	// try attempts once to get the lock, and wait for as long as it takes the holder's lease to run
	// out, and then for d. data is what was stored with it.
	try() (granted bool, data string, err error)
	wait(d time.Duration) (granted bool, data string, err error)
	// store stores data with a heartbeat.
	store(data string) error
	// release frees the lock; false: it was no longer the peer's.
	release() (bool, error)
	// contend acquires, increments the counter of the lock's name, and releases, again and again
	// for d.
	contend(d time.Duration) (tally, error)
	// kill ends the peer in the middle of whatever it does.
	kill()
}

// tally is what contending came to.
type tally struct {
	tenures, increments int
	late                int // writes refused after the lock was lost
	conflicts           int // writes refused although the lock was held: somebody else wrote
}

func (t tally) plus(other tally) tally {
	return tally{t.tenures + other.tenures, t.increments + other.increments, t.late + other.late, t.conflicts + other.conflicts}
}
