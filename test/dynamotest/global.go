package dynamotest

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// defaultLag is what AWS calls typical: a change arrives within a second.
const defaultLag = time.Second

// regionNames are given to Regions in this order. The first three are one of the sets in which AWS
// offers multi-Region strong consistency.
var regionNames = []string{
	"us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
}

// GlobalTable is DynamoDB in several Regions. Each Region is an endpoint of its own, and every
// table that is created in one of them is a global table with a replica in each. Make one with
// NewGlobalTable or NewEventualGlobalTable.
//
// It starts no goroutine: changes that are due arrive before the next request is answered. So time
// may be virtual, and two runs with equal requests at equal times give equal answers. In a
// testing/synctest bubble make it inside the bubble, whose clock shows another time than the one
// outside.
type GlobalTable struct {
	strong  bool
	regions []*Region
	witness string // the Region without a replica; "": none

	mu        sync.Mutex // guards what follows and all that the Regions' engines guard
	lag       time.Duration
	writeTime time.Duration
	changes   uint64 // how many there have been; each has its number, from 1
	tables    uint64 // likewise
}

// NewGlobalTable returns n Regions with multi-Region strong consistency (MRSC): three replicas for
// n = 3, two replicas and a witness for n = 2. AWS offers nothing else, and NewGlobalTable panics
// for any other n, or when an option makes no sense.
//
//   - All Regions write one history. Writes and consistent reads see the latest version of an item,
//     wherever it was written.
//   - Eventually consistent reads, in the Region of the write too, see a change only when the lag
//     has passed (SetLag; 1 s at first).
//   - A write takes the time of SetWriteTime (none at first) and has its item meanwhile. A write of
//     the item from another Region is then refused with ReplicatedWriteConflictException; one from
//     the same Region waits. WithConflicts leads to the same exception.
//   - TransactWriteItems and UpdateTimeToLive are refused with ValidationException.
//   - A Region that is cut off (Region.Isolate), or has no other Region to agree with, answers
//     eventually consistent reads as of then. Writes and consistent reads fail with
//     InternalServerError and status 500, and change nothing.
func NewGlobalTable(n int, options ...Option) *GlobalTable {
	if n != 2 && n != 3 {
		panic(fmt.Sprintf("dynamotest: NewGlobalTable(%d): a strongly consistent table has 3 replicas, or 2 and a witness: give 2 or 3, or take NewEventualGlobalTable", n))
	}
	g := newGlobal(n, true, options)
	if g.regions[0].engine.options.transactionTime > 0 {
		panic("dynamotest: NewGlobalTable with WithTransactionTime: strongly consistent global tables have no transactions: leave the option out")
	}
	if n == 2 {
		g.witness = regionNames[n]
	}
	return g
}

// NewEventualGlobalTable returns n Regions with multi-Region eventual consistency (MREC), the kind
// of global table that AWS makes unless told otherwise. It panics unless n is from 2 to 10, or when
// an option makes no sense.
//
//   - Each Region reads and writes its own replica. Conditions, consistent reads and transactions
//     see that replica alone.
//   - A change arrives in the other Regions when the lag has passed (SetLag; 1 s at first). It is
//     dropped where the item has been written later: the last writer wins, and all replicas end up
//     with the same version.
//   - A Region that is cut off (Region.Isolate) goes on reading and writing. Its changes leave it,
//     and others' arrive, once it rejoins.
//   - UpdateTimeToLive is for all Regions; what Region.ExpireItems removes in one is removed in the
//     others as by a write.
func NewEventualGlobalTable(n int, options ...Option) *GlobalTable {
	if n < 2 || n > len(regionNames) {
		panic(fmt.Sprintf("dynamotest: NewEventualGlobalTable(%d): give 2 to %d Regions", n, len(regionNames)))
	}
	return newGlobal(n, false, options)
}

