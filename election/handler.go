package election

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// status is the answer of Handler.
type status struct {
	Name         string  `json:"name"`
	FencingToken int64   `json:"fencingToken,omitempty"`
	Identity     string  `json:"identity"`
	IsLeader     bool    `json:"isLeader"`
	State        string  `json:"state"`
	Election     string  `json:"election,omitempty"`
	Since        string  `json:"since,omitempty"`
	LastContact  string  `json:"lastContact,omitempty"`
	Problem      string  `json:"problem,omitempty"`
	Recent       []reign `json:"recent,omitempty"`
}

// reign is one leader's stretch of leading, as this elector saw it.
type reign struct {
	Name         string `json:"name"`
	FencingToken int64  `json:"fencingToken,omitempty"`
	How          string `json:"how"`
	Since        string `json:"since"`
	Until        string `json:"until,omitempty"`
}

// Handler answers GET with who leads, as JSON:
//
//	{"name": "<leader>", "fencingToken": 7, "identity": "<this elector>", "isLeader": false,
//	 "state": "campaigning", "election": "<Name>",
//	 "since": "2026-01-02T03:04:05Z", "lastContact": "2026-01-02T03:14:05Z",
//	 "recent": [{"name": "<leader>", "fencingToken": 7, "how": "released",
//	             "since": "2026-01-02T03:04:05Z"}, ...]}
//
// name is "" while no leader is known. state is a name in the drawing of the package comment. since
// is when this elector first saw that leader, lastContact is LastContact, and problem is what
// Check(0) reports, if anything. recent has the latest leaders, 10 at most, the latest first. how
// is "first", "released", "expired", or "unknown" (README.md). Times are UTC. What is not known is
// left out.
//
// A browser, which is a request that accepts text/html, gets a page that shows the same. The page
// warns if the store has not answered for a lease, because another may lead by then. No request to
// the store is sent.
func (e *LeaderElector) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are allowed", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Vary", "Accept")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		s := e.status()
		if !strings.Contains(req.Header.Get("Accept"), "text/html") {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(s)
			return
		}
		var page bytes.Buffer
		if err := statusPage.Execute(&page, newPageData(s, e.stale(), e.clock.Wall())); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = page.WriteTo(w)
	})
}

// stale reports whether the store last answered so long ago that another may have taken the lock
// since.
func (e *LeaderElector) stale() bool {
	last := e.lastContact()
	return last != nil && !e.IsLeader() && lease.Now(e.clock).Since(*last) > e.figures.Lease
}

func (e *LeaderElector) status() status {
	leader, reigns := e.board.history()
	e.mu.Lock()
	state := e.state
	e.mu.Unlock()
	s := status{
		Name:         leader.Identity,
		FencingToken: leader.FencingToken,
		Identity:     e.config.Lock.Identity(),
		IsLeader:     e.IsLeader(),
		State:        state.String(),
		Election:     e.config.Name,
		LastContact:  stamp(e.LastContact()),
	}
	if err := e.Check(0); err != nil {
		s.Problem = err.Error()
	}
	for _, r := range reigns {
		s.Recent = append(s.Recent, reign{r.leader.Identity, r.leader.FencingToken, r.how, stamp(r.since), stamp(r.until)})
	}
	if !leader.Vacant() && len(s.Recent) > 0 {
		s.Since = s.Recent[0].Since
	}
	return s
}

// stamp formats a time as JSON does; "" for the zero Time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
