package main

import (
	"encoding/json"
	"os"
	"time"

	"github.com/leaderkit/leaderkit/election"
)

// What a contender reports.
const (
	leads    = "leads"    // OnStartedLeading began
	believes = "believes" // IsLeader said yes
	stopping = "stopping" // the leading context has ended; Cause says why
	stopped  = "stopped"  // OnStoppedLeading
	follows  = "follows"  // OnNewLeader, of another
)

// report is one line, in JSON, that a contender prints for the demo. Times are those of the host's
// clock, which all of them share.
type report struct {
	Kind   string
	Token  int64  `json:",omitempty"`
	Leader string `json:",omitempty"`
	Cause  string `json:",omitempty"`

	// Asked and At lie before and after whatever is reported: it was true at some moment between
	// them.
	Asked, At time.Time

	// Renewed is when the last confirmed renewal was sent, for believes.
	Renewed time.Time `json:",omitzero"`

	Name string `json:"-"` // whose report it is; the demo fills it in
}

func (c *contender) report(r report) {
	r.At = time.Now()
	if r.Asked.IsZero() {
		r.Asked = r.At
	}
	line, err := json.Marshal(r)
	if err != nil {
		panic(err) // no report has anything in it that JSON can't hold
	}
	_, _ = os.Stdout.Write(append(line, '\n')) // if nobody reads it, this process is about to end
}

func (c *contender) reportBelief(term election.Term) {
	asked := time.Now()
	if !c.elector.IsLeader() {
		return
	}
	if age, held := c.lock.LeaseAge(); held {
		c.report(report{Kind: believes, Token: term.FencingToken, Asked: asked, Renewed: time.Now().Add(-age)})
	}
}
