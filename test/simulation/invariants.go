package simulation

// Invariant is the name of something that holds at every step of every run.
type Invariant string

// The invariants, as the mutants and the timelines name them.
const (
	MarkIsFinal     Invariant = "mark-is-final"     // a session that was marked as over is never anything else again
	SessionFirst    Invariant = "session-first"     // a member is taken over only when its session is over
	OneBeliever     Invariant = "one-believer"      // of two clients, or tenures, never both are believed in
	BelieverHolds   Invariant = "believer-holds"    // who believes has the record, save while an operator's edit is news to it
	LostIsLost      Invariant = "lost-is-lost"      // a tenure once seen lost is never believed in again
	TokensRise      Invariant = "tokens-rise"       // each tenure's fencing token is higher than all before
	OwnRecordOnly   Invariant = "own-record-only"   // a heartbeat renews, and a release frees, the tenure that sent it and no other
	FreshVersion    Invariant = "fresh-version"     // no two writes that hold a lock carry one recordVersionNumber, or one body
	GuardedByHolder Invariant = "guarded-by-holder" // a guarded transaction commits only while its tenure holds the record
	GuardedOnce     Invariant = "guarded-once"      // a guarded transaction commits once, and its writer gets the true outcome
	StampsRise      Invariant = "stamps-rise"       // a stamped write is refused once a later tenure has stamped, and its writer gets the true outcome
	TakeoverNames   Invariant = "takeover-names"    // an acquire replaces a held record of another only in the version that it names
	TTLFollows      Invariant = "ttl-follows"       // a held record has a ttl if its holder asks for one, and else none
	AgingWarns      Invariant = "aging-warns"       // Aging's channel is closed when a renewal is late
	NewsInOrder     Invariant = "news-in-order"     // OnNewLeader, GetLeader and Observe report the same, each change once, and no leader whose term is over
	LeaderHolds     Invariant = "leader-holds"      // IsLeader only with the lock
	LeadingEnds     Invariant = "leading-ends"      // the leading context is done at RenewDeadline, a tenure's Lost closed at its end
	CallbackOrder   Invariant = "callback-order"    // OnStartedLeading and OnStoppedLeading by turns, never at once
	WorkThenRelease Invariant = "work-then-release" // an elector releases after its work has returned
	LossHasReason   Invariant = "loss-has-reason"   // without faults nothing is lost, and what is one's own is never called another's
	FaultsPass      Invariant = "faults-pass"       // no transient fault is reported as a permanent error
	LedAgain        Invariant = "led-again"         // after the faults every lock is held again within the stated bound
	Handover        Invariant = "handover"          // a released lock that has waiters is taken within the stated bound
	NoBusyLoop      Invariant = "no-busy-loop"      // no client acts without end at one instant
	ClientsEnd      Invariant = "clients-end"       // every client returns soon after its context has ended
	NothingLeft     Invariant = "nothing-left"      // and leaves no goroutine
)
