package demo

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Stint is one process's holding of one thing: a lock, or a shard that it leads. Times are
// nanoseconds since 1970.
type Stint struct {
	Holder      string
	Token       int64
	From, Until int64 // Until is 0 while it lasts
	Lost        bool  // it ended at Until or before: when the process noticed
}

// Stints is who held what when, by what the processes report. Reports of two processes may come in
// any order, so what they say together is judged by their tokens and times. The zero value is
// ready, and any goroutine may use it.
type Stints[K cmp.Ordered] struct {
	mu sync.Mutex
	of map[K][]*Stint // by token
}

// Begin takes in that a process holds something.
func (s *Stints[K]) Begin(what K, holder string, token, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[K][]*Stint{}
	}
	s.of[what] = append(s.of[what], &Stint{Holder: holder, Token: token, From: at})
	slices.SortStableFunc(s.of[what], func(a, b *Stint) int { return cmp.Compare(a.Token, b.Token) })
}

// End takes in that a process does not hold it any more, under that token, or under any if it is 0.
// lost says that it has only noticed now.
func (s *Stints[K]) End(what K, holder string, token, at int64, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stint := range s.of[what] {
		if stint.Holder == holder && (token == 0 || stint.Token == token) && stint.Until == 0 {
			stint.Until, stint.Lost = at, lost
		}
	}
}

// Killed takes in that a process is gone without a word.
func (s *Stints[K]) Killed(holder string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stints := range s.of {
		for _, stint := range stints {
			if stint.Holder == holder && stint.Until == 0 {
				stint.Until = at.UnixNano()
			}
		}
	}
}

// Held is how many things each process holds.
func (s *Stints[K]) Held() map[string]int {
	held := map[string]int{}
	s.Each(func(stints []*Stint) {
		if last := stints[len(stints)-1]; last.Until == 0 {
			held[last.Holder]++
		}
	})
	return held
}

// Each calls f with the stints of each thing that anybody has held, in the order of their tokens.
// They must not be kept.
func (s *Stints[K]) Each(f func(stints []*Stint)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stints := range s.of {
		f(stints)
	}
}

// Err says which things had two holders at a time. kind is what they are, such as "lock".
func (s *Stints[K]) Err(kind string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []error
	for what, stints := range s.of {
		for i := 1; i < len(stints); i++ {
			switch before, stint := stints[i-1], stints[i]; {
			case stint.Token == before.Token:
				faults = append(faults, fmt.Errorf("%s %v: %s and %s held it under token %d", kind, what, before.Holder, stint.Holder, stint.Token))
			case before.Until == 0 || stint.From < before.Until && !before.Lost:
				faults = append(faults, fmt.Errorf("%s %v: %s took it before %s had stopped", kind, what, stint.Holder, before.Holder))
			}
		}
	}
	return errors.Join(faults...)
}
