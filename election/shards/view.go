package shards

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// view is the assignment, as one replica computes it.
type view struct {
	key        string            // what it was computed from,
	keeps      map[string]string // and what the members said that they lead
	names      []string          // of the shards, sorted
	owners     []int             // of each shard, an index of ids, or nobody
	ids        []string          // of the members that take part, sorted
	identities []string          // of the same
	self       int               // this replica's index
}

// owner returns the id of the member that a shard belongs to; "" if there is none. A nil view knows
// of none.
func (v *view) owner(shard string) string {
	if v == nil {
		return ""
	}
	i, found := slices.BinarySearch(v.names, shard)
	if !found || v.owners[i] == nobody {
		return ""
	}
	return v.ids[v.owners[i]]
}

// has is whether a member takes part.
func (v *view) has(id string) bool {
	_, found := slices.BinarySearch(v.ids, id)
	return found
}

// part returns how many shards belong to each member.
func (v *view) part() []int {
	parts := make([]int, len(v.ids))
	for _, owner := range v.owners {
		if owner != nobody {
			parts[owner]++
		}
	}
	return parts
}

// newView computes the assignment among those members that take part.
func newView(key string, names []string, most int, members map[string]member, self string) *view {
	v := &view{key: key, keeps: keepsOf(members), names: names, self: nobody - 1}
	for id := range members {
		v.ids = append(v.ids, id)
	}
	slices.Sort(v.ids)
	seats := make([]seat, len(v.ids))
	for i, id := range v.ids {
		seats[i] = seat{id, members[id].weight}
		v.identities = append(v.identities, members[id].identity)
		if id == self {
			v.self = i
		}
	}
	v.owners = assignRest(names, seats, most, leadsOf(len(names), v.ids, members))
	return v
}

// keyOf says what an assignment depends on, besides keepsOf.
func keyOf(plan string, members map[string]member) string {
	lines := make([]string, 0, len(members)+1)
	for id, m := range members {
		lines = append(lines, fmt.Sprint(id, " ", m.weight))
	}
	slices.Sort(lines)
	return strings.Join(append(lines, plan), "\n")
}

// participants are the members that an assignment is computed for: those that have the same plan
// and are not dead. Members that leave have no part any more, but still lead what they had.
func participants(members map[string]member, plan string, dead graves, withLeaving bool) map[string]member {
	part := map[string]member{}
	for id, m := range members {
		if m.plan == plan && !dead.has(id) && (withLeaving || !m.leaving) {
			part[id] = m
		}
	}
	return part
}

// review computes the assignment from what is known now, and makes the replica act on it. The
// steward and the watches call it. It does nothing if the replica does not serve.
func (r *run) review() {
	r.reviewing.Lock() // one at a time, so that a later view does not come before an earlier one
	defer r.reviewing.Unlock()
	r.mu.Lock()
	id, names, plan, old, roster := r.id, r.names, r.plan, r.view, r.roster
	part := participants(roster.members, plan, r.buried, false)
	former := participants(roster.members, plan, r.buried, true)
	r.mu.Unlock()
	if _, in := part[id]; !in {
		return
	}
	key := keyOf(plan, part)
	if old.isOf(key, keepsOf(part)) {
		return
	}
	v := newView(key, names, r.most, part, id)
	before := old
	if before == nil {
		// The members that are there already lead the shards as if this one were not.
		delete(former, id)
		before = newView("", names, r.most, former, "")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != serving || r.id != id {
		return
	}
	if old != nil && v.sameAs(old) {
		r.view = v
		return
	}
	r.before, r.view = before, v
	r.moves.seen = r.uptime()
	r.log(0, msgAssigned, "members", len(v.ids), "own", v.part()[v.self], "shards", len(names), "leading", r.leading)
	r.tellView(v)
	r.replan()
}

// hear of takes in that the store has answered.
func (r *run) heardOf() {
	now := lease.Now(r.clock)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trouble != nil {
		r.log(0, msgCanServe)
	}
	r.contact, r.trouble, r.answered = now, nil, true
}
