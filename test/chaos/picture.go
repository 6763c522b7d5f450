package chaos

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
)

// The measures of the picture.
const (
	pictureWidth = 960
	margin       = 24
	labelWidth   = 128
	rowHeight    = 38
	barHeight    = 24
)

// colours are on a light card, and on a dark one where the viewer says that the reader prefers it.
// A viewer that says nothing shows the light card, which is legible on any page.
var colours = []struct{ name, light, dark string }{
	{"card", "#ffffff", "#161b22"},
	{"ink", "#1f2328", "#e6edf3"},
	{"faint", "#d0d7de", "#30363d"},
	{"grey", "#59636e", "#9198a1"},
	{"blue", "#0969da", "#1f6feb"},
	{"red", "#cf222e", "#da3633"},
	{"green", "#1a7f37", "#3fb950"},
	{"alarm", "#cf222e", "#f85149"},
	{"onbar", "#ffffff", "#ffffff"},
	{"muted", "#59636e", "#59636e"}, // under onbar
}

// bar is an operation in the picture.
type bar struct {
	event
	row       int    // 0: of the process that stood still, 1: of others, 2: a read
	colour    string // red: no order explains it
	call, end int    // places on the axis
}

// drawing is an SVG that is being written.
type drawing struct{ bytes.Buffer }

// DrawHistories draws what became of the two counters when a process stood still between its look
// at the lock and its writes, as an SVG. What happened first is further to the left; distances mean
// nothing.
func DrawHistories(h Histories, late string) ([]byte, error) {
	spans := func(e event) bool { return e.process == late && e.Input.(operation).increment }
	lost, refused := slices.IndexFunc(h.unfenced, spans), slices.IndexFunc(h.refused, spans)
	if lost < 0 || refused < 0 {
		return nil, fmt.Errorf("chaos: %s has no late increment of both counters", late)
	}
	var d drawing
	d.text(margin, 40, "ink", 17, "start", "A holder stands still between its check and its write")
	d.text(margin, 62, "grey", 13, "start", "Two real processes, A and B. A bar is one increment, from its read to its answer, with the value that it wrote.")
	d.text(margin, 80, "grey", 13, "start", "The order is real, the distances are not. No order of the operations explains the red ones.")
	before, after := h.around(h.unfenced[lost])
	verdict := fmt.Sprintf("not linearizable: %d increments are lost", before-after+1)
	y := d.panel(114, "Without the guard", verdict, "alarm", h.choose(h.unfenced, h.unfenced[lost], h.explained))
	y = d.panel(y+26, "With the guard", "linearizable: the late write is refused", "green", h.choose(h.fenced, h.refused[refused], nil))
	return d.svg(y + 8), nil
}

// around are the counter's values before and after the late write of an unguarded increment.
func (h Histories) around(late event) (before, after int64) {
	for _, e := range h.unfenced {
		if e.process != late.process && e.Return < late.Return {
			before = max(before, e.value)
		}
	}
	return before, late.value
}

// choose picks the operations to draw: the late one; the first and the last ones that ended during
// it; and some that ended after it. explained nil: all are explained.
func (h Histories) choose(all []event, late event, explained map[int]bool) []bar {
	bars := []bar{{event: late, row: 0, colour: "muted"}}
	var during, after, readsBefore, readsAfter []bar
	for i, e := range all {
		b := bar{event: e, row: 1, colour: "blue"}
		if explained != nil && !explained[i] {
			b.colour = "red"
		}
		read := !e.Input.(operation).increment
		if read {
			b.row = 2
		}
		switch {
		case e.Call == late.Call:
			bars[0].colour = b.colour
		case e.process == late.process || e.Return < late.Call:
		case e.Return < late.Return && read:
			readsBefore = append(readsBefore, b)
		case e.Return < late.Return:
			during = append(during, b)
		case read:
			readsAfter = append(readsAfter, b)
		default:
			after = append(after, b)
		}
	}
	byCall := func(a, b bar) int { return cmp.Compare(a.Call, b.Call) }
	for _, some := range [][]bar{during, after, readsBefore, readsAfter} {
		slices.SortFunc(some, byCall)
	}
	bars = append(bars, during[:min(3, len(during))]...)
	bars = append(bars, during[max(min(3, len(during)), len(during)-4):]...)
	bars = append(bars, readsBefore[max(0, len(readsBefore)-1):]...)
	bars = append(bars, readsAfter[:min(1, len(readsAfter))]...)
	bars = append(bars, after[:min(3, len(after))]...)
	place(bars)
	return bars
}

