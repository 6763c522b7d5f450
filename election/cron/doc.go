// Package cron runs scheduled jobs in a fleet of processes, once for each tick.
//
// All processes elect a leader. The leader runs the jobs, and keeps a record of each job in the
// table: which tick was started last, under which fencing token, and how it ended. The record
// decides, so no tick is started twice, even if clocks are wrong, leaders crash or messages are
// lost.
//
//	jobs, err := cron.New(cron.Config{Client: db, TableName: "locks", Jobs: []cron.Job{{
//		Name:     "invoices",
//		Schedule: cron.Every(time.Hour),
//		Run:      sendInvoices,
//	}}})
//	...
//	election.RunOrDie(ctx, election.LeaderElectionConfig{
//		Lock:            lock,
//		ReleaseOnCancel: true,
//		Callbacks: election.LeaderCallbacks{OnStartedLeading: jobs.Lead, OnStoppedLeading: func() {}},
//	})
//
// This package has no syntax for schedules. A Schedule is one method, Next. The module
// election/cron/spec reads "0 3 * * MON-FRI" with the parser of github.com/robfig/cron/v3.
//
// # The states of a tick
//
//	             started by the leader,          Run returned
//	due ───────► in one transaction with ──────► nil: done
//	 │           the check of its lock           error: failed
//	 │                                │
//	 │ no leader, or the run          │ the term ended: interrupted
//	 │ before took too long           │ the leader crashed: still running, under an older token
//	 ▼                                ▼
//	missed: Job.Missed decides        the next leader: run again while Job.Attempts allows, else lost
//
// # What is promised
//
//   - A tick is started at most once, and run at most Job.Attempts times. With 1, the default, a
//     run that a crash interrupted is not repeated.
//   - A tick is started if there is a leader in time. Job.Missed says whether missed ticks are
//     skipped, replaced by one run, or run one by one. A deployment loses no tick.
//   - Two runs of one job never overlap while the leaders keep their leases. The next leader leads
//     when the runs of the last one have returned. If a run goes on although its context has ended,
//     another run can start when the lease has run out: protect its writes with the term's
//     ConditionCheck.
//   - A leader whose clock is ahead runs ticks early. The next one does not run them again. It
//     waits for the first tick after the one that was started last.
//
// If the end of a run could not be recorded, the run counts as interrupted. It is repeated if
// Job.Attempts allows. So a job with more than one attempt should find out by Tick.Time what it has
// already done.
//
// # The record
//
// There is one item for each job. Its key is Prefix and the job's name. The table is the lock's, or
// another one with a string partition key. A tick costs one transaction of a check and a write (4
// write units) and one write. Records are read only when a term begins and after errors. Other
// items are not changed. Tables with multi-Region strong consistency have no transactions and can't
// be used.
package cron
