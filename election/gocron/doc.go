// Package gocron lets several processes share the jobs of github.com/go-co-op/gocron/v2, so that
// each run of a job takes place in one of them. It implements both of gocron's interfaces for that:
//
//   - Locker: every process schedules. A lock for each job decides at each tick which process runs
//     it. Jobs spread over the processes.
//   - Elector: the processes elect a leader, which runs all jobs. A term is longer than a tick, so
//     the processes need not agree about the time.
//
// Give a scheduler one of the two: if it has an Elector, gocron does not ask the Locker.
//
// # A run that loses its lock
//
// If a process can't reach DynamoDB for a lease, a run loses its lock, and another process may
// start the job. gocron.Locker and gocron.Elector can't tell the job, because gocron makes the
// job's context before it asks for the lock. Locker.Task and Elector.Task can. They make a task
// whose context ends with the lock or the term, and has its fencing token (RunFromContext,
// election.TermFromContext). A process that is paused after its last check can still write late.
// Only a fenced write prevents that: Run.ConditionCheck, or the token in a store that can compare
// two numbers.
//
// # Ticks
//
// A Locker knows nothing of ticks. MinimumHold prevents several schedulers whose clocks differ from
// running the same tick. It does not help if a scheduler is later than MinimumHold. A DurationJob
// counts from when each scheduler was started. Give it gocron.WithStartAt with a time that is the
// same in all of them, or use CronJob.
//
// A run that fails, or whose process crashes, is not repeated. The next tick is the next run.
package gocron
