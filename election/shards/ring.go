package shards

import "slices"

// followers is how many of the others one replica watches, so that a crash is noticed even if some
// watching members crash too.
const followers = 3

// watched returns the members that self watches: the next ones in the ring of all ids, until there
// are three that are not suspected to be dead. So members behind a row of dead ones are watched
// too, before the dead ones are removed. Every running member is watched by three others, or by all
// if there are fewer. ids is in any order and may be without self.
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