// place puts the ends of the bars in their order.
func place(bars []bar) {
	var times []int64
	for _, b := range bars {
		times = append(times, b.Call, b.Return)
	}
	slices.Sort(times)
	times = slices.Compact(times)
	for i := range bars {
		bars[i].call, _ = slices.BinarySearch(times, bars[i].Call)
		bars[i].end, _ = slices.BinarySearch(times, bars[i].Return)
	}
}

// panel draws one counter's history at y and returns where it ends.
func (d *drawing) panel(y float64, title, verdict, colour string, bars []bar) float64 {
	d.text(margin, y, "ink", 15, "start", title)
	d.text(pictureWidth-margin, y, colour, 15, "end", verdict)
	rows := []string{"A, stands still", "B, takes over", "reads"}
	places := 0
	for _, b := range bars {
		places = max(places, b.end)
	}
	unit := float64(pictureWidth-2*margin-labelWidth) / float64(places)
	at := func(place int) float64 { return margin + labelWidth + unit*float64(place) }
	middle := func(row int) float64 { return y + 36 + rowHeight*float64(row) }
	for row, label := range rows {
		d.text(margin, middle(row)+4, "grey", 13, "start", label)
		d.line(margin+labelWidth, middle(row), pictureWidth-margin, middle(row))
	}
	var last *bar
	for i, b := range bars {
		if b.row == 0 {
			d.late(b, at(b.call), at(b.end), unit, middle(0))
			continue
		}
		if b.row == 1 {
			if last != nil && b.value > last.value+1 {
				d.text((at(last.end)+at(b.call))/2, middle(1)-3, "grey", 15, "middle", "…")
			}
			last = &bars[i]
		}
		d.bar(at(b.call), at(b.end), middle(b.row), b.colour)
		d.text((at(b.call)+at(b.end))/2, middle(b.row)+4.5, "onbar", 13, "middle", fmt.Sprint(b.value))
	}
	return middle(2) + barHeight
}

// late draws the increment of the process that stood still: its read, the pause and its write.
func (d *drawing) late(b bar, from, to, unit, y float64) {
	width := max(unit, 62)
	word, colour := fmt.Sprintf("writes %d", b.value), b.colour
	if b.outcome == Refused {
		word, colour = "refused", "muted"
	}
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" class="hollow" fill="none" stroke="#59636e" stroke-dasharray="4 4"/>`+"\n",
		from+width, y-barHeight/2, to-from-2*width, barHeight)
	d.bar(from, from+width, y, colour)
	d.bar(to-width, to, y, colour)
	d.text(from+width/2, y+4.5, "onbar", 13, "middle", fmt.Sprintf("reads %d", b.value-1))
	d.text(to-width/2, y+4.5, "onbar", 13, "middle", word)
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="300" height="18" class="card" fill="#ffffff"/>`+"\n", (from+to)/2-150, y-9)
	d.text((from+to)/2, y+4.5, "grey", 13, "middle", "checks HasLock, then SIGSTOP past its lease")
}

func (d *drawing) line(x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="axis" stroke="#d0d7de"/>`+"\n", x1, y1, x2, y2)
}

func (d *drawing) bar(x1, x2, y float64, colour string) {
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="3" class="%s" fill="%s"/>`+"\n", x1, y-barHeight/2, x2-x1, barHeight, colour, lightOf(colour))
}

// text writes at the baseline y; anchor is start, middle or end.
func (d *drawing) text(x, y float64, colour string, size int, anchor, text string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s" fill="%s" font-size="%d">`, x, y, anchor, colour, lightOf(colour), size)
	_ = xml.EscapeText(d, []byte(text))
	d.WriteString("</text>\n")
}

func lightOf(colour string) string {
	for _, c := range colours {
		if c.name == colour {
			return c.light
		}
	}
	panic("chaos: no colour " + colour)
}

func (d *drawing) svg(bottom float64) []byte {
	var s bytes.Buffer
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" role="img" `+
		`font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">`+"\n", pictureWidth, bottom, pictureWidth, bottom)
	s.WriteString("<title>The histories of an unguarded and a guarded counter</title>\n<style>@media (prefers-color-scheme: dark) {")
	for _, c := range colours {
		fmt.Fprintf(&s, " .%s { fill: %s }", c.name, c.dark)
	}
	s.WriteString(" .axis, .frame { stroke: #30363d } .hollow { stroke: #9198a1 } }</style>\n")
	fmt.Fprintf(&s, `<rect x="0.5" y="0.5" width="%d" height="%.0f" rx="6" class="card frame" fill="#ffffff" stroke="#d0d7de"/>`+"\n", pictureWidth-1, bottom-1)
	s.Write(d.Bytes())
	s.WriteString("</svg>\n")
	return s.Bytes()
}
