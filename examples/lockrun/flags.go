package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient"
)

// store says where the locks are.
type store struct {
	table, key       string
	endpoint, region string
	timeout          time.Duration
}

func (s *store) register(flags *flag.FlagSet) {
	flags.StringVar(&s.table, "table", os.Getenv("LOCK_TABLE"), "`name` of the DynamoDB table")
	flags.StringVar(&s.key, "partition-key", "key", "`name` of the table's partition key, a string")
	flags.StringVar(&s.endpoint, "endpoint", os.Getenv("DYNAMODB_ENDPOINT"), "`URL` of a DynamoDB Local; without one: DynamoDB on AWS")
	flags.StringVar(&s.region, "region", "", "AWS `region`; without one: that of the environment")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "how long DynamoDB may take to answer")
}

// connect makes the client. It sends no request.
func (s *store) connect() (dynamodbiface.DynamoDBAPI, error) {
	switch {
	case s.table == "":
		return nil, usageError("-table is missing: name the DynamoDB table, or set LOCK_TABLE (lockrun create-table makes one)")
	case s.timeout <= 0:
		return nil, usageError(fmt.Sprintf("-timeout is %v: give a time above 0, such as 10s", s.timeout))
	}
	config := aws.NewConfig().WithHTTPClient(lockclient.NewHTTPClient())
	if s.region != "" {
		config.WithRegion(s.region)
	}
	if s.endpoint != "" {
		u, err := url.Parse(s.endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, usageError(fmt.Sprintf("-endpoint is %q: give a URL, such as http://localhost:8000", s.endpoint))
		}
		config.WithEndpoint(s.endpoint)
		if u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback() {
			s.standIn(config)
		}
	}
	sess, err := session.NewSessionWithOptions(session.Options{Config: *config, SharedConfigState: session.SharedConfigEnable})
	if err != nil {
		return nil, fmt.Errorf("configure the AWS SDK: %w", err)
	}
	if aws.StringValue(sess.Config.Region) == "" {
		return nil, usageError("no AWS region: give -region or set AWS_REGION; for DynamoDB Local give -endpoint")
	}
	return dynamodb.New(sess), nil
}

// standIn gives a DynamoDB on this machine, which looks at neither, a region and credentials where
// there are none.
func (s *store) standIn(config *aws.Config) {
	if s.region == "" {
		config.WithRegion(cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1"))
	}
	config.WithCredentials(credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvProvider{}, &credentials.SharedCredentialsProvider{},
		&credentials.StaticProvider{Value: credentials.Value{AccessKeyID: "local", SecretAccessKey: "local"}},
	}))
}

func (s *store) String() string {
	if s.endpoint != "" {
		return fmt.Sprintf("table %q at %s", s.table, s.endpoint)
	}
	return fmt.Sprintf("table %q", s.table)
}

// parse reads the flags of a sub-command. head is what -h prints before them. A wrong flag is
// answered with one line: the help is too long to find the mistake above it.
func (t *terminal) parse(flags *flag.FlagSet, head string, args []string) error {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(t.out, head)
		flags.SetOutput(t.out)
		flags.PrintDefaults()
	case err != nil:
		return usageError(fmt.Sprintf("%v; see %s -h", err, flags.Name()))
	}
	return err
}

// runFlags are those of lockrun itself.
type runFlags struct {
	store
	name     string
	owner    string
	lease    time.Duration
	grace    time.Duration
	hold     time.Duration
	skew     time.Duration
	try      bool
	wait     time.Duration
	heldCode int
	command  []string
}

func (t *terminal) parseRun(args []string) (*runFlags, error) {
	f := &runFlags{}
	flags := flag.NewFlagSet("lockrun", flag.ContinueOnError)
	f.register(flags)
	flags.StringVar(&f.name, "name", "", "`name` of the lock: of all commands with one name, one runs at a time")
	flags.StringVar(&f.owner, "owner", "", "`name` of this run in the lock's record; without one: HOST/PID and a\nrandom part")
	flags.DurationVar(&f.lease, "lease", 30*time.Second, "how long a crashed host keeps the lock. The lock is renewed while the\ncommand runs, so the run may take longer")
	flags.DurationVar(&f.grace, "grace", 0, "how long the command may take to end after SIGTERM, if the lock is\nlost; at most half of -lease; 0: a third of it")
	flags.DurationVar(&f.hold, "hold", 0, "keep the lock for at least so long, so that a fast command does not\nrun again on a host whose clock is late")
	flags.DurationVar(&f.skew, "max-clock-skew", 0, "the clocks of all hosts differ by less than this. A crashed host's\nlock is then taken over without watching it; 0: never compare clocks")
	flags.BoolVar(&f.try, "try", false, "don't wait for a holder that is alive; this is the default. The\nholder is watched until it renews or its lease has run out")
	flags.DurationVar(&f.wait, "wait", 0, "wait for the lock, but not longer than this")
	flags.IntVar(&f.heldCode, "held-code", exitHeld, "exit `code` if the lock was not acquired; with 0 a run on another\nhost counts as success")
	flags.BoolVar(&t.quiet, "q", false, "say nothing if the lock was not acquired")
	if err := t.parse(flags, usage, args); err != nil {
		return nil, err
	}
	f.command = flags.Args()
	if f.grace == 0 {
		f.grace = f.lease / 3
	}
	waits := false
	flags.Visit(func(f *flag.Flag) { waits = waits || f.Name == "wait" })
	return f, f.check(waits)
}

// check names all flags that don't fit.
func (f *runFlags) check(waits bool) error {
	var wrong []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	refuse(f.name == "", "-name is missing: name the lock")
	refuse(len(f.command) == 0, "there is no command: give it after --")
	refuse(f.lease < minLease || f.lease%time.Millisecond != 0, "-lease is %v: give %v or more, in whole milliseconds", f.lease, minLease)
	refuse(f.grace < 0 || f.grace > f.lease/2, "-grace is %v: give at most half of -lease, %v, so that a late renewal costs nothing", f.grace, f.lease/2)
	refuse(f.hold < 0, "-hold is %v: give a time, or 0 for none", f.hold)
	refuse(f.skew < 0, "-max-clock-skew is %v: give a time, or 0 for not trusting clocks", f.skew)
	refuse(f.try && waits, "-try and -wait exclude each other: give one")
	refuse(waits && f.wait <= 0, "-wait is %v: give a time above 0, or -try", f.wait)
	refuse(f.heldCode < 0 || f.heldCode > 255, "-held-code is %d: give 0 to 255", f.heldCode)
	if err := errors.Join(wrong...); err != nil {
		return usageError(err.Error())
	}
	return nil
}

// minLease leaves time for a process to be told to end, and to end.
const minLease = 500 * time.Millisecond
