// Package cron runs scheduled jobs once a tick over a fleet of processes.
//
// All processes elect a leader. The leader runs the jobs, and keeps a record of each job in the
// table: which tick was begun last, under which fencing token, and what became of it. The record
// decides, so no tick is begun twice, whatever the clocks, the network and the leaders do.
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
// # What becomes of a tick
//
//	             begun by the leader,            Run returned
//	due ───────► in one transaction with ──────► nil: done
//	 │           the check of its lock           error: failed
//	 │                                │
//	 │ nobody led, or the run         │ the term ended: interrupted
//	 │ before took too long           │ the leader crashed: still running, under an older token
//	 ▼                                ▼
//	missed: Job.Missed decides        the next leader: run again while Job.Attempts allows, else lost
//
// # What is promised
//
//   - A tick is begun at most once, and is run at most Job.Attempts times. With 1, the default, a
//     run that a crash has cut off is not repeated.
//   - A tick is begun if there is a leader in time. One that is missed is skipped, made up for
//     once, or made up for one by one, as Job.Missed says. Deploying anew forgets no tick.
//   - Two runs of one job never overlap while the leaders keep their leases. The next leader comes
//     when the runs of the last one have returned. A run that goes on although its context has
//     ended is overtaken when the lease has run out: guard its writes with the term's
//     ConditionCheck.
//   - A leader whose clock is ahead runs ticks early. The next one does not run them again. It
//     waits for the first tick after the one that was begun last.
//
// A run whose end could not be recorded counts as cut off. It is repeated if Job.Attempts allows,
// so a job with more than one attempt should tell by Tick.Time what it has done already.
//
// # The record
//
// One item a job, under the key Prefix and the job's name, in any table with a string partition
// key; the lock table will do. A tick costs one transaction of a check and a write (4 write units)
// and one write. Nothing is read but when a term begins and after errors. Items of others are not
// touched. Tables with multi-Region strong consistency have no transactions and can't be used.
package cron
