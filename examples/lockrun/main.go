// Command lockrun runs a command under a lock in DynamoDB, so that of many hosts with the same
// crontab one at a time runs it.
//
//	go install github.com/leaderkit/leaderkit/examples/lockrun@latest
//	lockrun create-table -table locks
//	lockrun -table locks -name nightly -hold 30s -- /usr/bin/job args
//	lockrun status -table locks
//
// The lock is renewed while the command runs. It is released when the command and all processes of
// its process group have ended. If the lock can't be renewed, the process group gets SIGTERM, and
// SIGKILL before the lease has run out. A second process, the warden, does that if lockrun itself
// was killed or stopped. README.md says what is promised and what is not.
//
// acquire.go takes the lock, run.go supervises the command, deadline.go decides when it must end,
// group.go is its process group, warden.go the second process. status.go, watch.go, release.go and
// table.go are the sub-commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/leaderkit/leaderkit/lockclient"
)

// What lockrun exits with, if not with the command's own exit code.
const (
	exitOK       = 0
	exitDeclined = 1   // release changed nothing: not confirmed, or not possible
	exitUsage    = 64  // the command line is wrong
	exitStore    = 69  // DynamoDB did not answer, or refused: no table, no permission
	exitHeld     = 75  // the lock was not acquired (-held-code changes it)
	exitLost     = 76  // the lock was lost, and the command was ended
	exitCannot   = 126 // the command can't be run
	exitNotFound = 127 // there is no such command
	exitSignal   = 128 // plus the number of the signal that ended the command, or lockrun before it had the lock
)

const usage = `lockrun runs a command under a lock in DynamoDB.

usage:
  lockrun -table TABLE -name LOCK [flags] -- COMMAND [ARGUMENT...]
  lockrun status -table TABLE [-json] [-watch] [LOCK...]   shows all locks, or these
  lockrun release -table TABLE -name LOCK -force           takes a lock away from its
                                                           holder; asks first
  lockrun create-table -table TABLE                        makes the table, if there is none
  lockrun SUB-COMMAND -h                                   the flags of a sub-command

exit codes:
  the command's own; and
   64  wrong usage
   69  DynamoDB does not answer, or refuses (no table, no permission)
   75  the lock was not acquired, and the command not run (-held-code changes this)
   76  the lock was lost, or could not be renewed in time; the command was ended
  126  the command can't be run      127  there is no such command
  128 + n  ended by signal n

the command's environment:
  LOCK_NAME   the lock
  LOCK_TOKEN  the fencing token, higher than that of every earlier run. Give it to
              a store that refuses lower ones.
  LOCK_OWNER  this run's name in the lock's record

environment of lockrun:
  LOCK_TABLE         the default of -table
  DYNAMODB_ENDPOINT  the default of -endpoint
  AWS_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID, ...  as for each program with the AWS SDK

flags:
`

func main() {
	os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// start is the program. It returns the exit code.
func start(args []string, in io.Reader, out, errs io.Writer) int {
	name := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}
	t := &terminal{in: in, out: out, errs: errs}
	var err error
	switch name {
	case "", "run":
		return runMain(args, t)
	case wardenCommand:
		return wardenMain(args, t)
	case "status":
		err = statusMain(args, t)
	case "release":
		err = releaseMain(args, t)
	case "create-table":
		err = createTableMain(args, t)
	case "help":
		return runMain([]string{"-h"}, t)
	default:
		err = usageError(fmt.Sprintf("%q is no sub-command. To run a command, put -- before it. See lockrun -h", name))
	}
	return t.verdict(err)
}

// terminal is where a person reads and answers.
type terminal struct {
	in        io.Reader
	out, errs io.Writer
	quiet     bool
}

// say prints a line on standard error.
func (t *terminal) say(format string, args ...any) {
	fmt.Fprintf(t.errs, "lockrun: "+format+"\n", args...)
}

// verdict says what went wrong, and returns the exit code.
func (t *terminal) verdict(err error) int {
	var held *lockclient.LockHeldError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, lockclient.ErrLockHeld) && t.quiet:
	case errors.As(err, &held) && held.Owner != "": // its own text is for Go programmers
		t.say("lock %q is held by %q (fencing token %d): the command was not run", held.LockName, held.Owner, held.FencingToken)
	default:
		t.say("%v", err)
	}
	if errors.Is(err, lockclient.ErrTableNotFound) {
		t.say("to create the table: lockrun create-table")
	}
	return exitCode(err)
}

// usageError is a command line that can't be followed.
type usageError string

func (e usageError) Error() string { return string(e) }

// declined is why a sub-command changed nothing.
type declined string

func (e declined) Error() string { return string(e) }

// signalError is a signal that ended lockrun before the command was run.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "ended by a signal: " + e.String() }

// startError is a command that could not be started.
type startError struct{ error }

func (e startError) code() int {
	if errors.Is(e.error, exec.ErrNotFound) || errors.Is(e.error, fs.ErrNotExist) {
		return exitNotFound
	}
	return exitCannot
}

// exitCode is that of an error that kept the command from being run.
func exitCode(err error) int {
	var ended signalError
	var unstarted startError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(declined)):
		return exitDeclined
	case errors.As(err, &ended):
		return exitSignal + int(ended.Signal)
	case errors.As(err, &unstarted):
		return unstarted.code()
	case errors.As(err, new(usageError)), errors.Is(err, lockclient.ErrInvalidConfig):
		return exitUsage
	case errors.Is(err, lockclient.ErrLockHeld):
		return exitHeld
	default:
		return exitStore
	}
}

// untilInterrupted is a context for the sub-commands, which ends with Ctrl-C.
func untilInterrupted() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}
