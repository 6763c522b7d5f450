package shards

import "time"

// Metrics takes a replica's figures. name is Config.Name. Its methods are called one at a time, and
// not by what leads: one that blocks delays only the next figures.
type Metrics interface {
	// Leading: the replica leads so many shards at this moment.
	Leading(name string, shards int)
	// Assigned: so many shards belong to the replica, of as many members as take part. Where
	// Leading stays below it, shards wait.
	Assigned(name string, shards, members int)
	// SinceHeartbeat is the age of the session's lease, several times a heartbeat.
	SinceHeartbeat(name string, age time.Duration)
	// TermEnded: the replica stopped leading a shard, for this cause.
	TermEnded(name, shard string, lasted time.Duration, cause string)
}

// tellLeading tells how many shards are led. Changes that come faster than the metrics take them
// are told as one. Called with mu held.
func (r *run) tellLeading() {
	r.board.leads(r.leading)
	if r.metrics == nil || r.telling {
		return
	}
	r.telling = true
	r.sinks.Send(func() {
		r.mu.Lock()
		r.telling = false
		n := r.leading
		r.mu.Unlock()
		r.metrics.Leading(r.name, n)
	})
}

// tellLease tells how old the lease is, and again how many shards are led: where the metrics
// blocked for long, that was dropped.
func (r *run) tellLease(age time.Duration) {
	if m := r.metrics; m != nil {
		r.sinks.Send(func() { m.SinceHeartbeat(r.name, age) })
		r.mu.Lock()
		n := r.leading
		r.telling = false
		r.mu.Unlock()
		r.sinks.Send(func() { m.Leading(r.name, n) })
	}
}

// tellView tells of a new assignment. Called with mu held.
func (r *run) tellView(v *view) {
	parts := v.part()
	g := Group{Shards: len(v.names), Leading: r.leading}
	for i, id := range v.ids {
		g.Members = append(g.Members, Member{Identity: v.identities[i], Weight: r.roster.members[id].weight, Shards: parts[i], Self: i == v.self})
	}
	r.board.write(g)
	if m := r.metrics; m != nil {
		own, members := parts[v.self], len(v.ids)
		r.sinks.Send(func() { m.Assigned(r.name, own, members) })
	}
}
