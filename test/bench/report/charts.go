package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/leaderkit/leaderkit/test/bench"
)

// failoverChart shows, lease by lease, how long after the last renewal a crashed holder is
// replaced.
func (f *findings) failoverChart() string {
	type row struct {
		label               string
		colour              colour
		p50, p90, p99, most float64
		points              []float64
	}
	var rows []row
	for _, run := range slices.Concat(f.failoverVirtual, f.failoverReal) {
		if run.Scene != bench.SceneSettled {
			continue
		}
		r := row{label: fmt.Sprintf("%s, lease %s", run.Who, plain(run.Lease)), colour: blue}
		switch {
		case run.Engine != bench.EngineVirtual:
			r.label += ", " + run.Engine
			r.colour = green
		default:
			r.label += fmt.Sprintf(", round trip %s", short(run.RoundTrip))
		}
		r.p50, r.p90 = multiple(run.SinceSent, 0.5, run.Lease), multiple(run.SinceSent, 0.9, run.Lease)
		r.p99, r.most = multiple(run.SinceSent, 0.99, run.Lease), multiple(run.SinceSent, 1, run.Lease)
		for q := 0.005; q < 1; q += 0.01 {
			r.points = append(r.points, multiple(run.SinceSent, q, run.Lease))
		}
		rows = append(rows, r)
	}
	for _, rival := range rivals {
		rows = append(rows, row{label: rival.name + ", lease 3 s", colour: brown, p50: rival.failover, most: rival.max})
	}

	const left, right, top, step = 330.0, 40.0, 70.0, 30.0
	const low, high = 0.98, 1.42
	d := &drawing{width: 960, height: top + step*float64(len(rows)) + 74}
	bottom := top + step*float64(len(rows))
	x := func(v float64) float64 {
		return left + (min(v, high)-low)/(high-low)*(d.width-left-right)
	}
	d.text(24, 28, "start", ink, 17, "A crashed holder is replaced when its lease has run out")
	d.text(24, 47, "start", grey, 12, "time from the last renewal to the next holder, in multiples of the lease")
	for tick := 1.0; tick <= 1.401; tick += 0.05 {
		d.line(x(tick), top-8, x(tick), bottom, faint, 1, "")
		d.text(x(tick), bottom+16, "middle", grey, 11, "%.2f", tick)
	}
	d.line(x(1), top-8, x(1), bottom, ink, 1.5, "")
	d.line(x(1.05), top-8, x(1.05), bottom, red, 1.2, "4 3")
	d.text(x(1.05)+4, top-12, "start", red, 11, "budget of the p99, less two round trips")
	for i, r := range rows {
		y := top + step*(float64(i)+0.45)
		d.text(left-12, y+4, "end", ink, 12, "%s", r.label)
		if r.points != nil {
			for _, v := range r.points {
				d.bar(x(v)-1, x(v)+1, y, 14, r.colour, 0.18)
			}
			d.line(x(r.p99), y-8, x(r.p99), y+8, r.colour, 1.5, "")
		} else {
			d.line(x(r.p50), y, x(r.most), y, r.colour, 1.5, "3 3")
			d.line(x(r.most), y-8, x(r.most), y+8, r.colour, 1.5, "")
		}
		d.dot(x(r.p50), y, 4.5, r.colour)
	}
	d.text(24, bottom+40, "start", grey, 11, "Dot: p50; bar: p99 (brown: the worst seen); shade: all of them. Blue: virtual time, round trip as given. Green: real time, on loopback.")
	d.text(24, bottom+56, "start", grey, 11, "Brown: not measured here, but earlier and elsewhere, on DynamoDB Local with a poll every sixth of the lease.")
	return d.svg("Crash failover in multiples of the lease")
}

