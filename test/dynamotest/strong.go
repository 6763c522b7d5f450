package dynamotest

import (
	"net/http"
	"time"
)

// isStrong: the engine is a Region of strongly consistent global tables.
func (e *Engine) isStrong() bool { return e.region != nil && e.region.global.strong }

// strongWrite is a write of a strongly consistent global table, which may take its time.
func (e *Engine) strongWrite(r *request, w *write, returnValues string) (reply, error) {
	for {
		answer, other, took, err := e.beginStrong(r, w, returnValues)
		switch {
		case other != nil:
			<-other.done
			continue
		case took > 0:
			e.pause(took)
			return e.endStrong(r, w, returnValues)
		}
		return answer, err
	}
}

// beginStrong takes the item for a write. It gives the answer, or the write of the same Region that
// has to end first, or the time after which endStrong has the answer.
func (e *Engine) beginStrong(r *request, w *write, returnValues string) (answer reply, other *hold, took time.Duration, err error) {
	e.lock()
	defer e.mu.Unlock()
	if err := firstError(e.checkPresent(w), e.checkAvailable()); err != nil {
		return nil, nil, 0, err
	}
	id := w.itemID()
	other = e.held[id]
	switch took = e.region.global.writeTime; {
	case w.conflict, other != nil && other.by != e:
		return nil, nil, 0, &failure{kind: "ReplicatedWriteConflictException", message: "One or more items in this request are being modified by a request in another Region."}
	case other != nil:
		return nil, other, 0, nil
	case took > 0:
		e.held[id] = &hold{by: e, done: make(chan struct{})}
		return nil, nil, took, nil
	}
	answer, err = e.carryOutWrite(r, w, returnValues)
	return answer, nil, 0, err
}

func (e *Engine) endStrong(r *request, w *write, returnValues string) (reply, error) {
	e.lock()
	defer e.mu.Unlock()
	id := w.itemID()
	close(e.held[id].done)
	delete(e.held, id)
	if err := firstError(e.checkPresent(w), e.checkAvailable()); err != nil {
		return nil, err
	}
	return e.carryOutWrite(r, w, returnValues)
}

// available: the Region has a second one to agree with, and nothing to catch up on.
func (r *Region) available() bool {
	if r.cutOff {
		return false
	}
	for from, waiting := range r.inbox {
		if from != r.index && len(waiting) > 0 && waiting[0].number <= r.missed {
			return false
		}
	}
	if r.global.witness != "" {
		return true
	}
	for _, other := range r.global.regions {
		if other != r && !other.cutOff {
			return true
		}
	}
	return false
}

// checkAvailable refuses what needs a second Region.
func (e *Engine) checkAvailable() error {
	if !e.isStrong() || e.region.available() {
		return nil
	}
	return unavailable(e.region.name + " cannot agree with another Region: only eventually consistent reads are possible")
}

// checkConnected refuses what changes the tables themselves.
func (e *Engine) checkConnected() error {
	if e.region == nil || !e.region.cutOff {
		return nil
	}
	return unavailable(e.region.name + " is cut off from the other Regions")
}

func unavailable(why string) error {
	return &failure{kind: "InternalServerError", status: http.StatusInternalServerError, message: "Internal server error: " + why}
}

// replicaToRead is what a read of a table reads: the Region's own copy, if the read is eventually
// consistent.
func (e *Engine) replicaToRead(t *table, consistent bool) (*table, error) {
	switch {
	case !e.isStrong():
		return t, nil
	case consistent:
		return t, e.checkAvailable()
	}
	return e.region.replica[t.name], nil
}