func newGlobal(n int, strong bool, options []Option) *GlobalTable {
	g := &GlobalTable{strong: strong, lag: defaultLag}
	history := New(options...)
	for i := range n {
		engine := New(options...)
		engine.mu, engine.held = &g.mu, history.held
		r := &Region{global: g, engine: engine, name: regionNames[i], index: i, inbox: make([][]change, n), stamps: map[itemID]uint64{}}
		if r.replica = engine.tables; strong {
			engine.tables, r.replica = history.tables, map[string]*table{}
		}
		engine.region = r
		g.regions = append(g.regions, r)
	}
	return g
}

// Regions are the Regions that have a replica, in a fixed order. The slice is the caller's.
func (g *GlobalTable) Regions() []*Region { return append([]*Region(nil), g.regions...) }

// Region is one of Regions, counted from 0. It panics when there is none.
func (g *GlobalTable) Region(i int) *Region {
	if i < 0 || i >= len(g.regions) {
		panic(fmt.Sprintf("dynamotest: Region(%d): there are %d Regions, counted from 0", i, len(g.regions)))
	}
	return g.regions[i]
}

// SetLag sets how long a change takes to arrive elsewhere, from now on and for changes that are on
// their way. It panics when d is negative.
func (g *GlobalTable) SetLag(d time.Duration) {
	if d < 0 {
		panic(fmt.Sprintf("dynamotest: SetLag(%v): the lag is negative: give 0 or more", d))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deliver()
	g.lag = d
}

// SetWriteTime sets how long a write of a strongly consistent table takes, from now on: it has the
// item for so long, and is answered then. It panics when d is negative, or when the tables are
// eventually consistent: their writes leave no Region.
func (g *GlobalTable) SetWriteTime(d time.Duration) {
	switch {
	case d < 0:
		panic(fmt.Sprintf("dynamotest: SetWriteTime(%v): the time is negative: give 0 or more", d))
	case !g.strong:
		panic("dynamotest: SetWriteTime: the tables are eventually consistent, and a write of theirs leaves no Region: take NewGlobalTable, or SetLag")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writeTime = d
}

// Replicate has every change that is on its way arrive now, whatever the lag. What a Region that is
// cut off holds back stays where it is.
func (g *GlobalTable) Replicate() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deliverUntil(time.Time{})
}

// Region is the endpoint of one Region: an http.Handler like Engine, safe for concurrent use.
type Region struct {
	global *GlobalTable
	engine *Engine
	name   string
	index  int

	// Guarded by global.mu:
	cutOff  bool
	missed  uint64            // the changes up to this number are to arrive before it is as good as the others again
	inbox   [][]change        // what has not arrived yet, by the Region that it comes from, oldest first
	replica map[string]*table // where it arrives: the engine's tables, or a copy of those for eventually consistent reads
	stamps  map[itemID]uint64 // the number of the last change of each item of the replica, deleted ones too
}

// ServeHTTP answers one request to this Region.
func (r *Region) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.engine.ServeHTTP(w, q) }

// Client returns a client of this Region that calls it directly, without a socket; see NewClient.
func (r *Region) Client() dynamodbiface.DynamoDBAPI {
	return newClient("http://"+r.name+".dynamotest.invalid", r.name, &http.Client{Transport: Transport(r)})
}

// Name is the Region's, for example us-east-1.
func (r *Region) Name() string { return r.name }

// ExpireItems is Engine.ExpireItems for the replica of this Region. Strongly consistent tables have
// no time to live, and nothing of theirs expires.
func (r *Region) ExpireItems(now time.Time) int { return r.engine.ExpireItems(now) }

// Isolate cuts the Region off from the other Regions. Its own clients still reach it. What is on
// its way to it, and of an eventually consistent table from it, waits for Rejoin; a write of a
// strongly consistent table that is under way fails.
func (r *Region) Isolate() {
	r.global.mu.Lock()
	defer r.global.mu.Unlock()
	r.global.deliver()
	r.cutOff = true
}

// Rejoin ends Isolate. What was held back and is due arrives at once. A Region of a strongly
// consistent table goes on failing writes and consistent reads until all that it has missed has
// arrived, which takes no longer than the lag.
func (r *Region) Rejoin() {
	r.global.mu.Lock()
	defer r.global.mu.Unlock()
	if r.cutOff {
		r.cutOff, r.missed = false, r.global.changes
		r.global.deliver()
	}
}
