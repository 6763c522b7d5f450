package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// drawing is an SVG that is being written.
type drawing struct {
	width, height float64
	body          strings.Builder
}

// colour is one on a light card and one on a dark card. A viewer that knows nothing of the reader's
// preference shows the light card, which is opaque and so is legible on any page.
type colour struct{ name, light, dark string }

var (
	card  = colour{"card", "#ffffff", "#161b22"}
	ink   = colour{"ink", "#1f2328", "#e6edf3"}
	faint = colour{"faint", "#d0d7de", "#30363d"}
	grey  = colour{"grey", "#59636e", "#9198a1"}
	blue  = colour{"blue", "#0969da", "#4493f8"}
	red   = colour{"red", "#cf222e", "#f85149"}
	brown = colour{"brown", "#953800", "#db8d43"}
	green = colour{"green", "#1a7f37", "#3fb950"}
)

func (d *drawing) line(x1, y1, x2, y2 float64, c colour, width float64, dashes string) {
	fmt.Fprintf(&d.body, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="line-%s" stroke="%s" stroke-width="%.1f"`, x1, y1, x2, y2, c.name, c.light, width)
	if dashes != "" {
		fmt.Fprintf(&d.body, ` stroke-dasharray="%s"`, dashes)
	}
	d.body.WriteString("/>\n")
}

func (d *drawing) bar(x1, x2, y, height float64, c colour, opacity float64) {
	fmt.Fprintf(&d.body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s" fill="%s" fill-opacity="%.2f"/>`+"\n",
		x1, y-height/2, x2-x1, height, c.name, c.light, opacity)
}

func (d *drawing) dot(x, y, radius float64, c colour) {
	fmt.Fprintf(&d.body, `<circle cx="%.1f" cy="%.1f" r="%.1f" class="%s" fill="%s"/>`+"\n", x, y, radius, c.name, c.light)
}

// text writes at the baseline y; anchor is start, middle or end.
func (d *drawing) text(x, y float64, anchor string, c colour, size float64, format string, args ...any) {
	fmt.Fprintf(&d.body, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s" fill="%s" font-size="%.0f">`, x, y, anchor, c.name, c.light, size)
	_ = xml.EscapeText(&d.body, []byte(fmt.Sprintf(format, args...)))
	d.body.WriteString("</text>\n")
}

func (d *drawing) svg(title string) string {
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" `+
		`font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">`+"\n<title>", d.width, d.height, d.width, d.height)
	_ = xml.EscapeText(&s, []byte(title))
	s.WriteString("</title>\n<style>@media (prefers-color-scheme: dark) {")
	for _, c := range []colour{card, ink, faint, grey, blue, red, brown, green} {
		fmt.Fprintf(&s, " .%s { fill: %s } .line-%s { stroke: %s }", c.name, c.dark, c.name, c.dark)
	}
	s.WriteString(" }</style>\n")
	fmt.Fprintf(&s, `<rect x="0.5" y="0.5" width="%.0f" height="%.0f" rx="6" class="card line-faint" fill="%s" stroke="%s"/>`+"\n",
		d.width-1, d.height-1, card.light, faint.light)
	s.WriteString(d.body.String())
	s.WriteString("</svg>\n")
	return s.String()
}
