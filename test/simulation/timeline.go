package simulation

import (
	"fmt"
	"io"
	"time"
)

// timeline is all that has happened in a run. The world's mu guards it.
type timeline struct {
	entries []entry
	clients *[]*client
}

type entry struct {
	at      time.Duration
	machine int // -1: none
	client  int // -1: none
	call    *call
	what    string
	detail  string
}

func (t *timeline) add(at time.Duration, machine, client int, what, detail string) {
	t.entries = append(t.entries, entry{at: at, machine: machine, client: client, what: what, detail: detail})
}

// addCall adds an entry, if the process still lived when the run ended. The requests of one that
// had crashed fail at one instant then, and the scheduler decides which it sends again first.
func (t *timeline) addCall(at time.Duration, x *call, what, detail string) {
	if x.client.process.undead {
		return
	}
	t.entries = append(t.entries, entry{at: at, machine: x.client.machine.id, client: x.client.number, call: x, what: what, detail: detail})
}

// who is the node in an entry.
func (t *timeline) who(e entry) string {
	switch {
	case e.client >= 0:
		return (*t.clients)[e.client].String()
	case e.machine >= 0:
		return fmt.Sprintf("m%d", e.machine)
	default:
		return ""
	}
}

func (t *timeline) line(e entry) string {
	what := e.what
	if e.call != nil {
		what = fmt.Sprintf("%s #%d %s", e.call.kind, e.call.number, what)
	}
	if e.detail != "" {
		what += ": " + e.detail
	}
	return fmt.Sprintf("%14.6fs  %-24s %s", e.at.Seconds(), t.who(e), what)
}

// write prints the last so many entries; 0: all.
func (t *timeline) write(out io.Writer, last int) {
	from := 0
	if last > 0 && len(t.entries) > last {
		from = len(t.entries) - last
		fmt.Fprintf(out, "  (%d earlier events: -trace shows all)\n", from)
	}
	for _, e := range t.entries[from:] {
		fmt.Fprintln(out, t.line(e))
	}
}
