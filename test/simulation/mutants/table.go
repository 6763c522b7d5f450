package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// change replaces a piece of a source file that occurs in it exactly once.
type change struct {
	file     string // from the module's root
	old, new string
}

// mutant is a mistake that somebody could make.
type mutant struct {
	name    string
	caught  string // the invariant that must catch it
	test    *test  // or the test that must fail, where the simulation can't notice
	changes []change
}

// test is one that a mutant must fail.
type test struct {
	pkg   string // from the module's root, such as "./lockclient"
	run   string // a regular expression, as for go test -run
	focus string // of specs, as for ginkgo -focus; "": it is a Go test
}

func (t *test) String() string { return fmt.Sprintf("%s %s %s", t.pkg, t.run, t.focus) }

// catcher is what must catch the mutant.
func (m *mutant) catcher() string {
	if m.test != nil {
		return strings.TrimRight(m.test.String(), " ")
	}
	return m.caught
}

// apply returns the files of the mutant as it has them.
func (m *mutant) apply(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, c := range m.changes {
		source, seen := files[c.file]
		if !seen {
			read, err := os.ReadFile(filepath.Join(root, c.file))
			if err != nil {
				return nil, err
			}
			source = string(read)
		}
		if n := strings.Count(source, c.old); n != 1 {
			return nil, fmt.Errorf("%s has %d of: %s", c.file, n, c.old)
		}
		files[c.file] = strings.Replace(source, c.old, c.new, 1)
	}
	return files, nil
}

// spec is a mutant that a test must catch, because the simulation can't notice it, or only by
// chance: it costs time or requests, and no promise of the simulation's.
func spec(pkg, run, focus, name, file, old, new string) mutant {
	return mutant{name: name, test: &test{pkg: pkg, run: run, focus: focus}, changes: []change{{file, old, new}}}
}

func one(caught, name, file, old, new string) mutant {
	return mutant{name: name, caught: caught, changes: []change{{file, old, new}}}
}

const (
	contender = "lockclient/contender.go"
	tenure    = "lockclient/tenure.go"
	ledger    = "lockclient/ledger.go"
	attempt   = "lockclient/attempt.go"
	send      = "lockclient/send.go"
	keeper    = "lockclient/keeper.go"
	schedule  = "lockclient/schedule.go"
	requests  = "lockclient/requests.go"
	record    = "lockclient/record.go"

	sessionWatchGo  = "lockclient/sessionwatch.go"
	sessionRequests = "lockclient/sessionrequests.go"
	membershipGo    = "lockclient/membership.go"
	followGo        = "lockclient/follow.go"
	sessionDriverGo = "lockclient/sessiondriver.go"
	epochGo         = "lockclient/epoch.go"
	tellingGo       = "lockclient/telling.go"
	gateGo          = "lockclient/gate.go"
	memberGo        = "lockclient/member.go"
	sweepGo         = "lockclient/sweep.go"

	shardGo    = "election/shards/shard.go"
	shardTerm  = "election/shards/term.go"
	shardGuard = "election/shards/guard.go"
	shardView  = "election/shards/view.go"
	shardRun   = "election/shards/run.go"
	shardKept  = "election/shards/kept.go"
	stewardGo  = "election/shards/steward.go"
	handoverGo = "election/shards/handover.go"

	release    = "lockclient/release.go"
	acquireGo  = "lockclient/acquire.go"
	stampGo    = "lockclient/stamp.go"
	campaign   = "election/campaign.go"
	fence      = "lockclient/fence.go"
	timing     = "lockclient/lease/timing.go"
	instant    = "lockclient/lease/instant.go"
	electorRun = "election/run.go"
	guard      = "election/guard.go"
	term       = "election/term.go"
	noticeGo   = "election/notice.go"
	cronWorker = "election/cron/worker.go"
)

// shardSeeds is the simulation of shards.
var shardSeeds = &test{pkg: "./election/shards", run: "^TestSeeds$"}

// shardLimit and shardRoom are about MaxPerReplica, which few of the first seeds have.
var (
	shardLimit = &test{pkg: "./election/shards", run: "^TestALimitHoldsUnderChurn$"}
	shardRoom  = &test{pkg: "./election/shards", run: "^TestAWorkThatStillReturnsTakesTheRoomOfAnother$"}
)

// anyToken is a condition that is true of every record with a token. A value that no expression
// uses is refused, so it must name it.
const anyToken = `"(attribute_exists(" + e.name(attrToken) + ") OR " + e.name(attrToken) + " = " + bindToken + ")"`

// anyone is the same and names the owner, too.
const anyone = `"(attribute_exists(" + e.name(attrToken) + ") OR " + e.name(attrOwner) + " = " + bindOwner + " OR " + e.name(attrToken) + " = " + bindToken + ")"`

