package lockclient

import "time"

// width is how many requests of one DynamoDB client may be under way at once. It follows what the
// server can do, as TCP's congestion window does: more requests than that only wait elsewhere, time
// out there, and are sent again.
//
//	firstPlaces ── answers come soon, and all places are in use: one more for each ──► mostPlaces
//	     ▲                                                                                 │
//	     └── answers are slow, or do not come at all: one fewer for each ──► fewestPlaces ◄┘
//
// A request that alone gets no answer, while later ones are answered, changes nothing: a part of
// the network is dead, and the rest is no slower for it.
//
// It is pure: it reads no clock. The zero value is not ready; use newWidth.
type width struct {
	places int
	trip   time.Duration // how long requests took lately
	again  bool          // the latest slow answer has changed nothing
}

const (
	// mostPlaces is how many requests of one DynamoDB client are under way at most. More
	// would not be answered sooner by a machine that is busy, and fewer are enough for
	// thousands of requests a second.
	mostPlaces   = 128
	firstPlaces  = 32
	fewestPlaces = 8
	// Answers are slow that take longer than an eighth of the shortest lease that is kept: the
	// heartbeats of that lease take as long. slowTrip and shortTrip are its bounds.
	slowTrip  = time.Second
	shortTrip = 100 * time.Millisecond
)

func newWidth() width { return width{places: firstPlaces} }

// slowFrom is the time from which answers count as slow. heartbeat is the shortest period that is
// kept; 0: none is.
func slowFrom(heartbeat time.Duration) time.Duration {
	if heartbeat == 0 {
		return slowTrip
	}
	return min(max(heartbeat*3/8, shortTrip), slowTrip)
}

// answered takes in how long a request took. full says that all places were in use: otherwise the
// answer does not tell how soon more of them would be answered.
func (w *width) answered(took, slow time.Duration, full bool) {
	w.note(took)
	switch {
	case w.trip > slow:
		// Only every other one. The places of the rest are for those who wait.
		if w.again = !w.again; !w.again {
			w.shrink()
		}
	case full && w.trip <= slow/2:
		w.places = min(w.places+1, mostPlaces)
	}
}

// timedOut takes in that a request got no answer in time, like all others at present.
func (w *width) timedOut(took time.Duration) {
	w.unanswered(took)
	w.shrink()
}

// unanswered takes in a request that was given up after so long for another reason. It would have
// taken longer still.
func (w *width) unanswered(took time.Duration) {
	if took > w.trip {
		w.note(took)
	}
}

func (w *width) shrink() { w.places = max(w.places-1, fewestPlaces) }

// note moves the estimate. One slow answer says little. Many raise it fast enough.
func (w *width) note(took time.Duration) {
	took = min(took, 2*w.trip+20*time.Millisecond)
	w.trip += (took - w.trip) / 8
}
