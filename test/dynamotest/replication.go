package dynamotest

import "time"

// change is one write of one item on its way to another Region.
type change struct {
	number uint64 // among all changes: of two, the last writer's is the higher
	at     time.Time
	table  *table // of the history, or of the Region that wrote
	key    key
	item   item // nil: deleted
}

// commitWrite makes a planned write's change.
func (e *Engine) commitWrite(w *write) {
	w.commit()
	if !w.old.equal(w.new) { // what changes nothing is not replicated
		e.publish(w.table, w.key, w.new)
	}
}

// publish sends a change that the engine has just made to the Regions. The mutex is held.
func (e *Engine) publish(t *table, k key, it item) {
	r := e.region
	if r == nil {
		return
	}
	g := r.global
	g.changes++
	c := change{number: g.changes, at: now(), table: t, key: k, item: it}
	if !g.strong {
		r.stamps[t.itemID(k)] = c.number
	}
	for _, to := range g.regions {
		if g.strong || to != r {
			to.inbox[r.index] = append(to.inbox[r.index], c)
		}
	}
}

// deliver has all changes arrive that are due. The mutex is held.
func (g *GlobalTable) deliver() { g.deliverUntil(now().Add(-g.lag)) }

// deliverUntil has the changes arrive that were made until then; the zero time stands for all.
func (g *GlobalTable) deliverUntil(then time.Time) {
	for _, to := range g.regions {
		for i, waiting := range to.inbox {
			arrived := 0
			for _, c := range waiting {
				if !then.IsZero() && c.at.After(then) || g.blocked(g.regions[i], to) || !to.receive(c) {
					break
				}
				arrived++
			}
			to.inbox[i] = waiting[arrived:]
		}
	}
}

// blocked: nothing gets from one Region to the other. What a strongly consistent table has written
// is in two Regions, and does not need the one that wrote it.
func (g *GlobalTable) blocked(from, to *Region) bool {
	return from != to && (to.cutOff || from.cutOff && !g.strong)
}

// receive puts a change into the replica, unless a later one is there. It is false when it has to
// wait for a transaction that has the item.
func (r *Region) receive(c change) bool {
	t := r.replica[c.table.name]
	if t == nil || t.number != c.table.number {
		return true // the table has been deleted
	}
	id := t.itemID(c.key)
	if r.engine.held[id] != nil {
		return false
	}
	if c.number < r.stamps[id] {
		return true
	}
	r.stamps[id] = c.number
	if c.item == nil {
		t.delete(c.key)
	} else {
		t.put(c.key, c.item)
	}
	return true
}

// addTable makes a table known: in all Regions, if there are several.
func (e *Engine) addTable(t *table) {
	e.tables[t.name] = t
	if e.region == nil {
		return
	}
	g := e.region.global
	g.tables++
	t.number = g.tables
	for _, r := range g.regions {
		if r.replica[t.name] == nil {
			r.replica[t.name] = t.empty()
		}
	}
}

// dropTable makes it unknown again.
func (e *Engine) dropTable(name string) {
	delete(e.tables, name)
	if e.region != nil {
		for _, r := range e.region.global.regions {
			delete(r.replica, name)
		}
	}
}

// replicas are the tables that share a setting with t.
func (e *Engine) replicas(t *table) []*table {
	if e.region == nil {
		return []*table{t}
	}
	var all []*table
	for _, r := range e.region.global.regions {
		all = append(all, r.replica[t.name])
	}
	return all
}

// empty is a table with the same definition.
func (t *table) empty() *table {
	c := *t
	c.partitions, c.byHash = nil, map[string]*partition{}
	return &c
}

// describe is t's description, as the engine's Region gives it.
func (e *Engine) describe(t *table) reply {
	description := t.describe()
	if e.region == nil {
		return description
	}
	g := e.region.global
	var replicas []reply
	for _, r := range g.regions {
		if r != e.region {
			replicas = append(replicas, reply{"RegionName": r.name, "ReplicaStatus": "ACTIVE"})
		}
	}
	description["TableArn"] = "arn:aws:dynamodb:" + e.region.name + ":000000000000:table/" + t.name
	description["Replicas"] = replicas
	description["GlobalTableVersion"] = "2019.11.21"
	description["MultiRegionConsistency"] = "EVENTUAL"
	if g.strong {
		description["MultiRegionConsistency"] = "STRONG"
	}
	if g.witness != "" {
		description["GlobalTableWitnesses"] = []reply{{"RegionName": g.witness, "WitnessStatus": "ACTIVE"}}
	}
	return description
}
