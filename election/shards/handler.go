package shards

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// status is the answer of Handler.
type status struct {
	Name        string         `json:"name"`
	Identity    string         `json:"identity"`
	State       string         `json:"state"`
	Shards      int            `json:"shards"`
	Leading     []string       `json:"leading"`
	Assigned    int            `json:"assigned"`
	Members     []memberStatus `json:"members"`
	LastContact string         `json:"lastContact,omitempty"`
	Problem     string         `json:"problem,omitempty"`
}

type memberStatus struct {
	Identity string `json:"identity"`
	Weight   int    `json:"weight"`
	Shards   int    `json:"shards"`
	Self     bool   `json:"self,omitempty"`
}

// Handler answers GET with what this replica leads and how it sees the group, as JSON:
//
//	{"name": "orders", "identity": "<this replica>", "state": "serving", "shards": 512,
//	 "leading": ["17", "203", ...], "assigned": 171,
//	 "members": [{"identity": "<a replica>", "weight": 1, "shards": 171, "self": true}, ...],
//	 "lastContact": "2026-01-02T03:14:05Z", "problem": "..."}
//
// state is a name of the drawing in the package comment. assigned is how many shards belong to this
// replica. lastContact is when the group's item was read last, in UTC. problem is what Check(0)
// says, if anything. No request is sent to the store.
func (r *Replica) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are allowed", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_ = json.NewEncoder(w).Encode(r.status())
	})
}

func (r *Replica) status() status {
	group := r.board.read()
	r.mu.Lock()
	s := status{Name: r.name, Identity: r.source.identity(), State: idle.String(), Shards: len(r.names), Members: []memberStatus{}}
	if r.current != nil {
		s.State = r.current.state.String()
		if r.current.answered {
			since := lease.Now(r.clock).Since(r.contact)
			s.LastContact = r.clock.Wall().Add(-since).UTC().Format(time.RFC3339)
		}
	}
	r.mu.Unlock()
	s.Leading = r.Leading()
	for _, m := range group.Members {
		s.Members = append(s.Members, memberStatus(m))
		if m.Self {
			s.Assigned = m.Shards
		}
	}
	if err := r.Check(0); err != nil {
		s.Problem = err.Error()
	}
	return s
}
