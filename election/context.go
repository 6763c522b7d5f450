package election

import "context"

// ContextWithTerm returns a context in which TermFromContext finds the tenure that lock has at this
// moment. Electors make their leading contexts themselves. It is for packages that lead by locks of
// their own, as package shards does, and for tests of a leader's work that do without an elector.
func ContextWithTerm(ctx context.Context, lock Lock) context.Context {
	t := Term{Identity: lock.Identity(), lock: lock}
	t.FencingToken, _ = lock.FencingToken()
	return context.WithValue(ctx, termKey{}, t)
}
