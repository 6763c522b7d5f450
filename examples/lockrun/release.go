package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"

	"github.com/leaderkit/leaderkit/lockclient"
)

const releaseHead = `lockrun release takes a lock away from its holder, and asks before it does.

You rarely need it: if the holder has crashed, its lock is taken over when its lease
has run out. A holder that is alive learns of the release at its next heartbeat, and
works on until then, beside the next holder. If it is lockrun, it then ends its command.

A lock of a session has no heartbeat of its own. Its holder learns of the release when
it releases the lock, or in its next TransactWrite or ConditionCheck.

Until then only writes that check the fencing token are safe.

usage: lockrun release -table TABLE -name LOCK -force [flags]

flags:
`

type releaseFlags struct {
	store
	name       string
	force, yes bool
}

func releaseMain(args []string, t *terminal) error {
	f := &releaseFlags{}
	flags := flag.NewFlagSet("lockrun release", flag.ContinueOnError)
	f.register(flags)
	flags.StringVar(&f.name, "name", "", "`name` of the lock")
	flags.BoolVar(&f.force, "force", false, "confirm that the lock is to be taken from another process")
	flags.BoolVar(&f.yes, "yes", false, "don't ask")
	if err := t.parse(flags, releaseHead, args); err != nil {
		return err
	}
	switch {
	case f.name == "":
		return usageError("-name is missing: name the lock")
	case flags.NArg() > 0:
		return usageError(fmt.Sprintf("%q is one argument too many", flags.Arg(0)))
	}
	client, err := f.connect()
	if err != nil {
		return err
	}
	ctx, stop := untilInterrupted()
	defer stop()
	return f.release(ctx, client, t)
}

// release shows who holds the lock, asks, and takes it from this holder and no other.
func (f *releaseFlags) release(ctx context.Context, client dynamodbiface.DynamoDBAPI, t *terminal) error {
	held, err := f.look(ctx, client)
	if err != nil {
		return err
	}
	if held.Released {
		fmt.Fprintf(t.out, "lock %q is free; nothing was changed\n", f.name)
		return nil
	}
	if held.RecordVersionNumber == "" {
		return declined(fmt.Sprintf("lock %q is held by dynamodb-lock-client-golang v0.1.0, which does not know released locks: delete the item instead. Nothing was changed", f.name))
	}
	if err := printRows(t.out, []row{newRow(held, time.Now())}); err != nil {
		return err
	}
	if !f.force {
		return usageError("nothing was changed: give -force to take the lock away from this holder")
	}
	until := "its next heartbeat"
	if held.Session != "" {
		until = "its next release, TransactWrite or ConditionCheck, because the session's heartbeats don't tell it"
	}
	if !f.yes && !t.agrees(fmt.Sprintf("Take lock %q away from %q? If it is alive it works on until %s. Answer yes or no: ", f.name, printable(held.Owner), until)) {
		return declined("nothing was changed")
	}
	for {
		version := uuid.NewString()
		err := f.free(ctx, client, held, version)
		if !errors.As(err, new(*dynamodb.ConditionalCheckFailedException)) {
			if err == nil {
				fmt.Fprintf(t.out, "lock %q is free\n", f.name)
			}
			return err
		}
		before := held
		if held, err = f.look(ctx, client); err != nil {
			return err
		}
		if held.Released && held.RecordVersionNumber == version {
			fmt.Fprintf(t.out, "lock %q is free\n", f.name) // the answer to the first attempt was lost
			return nil
		}
		if held.Released || held.Owner != before.Owner || held.FencingToken != before.FencingToken {
			return declined(fmt.Sprintf("lock %q has got another holder meanwhile; nothing was changed", f.name))
		}
		// The same holder, of a kind that has no token, has renewed.
	}
}

func (f *releaseFlags) look(ctx context.Context, client dynamodbiface.DynamoDBAPI) (item *lockclient.LockItem, err error) {
	reader := &lockclient.DynamoDBLockClient{LockName: f.name, TableName: f.table, PartitionKeyName: f.key, LeaseDuration: time.Minute, Client: client}
	err = within(ctx, f.timeout, func(ctx context.Context) error {
		item, err = reader.Peek(ctx)
		return err
	})
	return item, err
}

// free marks the record released, as its holder would, on condition that it still is this holder's.
// The version changes, so that the holder's own writes are refused.
func (f *releaseFlags) free(ctx context.Context, client dynamodbiface.DynamoDBAPI, held *lockclient.LockItem, version string) error {
	in := &dynamodb.UpdateItemInput{
		TableName:        &f.table,
		Key:              map[string]*dynamodb.AttributeValue{f.key: {S: &f.name}},
		UpdateExpression: aws.String("SET isReleased = :released, recordVersionNumber = :new"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":released": {S: aws.String("1")}, ":new": {S: &version}, ":owner": {S: &held.Owner},
		},
	}
	condition := "attribute_not_exists(isReleased) AND ownerName = :owner AND "
	if held.FencingToken > 0 {
		// The token names the tenure, whichever heartbeats come between. It counts only beside a
		// version that is ours.
		condition += "fencingToken = :token AND recordVersionNumber = ourVersion"
		in.ExpressionAttributeValues[":token"] = &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(held.FencingToken, 10))}
		*in.UpdateExpression += ", ourVersion = :new"
	} else {
		condition += "recordVersionNumber = :seen"
		in.ExpressionAttributeValues[":seen"] = &dynamodb.AttributeValue{S: &held.RecordVersionNumber}
	}
	in.ConditionExpression = &condition
	return within(ctx, f.timeout, func(ctx context.Context) error {
		_, err := client.UpdateItemWithContext(ctx, in)
		return err
	})
}

// agrees asks a question. Only yes is yes.
func (t *terminal) agrees(question string) bool {
	fmt.Fprint(t.out, question)
	answer, _ := bufio.NewReader(t.in).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
