package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The engines, as results name them.
const (
	EngineNone    = "none" // canned replies
	EngineMemory  = "dynamotest"
	EngineVirtual = "dynamotest, virtual time"
	EngineLocal   = "dynamodb-local"
)

// Counted is what one operation sent.
type Counted struct {
	Engine, Operation string
	Requests          map[string]int // by DynamoDB operation
	Read, Write       float64        // capacity units
	Budget            string         // in words
	Met               bool
}

// Consumption says what was sent and what it cost.
func Consumption(requests map[string]int, read, write float64) string {
	var parts []string
	for name, n := range requests {
		parts = append(parts, fmt.Sprintf("%d %s", n, name))
	}
	slices.Sort(parts)
	if read > 0 {
		parts = append(parts, fmt.Sprintf("%v RCU", read))
	}
	if write > 0 {
		parts = append(parts, fmt.Sprintf("%v WCU", write))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// Who is waiting or leading.
const (
	ByLock    = "lock client"
	ByElector = "elector"
)

// What the waiter had seen before a crash.
const (
	SceneSettled = "the waiter had seen 4 to 8 heartbeats"
	SceneFresh   = "the waiter had come less than a heartbeat before"
	SceneEnding  = "the waiter had seen 4 to 8 heartbeats, and then the announcement of a release"
)

// Failover is a series of crashes and the time that each left the lock without a holder.
type Failover struct {
	Engine, Who      string
	Scene            string // what the waiter had seen before the crash
	Lease, Heartbeat time.Duration
	RoundTrip        time.Duration   // median of the requests
	SinceSent        []time.Duration // from the send of the last renewal to the waiter's knowing that it holds the lock
	SinceCommitted   []time.Duration // from that renewal's commit, or where it can't be seen from its reply
	Reads            float64         // of the waiter from the crash to its win, mean
}

// The ways in which a lock client lets a lock go.
const (
	SceneDrained  = "announced, drained for 1.2 to 2 heartbeats"
	SceneHasty    = "announced, drained for up to 1 heartbeat"
	SceneUnawares = "not announced"
)

// The ways in which an elector's term ends. Its work ends at once.
const (
	SceneNotice   = "told to stop, with HandoverNotice"
	SceneNoNotice = "told to stop, without HandoverNotice"
	SceneTransfer = "TransferTo one of three, with HandoverNotice"
	SceneNewcomer = "told to stop, with HandoverNotice; the candidate came less than a heartbeat before"
	SceneLate     = "told to stop, with HandoverNotice; the candidate came after that"
)

// HandoverBudget is how long nobody may lead after a notice, at the 99th percentile, besides two
// round trips.
const HandoverBudget = 100 * time.Millisecond

// Handover is a series of releases and the time that each left the lock without a holder, or the
// work without a leader.
type Handover struct {
	Engine           string
	Leader, Who      string // who let go, and who waited
	Scene            string
	Lease, Heartbeat time.Duration
	RoundTrip        time.Duration
	Gap              []time.Duration // from the call of RemoveLock, or the end of the leading context, to the waiter's knowing that it holds the lock
	Notice           []time.Duration // from the elector's being told to the end of the leading context
	ReadsWhileEnding float64         // of the waiter, mean, from the announcement (or the release) on
}

// Waiting is what waiters cost, and how soon they see a renewal.
type Waiting struct {
	Who                       string
	Waiters                   int
	Lease, Heartbeat          time.Duration
	RoundTrip, Jitter         time.Duration
	Heartbeats, Reads, Writes int             // the holder's heartbeats; all waiters' requests
	ReadUnits                 float64         // capacity of those reads
	Lag                       []time.Duration // from a renewal's commit to a waiter's having seen it
}

// ReadsPerHeartbeat is of one waiter.
func (w *Waiting) ReadsPerHeartbeat() float64 {
	return float64(w.Reads) / float64(w.Heartbeats) / float64(w.Waiters)
}

// Enduring is how many plain locks are watched for minutes.
const Enduring = 2000

// Scale is a process with many held locks.
type Scale struct {
	Locks            int
	Session          bool // they are members of one session; plain locks otherwise
	Transport        string
	TLS              bool
	Lease, Heartbeat time.Duration
	RoundTrip        time.Duration
	Window           time.Duration // how long heartbeats were watched
	Heap, Stacks     float64       // bytes in use a lock, while idle
	Live             float64       // bytes of reachable heap a lock
	Goroutines       int           // more than without locks, highest of several looks
	Due, Sent        int           // heartbeats in the window
	Failed           int           // heartbeats without a confirmation
	Lost             int           // tenures that ended
	Lateness         []time.Duration
	CPU              time.Duration // of the process, in the window
	NewConnections   int           // in the window
	OpenConnections  int           // at its end
	Requests         int           // of all kinds, in the window
	Gathering        time.Duration // acquiring all, 64 at a time
	Parting          time.Duration // releasing all: plain ones 64 at a time, a session's with its Close
	PartingRequests  int
	PartingFailed    bool // some were not released
}

// Curve is one point of the curve of sessions: so many locks of one process, in virtual time, for
// which as many calls of another process wait. Then the holder crashes. The other process takes
// them over, and lets them go for a third.
type Curve struct {
	Locks                       int
	Session                     bool // each process has one session; plain locks otherwise
	Lease, Heartbeat, RoundTrip time.Duration

	Periods                           int // heartbeats, in which were sent:
	Writes, Others                    int // requests of the holder
	Reads, WaiterWrites, WaiterOthers int // and of the waiting process

	First            []time.Duration // of each crash: from the send of the holder's last renewal to the first lock taken over
	Taken            []time.Duration // from the crash until each lock was held again
	TakeoverRequests int             // of the process that took them over

	CloseTook     []time.Duration // letting all go, which was announced
	CloseRequests int
	Freed         []time.Duration // from its begin until each lock was held again
	FreedFirst    []time.Duration // of each time: until the first was
}

// WritesPerHeartbeat are those of the holder.
func (c *Curve) WritesPerHeartbeat() float64 { return float64(c.Writes) / float64(max(c.Periods, 1)) }

// Crowded is many locks that a few sessions hold and one process waits for, in virtual time.
type Crowded struct {
	Locks, Sessions       int
	Lease, Heartbeat      time.Duration
	Periods               int // heartbeats, in which the waiting process sent:
	Reads, Writes, Others int // Writes are the heartbeats of its own session
}

// The budgets of shards.
const (
	ShardCrashBudget = 1.15 // multiples of the lease, until all shards of a replica that crashed are led again
	ShardReadsBudget = 5.0  // a replica's, a heartbeat, at rest
	ShardMovesBudget = 1.25 // multiples of the part of a replica that joins: so many shards move
)

// Shards is a group of replicas that share shards. The works end as soon as their contexts do.
type Shards struct {
	Engine           string
	Shards, Replicas int
	Lease, Heartbeat time.Duration
	RoundTrip        time.Duration // median of the requests at rest

	Even          time.Duration // from the start of all replicas until each led its part
	Parts         []int         // how many shards each led then
	Periods       int           // heartbeats at rest, in which each replica sent:
	Reads, Writes []int

	// After each crash, from the send of the replica's last renewal:
	Again    []time.Duration // until each of its shards was led again
	AllAgain []time.Duration // until the last of them was
	Left     [][]int         // how many shards each of the others led then

	Join Moves // one replica more
	Roll Moves // one replica stops, and another is started then
}

// Moves is what became of the shards when replicas came or went.
type Moves struct {
	Moved []int           // each time: shards that another replica led afterwards
	Took  []time.Duration // each time: until each replica led its part
	Gap   []time.Duration // of each shard that moved: from the end of its work to the begin of the next
}

// JoinBudget is how many shards may move when a replica joins.
func (s *Shards) JoinBudget() int {
	return int(ShardMovesBudget * float64(s.Shards) / float64(s.Replicas))
}

// Takeover is how long one process took for all locks of a session that had crashed, in real time,
// beside as many bare UpdateItems. Each of the two had up to 64 requests under way.
type Takeover struct {
	Engine           string
	Locks            int
	Lease, Heartbeat time.Duration
	First            time.Duration   // from the send of the last renewal to the first lock taken over
	All              time.Duration   // from there to the last
	Bare             time.Duration   // so many UpdateItems
	Taken            []time.Duration // from the crash until each lock was held again
	Requests         map[string]int  // of the process that took them over, after the crash
}

// Company is many locks of one process, on one DynamoDB client, in virtual time.
type Company struct {
	Lease, Heartbeat, RoundTrip time.Duration

	Locks, Periods int           // renewed for so long
	Writes, Others int           // requests in that time
	Off            time.Duration // most that the interval of two heartbeats of a lock differed from the period
	Busiest        int           // heartbeats in the busiest tenth of a second

	Hung     int           // of the locks, how many got no answer from some moment on
	HungOff  time.Duration // Off, of the others
	HungLost int           // how many of the others were lost

	Silent                                   int             // locks whose endpoint went silent
	SilentLate                               []time.Duration // end of each tenure less (last confirmed send + 0.99 lease)
	SilentSent, SilentAtOnce, SilentInFlight int             // requests, most at once, one second after the last lease's end
}

// BurstBudget is how many heartbeats may be sent in a tenth of a second: three times the mean.
func BurstBudget(locks int, heartbeat time.Duration) int {
	return int(3 * float64(locks) * float64(100*time.Millisecond) / float64(heartbeat))
}

// Overload is a process whose locks need more heartbeats than the machine can do, in virtual time.
type Overload struct {
	Locks, Callers               int
	Offered, Capacity, Confirmed float64 // heartbeats a second
	Had, Held                    int     // locks that were acquired, and those held at the end
}

// Stall is a process whose endpoint has stopped answering.
type Stall struct {
	Locks            int
	Transport        string
	Lease, Heartbeat time.Duration
	Requests         int             // sent while stalled
	MaxInFlight      int             // at once
	MaxConnections   int             // at once, at the server
	Ended            int             // tenures that had ended by then
	EndLate          []time.Duration // end of each tenure less (last confirmed send + 0.99 lease)
	InFlightAfter    int             // one second after the last tenure's end
}

// Cost is what one leader and its waiters consume in a steady state.
type Cost struct {
	Who              string
	Waiters          int
	Lease, Heartbeat time.Duration
	Window           time.Duration
	Requests         map[string]int
	Read, Write      float64 // capacity units
}

// Leases are those of lockclient/README.md's cost table, with heartbeats at a third of each.
var Leases = []time.Duration{5 * time.Second, 15 * time.Second, 60 * time.Second}

// Waiters is how many wait there.
const Waiters = 2

// Formula is what one leader and its waiters consume in a time: a write each heartbeat, and half a
// read unit for each waiter.
func Formula(waiters int, heartbeat, window time.Duration) Cost {
	heartbeats := float64(window) / float64(heartbeat)
	return Cost{Waiters: waiters, Heartbeat: heartbeat, Window: window, Write: heartbeats, Read: heartbeats * float64(waiters) / 2}
}

// Save writes a measurement where Load finds it.
func Save(dir, name string, result any) error {
	text, err := json.MarshalIndent(result, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), text, 0o644)
}

// Load reads a measurement; a missing one leaves result as it is.
func Load(dir, name string, result any) error {
	text, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Quantile is the value that the fraction q of the samples doesn't exceed, by the nearest-rank
// method. 0 without samples.
func Quantile(samples []time.Duration, q float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
