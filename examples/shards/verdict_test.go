package main

import "testing"

func TestTheLedgerSeesTwoLeadersOfOneShard(t *testing.T) {
	for name, c := range map[string]struct {
		reports []said
		wrong   bool
	}{
		"one after the other":        {[]said{{"a", 1, 10}, {"a", 0, 20}, {"b", 2, 30}}, false},
		"reports that overtake":      {[]said{{"a", 1, 10}, {"b", 2, 30}, {"a", 0, 20}}, false},
		"one before the other stops": {[]said{{"a", 1, 10}, {"b", 2, 15}, {"a", 0, 20}}, true},
		"one who never stops":        {[]said{{"a", 1, 10}, {"b", 2, 30}}, true},
		"one token twice":            {[]said{{"a", 1, 10}, {"a", 0, 20}, {"b", 1, 30}}, true},
		"the same one again":         {[]said{{"a", 1, 10}, {"a", 0, 20}, {"a", 2, 30}}, false},
	} {
		l := newLedger(1)
		for _, r := range c.reports {
			l.take(r.who, report{Shard: "0", Leads: r.token > 0, Token: r.token, At: r.at})
		}
		if err := l.err(); (err != nil) != c.wrong {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// said is a report: who leads since when under which token, or, where that is 0, has stopped when.
type said struct {
	who   string
	token int64
	at    int64
}
