package election

import "context"

// LeaderCallbacks are the functions that the elector calls. OnStartedLeading and OnStoppedLeading
// are required.
//
// A panic in a callback ends the term: the leading context is cancelled, the work returns, the lock
// is released, and then the panic goes on in its own goroutine, with its original value.
// OnStartedLeading and OnNewLeader run in goroutines of the elector, so their panic ends the
// process. OnStoppedLeading runs in Run's goroutine, so its panic reaches Run's caller. So does a
// panic of the Logger or of a metric, after the work has returned. A panic in OnLeaseEnding ends
// the process at once. OnStoppedLeading is not called when the process ends by a panic: many
// programs call os.Exit in it, and that would hide the panic.
type LeaderCallbacks struct {
	// OnStartedLeading is the leader's work. It runs in its own goroutine, once for each term and
	// never twice at once. It must return soon after ctx is done, because the lease protects it
	// only for DrainTimeout longer. context.Cause(ctx) says why the term ended: ErrLeaseExpired,
	// ErrLockLost, ErrResigned, or the cause of Run's context. TermFromContext(ctx) gives the
	// fencing token.
	//
	// Check ctx.Err() before each step that only a leader may take: it judges the lease at the
	// moment of the call. ctx.Done() is closed by a timer. After the machine was suspended, that
	// timer is late by up to a quarter of a heartbeat period. A context derived from ctx ends only
	// with Done, so check ctx itself.
	//
	// Returning while ctx is alive resigns: there is no work left, so another may lead. To stay
	// leader without work, wait for <-ctx.Done().
	OnStartedLeading func(ctx context.Context)

	// OnStoppedLeading runs in Run's goroutine, once for each OnStartedLeading, after that has
	// returned and before the lock is released. It never runs without an OnStartedLeading. It still
	// runs under the lease, so it should be short. Do not call Resign in it, which waits for it. Do
	// not call os.Exit in it: the lock would not be released, and the next leader would have to
	// wait for the lease. Exit after Run.
	OnStoppedLeading func()

	// OnLeaseEnding runs when the lease is about to end and the work (or OnStoppedLeading) has not
	// returned. It is the last chance to exit before another leads while the work goes on. It is
	// meant for work that may ignore its context, and usually calls os.Exit. The leading context
	// has ended, and cause says why.
	//
	// It runs at most once in a term, in its own goroutine. It runs when half of the time between
	// RenewDeadline and the end of the lease has passed without a renewal, or at once if the lock
	// has another holder. So it never runs if the work returns in time. If the process is paused
	// meanwhile, it runs late, and then only fencing helps. If it returns, the elector goes on as
	// if it were nil. Run waits for it. nil: nothing is called.
	//
	// To exit as soon as the leading context ends, as users of client-go do in OnStoppedLeading,
	// call context.AfterFunc(ctx, exit) at the beginning of OnStartedLeading.
	OnLeaseEnding func(cause error)

	// OnNewLeader reports each change of leader that this elector sees, itself included: in order,
	// one call at a time, once per change of identity. It does not report vacancies; Observe does.
	// A slow call delays neither the elector nor the end of a term, and later changes wait in a
	// queue. When Run ends it waits for these calls for a second at most, or for a heartbeat period
	// if that is less. Calls that have not begun by then are dropped. nil: nothing is called.
	OnNewLeader func(identity string)
}
