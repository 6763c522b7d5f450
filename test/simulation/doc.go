// Package simulation runs whole fleets of lock clients and electors in virtual time, does
// everything to them that networks, machines and operators do, and looks after every step whether
// what the toolkit promises still holds.
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
// Two to four machines run a process each, with a client for one or two locks: half of them
// electors, half bare clients that acquire in all of the three ways there are, work, and let go in
// one way or another. Leases, heartbeat and poll periods differ from client to client. The code
// under test is the real one, with the real SDK above a RoundTripper of the simulation's; only its
// clock is a machine's. A crash freezes a process where it is; its successor has the same
// Identifier or a new one, in a few runs all processes have the same.
//
// Some of this is drawn anew for each run: the locks of a process share one DynamoDB client, and so
// the line and the schedule of lockclient, or each has its own; electors hand over with notice
// (HandoverNotice), to anybody or to an heir, or without; transactions take time, and then
// conflict with heartbeats; records have a ttl; several goroutines use one bare client, each as if
// it were alone (crowd.go). In a fifth of all runs a client of another make uses a lock, too
// (stranger.go): Java's, which puts whole items; Java's that updates in place and leaves our
// attributes behind, also under our own Identifier; dynamolock's; v0.1.0's.
//
// In a quarter of all runs most processes have a session, and most of their clients are its members
// (session.go). The others are plain clients of the same locks, and wait for members as members
// wait for them. Sessions are closed, lost and opened anew, their items deleted, and some wait for
// the end of others' sessions. Members are held to what is said of all locks.
//
// The machines' faults are drawn beforehand (plan.go), those of a request when it is sent
// (faults.go, network.go). When they end, everything that stands still goes on, and the world is
// watched for some leases more: what it must do undisturbed is promised, too. Some runs have no
// faults at all, in some half of all requests suffer.
//
// # The invariants
//
// They have names (invariants.go), which a violation and go run ./test/simulation/mutants print:
//
//	one-believer       no two clients believe at one instant: by HasLock, by a leading context, by a Lost that is not closed
//	believer-holds     a believer is the client to which the server gave the record last. If an operator changes a held record, its
//	                   holder is excused until a heartbeat has shown it the change or its lease is over, also if the answer to its
//	                   acquire has not arrived yet
//	lost-is-lost       a tenure that was seen lost is never believed in again
//	tokens-rise        every tenure's fencing token is higher than all before, at the server and in what the clients see, and higher
//	                   than any that its own client has seen, even if the item was deleted. The first is not
//	                   required over deleted items where wall clocks differ, or where an acquire arrives that had been on its way, or whose
//	                   machine was paused, since before the deleted tenure
//	own-record-only    heartbeats and releases act on the tenure that sent them, whatever is delivered late or twice
//	fresh-version      every write of a record has a recordVersionNumber of its own
//	guarded-by-holder  a transaction with ConditionCheck commits only while its tenure holds the record, at the server's instant
//	guarded-once       it commits once, and its writer gets the true outcome
//	stamps-rise        a stamped write is refused once a later tenure has stamped the item, and its writer gets the true outcome
//	takeover-names     an acquire replaces a held record of another client only in the version (and count) that it names
//	mark-is-final      a session that was marked as over is never anything else again
//	session-first      a member is taken only when its session is marked as over, or by its own process; WaitForEnd returns only then
//	ttl-follows        a held record has a ttl if its holder asks for one, and else none
//	aging-warns        Aging's channel is closed when a renewal is late
//	news-in-order      OnNewLeader reports each change once; GetLeader and Observe agree with it; no elector names itself after its term
//	leader-holds       IsLeader only with HasLock
//	leading-ends       the leading context is done at RenewDeadline; a quarter of a heartbeat later if the machine was paused
//	callback-order     OnStartedLeading and OnStoppedLeading by turns, and the second only when the first has returned
//	work-then-release  no release leaves the machine while the work goes on
//	loss-has-reason    without faults nothing is lost, not while the work returns either; one failed heartbeat costs no lock; the
//	                   latest heartbeat of who has the record is not refused; what stands in the record is not called another's
//	faults-pass        none of the faults is reported as permanent, and none ends a Run
//	led-again          after the faults every lock is held again within the recorded lease, one back-off, one poll and one hung request
//	handover           a released lock is taken by who waits for it, within two of its polls
//	no-busy-loop       nobody does thousands of things at one instant
//	clients-end        every call returns soon after its context has ended, also while the network is dead
//	nothing-left       and no goroutine stays behind
//
// A batch must have been hard as well (TestSeeds): every kind of fault has occurred, guarded writes
// were refused, and unguarded writes of paused holders have slipped through. That is what fencing
// is for: the lock alone can't stop a process that was paused between its check and its write.
//
// # Seeds
//
//	go test ./test/simulation                                  a few hundred seeds
//	SIMULATION_SEEDS=5000 go test ./test/simulation            more
//	hack/simulate.sh -n 100000 -from 1                         many, on all cores, with figures
//	hack/simulate.sh -n 1000000 -journal million               very many: what is done is kept, and the same command goes on
//	hack/simulate.sh -seed 4711 -trace                         one run, step by step
//	go run ./test/simulation/mutants                           does it bite? mistakes put in, and seeds until each is caught
//
// A violation prints its seed, the last events before it (when, who, what) and the command that
// shows it again. A run is a function of its seed alone:
//
//   - Nothing is drawn from common dice: each decision has its own, made of the seed and of what is
//     decided (dice.go). Who comes first changes nobody's luck.
//   - Everything that happens, each timer that fires and each message that arrives, is an event in
//     one queue. An event begins when all goroutines are blocked again (synctest.Wait), and where
//     many fall on one instant the queue orders them, not the Go scheduler.
//   - Timers are the machines' (machine.go). Those that were overdue when a machine goes on fire a
//     nanosecond apart, shuffled.
//   - The jitter of the lock comes from its Clock, that of the elector from its Rand.
//   - A process runs one seed after the other, and forgets between them what lockclient remembers
//     of the process (burst.go).
//
// What is left to the scheduler is the order of the goroutines that one event sets going, and that
// must not show: what they send leaves in an order of its own when the event is over (network.go).
// TestARunIsAFunctionOfItsSeed compares whole timelines. The runs in which several goroutines share
// a client, or clients a session, are the exception. There, which of them is first can differ, and
// a violation may take a few tries to show again.
//
// # What a seed costs
//
// Some 16 ms of one core, for a thousand events and 240 requests in 45 s of virtual time: a million
// seeds take two idle cores two and a half hours. A quarter goes into the engine, a third into the
// simulation, a sixth into the lock and the elector, and a tenth into the SDK. No function has more
// than 4 %.
//
// A request costs the SDK more than all else in a run. So a run writes and reads the few requests
// of a lock by itself, and leaves all errors but refusals to the SDK (short.go).
// TestShortCutsChangeNothing compares the timelines. In one run of 32 the SDK does everything.
//
// The tests of lockclient/sdkv2 link aws-sdk-go-v2 in. Half of all seeds then run on that, and
// TestTheOtherSDKChangesNothing compares the timelines of both SDKs to the last line.
//
// # What it does not see
//
// Data races, save under -race, and with it only between the goroutines of one event. Costs:
// test/bench counts requests. Real kernels, sockets and servers: test/chaos has those. The real
// clients of other makes: test/interop has Java's. A machine that is suspended while its wall clock
// is set back, which nothing is promised of.
package simulation
