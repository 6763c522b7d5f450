package shards

import "time"

// Metrics receives a replica's metrics. name is Config.Name. Its methods are called one at a time,
// in a goroutine of their own: one that blocks delays only the next metrics.
type Metrics interface {
	// Leading gets how many shards the replica leads at this moment.
	Leading(name string, shards int)
	// Assigned gets how many shards belong to the replica, and how many members share the shards.
	// While Leading is lower, shards wait.
	Assigned(name string, shards, members int)
	// SinceHeartbeat gets the age of the session's lease, several times a heartbeat.
	SinceHeartbeat(name string, age time.Duration)
	// TermEnded is called when the replica has stopped leading a shard, with the cause.
	TermEnded(name, shard string, lasted time.Duration, cause string)
}

// tellLeading passes on how many shards are led. Changes that come faster than the metrics take
// them are reported as one. Called with mu held.
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

// tellLease passes on how old the lease is, and again how many shards are led, because that was
// dropped if the metrics blocked for long.
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

// tellView passes on a new assignment. Called with mu held.
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
