package lockclient

import (
	"testing"
	"time"
)

func TestTheLineBecomesWiderWhileAnswersComeSoonAndAllPlacesAreInUse(t *testing.T) {
	w := newWidth()
	for range 2 * mostPlaces {
		w.answered(10*time.Millisecond, slowTrip, false)
	}
	if w.places != firstPlaces {
		t.Errorf("%d places, though %d were never all in use", w.places, firstPlaces)
	}
	for range 2 * mostPlaces {
		w.answered(10*time.Millisecond, slowTrip, true)
	}
	if w.places != mostPlaces {
		t.Errorf("%d places after many fast answers, want %d", w.places, mostPlaces)
	}
}

func TestTheLineBecomesNarrowerWhereAnswersAreSlowOrDoNotCome(t *testing.T) {
	for name, slow := range map[string]func(w *width){
		"slow":       func(w *width) { w.answered(2*time.Second, slowTrip, true) },
		"unanswered": func(w *width) { w.timedOut(time.Second) },
	} {
		w := newWidth()
		w.places = mostPlaces
		for range 3 * mostPlaces {
			slow(&w)
		}
		if w.places != fewestPlaces {
			t.Errorf("%s: %d places, want %d", name, w.places, fewestPlaces)
		}
	}
}

// One answer in two frees a place for another request while the line becomes narrower.
func TestWhileTheLineBecomesNarrowerRequestsStillGo(t *testing.T) {
	w := width{places: mostPlaces, trip: 2 * slowTrip}
	for range 20 {
		w.answered(2*slowTrip, slowTrip, true)
	}
	if w.places != mostPlaces-10 {
		t.Errorf("%d places after 20 slow answers, want %d", w.places, mostPlaces-10)
	}
}

func TestAnswersBetweenFastAndSlowChangeNothing(t *testing.T) {
	w := width{places: 50, trip: 700 * time.Millisecond}
	for range 100 {
		w.answered(700*time.Millisecond, slowTrip, true)
	}
	if w.places != 50 {
		t.Errorf("%d places, want 50", w.places)
	}
}

func TestWhatCountsAsSlowFollowsTheShortestLease(t *testing.T) {
	for heartbeat, want := range map[time.Duration]time.Duration{
		0:                      slowTrip,
		5 * time.Second:        slowTrip,
		666 * time.Millisecond: 249750 * time.Microsecond,
		10 * time.Millisecond:  shortTrip,
	} {
		if got := slowFrom(heartbeat); got != want {
			t.Errorf("a heartbeat each %v: slow from %v, want %v", heartbeat, got, want)
		}
	}
}

// One that was given up late tells that the trip is long. One that was given up early tells
// nothing.
func TestARequestThatWasGivenUpCountsIfItTookLongerThanOthers(t *testing.T) {
	w := width{places: 50, trip: 100 * time.Millisecond}
	w.unanswered(50 * time.Millisecond)
	if w.trip != 100*time.Millisecond {
		t.Errorf("given up early: %v a trip", w.trip)
	}
	w.unanswered(time.Second)
	if w.trip <= 100*time.Millisecond || w.places != 50 {
		t.Errorf("given up late: %v a trip, %d places", w.trip, w.places)
	}
}