// mutants are ordered as the protocol goes: trust, watch, acquire, heartbeat, release, fencing,
// elector.
var mutants = []mutant{
	one("believer-holds", "trust counted from a heartbeat's reply", tenure,
		"t.renewed = max(t.renewed, b.sent)",
		"t.renewed = t.odometer.Folded()"),
	one("believer-holds", "trust counted from the acquire's reply", attempt,
		"if err == nil {\n\t\treturn d.won(a, sent)",
		"if err == nil {\n\t\treturn d.won(a, lease.Now(d.clock))"),
	one("believer-holds", "trust of the whole lease, no margin for clock rates", timing,
		"Window: lease / 100 * 99",
		"Window: lease"),
	one("believer-holds", "trust of 5 % more than the lease", timing,
		"Window: lease / 100 * 99",
		"Window: lease / 100 * 105"),
	one("one-believer", "HasLock without a look at the clock", tenure,
		"if t.ended || age >= t.rules.Window {\n\t\treturn 0, false",
		"if t.ended {\n\t\treturn 0, false"),
	one("one-believer", "wall clock ignored: machines that suspend", instant,
		"max(i.Mono-earlier.Mono, time.Duration(i.Wall-earlier.Wall), 0)",
		"max(i.Mono-earlier.Mono, 0)"),
	one("one-believer", "monotonic clock ignored: wall clocks set back", instant,
		"max(i.Mono-earlier.Mono, time.Duration(i.Wall-earlier.Wall), 0)",
		"max(time.Duration(i.Wall-earlier.Wall), 0)"),
	one("aging-warns", "no look at the clocks between two wakeups", schedule,
		"next := min(s.pending[0].at, s.checked.Mono+s.tick)",
		"next := s.pending[0].at"),
	one("aging-warns", "nobody is woken after a sleep", schedule,
		"if s.gained > s.tick/8 {",
		"if false {"),
	{name: "a late reply revives an ended tenure", caught: "lost-is-lost", changes: []change{
		{tenure,
			"if t.ended || t.odometer.Fold(now)-t.renewed >= t.rules.Window {\n\t\treturn false //",
			"t.ended = false\n\tif t.odometer.Fold(now) < 0 {\n\t\treturn false //"},
		{keeper, "for _, request := range e.unneeded {\n\t\trequest.cancel()", "for _, request := range e.unneeded {\n\t\t_ = request"},
	}},
	one("loss-has-reason", "the first failed heartbeat gives the lock up", keeper,
		"case err != nil:\n\t\tk.tenure.failed(b, now, err, k.d.jitter)",
		"case err != nil:\n\t\treturn lostTo(k.d.name, decodeRecord(nil), err)"),
	one("loss-has-reason", "a failed heartbeat is not repeated", tenure,
		"\tt.dueAt(now.Mono + pause)",
		"\t_ = pause"),

	one("believer-holds", "watch counted from the send", contender,
		"next := watch{record: found, since: l.arrived.Mono,",
		"next := watch{record: found, since: l.sent,"),
	one("believer-holds", "watch kept across a changed version", contender,
		"\t\t*w = c.newWatch(found, w, l)",
		"\t\tbefore := *w\n\t\t*w = c.newWatch(found, w, l)\n\t\tif before.record != nil {\n\t\t\tw.since = before.since\n\t\t}"),
	one("believer-holds", "watch for one's own lease, not the recorded one", contender,
		"lease: found.item.LeaseDuration}",
		"lease: c.rules.Lease}"),
	one("believer-holds", "watch for 9/10 of the lease", contender,
		"return w.lease + w.margin - (now - w.since)",
		"return w.lease*9/10 - (now - w.since)"),
	one("believer-holds", "isReleased ignored by those who wait", record,
		"r.item.Released = mark == releasedMark",
		"r.item.Released = mark == \"?\""),
	one("believer-holds", "MaxClockSkew not added to a recorded expiry", contender,
		"> c.rules.skew {",
		"> 0 {"),
	one("believer-holds", "every Identifier of one's own reclaimed at once", contender,
		"if c.rules.reclaim && r.item",
		"if r.item"),

	one("handover", "a released lock left alone until its lease has run out", contender,
		"(found.released() && !found.isReservedForOther(c.rules.identity) ||",
		"(false ||"),
	one("clients-end", "who gives up waits two leases for the last answer", send,
		"return min(d.Heartbeat, time.Second) / 2",
		"return 2 * d.Lease"),
	one("nothing-left", "a request that nobody waits for is not cancelled", send,
		"sent, abort := context.WithCancel(context.WithoutCancel(ctx))",
		"sent, abort := context.WithoutCancel(ctx), func() {}"),

	one("takeover-names", "takeover without the version as its condition", requests,
		`return "(" + e.name(attrVersion) + " = :watched AND " + e.name(attrCount) + " = :count)"`,
		`return "(" + e.name(attrVersion) + " = :watched OR " + e.name(attrCount) + " >= :count)"`),
	{name: "heartbeatCount left out of the version, and no order of heartbeats", caught: "loss-has-reason", changes: []change{
		{requests,
			`return "(" + e.name(attrVersion) + " = :watched AND " + e.name(attrCount) + " = :count)"`,
			`return "(" + e.name(attrVersion) + " = :watched AND " + e.name(attrCount) + " >= :count)"`},
		{contender, "found.version == w.record.version,", "found.version.number == w.record.version.number,"},
		{requests, `" <= " + bindExpires + ")"`, `" <> " + bindExpires + ")"`},
	}},
	one("tokens-rise", "an acquire that takes the record from a higher token", requests,
		`token + " < " + bindToken +`,
		`token + " < " + bindToken + " OR " + token + " >= " + bindToken +`),
	one("tokens-rise", "an acquire that takes the record from the same token", requests,
		`token + " < " + bindToken +`,
		`token + " <= " + bindToken +`),
	one("tokens-rise", "fencing token restarted at 1 after a deletion", contender,
		"max(wall.UnixMilli(), c.highestToken+1, 1)",
		"max(c.highestToken+1, 1)"),
	spec("./lockclient", "TestNoTwoAttemptsHaveOneToken", "", "two attempts with one token", contender,
		"\ttoken := c.token(wall)\n\tc.noteToken(token)",
		"\ttoken := c.token(wall)"),
	one("takeover-names", "an ended tenure told by its owner only", requests,
		`" AND "+e.name(attrToken)+" = :claim AND "`,
		`" AND "+e.name(attrToken)+" >= :claim AND "`),
	one("led-again", "a request that hangs is waited for", send,
		"case <-ctx.Done():\n\t}\n\tif patience",
		"case <-make(chan struct{}):\n\t}\n\tif patience"),

	spec("./lockclient", "TestStories", "", "a heartbeat stays due until it is answered", tenure,
		"t.due = never // until",
		"// until"),
	one("own-record-only", "heartbeat on no condition but the owner", requests,
		"e.condition = ours(e) + \" AND (attr",
		`e.condition = e.name(attrOwner) + " = " + bindOwner + " AND " + `+anyToken+` + " AND (attr`),
	one("own-record-only", "heartbeat on no condition", requests,
		"e.condition = ours(e) + \" AND (attr",
		`e.condition = `+anyone+` + " AND (attr`),
	{name: "heartbeats keep one recordVersionNumber", caught: "fresh-version", changes: []change{
		{requests, "func (s *requests) renew(ctx context.Context, token int64, wall time.Time) error {\n\tnumber, err := newVersion()",
			"func (s *requests) renew(ctx context.Context, token int64, wall time.Time) error {\n\tnumber, err := s.name+strconv.FormatInt(token, 10), error(nil)"},
	}},
	one("believer-holds", "an announcement takes itself for a renewal", keeper,
		"case err == nil:\n\t\treturn nil\n\tcase !refused:",
		"case err == nil:\n\t\td.mu.Lock()\n\t\tk.tenure.renewed = k.tenure.odometer.Fold(lease.Now(d.clock))\n\t\td.mu.Unlock()\n\t\treturn nil\n\tcase !refused:"),
	one("fresh-version", "the SDK's retries left on", requests,
		"r.Retryer = client.NoOpRetryer{}",
		"_ = client.NoOpRetryer{}"),
	one("believer-holds", "a refused heartbeat taken for a failed one", keeper,
		"; lost != nil {\n\t\t\tk.d.ledger.gone(",
		"; lost != nil && false {\n\t\t\tk.d.ledger.gone("),

	one("own-record-only", "release on no condition but the owner", requests,
		"e := newExpression()\n\te.condition = ours(e)\n\tif",
		"e := newExpression()\n\te.condition = e.name(attrOwner) + \" = \" + bindOwner + \" AND \" + "+anyToken+"\n\tif"),
	one("own-record-only", "release on no condition", requests,
		"e := newExpression()\n\te.condition = ours(e)\n\tif",
		"e := newExpression()\n\te.condition = "+anyone+"\n\tif"),
	one("own-record-only", "isReleased left out of the tenure's condition", requests,
		"+ e.name(attrOurVersion) +\n\t\t\" AND attribute_not_exists(\" + e.name(attrReleased) + \")\"",
		"+ e.name(attrOurVersion)"),
	{name: "the lock believed in until its release is answered", caught: "believer-holds", changes: []change{
		{release, "\t\tk.giveUp()\n", "\t\ttoken := k.fencingToken()\n\t\td.mu.Lock()\n\t\td.ledger.ended(token)\n\t\td.mu.Unlock()\n"},
		{release, "\t\terr := d.release(ctx, heir)\n", "\t\terr := d.release(ctx, heir)\n\t\tif k := d.holding(); k != nil {\n\t\t\tk.giveUp()\n\t\t}\n"},
	}},
	one("believer-holds", "a live tenure released by whoever gives up waiting", ledger,
		"\tif !g.live {\n",
		"\tif true {\n"),

	one("guarded-by-holder", "the guard's condition is the owner only", requests,
		"checking.condition = ours(checking)",
		`checking.condition = func(e *expression) string { return e.name(attrOwner) + " = " + bindOwner + " AND " + `+anyToken+` }(checking)`),
	one("guarded-once", "each try of a transaction under a name of its own", fence,
		"if fenced.ClientRequestToken == nil {",
		"if false {"),

	{name: "leading context not ended at RenewDeadline", caught: "leading-ends", changes: []change{
		{term, "if held && age < t.figures.renewDeadline {\n\t\treturn nil", "if held {\n\t\treturn nil"},
		{guard, "min(r.figures.renewDeadline-v.age, r.figures.tick())", "r.figures.tick()"},
	}},
	one("leading-ends", "no timer for RenewDeadline", guard,
		"min(r.figures.renewDeadline-v.age, r.figures.tick())",
		"max(4*r.figures.renewDeadline, r.figures.tick())"),
	one("one-believer", "the leading context's Err without a look at the lease", term,
		"if end := c.term.leaseEnd(c.term.leaseAge()); end != nil {",
		"if end := c.term.leaseEnd(c.term.leaseAge()); false {"),
	one("leader-holds", "IsLeader without a look at the lease", term,
		"if end := t.leaseEnd(t.leaseAge()); end != nil {\n\t\tt.end(end) //",
		"if end := t.leaseEnd(t.leaseAge()); false {\n\t\tt.end(end) //"),
	one("callback-order", "stopped leading before the work has returned", electorRun,
		"returned := t.awaitWork()",
		"returned := true"),
	one("work-then-release", "released before the work has returned", electorRun,
		"returned := t.awaitWork()",
		"_ = r.giveBack(r.figures.Lease)\n\treturned := t.awaitWork()"),
	one("loss-has-reason", "heartbeats stop as soon as the work is to stop", electorRun,
		"stopAnnouncing := r.announceRelease(t)",
		"r.lock().StopHeartbeat()\n\tstopAnnouncing := r.announceRelease(t)"),
	one("work-then-release", "released as soon as the notice of a handover begins", noticeGo,
		"\tr.enter(handingOver)\n",
		"\tr.enter(handingOver)\n\t_ = r.giveBack(r.figures.Lease)\n"),
	one("clients-end", "a notice that could not be announced never ends", noticeGo,
		"\"error\", textOf(err))\n\t\tn.end()\n",
		"\"error\", textOf(err))\n"),
	one("faults-pass", "campaigning ends with the first failure", campaign,
		"if isPermanent(err) && !r.hadAnswer() {",
		"if true {"),

	// Other makes.
	one("believer-holds", "a v0.1.0 holder watched for one's own lease", contender,
		"next.lease = max(c.rules.Lease, unknownLease)",
		"next.lease = c.rules.Lease"),
	one("believer-holds", "v0.1.0's expiry shortens the watch", contender,
		"next.lease = max(next.lease, min(found.expiresAt.Sub(time.Unix(0, l.arrived.Wall)), maxLease))",
		"next.lease = min(found.expiresAt.Sub(time.Unix(0, l.arrived.Wall)), maxLease)"),
	spec("./lockclient", "TestAHolderOfAnotherMakeIsGivenAHundredthMoreThanItsLease", "", "no margin for holders of other makes", contender,
		"if !found.bound {\n\t\t// Not",
		"if false {\n\t\t// Not"),
	one("takeover-names", "takeover of a Java record without its version as the condition", requests,
		`return "(" + e.name(attrVersion) + " = :watched AND attribute_not_exists(" + e.name(attrCount) + "))"`,
		`return "((" + e.name(attrVersion) + " = :watched OR attribute_exists(" + e.name(attrVersion) + ")) AND attribute_not_exists(" + e.name(attrCount) + "))"`),
	spec("./lockclient", "TestATakeoverNamesTheVersionThatWasWatched", "", "takeover of a v0.1.0 record without its expiry as the condition", requests,
		`e.name(attrV010Expiry) + " = :expiry AND`,
		`e.name(attrV010Expiry) + " >= :expiry AND`),
	one("believer-holds", "an older write's attributes believed beside a version of Java's", record,
		"r.bound = ok && written == number",
		"r.bound = ok && written != \"\""),
	spec("./lockclient", "TestOurTenureIsToldFromWhatOthersLeaveOfIt", "", "a record that Java has updated in place taken for our own", requests,
		`" AND " + e.name(attrVersion) + " = " + e.name(attrOurVersion) +`+"\n\t\t"+`" AND attribute_not_exists(`,
		`" AND attribute_exists(" + e.name(attrOurVersion) + ")" +`+"\n\t\t"+`" AND attribute_not_exists(`),
	spec("./lockclient", "TestALeaseIsReadInBothNotationsAndGarbageIsNone", "", "dynamolock's lease not read", record,
		"d, err := time.ParseDuration(text)",
		"d, err := time.ParseDuration(text + \"?\")"),

	// Tokens.
	one("tokens-rise", "the highest token seen not used", contender,
		"max(wall.UnixMilli(), c.highestToken+1, 1)",
		"max(wall.UnixMilli(), 1)"),
	spec("./lockclient", "TestATokenThatWasSeenIsRemembered", "", "the token of a lock seen free not used for an item made anew", contender,
		"b.hasRead = true\n\tc.noteToken(found.token)",
		"b.hasRead = true"),

	// Clocks.
	one("loss-has-reason", "a wall clock set back loses the lock", tenure,
		"t.stamped = max(t.stamped, now.Wall)",
		"t.stamped = now.Wall"),
	spec("./lockclient", "TestStories/hung-heartbeats", "", "three and more heartbeats in flight", tenure,
		"if len(t.inFlight) == maxInFlight {\n\t\tcrowded",
		"if len(t.inFlight) == 9 {\n\t\tcrowded"),
	spec("./lockclient", "TestStories/conflict-with-a-transaction", "", "a conflict backed off like an outage", tenure,
		"case isConflict(fault):",
		"case false:"),
	one("aging-warns", "Aging tells only at the end", tenure,
		"return (t.rules.Heartbeat + t.rules.Window) / 2 }",
		"return t.rules.Window }"),

	// Waiting.
	spec("./lockclient", "TestStories/client-that-hears-nothing", "", "the unheard rule dropped", contender,
		"case g.unheard && !b.hasRead:",
		"case false:"),
	spec("./lockclient", "TestStories/lock-that-changes-hands", "", "the rule for a lock that changes hands dropped", contender,
		"return c.handovers >= changesHandsAfter",
		"return false"),
	spec("./lockclient", "TestStories/announced-release", "", "announced releases not noticed", contender,
		"if found.releasing && (!w.announced || found.announcements > w.announcements) {",
		"if false {"),
	spec("./lockclient", "TestAnAnnouncementIsItsAnnouncersOnly", "", "an announcement counts for whoever has written since", record,
		"if r.bound {\n\t\tr.decodeOurs",
		"if true {\n\t\tr.decodeOurs"),
	spec("./lockclient", "TestStories/late-replica", "", "an older record from a replica taken for a change", contender,
		"w.record != nil && !l.consistent && found.olderThan(w.record):",
		"false:"),
	spec("./lockclient", "TestStories/late-replica", "", "an older released record from a replica believed at once", contender,
		"if b.replaceable = !late && (",
		"if b.replaceable = true && ("),
	spec("./lockclient", "TestAnAcquireThatIsDeliveredTwiceIsOneTenure", "", "an acquire's second delivery not recognised", attempt,
		"if found.version.number == a.version && !found.released() {",
		"if false {"),
	spec("./lockclient", "TestWaitingGoesOnThroughEveryTransientFault|TestAWaiterThroughAPartition", "", "an unanswered attempt is forgotten", ledger,
		"for _, a := range g.attempts {\n\t\town.versions",
		"for _, a := range g.attempts[:0] {\n\t\town.versions"),
	spec("./lockclient", "TestGetLockIsInterruptedByRemoveLockAlsoWhereItHasWon", "", "RemoveLock does not undo what is won meanwhile", attempt,
		"if held && errors.Is(context.Cause(attempt), ErrInterrupted) {",
		"if false {"),
	spec("./lockclient", "TestAClientTakesItsOwnExpiredTenureUpAgainAtOnce", "", "one's own expired tenure is watched like another's", keeper,
		"d.ledger.ended(k.tenure.token)\n\tif why",
		"if why"),
	one("ttl-follows", "an earlier holder's ttl left to a holder that wants none", requests,
		"if !s.ttl || s.kind == memberRecord {\n\t\t// An",
		"if false {\n\t\t// An"),

	spec("./lockclient", "TestStories/heir-of-a-lock-that-changes-hands", "", "who writes in its polls does not hold back for an heir", contender,
		"case c.holdsBack(now):",
		"case false:"),
	spec("./lockclient", "TestAnHeirTakesTheLockBeforeOthers", "", "a release to an heir is one to all", record,
		`return r.released() && r.item.Heir != ""`,
		`return false && r.item.Heir != ""`),
	spec("./lockclient", "TestStories/heir-of-a-record", "", "a record decides alone how long others hold back for an heir", contender,
		"min(found.item.HeartbeatPeriod, c.rules.Lease), 0",
		"found.item.HeartbeatPeriod, 0"),
	spec("./lockclient", "TestStories/heir$", "", "the heir holds back, too", record,
		` && r.item.Heir != identity`,
		` && identity != ""`),
	spec("./lockclient", "TestAnHeirThatIsWaitedForIsAnErrorThatSaysSo", "", "an heir of an earlier release counts for ever", record,
		"ok && of == number && r.item.Released {",
		"ok && of != \"\" && r.item.Released {"),
	one("led-again", "an heir is waited for as long as its record is there", contender,
		"return c.watch != nil && c.watch.reserved && !c.holderIsDead(now)",
		"return c.watch != nil && c.watch.reserved"),

	// Sessions.
	spec("./lockclient", "TestNothingIsTakenUntilTheMarkIsConfirmed", "", "session: locks taken before the mark", sessionWatchGo,
		"following{over: s.over,",
		"following{over: s.over || s.contender.holderIsDead(now),"),
	spec("./lockclient", "TestAMarkIsRefusedWhereTheSessionWasRenewedMeanwhile", "", "session: marked whatever its version", sessionRequests,
		"e.condition = unchanged(e, *watched)",
		"e.condition = \"attribute_not_exists(\" + e.name(attrReleased) + \")\""),
	spec("./lockclient", "TestAMissingSessionItemIsWatchedForALease", "", "session: over as soon as its item is missing", sessionWatchGo,
		"s.missing && s.certain >= s.since+s.lease:",
		"s.missing:"),
	spec("./test/integration", "TestLockClientKeepsItsPromises", "a pointer that a client of another make left", "session: a pointer that is not bound to its version", record,
		"if r.bound {\n\t\tr.decodeOurs",
		"r.session, _ = stringOf(attributes[attrSession])\n\tif r.bound {\n\t\tr.decodeOurs"),
	spec("./lockclient", "TestAMemberIsNotWrittenBetweenAcquireAndRelease", "", "session: a member's lease that ends for those who know no sessions", requests,
		"text(formatMillis(maxLease))",
		"text(formatMillis(s.Lease))"),
	spec("./lockclient", "TestAnAcquireThatLandsAfterItsCallerGaveUpIsFreedBySession", "", "session: an abandoned acquire never freed", membershipGo,
		"if !none && e != nil {",
		"if !none && e == nil {"),
	spec("./lockclient", "TestAReleaseBetweenTheLookAtTheLockAndThatAtItsSessionIsNotMissed|TestAReleasedMemberIsNoticed", "", "session: changes wake nobody", sessionWatchGo,
		"if s.changed == before || found.changes > s.changes {",
		"if s.changed == before {"),
	spec("./lockclient", "TestAReleaseWhoseReplyIsLostIsToldToTheWaiters|TestWaitersAreToldWhenAMembersRecordTurnsOutToBeAnothers", "", "session: only a confirmed release is told", release,
		"news := err == nil || refused && (own.token != 0 || d.untold)",
		"news := err == nil"),
	spec("./lockclient", "TestAReleasedMemberLeavesNoPointerToAnOlderVersion", "", "session: a released member still points to it", requests,
		"e.update += \" REMOVE \" + e.name(attrSession) + \", \" + e.name(attrSessionLease)",
		"e.update += \" REMOVE \" + e.name(attrSessionLease)"),
	spec("./lockclient", "TestAWaiterDoesNotStarveBesideAMemberThatIsReleasedAndTakenAgainAtOnce", "", "session: a member that changes hands is polled by reading", contender,
		"(b.eager || c.changesHands()) && b.writes",
		"b.eager && b.writes"),
	spec("./lockclient", "TestWhoWaitsForAMemberIsToldThatItsSessionWasClosed", "", "session: who waits when it is closed waits on", attempt,
		"err := d.session.whyClosed(); err != nil {",
		"err := d.session.whyClosed(); err != nil && false {"),
	spec("./lockclient", "TestASessionItemThatIsNoLockIsReportedAndNotAskedForInALoop", "", "session: something else under its name asked for without end", followGo,
		"case found.version.dialect == dialectNone:",
		"case found.version.dialect == dialectNone && false:"),
	spec("./lockclient", "TestAMembersReleaseDoesNotEndTheAnnouncementOfClose", "", "session: a member's release ends the announcement of Close", tellingGo,
		"t.announced > 0 || t.closing",
		"t.announced > 0"),
	spec("./lockclient", "TestAnAnnouncedReleaseIsNoticedAtOnceBesideOneThatDrainsForLong", "", "session: of announcements only the first is seen", contender,
		"(!w.announced || found.announcements > w.announcements)",
		"!w.announced"),
	spec("./lockclient", "TestAnAnnouncementThatCouldNotBeEndedIsEndedLater", "", "session: an announcement that could not be ended stays", tellingGo,
		"if e.announcing && !e.expectsMore() && !e.underWay {",
		"if e.announcing && !e.expectsMore() && e.underWay {"),
	spec("./lockclient", "TestAReleaseAfterTheSessionWasLostIsToldToTheWaiters", "", "session: nothing is told after it is lost", tellingGo,
		"if e.loss != nil || announced && !e.over {",
		"if announced && !e.over {"),
	spec("./lockclient", "TestASessionWhoseItemIsGoneIsMarkedWhenAllItsMembersAreReleased", "", "session: its process does not mark what is gone", sessionRequests,
		"\"attribute_not_exists(\" + e.name(s.partitionKey) + \") OR (\" + ours(e) + \")\"",
		"ours(e)"),
	spec("./lockclient", "TestCloseWaitsForWhatTheSessionSendsByItself", "", "session: Close leaves its goroutines alone", sessionDriverGo,
		"defer d.await(ctx)",
		"_ = d.await"),
	spec("./lockclient", "TestALostSessionIsMarkedByItsProcessWhenAllItsMembersAreReleasedAndNotBefore", "", "session: its process marks it while some work may go on", tellingGo,
		"mark, token := e.unreleased == 0,",
		"mark, token := true,"),
	spec("./lockclient", "TestThousandsOfWaitersShareOneLookAHeartbeatForEachSession", "", "session: each waiter looks for itself", followGo,
		"w.known[key].Value(); known != nil {",
		"w.known[key].Value(); known != nil && false {"),
	spec("./lockclient", "TestADeadSessionsThousandsOfLocksAreTakenOverSixtyFourAtATime", "", "session: takeovers without a limit", membershipGo,
		"takeovers.enter(ctx, mostTakeovers,",
		"takeovers.enter(ctx, 10*mostTakeovers,"),
	spec("./lockclient", "TestADeadSessionsThousandsOfLocksAreTakenOverFromATableThatThrottlesWithoutAStorm", "", "session: takeovers as many as ever while the table throttles", attempt,
		"if passed = passFailed; err == nil",
		"if passed = passDone; err == nil"),
	spec("./lockclient", "TestAGateOpensAsFarAsTheTableAllows", "", "session: takeovers that fail take no place away", gateGo,
		"if g.closed++; g.closed == 1 {",
		"if g.closed == 1 {"),
	spec("./lockclient", "TestAcquiresFromATableThatThrottlesDoNotStarveTheirSession", "", "session: acquires before the heartbeat that is repeated", epochGo,
		"if !e.keeper.repeats() {",
		"if !e.keeper.repeats() || true {"),
	spec("./lockclient", "TestReleasesGiveWayToTheHeartbeatOfTheirSession", "", "session: releases before the heartbeat that is repeated", membershipGo,
		"return e.untilCalm(ctx)\n",
		"return nil\n"),
	spec("./election", "TestElectorsOfOneSessionThatAreToldToStopHandOverTogether", "", "session: each of its locks announces for itself", tellingGo,
		"for !e.isAnnounced() {\n\t\terr := e.announcement",
		"if true {\n\t\treturn e.keeper.announce(ctx)\n\t}\n\tfor !e.isAnnounced() {\n\t\terr := e.announcement"),
	spec("./lockclient", "TestALostSessionTakesAllItsMembersAndTheNextAcquireOpensAnother", "", "session: one's own dead session waited for", followGo,
		"case ended:",
		"case ended && false:"),
	spec("./lockclient", "TestASweepKeepsASessionThatIsRenewed", "", "session: swept away without a watch", sweepGo,
		"seen.Add(e.watch)",
		"seen.Add(0 * e.watch)"),
	spec("./lockclient", "TestASweepKeepsASessionThatIsRenewed", "", "session: swept away whatever its version", "lockclient/tablerequests.go",
		"condition := unchanged(e, ended.version)",
		"condition := unchanged(e, ended.version) + \" OR attribute_exists(recordVersionNumber)\""),
	spec("./lockclient", "TestASweepKeepsWhatALockNamesSoThatItIsTakenAtOnce", "", "session: swept away though a lock names it", sweepGo,
		"named[r.session] = true",
		"named[r.session] = false"),

	// The same, and more, as an invariant notices it.
	one("session-first", "session: its locks taken before it is marked", sessionWatchGo,
		"following{over: s.over,",
		"following{over: s.over || s.contender.holderIsDead(now) || s.missing,"),
	one("takeover-names", "session: marked by who has not watched its version", sessionRequests,
		"e.condition = unchanged(e, *watched)",
		"e.condition = \"attribute_not_exists(\" + e.name(attrReleased) + \")\""),
	one("believer-holds", "session: marked as soon as its item is missing", sessionWatchGo,
		"s.missing && s.certain >= s.since+s.lease:",
		"s.missing:"),
	spec("./lockclient", "TestWhatJavaWroteNamesNoSession", "", "session: a pointer that counts beside a version of Java's", record,
		"if r.bound {\n\t\tr.decodeOurs",
		"r.session, _ = stringOf(attributes[attrSession])\n\tif r.bound {\n\t\tr.decodeOurs"),
	one("mark-is-final", "session: a heartbeat takes the mark away", requests,
		`ours(e) + " AND (attribute_not_exists(" + e.name(attrExpires) + ") OR " + e.name(attrExpires) + " <= " + bindExpires + ")"`+"\n\t"+`e.update = "SET " + s.renewal(e) + " ADD "`,
		`ours(e) + " AND (attribute_not_exists(" + e.name(attrExpires) + ") OR " + e.name(attrExpires) + " <= " + bindExpires + ")"`+"\n\t"+
			`remove := ""`+"\n\t"+
			`if s.kind == sessionRecord {`+"\n\t\t"+
			`e.condition = strings.Replace(e.condition, " AND attribute_not_exists("+e.name(attrReleased)+")", "", 1)`+"\n\t\t"+
			`remove = " REMOVE " + e.name(attrReleased)`+"\n\t"+
			`}`+"\n\t"+
			`e.update = "SET " + s.renewal(e) + remove + " ADD "`),
	one("mark-is-final", "session: a heartbeat is confirmed although it is marked", requests,
		`ours(e) + " AND (attribute_not_exists(" + e.name(attrExpires) + ") OR " + e.name(attrExpires) + " <= " + bindExpires + ")"`+"\n\t"+`e.update`,
		`ours(e) + " AND (attribute_not_exists(" + e.name(attrExpires) + ") OR " + e.name(attrExpires) + " <= " + bindExpires + ")"`+"\n\t"+
			`if s.kind == sessionRecord {`+"\n\t\t"+
			`e.condition = strings.Replace(e.condition, " AND attribute_not_exists("+e.name(attrReleased)+")", " AND (attribute_not_exists("+e.name(attrReleased)+") OR attribute_exists("+e.name(attrReleased)+"))", 1)`+"\n\t"+
			`}`+"\n\t"+
			`e.update`),
	{name: "session: a lost one is opened again under its name", caught: "mark-is-final", changes: []change{
		{sessionDriverGo, "item, err := d.itemDriver(sessionPrefix + id.String())",
			"name := sessionPrefix + id.String()\n\tif d.latest != nil {\n\t\tname = d.latest.name\n\t}\n\titem, err := d.itemDriver(name)"},
		{sessionRequests, `e.condition = "attribute_not_exists(" + e.name(s.partitionKey) + ")"` + "\n\te.update = \"SET \" + strings.Join",
			`e.condition = "attribute_not_exists(" + e.name(s.partitionKey) + ") OR attribute_exists(" + e.name(s.partitionKey) + ")"` + "\n\te.update = \"REMOVE \" + e.name(attrReleased) + \" SET \" + strings.Join"},
	}},
	one("believer-holds", "session: Close marks it before belief ends", sessionDriverGo,
		"return e.item.removeLock(ctx, \"\") //",
		"e.item.mu.Lock()\n\te.item.ledger.ended(e.keeper.fencingToken())\n\te.item.mu.Unlock()\n\t_ = e.item.release(ctx, \"\")\n\treturn e.item.removeLock(ctx, \"\") //"),
	{name: "session: a late confirmation of its heartbeat revives it", caught: "lost-is-lost", changes: []change{
		{keeper, "\tfailed, refused := conditionFailed(err)\n\tswitch {\n\tcase refused:\n\t\tfound",
			"\tif err == nil && k.d.epoch != nil && k.tenure.ended && k.tenure.why != nil {\n\t\tk.tenure.ended, k.tenure.why, k.tenure.renewed = false, nil, max(k.tenure.renewed, b.sent)\n\t}\n" +
				"\tfailed, refused := conditionFailed(err)\n\tswitch {\n\tcase refused:\n\t\tfound"},
		{keeper, "for _, request := range e.unneeded {\n\t\trequest.cancel()",
			"for _, request := range e.unneeded {\n\t\tif e.k.d.epoch != nil {\n\t\t\tcontinue\n\t\t}\n\t\trequest.cancel()"},
		{epochGo, "e.over, e.owing = true, nil\n\te.lose(why)\n\te.mu.Unlock()\n\tfor _, m := range e.all() {",
			"e.owing = nil\n\te.mu.Unlock()\n\tfor _, m := range e.all()[:0] {"},
		{memberGo, "_, why := m.e.keeper.holds()\n\t\tm.e.outlasts(m)\n\t\tm.end(memberError(m.d.name, why))",
			"_, _ = m.e.keeper.holds()"},
	}},
	spec("./lockclient", "TestALateConfirmationDoesNotCountForTheSessionThatCameAfter", "", "session: an acquire's late confirmation counts for the session after", membershipGo,
		"m := &member{d: d, e: d.joining, token: token}",
		"d.session.mu.Lock()\n\tm := &member{d: d, e: d.session.latest, token: token}\n\td.session.mu.Unlock()"),
	spec("./lockclient", "TestTheTrustInASessionCountsFromTheSendingOfItsFirstWrite", "", "session: trust counted from the reply that opens it", sessionDriverGo,
		"\te.keeper = item.keeper.Load()\n",
		"\te.keeper = item.keeper.Load()\n\titem.mu.Lock()\n\te.keeper.tenure.renewed = e.keeper.tenure.odometer.Fold(lease.Now(item.clock))\n\titem.mu.Unlock()\n"),
	one("believer-holds", "session: trust counted from its heartbeat's reply", keeper,
		"case !k.tenure.confirmed(b, now) && !k.tenure.ended:\n\t\treturn k.tenure.expired()\n\t}\n",
		"case !k.tenure.confirmed(b, now) && !k.tenure.ended:\n\t\treturn k.tenure.expired()\n\tcase k.d.epoch != nil:\n\t\tk.tenure.renewed = k.tenure.odometer.Fold(now)\n\t}\n"),
	one("believer-holds", "session: watched for the waiter's lease, not its own", sessionWatchGo,
		"\t\ts.contender.saw(found, l)\n",
		"\t\ts.contender.saw(found, l)\n\t\ts.contender.watch.lease = s.contender.rules.Lease\n"),
	one("believer-holds", "session: its end tells nobody who waits for Lost", epochGo,
		"for _, m := range e.all() {\n\t\tm.end(memberError(",
		"for _, m := range e.all()[:0] {\n\t\tm.end(memberError("),
	{name: "session: a lost one is marked by its process though work goes on", caught: "work-then-release", changes: []change{
		{tellingGo, "if e.loss != nil && e.unreleased == 0 {", "if e.loss != nil {"},
		{tellingGo, "mark, token := e.unreleased == 0,", "mark, token := true,"},
	}},
	spec("./lockclient", "TestTryLockTellsALivingSessionFromADeadOne", "", "session: one's own living session taken for over", followGo,
		"return following{alive: true, changed",
		"return following{over: true, changed"),

	// Shards.
	{name: "shards: leads on after its session is lost", test: shardSeeds, changes: []change{
		{shardTerm, "case !held:\n\t\treturn lossOf(t.pulse)\n\tcase age >= t.deadline:", "case !held && age < 0:\n\t\treturn lossOf(t.pulse)\n\tcase !held:\n\tcase age >= t.deadline && age < 0:"},
		{shardTerm, "if held, _ := t.lock.HasLock(); !held {", "if held, _ := t.lock.HasLock(); !held && t.token == 0 {"},
		{shardTerm, "if token, _ := t.lock.FencingToken(); token != t.token {\n\t\treturn &", "if token, _ := t.lock.FencingToken(); token > t.token {\n\t\treturn &"},
		{shardGuard, "\t\t\tr.endAll(&lossError{reason: fmt.Errorf(", "\t\t\t_ = (&lossError{reason: fmt.Errorf("},
		{shardGuard, "\tr.endAll(&lossError{reason: election.ErrLockLost, lock: why})\n", "\t_ = election.ErrLockLost\n"},
	}},
	{name: "shards: leads a shard whose lock another holds", test: shardSeeds, changes: []change{
		{shardGo, "\tif held {\n\t\ts.failed,", "\tif held || errors.As(err, new(heldError)) {\n\t\ts.failed,"},
		{shardTerm, "if held, _ := t.lock.HasLock(); !held {", "if held, _ := t.lock.HasLock(); !held && t.token != 0 {"},
	}},
	{name: "shards: some members are not counted", test: shardSeeds, changes: []change{
		{shardView, "m.plan == plan && !dead.has(id)", "m.plan == plan && id[0] < '8' && !dead.has(id)"},
	}},
	{name: "shards: moves before its work has returned", test: shardSeeds, changes: []change{
		{shardGo, "\ts.term.cancel(cause)\n", "\ts.term.cancel(cause)\n\tlock := s.lock\n\tgo func() { _ = lock.RemoveLockWithContext(r.ctx) }()\n"},
	}},
	{name: "shards: handovers are not read closely", test: shardSeeds, changes: []change{
		{handoverGo, "\t\t\treturn slices.Sorted(maps.Keys(r.movers))\n\t\t}\n\t}\n\tclear(r.movers)", "\t\t\t_ = slices.Sorted(maps.Keys(r.movers))\n\t\t}\n\t}\n\tclear(r.movers)"},
	}},
	{name: "shards: a replica leads more than MaxPerReplica", test: shardLimit, changes: []change{
		{shardGo, "return r.most == 0 || r.taken < r.most }", "return r.most == 0 || r.taken < r.most+1 }"},
	}},
	{name: "shards: the works that still return are not counted", test: shardRoom, changes: []change{
		{shardGo, "return r.most == 0 || r.taken < r.most }", "return r.most == 0 || r.leading+r.attempts < r.most }"},
	}},
	spec("./election/shards", "TestAJoinWhereSlotsAreFreeMovesNone", "", "shards: a replica with a limit gives one shard away for another", shardKept,
		"known && s.mine && s.led {",
		"known && s.mine && s.led && i < 0 {"),
	spec("./election/shards", "TestThoseWhoDoNotWatchADeadMemberHearOfItsDeathAtOnce", "", "shards: the dead are not read closely", stewardGo,
		"closely = closely || now-since < 2*r.Lease",
		"closely = closely || now-since < 0*r.Lease"),
	spec("./election/shards", "TestASuspicionThatStaysCostsLittle", "", "shards: a suspicion is read closely for ever", stewardGo,
		"closely = closely || now-since < 2*r.Lease",
		"closely = closely || now >= since"),
	spec("./election/shards", "TestAnAttemptThatWasDueDoesNotReleaseAShardTwice", "", "shards: an attempt that was due releases once more", shardGo,
		"case s.stage == releasing && s.again:",
		"case s.stage == releasing:"),
	spec("./election/shards", "TestALoneReplicaLetsGoWhatIsNotItsAnyMore", "", "shards: a lone replica waits for others to hear of its moves", shardRun,
		"if r.isCrashed() || !r.hasPeers() || r.state == leaving && now >= m.hasty {",
		"if r.isCrashed() || r.state == leaving && (!r.hasPeers() || now >= m.hasty) {"),

	// Cron.
	spec("./election/cron", "^TestSeeds$", "", "cron: a run that was cut off is repeated once too often", cronWorker,
		"if r.Attempt < w.job.attempts() {",
		"if r.Attempt < w.job.attempts()+1 {"),
	spec("./election/cron", "^TestSeeds$", "", "cron: a run begins although it could not be recorded", cronWorker,
		"if err := w.store.begin(ctx, w.term, before, next); err != nil {\n\t\treturn err\n\t}",
		"_ = w.store.begin(ctx, w.term, before, next)"),
	spec("./election/cron", "^TestSeeds$", "", "cron: the clock says which ticks have run, not the record", cronWorker,
		"w.job.due(r.Tick.In(w.location), now)",
		"w.job.due(now.Add(-20*time.Second), now)"),

	// Fencing.
	spec("./lockclient", "TestConditionChecksShareNothing", "", "the map of names shared between callers", requests,
		"maps.Clone(s.checking.names)",
		"s.checking.names"),
	one("stamps-rise", "a stamp that stops nobody", stampGo,
		`") OR " + stampName + " <= " + stampValue`,
		`") OR " + stampName + " >= " + stampValue + " OR " + stampName + " <= " + stampValue`),
	one("guarded-once", "a transaction without an answer called unwritten", fence,
		"t.left = t.left || t.unknown || statusOf(err) > 0",
		"t.left = t.left && t.unknown && statusOf(err) > 0"),
	spec("./lockclient", "TestATransactionWithoutAnAnswerIsNotCalledUnwritten", "", "a transaction without an answer called refused", fence,
		"t.unknown = t.unknown || mayHaveCommitted(err)",
		"t.unknown = t.unknown && mayHaveCommitted(err)"),
	spec("./lockclient", "TestATransactionIsNotCalledUnwrittenBecauseOneCopyOfItMetAConflict", "", "a conflict taken for the answer to each copy of a transaction", fence,
		"case !t.left:",
		"case !t.unknown:"),
	spec("./lockclient", "TestOnlyARefusalOrARequestThatNeverLeftIsCertain", "", "a transaction in progress called unwritten", "lockclient/answer.go",
		"if errorCode(err) == dynamodb.ErrCodeTransactionInProgressException {",
		"if false {"),
	spec("./lockclient", "TestATransactionWaitsWhileAHeartbeatIsRepeated", "", "a transaction does not wait for a heartbeat that is being repeated", keeper,
		"if !k.tenure.repeating() {\n\t\t\tk.d.mu.Unlock()\n\t\t\treturn nil",
		"if true {\n\t\t\tk.d.mu.Unlock()\n\t\t\treturn nil"),

	// The line of requests.
	spec("./lockclient", "TestSessionsThatStartTogetherOnABusyServerGetTheirLocks", "", "requests that time out do not make the line narrower", "lockclient/line.go",
		"case f == timedOut && !l.wasOvertaken(p, took):",
		"case f == timedOut && took < 0:"),
	spec("./lockclient", "TestSessionsThatStartTogetherOnABusyServerGetTheirLocks", "", "the heartbeats of sessions wait like all others", "lockclient/line.go",
		"if len(l.firsts) > 0 && l.taken < min(l.width.places+placesForFirsts, mostPlaces) {",
		"if len(l.firsts) > 0 && len(l.beats)+len(l.callers) == 0 {"),
	spec("./lockclient", "TestRequestsThatHangDoNotMakeTheLineNarrower", "", "requests that hang make the line narrower", "lockclient/line.go",
		"case f == timedOut && !l.wasOvertaken(p, took):",
		"case f == timedOut:"),

	// What an elector tells.
	one("news-in-order", "OnNewLeader called again after a vacancy", electorRun,
		"c.newName && onNewLeader != nil",
		"onNewLeader != nil"),
	one("news-in-order", "a leader names itself after its term", electorRun,
		"\t\tr.vacated(t, released)\n",
		"\t\t_ = released\n"),
	one("news-in-order", "observers are told of the first leader only", "election/observe.go",
		"for ch := range b.observers {\n\t\toffer(ch, l)",
		"for ch := range b.observers {\n\t\tif len(b.reigns) > 1 {\n\t\t\tcontinue\n\t\t}\n\t\toffer(ch, l)"),
}
