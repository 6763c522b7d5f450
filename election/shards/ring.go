package shards

import "slices"

// followers is how many of the others one replica watches, so that a crash is noticed although some
// of those who watch crash with it.
const followers = 3

// watched returns whom self watches: the next members in the ring of all ids, until there are three
// that are not suspected to be dead. So the ones behind a row of dead ones are watched too, before
// the dead are removed. Every member that runs is watched by three others, or by all where there
// are fewer. ids is in any order and may be without self.
func watched(ids []string, self string, suspected func(id string) bool) []string {
	ring := slices.Sorted(slices.Values(ids))
	start, _ := slices.BinarySearch(ring, self)
	var watched []string
	for i, alive := 0, 0; i < len(ring) && alive < followers; i++ {
		id := ring[(start+i)%len(ring)]
		if id == self {
			continue
		}
		watched = append(watched, id)
		if !suspected(id) {
			alive++
		}
	}
	return watched
}
