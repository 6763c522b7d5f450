package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/test/bench"
)

// On-demand prices of the Standard table class, US dollars for a million units.
const (
	writePrice  = 0.625
	readPrice   = 0.125
	priceRegion = "us-east-1"
	priceDate   = "in force since November 2024, read in November 2026"
)

// month is 30 days.
const month = 30 * 24 * time.Hour

// bill is a month's consumption.
type bill struct {
	requests, read, write float64 // requests, and capacity units
}

func (b bill) dollars() float64 { return (b.read*readPrice + b.write*writePrice) / 1e6 }

// costTable is that of lockclient/README.md: what one leader and two waiters consume in a month, by
// the formula that stands below it there. Specs hold the formula to what goes over the wire.
func costTable() string {
	p := &page{}
	rows := [][]string{{"lease", "requests a month", "of them writes", "read units a month", "price a month"}}
	for _, lease := range bench.Leases {
		b := formula(lease)
		rows = append(rows, []string{plain(lease), number(b.requests), number(b.write), number(b.read), dollarsText(b)})
	}
	p.table(rows...)
	p.say("\nWith *m* the seconds of the month (2,592,000), *h* the heartbeat period in seconds and *w* waiters: writes = *m / h*, reads = *w* x *m / h* of")
	p.say("0.5 units each (up to 1.25 times as many where the holder's rhythm is uneven), price = writes x $%v / 10^6 + read units x $%v / 10^6.", writePrice, readPrice)
	p.say("On demand, %s, %s: $%v for a million write units, $%v for a million read units.", priceRegion, priceDate, writePrice, readPrice)
	return strings.TrimPrefix(p.String(), "\n")
}

func dollarsText(b bill) string { return fmt.Sprintf("$%.2f", b.dollars()) }

// formula is a month's bill with heartbeats at a third of the lease. A read is half a unit.
func formula(lease time.Duration) bill {
	c := bench.Formula(bench.Waiters, lease/3, month)
	return bill{requests: c.Write + 2*c.Read, read: c.Read, write: c.Write}
}

// monthly is what was measured, for a month.
func monthly(c bench.Cost) bill {
	times := float64(month) / float64(c.Window)
	requests := 0
	for _, n := range c.Requests {
		requests += n
	}
	return bill{float64(requests) * times, c.Read * times, c.Write * times}
}

// rival is another library, by its documented protocol and by the failover that was measured of it
// earlier, on DynamoDB Local with a lease of 3 s and a poll each 0.5 s.
type rival struct {
	name          string
	poll          string  // what a waiter's poll is
	read, write   float64 // units of it
	failover, max float64 // after the last renewal, multiples of the lease: p50, the worst
	note          string
}

var rivals = []rival{
	{"dynamolock v2.2", "1 consistent GetItem", 1, 0, 1.16, 1.39, ""},
	{"dynamodb-lock-client-golang v0.1.0", "1 UpdateItem", 0, 1, 1.14, 1.16, "compares wall clocks of different machines: unsafe"},
}

// rivalPolls is how often they polled in a lease when their failover was measured.
const rivalPolls = 6

// bill of a leader that renews three times in a lease, as leaderkit does by default, and of its
// waiters.
func (r rival) bill(lease time.Duration, waiters int) bill {
	leases := float64(month) / float64(lease)
	polls := leases * rivalPolls * float64(waiters)
	return bill{requests: 3*leases + polls, read: r.read * polls, write: 3*leases + r.write*polls}
}

// failoverOf is the measured p50 and p99 of crashes at this lease, as multiples of it: in virtual
// time, with waiters that had been there for a while, through a steady network.
func (f *findings) failoverOf(lease time.Duration) (p50, p99 float64, ok bool) {
	for _, run := range f.failoverVirtual {
		if run.Lease == lease && run.Who == bench.ByLock && run.Scene == bench.SceneSettled && run.RoundTrip == 10*time.Millisecond {
			return multiple(run.SinceSent, 0.5, lease), multiple(run.SinceSent, 0.99, lease), true
		}
	}
	return math.NaN(), math.NaN(), false
}
