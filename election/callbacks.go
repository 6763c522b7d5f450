package election

import "context"

// LeaderCallbacks are the elector's way to tell of what happens. OnStartedLeading and OnStoppedLeading are required.
//
// A panic in any of them ends the term: the leading context is cancelled, the work returns, the lock is released, and then
// the panic goes on in the goroutine where it began, with its original value. OnStartedLeading and OnNewLeader run in
// goroutines of the elector, so theirs ends the process; OnStoppedLeading runs in Run's, so its panic reaches Run's caller.
// A dying process is not told that it stopped leading: OnStoppedLeading is where many programs call os.Exit, and that would hide the
// panic.
type LeaderCallbacks struct {
	// OnStartedLeading is the leader's work. It runs in its own goroutine, once for each term and never twice at once, and
	// must return soon after ctx is done: the lease protects it only for so long (DrainTimeout). context.Cause(ctx) says why
	// the term ended: ErrLeaseExpired, ErrLockLost, ErrResigned, or the cause of Run's context. TermFromContext(ctx) gives
	// the fencing token.
	//
	// ctx.Err() judges the lease at the moment of the call, so it is the check to make before each step that only a leader may
	// take; ctx.Done() is closed by a timer, which is late, by a quarter of a heartbeat period at most, after the machine was
	// suspended. A context derived from ctx learns by Done: ask ctx itself.
	//
	// Returning while ctx is still alive resigns: there is no work left to be leader for, so another may lead. A leader that
	// only wants to go on being leader waits for <-ctx.Done().
	OnStartedLeading func(ctx context.Context)

	// OnStoppedLeading runs in Run's goroutine, once for each OnStartedLeading, after that has returned and before the lock
	// is released; never without an OnStartedLeading. What it does is still under the lease, as the draining work was, so it should
	// be short. It is not the place to call Resign, which waits for it, nor to call os.Exit: the lock would not be released, and the
	// next leader has to wait for the lease. Exit after Run.
	OnStoppedLeading func()

	// OnNewLeader tells of each change of leader seen by this elector, itself included: in order, one call at a time, once per
	// change of identity. Vacancies are not reported here (Observe does). A slow call delays neither the elector nor the end
	// of a term; later changes queue up behind it, and Run returns only when all have been delivered. nil: nobody is told.
	OnNewLeader func(identity string)
}