// handoverChart shows, as histograms, how long nobody leads when a leader ends.
func (f *findings) handoverChart() string {
	var rows []bench.Handover
	for _, scene := range []string{bench.SceneNoNotice, bench.SceneNotice, bench.SceneTransfer, bench.SceneNewcomer, bench.SceneLate, bench.SceneUnawares, bench.SceneHasty, bench.SceneDrained} {
		for _, h := range f.handoverVirtual {
			if h.Scene == scene && len(h.Gap) > 0 && (h.Leader == bench.ByLock) == (h.Who == bench.ByLock) {
				rows = append(rows, h)
			}
		}
	}
	const left, right, top, step, tall = 330.0, 100.0, 84.0, 52.0, 38.0
	const bins, low, decades = 48, 0.001, 4.0 // from 1 ms to 10 s
	d := &drawing{width: 960, height: top + step*float64(len(rows)) + 58}
	bottom := top + step*float64(len(rows))
	x := func(seconds float64) float64 {
		return left + math.Log10(min(max(seconds, low), 10)/low)/decades*(d.width-left-right)
	}
	d.text(24, 28, "start", ink, 17, "How long nobody leads when a leader is told to stop")
	d.text(24, 47, "start", grey, 12, "from the end of leading, or the release, to the next leader; virtual time, round trip 10 ms, heartbeat 5 s; logarithmic")
	for i, label := range []string{"1 ms", "10 ms", "100 ms", "1 s", "10 s"} {
		at := x(low * math.Pow10(i))
		d.line(at, top-8, at, bottom, faint, 1, "")
		d.text(at, bottom+16, "middle", grey, 11, "%s", label)
	}
	d.line(x(0.12), top-8, x(0.12), bottom, red, 1.2, "4 3")
	d.text(x(0.12)+4, top-12, "start", red, 11, "budget of the p99 with a notice")
	for i, h := range rows {
		base, shade := top+step*float64(i)+tall+6, blue
		if h.Leader == bench.ByLock {
			shade = brown
		}
		var heights [bins]float64
		for _, gap := range h.Gap {
			heights[min(int((x(gap.Seconds())-left)/(d.width-left-right)*bins), bins-1)]++
		}
		most := slices.Max(heights[:])
		for bin, n := range heights {
			if n > 0 {
				wide := (d.width - left - right) / bins
				d.bar(left+float64(bin)*wide+0.5, left+float64(bin+1)*wide-0.5, base-n/most*tall/2, n/most*tall, shade, 0.55)
			}
		}
		p50, p99 := bench.Quantile(h.Gap, 0.5), bench.Quantile(h.Gap, 0.99)
		d.line(left, base, d.width-right, base, faint, 1, "")
		d.dot(x(p50.Seconds()), base, 4, shade)
		d.line(x(p99.Seconds()), base-tall, x(p99.Seconds()), base+4, shade, 1.5, "")
		first, second := halves(h.Scene)
		d.text(left-12, base-16, "end", ink, 12, "%s", h.Leader+": "+first)
		d.text(left-12, base-1, "end", grey, 11, "%s", second)
		d.text(d.width-right+8, base-14, "start", shade, 11, "p50 %s", short(p50))
		d.text(d.width-right+8, base, "start", shade, 11, "p99 %s", short(p99))
	}
	d.text(24, bottom+40, "start", grey, 11, "Dot: p50; bar: p99. An elector's work ends at once. The next leader of an elector is an elector, that of a lock client a lock client.")
	return d.svg("Time without a leader at a handover")
}

// halves divides a scene's text into two lines.
func halves(scene string) (first, second string) {
	for _, mark := range []string{"; ", ", "} {
		if first, second, ok := strings.Cut(scene, mark); ok {
			return first, second
		}
	}
	return scene, ""
}

// costChart shows what one pays for which failover time.
func (f *findings) costChart() string {
	type point struct{ seconds, dollars float64 }
	type curve struct {
		name   string
		colour colour
		points []point
	}
	var curves []curve
	own := curve{"leaderkit", blue, nil}
	for _, c := range f.cost {
		if p50, _, ok := f.failoverOf(c.Lease); ok && c.Who == bench.ByLock {
			own.points = append(own.points, point{p50 * c.Lease.Seconds(), monthly(c).dollars()})
		}
	}
	curves = append(curves, own)
	for i, r := range rivals {
		c := curve{r.name, []colour{brown, grey}[i%2], nil}
		for _, lease := range bench.Leases {
			c.points = append(c.points, point{r.failover * lease.Seconds(), r.bill(lease, bench.Waiters).dollars()})
		}
		curves = append(curves, c)
	}

	const left, right, top, bottom = 70.0, 250.0, 70.0, 400.0
	d := &drawing{width: 960, height: 476}
	x := func(seconds float64) float64 {
		return left + math.Log(seconds/4)/math.Log(100.0/4)*(d.width-left-right)
	}
	y := func(dollars float64) float64 {
		return bottom - math.Log(dollars/0.05)/math.Log(10/0.05)*(bottom-top)
	}
	d.text(24, 28, "start", ink, 17, "What a month costs, against how soon a crashed leader is replaced")
	d.text(24, 47, "start", grey, 12, "one leader, 2 waiters, leases of 5, 15 and 60 s; on-demand prices, %s; both scales logarithmic", priceRegion)
	for _, seconds := range []float64{5, 10, 20, 30, 60, 90} {
		d.line(x(seconds), top, x(seconds), bottom, faint, 1, "")
		d.text(x(seconds), bottom+16, "middle", grey, 11, "%.0f s", seconds)
	}
	for _, dollars := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10} {
		d.line(left, y(dollars), d.width-right, y(dollars), faint, 1, "")
		d.text(left-8, y(dollars)+4, "end", grey, 11, "$%.2f", dollars)
	}
	d.text((left+d.width-right)/2, bottom+38, "middle", grey, 12, "median time from the last renewal to the next leader")
	d.text(24, bottom+60, "start", grey, 11, "leaderkit: measured. The others: from their protocols and from a failover measured earlier and elsewhere, scaled to the lease.")
	for _, c := range curves {
		for i, at := range c.points {
			if i > 0 {
				before := c.points[i-1]
				d.line(x(before.seconds), y(before.dollars), x(at.seconds), y(at.dollars), c.colour, 2, "")
			}
			d.dot(x(at.seconds), y(at.dollars), 4.5, c.colour)
			d.text(x(at.seconds), y(at.dollars)-10, "middle", c.colour, 11, "$%.2f", at.dollars)
		}
		if n := len(c.points); n > 0 {
			d.text(x(c.points[n-1].seconds)+12, y(c.points[n-1].dollars)+4, "start", c.colour, 12, "%s", c.name)
		}
	}
	return d.svg("Cost of a month against failover time")
}
