package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
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
	flags.StringVar(&s.endpoint, "endpoint", os.Getenv("DYNAMODB_ENDPOINT"), "`URL` of a DynamoDB Local (default: DynamoDB on AWS)")
	flags.StringVar(&s.region, "region", "", "AWS `region` (default: as the environment says)")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "how long DynamoDB may take to answer before it counts as away")
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

// parse reads the flags of a sub-command. head is what -h prints before them.
func (t *terminal) parse(flags *flag.FlagSet, head string, args []string) error {
	flags.SetOutput(t.errs)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), head)
		flags.PrintDefaults()
	}
	for _, arg := range args {
		if arg == "-h" || arg == "-help" || arg == "--help" {
			flags.SetOutput(t.out) // what was asked for is no error
		}
		if arg == "--" {
			break
		}
	}
	err := flags.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return usageError("wrong usage") // the flag package has said what is wrong
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
	flags.StringVar(&f.owner, "owner", "", "`name` of this run in the lock's record (default: HOST/PID and a random part)")
	flags.DurationVar(&f.lease, "lease", 30*time.Second, "how long the lock outlives a host that has crashed. It is renewed while the command runs, so it need not cover the run")
	flags.DurationVar(&f.grace, "grace", 0, "how long the command may take to end after SIGTERM, if the lock is lost; at most half of -lease (default: a third of it)")
	flags.DurationVar(&f.hold, "hold", 0, "keep the lock for at least so long, so that a fast command does not run again on a host whose clock is late")
	flags.DurationVar(&f.skew, "max-clock-skew", 0, "the clocks of all hosts differ by less than this; a crashed host's lock is then taken over without watching it (default: clocks are not trusted)")
	flags.BoolVar(&f.try, "try", false, "don't wait for a holder that is alive. A holder that may have crashed is watched until it renews or its lease has run out. This is the default")
	flags.DurationVar(&f.wait, "wait", 0, "wait for the lock for so long")
	flags.IntVar(&f.heldCode, "held-code", exitHeld, "exit `code` if the lock was not acquired; with 0 a run left to another host is a success")
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
