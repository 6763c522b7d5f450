package election

import (
	"html/template"
	"time"
)

// pageData is what the page shows.
type pageData struct {
	status
	Now   string
	Stale bool // the store has not answered for a lease: another may lead by now
	now   time.Time
}

func newPageData(s status, stale bool, now time.Time) pageData {
	return pageData{status: s, Now: stamp(now), Stale: stale, now: now.UTC()}
}

// Ago says how long ago a stamp was.
func (d pageData) Ago(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return ""
	}
	return max(d.now.Sub(t), 0).Round(time.Second).String()
}

// Lasted says how long a reign lasted, or has lasted so far.
func (d pageData) Lasted(r reign) string {
	since, err := time.Parse(time.RFC3339, r.Since)
	until, openEnd := time.Parse(time.RFC3339, r.Until)
	switch {
	case err != nil:
		return ""
	case openEnd != nil:
		return d.Ago(r.Since) + " so far"
	}
	return max(until.Sub(since), 0).String()
}

// statusPage needs no script, and nothing from elsewhere. It reloads every 10 seconds.
var statusPage = template.Must(template.New("status").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="10">
<title>{{if .Stale}}out of date{{else if .Name}}{{.Name}} leads{{else}}no leader{{end}}{{with .Election}} · {{.}}{{end}}</title>
<style>
:root { --ink: #1d2430; --soft: #5b6675; --ground: #f5f6f8; --card: #ffffff; --line: #dde1e7; --good: #1a7f4b; --warn: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaf0; --soft: #9aa5b5; --ground: #14181f; --card: #1d232d; --line: #313a48; --good: #5fd39a; --warn: #ff8a80; }
}
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1rem; font-weight: 600; color: var(--soft); margin: 0 0 .75rem; }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.3rem; margin-bottom: 1rem; }
.leader { font-size: 1.7rem; font-weight: 650; line-height: 1.25; overflow-wrap: anywhere; margin: 0; }
.none { color: var(--warn); }
.problem { border-color: var(--warn); color: var(--warn); overflow-wrap: anywhere; }
.soft, footer { color: var(--soft); }
p { margin: .35rem 0 0; }
dl { display: grid; grid-template-columns: 9rem 1fr; gap: .35rem 1rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.leads { color: var(--good); font-weight: 600; }
.wide { overflow-x: auto; padding: .3rem 0; }
table { font-size: .92rem; border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--soft); }
th, td { padding: .4rem 1.3rem .4rem 0; border-top: 1px solid var(--line); white-space: nowrap; }
tr:first-child th { border-top: 0; }
th:first-child, td:first-child { padding-left: 1.3rem; white-space: normal; overflow-wrap: anywhere; min-width: 11rem; }
footer { font-size: .85rem; }
</style>
</head>
<body>
<main>
<h1>{{with .Election}}Election {{.}}{{else}}Leader election{{end}}</h1>
<section>
{{if .Name}}<p class="leader{{if .Stale}} none{{end}}">{{.Name}} {{if .Stale}}led when the store last answered{{else}}leads{{end}}</p>
<p class="soft">first seen {{.Ago .Since}} ago, at {{.Since}}{{if .FencingToken}} · fencing token {{.FencingToken}}{{end}}</p>
{{else}}<p class="leader none">No leader is known</p>{{end}}
</section>
{{with .Problem}}<section class="problem">{{.}}</section>{{end}}
<section>
<dl>
<dt>This replica</dt><dd>{{.Identity}}</dd>
<dt>State</dt><dd{{if .IsLeader}} class="leads"{{end}}>{{.State}}</dd>
<dt>Last contact</dt><dd{{if .Stale}} class="none"{{end}}>{{if .LastContact}}the store answered {{.Ago .LastContact}} ago{{if .Stale}}, more than a lease: another replica may lead by now{{end}}{{else}}the store has not answered yet{{end}}</dd>
</dl>
</section>
{{if .Recent}}<h2>Recent leaders, as this replica saw them</h2>
<section class="wide">
<table>
<tr><th>Leader</th><th>Since</th><th>Led for</th><th>Previous leader</th><th>Fencing token</th></tr>
{{range .Recent}}<tr><td>{{.Name}}</td><td>{{.Since}}</td><td>{{$.Lasted .}}</td><td>{{if eq .How "first"}}not seen{{else}}{{.How}}{{end}}</td><td>{{if .FencingToken}}{{.FencingToken}}{{end}}</td></tr>
{{end}}</table>
</section>{{end}}
<footer>As of {{.Now}}. Reloads every 10 seconds. Requests that do not accept <code>text/html</code> get JSON.</footer>
</main>
</body>
</html>
`))
