package shards

import (
	"maps"
	"slices"
)

// Where MaxPerReplica limits the group, a shard that leaves a replica which is full can't come with
// another in exchange: the replica may not lead both, and while it leads neither nobody does. So
// members say in their entries what they lead, and the assignment lets them keep it (assignRest).

// marks has a bit for each shard of a plan: the lowest bit of the first byte is the first shard's.
// Zeros at the end are left out.
type marks []byte

func (m marks) has(i int) bool { return i/8 < len(m) && m[i/8]>>(i%8)&1 == 1 }

func (m *marks) set(i int) {
	for len(*m) <= i/8 {
		*m = append(*m, 0)
	}
	(*m)[i/8] |= 1 << (i % 8)
}

// leads are the marks of those shards that this replica says it keeps: those that belong to it, and
// that it has led since. Called with mu held.
func (r *run) leads() string {
	if r.most == 0 {
		return ""
	}
	var m marks
	for _, s := range r.shards {
		if i, known := slices.BinarySearch(r.names, s.name); known && s.mine && s.led {
			m.set(i)
		}
	}
	return string(m)
}

// leadsOf returns for each of n shards the index of the member that says that it leads it, or
// nobody. Where two say so, the shard counts as that of the first. nil: nobody says anything.
func leadsOf(n int, ids []string, members map[string]member) []int {
	var leads []int
	for k, id := range slices.Backward(ids) {
		m := marks(members[id].leads)
		if len(m) > 0 && leads == nil {
			leads = slices.Repeat([]int{nobody}, n)
		}
		for i := range min(n, 8*len(m)) {
			if m.has(i) {
				leads[i] = k
			}
		}
	}
	return leads
}

// keepsOf is what an assignment depends on besides keyOf.
func keepsOf(members map[string]member) map[string]string {
	keeps := map[string]string{}
	for id, m := range members {
		if m.leads != "" {
			keeps[id] = m.leads
		}
	}
	return keeps
}

// sameAs is whether two views say the same of who should lead what.
func (v *view) sameAs(other *view) bool {
	return v.key == other.key && slices.Equal(v.owners, other.owners)
}

// isOf is whether a view was computed from this.
func (v *view) isOf(key string, keeps map[string]string) bool {
	return v != nil && v.key == key && maps.Equal(v.keeps, keeps)
}
