package account

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Prices of on-demand tables in us-east-1, in dollars for a million request units, since November
// 2024: https://aws.amazon.com/dynamodb/pricing/on-demand/. Other Regions cost up to twice as much.
const (
	dollarsPerMillionWrites = 0.625
	dollarsPerMillionReads  = 0.125
)

// How long a table of a real account takes to be made, and then to be deleted. The figures are
// rough: AWS promises none.
const tableTime = 15 * time.Second

// Usage is what was asked of DynamoDB.
type Usage struct {
	Operations map[string]int // how many requests of each kind
	Tables     int            // that were made
	Writes     float64        // write request units, rather too many than too few
	Reads      float64        // read request units, the same
}

// Dollars is what it costs in us-east-1. What the tables store is not in it, because they are
// deleted soon.
func (u Usage) Dollars() float64 {
	return (u.Writes*dollarsPerMillionWrites + u.Reads*dollarsPerMillionReads) / 1e6
}

// Waiting is how long the tables take to be made and deleted, one after the other.
func (u Usage) Waiting() time.Duration { return time.Duration(u.Tables) * tableTime }

func (u Usage) String() string {
	requests := 0
	for _, n := range u.Operations {
		requests += n
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d requests, about %.0f write units and %.0f read units: %.4f dollars in us-east-1; %d tables, which take about %v\n",
		requests, u.Writes, u.Reads, u.Dollars(), u.Tables, u.Waiting().Round(time.Minute))
	for _, name := range slices.Sorted(maps.Keys(u.Operations)) {
		fmt.Fprintf(&text, "  %-24s %d\n", name, u.Operations[name])
	}
	return text.String()
}

// count adds a request. The units are estimated from the sizes of the request and its answer, and
// from how many items a batch can have. A write costs one unit for each KiB of the item, and twice
// that in a transaction; a consistent read one for each 4 KiB. A refused write costs as much as one
// that is carried out.
func (a *Account) count(operation string, body []byte, got reply) {
	units := func(size, block int) float64 { return float64(max(1, (size+block-1)/block)) }
	a.mu.Lock()
	defer a.mu.Unlock()
	u := &a.usage
	if u.Operations == nil {
		u.Operations = map[string]int{}
	}
	u.Operations[operation]++
	switch operation {
	case "PutItem", "UpdateItem", "DeleteItem":
		u.Writes += units(max(len(body), len(got.body)), 1<<10) // a DeleteItem is as large as what it returns
	case "BatchWriteItem":
		u.Writes += units(len(body), 1<<10) + 25
	case "TransactWriteItems":
		u.Writes += 2*units(len(body), 1<<10) + 2*100
	case "GetItem", "Query", "Scan":
		u.Reads += units(len(got.body), 4<<10)
	case "BatchGetItem":
		u.Reads += units(len(got.body), 4<<10) + 100
	case "TransactGetItems":
		u.Reads += 2*units(len(got.body), 4<<10) + 2*100
	}
}
