package shards

import (
	"maps"
	"slices"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

const (
	// listenPeriod is the time between two reads of a handover that has begun.
	listenPeriod = 25 * time.Millisecond
	// toldFor is how long a release stays in the handover. By then all that listen have read it.
	toldFor = 2 * time.Second
	// mostTold is how many bytes the names of the released shards may have: an item holds 400 KB,
	// and this one is read often.
	mostTold = 64 << 10
)

// herald writes this member's handover whenever that has changed.
func (r *run) herald() {
	for sequence, failures := int64(1), 0; ; sequence++ {
		id, h, changed := r.announcement(sequence)
		if !changed {
			select {
			case <-r.called:
				continue
			case <-r.ctx.Done():
				return
			}
		}
		if err := r.group.tell(r.ctx, id, h); err != nil {
			failures++
			r.log(1, msgFailed, "error", textOf(err))
			r.untold()
			if !lease.Sleep(r.ctx, r.clock, min(r.backoff(failures), r.Heartbeat)) {
				return
			}
			continue
		}
		failures = 0
		r.told(h)
	}
}

// announcement returns what the handover has to say now.
func (r *run) announcement(sequence int64) (id string, h handover, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &r.moves
	if !m.changed || r.id == "" {
		return "", handover{}, false
	}
	m.changed, r.announced = false, true
	now := r.uptime()
	m.released = slices.DeleteFunc(m.released, func(e release) bool { return now-e.at > toldFor })
	h = handover{moving: m.under, sequence: sequence}
	bytes := 0
	for _, e := range slices.Backward(m.released) {
		if bytes += len(e.shard); bytes > mostTold {
			break // whoever waits for the older ones finds them when it looks at their locks
		}
		if !slices.Contains(h.released, e.shard) {
			h.released = append(h.released, e.shard)
		}
	}
	slices.Sort(h.released)
	return r.id, h, true
}

func (r *run) untold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moves.changed = true
}

func (r *run) told(h handover) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.moving && r.moves.under && r.moves.told == 0 {
		r.moves.told = r.uptime()
		nudge(r.kicked)
	}
}

// escort looks which of the released shards are led again, so that no more are on their way than
// the others can take over at once.
func (r *run) escort() {
	for {
		names := r.onTheWay()
		if len(names) == 0 {
			select {
			case <-r.gone:
				continue
			case <-r.ctx.Done():
				return
			}
		}
		free, err := r.group.free(r.ctx, names)
		if err != nil {
			r.log(1, msgFailed, "error", textOf(err))
		}
		r.mu.Lock()
		now := r.uptime()
		for _, name := range names {
			since, waits := r.moves.unclaimed[name]
			switch after := now - since; {
			case !waits:
			case err == nil && !free[name]:
				delete(r.moves.unclaimed, name)
				r.moves.window.claimed(after, now)
			case after > lostSight:
				delete(r.moves.unclaimed, name)
				r.moves.window.unclaimed()
			}
		}
		r.mu.Unlock()
		nudge(r.kicked)
		if !lease.Sleep(r.ctx, r.clock, listenPeriod) {
			return
		}
	}
}

// onTheWay are shards that are released and not led again, as far as is known.
func (r *run) onTheWay() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Sorted(maps.Keys(r.moves.unclaimed))
	return names[:min(len(names), batch)]
}

// hear takes in the handover of another member. Called with mu held.
func (r *run) hear(id string, h handover) {
	if !h.moving {
		if r.movers[id] {
			nudge(r.nudged) // its last releases may not have been read: look at the locks
		}
		delete(r.movers, id)
		delete(r.heard, id)
		return
	}
	r.movers[id] = true
	heard := r.heard[id]
	if heard == nil {
		heard = map[string]bool{}
		r.heard[id] = heard
	}
	released := make(map[string]bool, len(h.released))
	for _, name := range h.released {
		released[name] = true
		if s := r.shards[name]; !heard[name] && s.waits() {
			heard[name] = true
			r.try(s)
		}
	}
	maps.DeleteFunc(heard, func(name string, _ bool) bool { return !released[name] })
}

// listen reads the handovers of members that move shards, often, while this replica waits for any
// of them.
func (r *run) listen() {
	for {
		movers := r.listensTo()
		if len(movers) == 0 {
			select {
			case <-r.alerted:
				continue
			case <-r.ctx.Done():
				return
			}
		}
		handovers, err := r.group.handovers(r.ctx, movers)
		pause := listenPeriod
		if err != nil {
			r.log(1, msgFailed, "error", textOf(err))
			pause *= 10
		}
		r.mu.Lock()
		for _, id := range movers {
			if h, there := handovers[id]; there || err == nil {
				r.hear(id, h)
			}
		}
		r.mu.Unlock()
		if !lease.Sleep(r.ctx, r.clock, pause) {
			return
		}
	}
}

// listensTo are the members whose handovers matter: none while this replica waits for no shard.
func (r *run) listensTo() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shards {
		if s.waits() || s.stage == acquiring {
			return slices.Sorted(maps.Keys(r.movers))
		}
	}
	clear(r.movers)
	clear(r.heard)
	return nil
}
