// Package simulation runs whole fleets of lock clients and electors in virtual time, does everything to them that networks, machines
// and operators do, and looks after every step whether what the toolkit promises still holds.
//
// # The world
//
//	machine m0 ─────────────────────────┐      network                      server
//	│ clock: rate, suspended, paused,   │      per request: lost, reset,    dynamotest, and an eye
//	│ wall clock set                    │      late, twice, cut, refused    on it that knows whose
//	│ process ── clients:               │      per machine: latency, cut    tenure each record carries
//	│   elector of lock-0 ─ SDK ────────┼───►  outwards, inwards ─────────► │
//	│   bare client of lock-1 ─ SDK ────┼◄───────────────────────────────── │
//	└───────────────────────────────────┘                                    ▲
//	machine m1, m2, m3: likewise                                operator ────┘ deletes, replaces, marks
//
// Two to four machines run a process each, with a client for one or two locks: half of them electors, half bare clients that acquire
// in all of the three ways there are, work, and let go in one way or another. Leases, heartbeat and poll periods differ from client
// to client. The code under test is the real one, with the real SDK above a RoundTripper of the simulation's; only its clock is a
// machine's. A crash freezes a process where it is; its successor has the same Identifier or a new one, in a few runs all
// processes have the same.
//
// The machines' faults are drawn beforehand (plan.go), those of a request when it is sent (faults.go, network.go). When they end,
// everything that stands still goes on, and the world is watched for some leases more: what it must do undisturbed is promised, too.
// Some runs have no faults at all, in some half of all requests suffer.
//
// # The invariants
//
// They have names (invariants.go), which a violation and hack/mutants.sh print:
//
//	one-believer       no two clients believe at one instant: by HasLock, by a leading context, by a Lost that is not closed
//	believer-holds     who believes is the one to whom the server gave the record last. An operator who changes a held record excuses
//	                   its holder, also one who has yet to hear that he is it, until a heartbeat has told him or his lease is over
//	lost-is-lost       a tenure that was seen lost is never believed in again
//	tokens-rise        every tenure's fencing token is higher than all before, at the server and in the eyes of the clients. Not
//	                   demanded over deleted items where wall clocks differ, or where an acquire arrives that had been on its way, or whose
//	                   machine had stood still, since before the deleted tenure
//	own-record-only    heartbeats and releases act on the tenure that sent them, whatever is delivered late or twice
//	fresh-version      every write of a record has a recordVersionNumber of its own
//	guarded-by-holder  a transaction with ConditionCheck commits only while its tenure holds the record, at the server's instant
//	guarded-once       it commits once, and its writer is told the truth about it
//	leader-holds       IsLeader only with HasLock
//	leading-ends       the leading context is done at RenewDeadline; a quarter of a heartbeat later where the machine had stood still
//	callback-order     OnStartedLeading and OnStoppedLeading by turns, and the second only when the first has returned
//	work-then-release  no release leaves the machine while the work goes on
//	loss-has-reason    without faults nothing is lost, not while the work returns either; one failed heartbeat costs no lock; what
//	                   stands in the record is not called another's
//	faults-pass        none of the faults is reported as permanent, and none ends a Run
//	led-again          after the faults every lock is held again within the recorded lease, one back-off, one poll and one hung request
//	handover           a released lock is taken by who waits for it, within two of its polls
//	no-busy-loop       nobody does thousands of things at one instant
//	clients-end        every call returns soon after its context has ended, also while the network is dead
//	nothing-left       and no goroutine stays behind
//
// A batch must have been hard as well (TestSeeds): every kind of fault has occurred, guarded writes were refused, and unguarded writes
// of paused holders have slipped through. That is what fencing is for: the lock alone can't stop a process that was paused between its
// check and its write.
//
// # Seeds
//
//	go test ./test/simulation                                  a few hundred seeds
//	SIMULATION_SEEDS=5000 go test ./test/simulation            more
//	hack/simulate.sh -n 100000 -from 1                         many, on all cores, with figures
//	hack/simulate.sh -seed 4711 -trace                         one run, step by step
//	hack/mutants.sh                                            does it bite? mistakes put in, and seeds until each is caught
//
// A violation prints its seed, the last events before it (when, who, what) and the command that shows it again. A run is a function of
// its seed alone:
//
//   - Nothing is drawn from common dice: each decision has its own, made of the seed and of what is decided (dice.go). Who comes
//     first changes nobody's luck.
//   - Everything that happens, each timer that fires and each message that arrives, is an event in one queue. An event begins when all
//     goroutines are blocked again (synctest.Wait), and where many fall on one instant the queue orders them, not the Go scheduler.
//   - Timers are the machines' (machine.go). Those that were overdue when a machine goes on fire a nanosecond apart, shuffled.
//   - The jitter of the lock comes from its Clock, that of the elector from its Rand.
//   - A process runs one seed after the other, and forgets between them what lockclient remembers of the process (burst.go).
//
// What is left to the scheduler is the order of the goroutines that one event sets going, and that must not show:
// TestARunIsAFunctionOfItsSeed compares whole timelines.
//
// # What it does not see
//
// Data races, save under -race, and with it only between the goroutines of one event. Costs: test/bench counts requests. Real
// kernels, sockets and servers: test/chaos has those. Records in other dialects than our own: test/interop and test/integration. A
// machine that is suspended while its wall clock is set back, which nothing is promised of.
package simulation
