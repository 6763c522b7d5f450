package main

import "testing"

func TestTheAuditSeesWhatAFenceMustPrevent(t *testing.T) {
	for name, c := range map[string]struct {
		entries []entry
		terms   int
		wrong   bool
	}{
		"two terms":                   {[]entry{{1, "a", 7}, {2, "a", 7}, {3, "b", 8}}, 2, false},
		"a stale write":               {[]entry{{1, "a", 7}, {2, "b", 8}, {3, "a", 7}}, 2, true},
		"two writers under one token": {[]entry{{1, "a", 7}, {2, "b", 7}}, 1, true},
		"a gap":                       {[]entry{{1, "a", 7}, {3, "a", 7}}, 1, true},
		"the same leader twice":       {[]entry{{1, "a", 7}, {2, "a", 9}}, 2, false},
	} {
		terms, err := audit(c.entries)
		if len(terms) != c.terms || (err != nil) != c.wrong {
			t.Errorf("%s: %d terms, %v", name, len(terms), err)
		}
	}
}
