package election

import (
	"encoding/json"
	"net/http"
)

// status is the answer of Handler.
type status struct {
	Name         string `json:"name"`
	FencingToken int64  `json:"fencingToken,omitempty"`
	Identity     string `json:"identity"`
	IsLeader     bool   `json:"isLeader"`
	State        string `json:"state"`
	Election     string `json:"election,omitempty"`
}

// Handler answers GET with who leads, as JSON:
//
//	{"name": "<leader>", "fencingToken": 7, "identity": "<this elector>", "isLeader": false, "state": "campaigning", "election": "<Name>"}
//
// name is "" while nobody is known to lead; state is a name of the drawing in the package comment. It sends no request.
func (e *LeaderElector) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "who leads can only be read: use GET", http.StatusMethodNotAllowed)
			return
		}
		leader := e.board.read()
		e.mu.Lock()
		state := e.state
		e.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(status{
			Name:         leader.Identity,
			FencingToken: leader.FencingToken,
			Identity:     e.config.Lock.Identity(),
			IsLeader:     e.IsLeader(),
			State:        state.String(),
			Election:     e.config.Name,
		})
	})
}
