package main

// change replaces a piece of a source file that occurs in it exactly once.
type change struct {
	file     string // from the module's root
	old, new string
}

// mutant is a mistake that somebody could make.
type mutant struct {
	name    string
	changes []change
}

func one(name, file, old, new string) mutant {
	return mutant{name, []change{{file, old, new}}}
}

const (
	acquire   = "lockclient/acquire.go"
	fence     = "lockclient/fence.go"
	heartbeat = "lockclient/heartbeat.go"
	lease     = "lockclient/lease.go"
	record    = "lockclient/record.go"
	release   = "lockclient/release.go"
	store     = "lockclient/store.go"
	wait      = "lockclient/wait.go"
	elector   = "election/elector.go"
	term      = "election/term.go"
)

// anyToken is a condition that is true of every record with a token. A value that no expression uses is refused, so it must name it.
const anyToken = `"(attribute_exists(" + e.name(attrToken) + ") OR " + e.name(attrToken) + " = " + bindToken + ")"`

// anyone is the same and names the owner, too.
const anyone = `"(attribute_exists(" + e.name(attrToken) + ") OR " + e.name(attrOwner) + " = " + bindOwner + " OR " + e.name(attrToken) + " = " + bindToken + ")"`

// mutants are ordered as the protocol goes: trust, watch, acquire, heartbeat, release, fencing, elector.
var mutants = []mutant{
	one("trust counted from a heartbeat's reply", heartbeat,
		"t.renewed = max(t.renewed, b.sent)",
		"t.renewed = max(t.renewed, at)"),
	one("trust counted from the acquire's reply", acquire,
		"if err == nil {\n\t\t\treturn l.won(found, odometer{mark: at})",
		"if err == nil {\n\t\t\treturn l.won(found, odometer{mark: now(l.clock)})"),
	one("trust of the whole lease, no margin for clock rates", lease,
		"return lease / 100 * 99",
		"return lease"),
	one("trust of 2 % more than the lease", lease,
		"return lease / 100 * 99",
		"return lease / 100 * 102"),
	one("HasLock without a look at the clock", lease,
		"if age >= t.lock.window {\n\t\tt.end(t.expired())\n\t\treturn 0, false",
		"if false {\n\t\tt.end(t.expired())\n\t\treturn 0, false"),
	one("wall clock ignored: machines that suspend", lease,
		"time.Duration(at.wall-o.mark.wall), 0)",
		"0)"),
	one("monotonic clock ignored: wall clocks set back", lease,
		"max(at.mono-o.mark.mono, time.Duration(at.wall-o.mark.wall), 0)",
		"max(time.Duration(at.wall-o.mark.wall), 0)"),
	one("no look at the lease between the window's ends", lease,
		"max(min(next, max(t.lock.heartbeat/4, 5*time.Millisecond)), 0)",
		"max(next, 0)"),
	{"a late reply revives an ended tenure", []change{
		{heartbeat,
			"t.mu.Lock()\n\tif t.ended {\n\t\tt.mu.Unlock()\n\t\treturn\n\t}\n\tat := t.odometer.fold(now(t.lock.clock))\n\tif at-t.renewed >= t.lock.window {",
			"t.mu.Lock()\n\tt.ended = false\n\tat := t.odometer.fold(now(t.lock.clock))\n\tif false {"},
		{lease, "if lost != nil {\n\t\tclose(lost)", "if lost != nil && !isClosed(lost) {\n\t\tclose(lost)"},
		{lease, "\t\tb.cancel()\n", "\t\t_ = b\n"},
	}},
	one("the first failed heartbeat gives the lock up", heartbeat,
		"if !refused {\n\t\tb.failed(err)",
		"if !refused {\n\t\tt.end(lostTo(t.lock.name, decodeRecord(nil), err))"),
	one("a failed heartbeat is not repeated", heartbeat,
		"t.beatAt(t.odometer.mark.mono + pause)",
		"_ = pause"),

	one("watch counted from the send", wait,
		"next := watch{record: found, since: arrived,",
		"next := watch{record: found, since: sent,"),
	one("watch kept across a changed version", wait,
		"\t\t*w = next",
		"\t\tif w.record != nil {\n\t\t\tnext.since = w.since\n\t\t}\n\t\t*w = next"),
	one("watch for one's own lease, not the recorded one", wait,
		"lease: found.item.LeaseDuration}",
		"lease: l.lease}"),
	one("watch for 9/10 of the lease", wait,
		"return w.lease + w.margin - (l.clock.Monotonic() - w.since)",
		"return w.lease*9/10 - (l.clock.Monotonic() - w.since)"),
	one("isReleased ignored by those who wait", record,
		"r.item.Released = mark == releasedMark",
		"r.item.Released = mark == \"?\""),
	one("MaxClockSkew not added to a recorded expiry", wait,
		"> l.maxClockSkew {",
		"> 0 {"),
	one("every Identifier of one's own reclaimed at once", wait,
		"if l.reclaim && w.record",
		"if w.record"),

	one("a released lock left alone until its lease has run out", wait,
		"released := found.released() && (",
		"released := false && ("),
	one("who gives up waits two leases for the last answer", release,
		"return min(l.heartbeat, time.Second) / 2",
		"return 2 * l.lease"),
	one("a request that nobody waits for is not cancelled", acquire,
		"sent, abort := context.WithCancel(context.WithoutCancel(ctx))",
		"sent, abort := context.WithoutCancel(ctx), func() {}"),

	one("takeover without the version as its condition", store,
		`return "(" + e.name(attrVersion) + " = :watched AND " + e.name(attrCount) + " = :count)"`,
		`return "(" + e.name(attrVersion) + " = :watched OR " + e.name(attrCount) + " >= :count)"`),
	{"heartbeatCount left out of the version, and no order of heartbeats", []change{
		{store,
			`return "(" + e.name(attrVersion) + " = :watched AND " + e.name(attrCount) + " = :count)"`,
			`return "(" + e.name(attrVersion) + " = :watched AND " + e.name(attrCount) + " >= :count)"`},
		{wait, "found.version == w.record.version,", "found.version.number == w.record.version.number,"},
		{store, `" <= " + bindExpires + ")"`, `" <> " + bindExpires + ")"`},
	}},
	one("fencing token not raised on takeover", store,
		`+ bindToken + ") + " + one,`,
		`+ bindToken + ")",`),
	one("fencing token restarted at 1 after a deletion", store,
		"integer(max(at.wall/int64(time.Millisecond), seen, 1))",
		"integer(1 + 0*max(at.wall, seen))"),
	one("a reclaimed tenure told by its owner only", store,
		`+ " = " + bindOwner + " AND " + e.name(attrToken) + " = :claim)"`,
		`+ " = " + bindOwner + " AND " + e.name(attrToken) + " >= :claim)"`),
	one("a request that hangs is waited for", acquire,
		"case <-ctx.Done():\n\t}\n\tif patience",
		"case <-make(chan struct{}):\n\t}\n\tif patience"),

	one("a heartbeat stays due until it is answered", heartbeat,
		"t.beatDue = never // until",
		"// until"),
	one("heartbeat on no condition but the owner", store,
		"e.condition = ours(e) + \" AND (attr",
		`e.condition = e.name(attrOwner) + " = " + bindOwner + " AND " + `+anyToken+` + " AND (attr`),
	one("heartbeat on no condition", store,
		"e.condition = ours(e) + \" AND (attr",
		`e.condition = `+anyone+` + " AND (attr`),
	{"heartbeats keep one recordVersionNumber", []change{
		{store, "func (s *store) renew(ctx context.Context, token int64, wall time.Time) error {\n\tnumber, err := newVersion()",
			"func (s *store) renew(ctx context.Context, token int64, wall time.Time) error {\n\tnumber, err := s.name+strconv.FormatInt(token, 10), error(nil)"},
	}},
	one("an announcement takes itself for a renewal", heartbeat,
		"case err == nil:\n\t\treturn nil\n\tcase !refused:",
		"case err == nil:\n\t\tt.mu.Lock()\n\t\tt.renewed = t.odometer.fold(now(l.clock))\n\t\tt.mu.Unlock()\n\t\treturn nil\n\tcase !refused:"),
	one("the SDK's retries left on", store,
		"r.Retryer = client.NoOpRetryer{}",
		"_ = client.NoOpRetryer{}"),
	one("a refused heartbeat taken for a failed one", heartbeat,
		"\tt.refuted(found, err)\n}\n\n// outrun",
		"\t_ = t\n\tb.failed(err)\n}\n\n// outrun"),

	one("release on no condition but the owner", store,
		"e := newExpression()\n\te.condition = ours(e)\n\tif",
		"e := newExpression()\n\te.condition = e.name(attrOwner) + \" = \" + bindOwner + \" AND \" + "+anyToken+"\n\tif"),
	one("release on no condition", store,
		"e := newExpression()\n\te.condition = ours(e)\n\tif",
		"e := newExpression()\n\te.condition = "+anyone+"\n\tif"),
	one("isReleased left out of the tenure's condition", store,
		"\" = \" + bindToken +\n\t\t\" AND attribute_not_exists(\" + e.name(attrReleased) + \")\"",
		"\" = \" + bindToken"),
	{"the lock believed in until its release is answered", []change{
		{release, "\t\tt.end(nil)\n", ""},
		{release, "\tdoubts := l.doubted()\n", "\tdoubts := l.doubted()\n\tdefer func() {\n\t\tif t := l.current.Load(); t != nil {\n\t\t\tt.end(nil)\n\t\t}\n\t}()\n"},
	}},

	one("the guard's condition is the owner only", store,
		"checking.condition = ours(checking)",
		`checking.condition = func(e *expression) string { return e.name(attrOwner) + " = " + bindOwner + " AND " + `+anyToken+` }(checking)`),
	one("each try of a transaction under a name of its own", fence,
		"if fenced.ClientRequestToken == nil {",
		"if false {"),

	{"leading context not ended at RenewDeadline", []change{
		{term, "if held && age < t.renewDeadline {\n\t\treturn nil", "if held {\n\t\treturn nil"},
		{term, "min(t.renewDeadline-age, t.tick)", "t.tick"},
	}},
	one("no timer for RenewDeadline", term,
		"min(t.renewDeadline-age, t.tick)",
		"max(4*t.renewDeadline, t.tick)"),
	one("the leading context's Err without a look at the lease", term,
		"if end := c.term.leaseEnd(c.term.leaseAge()); end != nil {",
		"if end := c.term.leaseEnd(c.term.leaseAge()); false {"),
	one("IsLeader without a look at the lease", term,
		"if end := t.leaseEnd(t.leaseAge()); end != nil {\n\t\tt.end(end) //",
		"if end := t.leaseEnd(t.leaseAge()); false {\n\t\tt.end(end) //"),
	one("stopped leading before the work has returned", elector,
		"returned := r.awaitWork(t)",
		"returned := true"),
	one("released before the work has returned", elector,
		"returned := r.awaitWork(t)",
		"_ = r.giveBack(r.figures.lease)\n\treturned := r.awaitWork(t)"),
	one("heartbeats stop as soon as the work is to stop", elector,
		"stopBounding := r.boundDrain(t)",
		"r.lock().StopHeartbeat()\n\tstopBounding := r.boundDrain(t)"),
	one("campaigning ends with the first failure", "election/campaign.go",
		"case isPermanent(err) && !r.hadAnswer():",
		"case true:"),
}
