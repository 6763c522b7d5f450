package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go/aws"
	awsclient "github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
)

// write is something that a holder writes to an item of its own that the lock protects.
type write struct {
	number  int
	tenure  grant
	how     string // guarded, careless, stamped
	commits int
	refused bool // its writer was told that nothing was written
}

// writes are those of a run, by number. The world's mu guards them.
type writes struct {
	all    []*write
	seen   map[int]int // lock -> how many guarded writes its item has had
	stamps []int64     // by lock: the highest token that has stamped its item
}

const stampPrefix = "stamp-"

// How the lock protects a write.
const (
	guarded  = "guarded"  // by a transaction with the lock's condition
	stamped  = "stamped"  // by the highest token that the item has seen
	careless = "careless" // not at all
)

func (c *client) newWrite(token int64, how string) *write {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	ws := &c.w.writes
	x := &write{number: len(ws.all) + 1, tenure: c.w.grantOf(c, token), how: how}
	ws.all = append(ws.all, x)
	return x
}

// update is the change that all kinds of write make: each leaves its number.
func (x *write) update() *dynamodb.Update {
	return &dynamodb.Update{
		TableName:        aws.String(dataTable),
		Key:              map[string]*dynamodb.AttributeValue{"key": {S: aws.String(x.how + "-" + lockName(x.tenure.client.plan.lock))}},
		UpdateExpression: aws.String("SET stamp = :stamp ADD n :one"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":stamp": {S: aws.String(stampPrefix + strconv.Itoa(x.number) + ".")}, ":one": {N: aws.String("1")}},
	}
}

// writeGuarded writes in a transaction with the lock's own condition, in one of the two ways there
// are.
func (c *client) writeGuarded(token int64, d *rand.Rand) {
	x := c.newWrite(token, guarded)
	ctx, cancel := c.within(c.ctx, 2*c.plan.lease)
	defer cancel()
	items := []*dynamodb.TransactWriteItem{{Update: x.update()}}
	if d.IntN(2) == 0 {
		_, err := c.TransactWrite(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
		c.mustBeTransient(err)
		refused := errors.Is(err, lockclient.ErrLockLost) || errors.Is(err, lockclient.ErrNotHeld)
		x.outcome(err, refused && !errors.Is(err, lockclient.ErrOutcomeUnknown))
		return
	}
	check, err := c.ConditionCheck()
	if err != nil {
		return
	}
	x.transact(ctx, check)
}

// writeTerm is writeGuarded for the work of an elector.
func (c *client) writeTerm(term election.Term) {
	x := c.newWrite(term.FencingToken, guarded)
	check, err := term.ConditionCheck()
	if err != nil {
		return
	}
	ctx, cancel := c.within(c.ctx, 2*c.plan.lease)
	defer cancel()
	x.transact(ctx, check)
}

// transact sends one transaction of the caller's own making.
func (x *write) transact(ctx context.Context, check *dynamodb.ConditionCheck) {
	in := &dynamodb.TransactWriteItemsInput{
		ClientRequestToken: aws.String(fmt.Sprintf("write-%d", x.number)),
		TransactItems:      []*dynamodb.TransactWriteItem{{Update: x.update()}, {ConditionCheck: check}},
	}
	_, err := x.tenure.client.api.TransactWriteItemsWithContext(ctx, in, once)
	x.outcome(err, lockclient.TransactionError(err, 1) != nil)
}

func once(r *request.Request) { r.Retryer = awsclient.NoOpRetryer{} }

// outcome takes in what the writer of a guarded write has been told.
func (x *write) outcome(err error, refused bool) {
	c := x.tenure.client
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	x.refused = refused
	switch {
	case err == nil && x.commits == 0:
		c.w.violateLocked(c, GuardedOnce, fmt.Sprintf("write %d was acknowledged and never carried out", x.number))
	case refused && x.commits > 0:
		c.w.violateLocked(c, GuardedOnce, fmt.Sprintf("write %d was carried out although its writer was told that it was not", x.number))
	case refused:
		c.w.figures.GuardedRefused++
	}
}

// writeCareless writes without a condition, right after the check: what a lock alone can't prevent.
func (c *client) writeCareless(token int64) {
	x := c.newWrite(token, careless)
	u := x.update()
	ctx, cancel := c.within(c.ctx, c.plan.lease)
	defer cancel()
	_, _ = c.api.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression, ExpressionAttributeValues: u.ExpressionAttributeValues}, once)
}

// writeStamped writes on condition that no later tenure has stamped the item.
func (c *client) writeStamped() {
	token, held := c.FencingToken()
	if !held {
		return
	}
	x := c.newWrite(token, stamped)
	u := x.update()
	in, err := c.Stamp(&dynamodb.UpdateItemInput{
		TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression, ExpressionAttributeValues: u.ExpressionAttributeValues})
	if now, _ := c.FencingToken(); err != nil || now != token {
		return
	}
	ctx, cancel := c.within(c.ctx, c.plan.lease)
	defer cancel()
	_, err = c.api.UpdateItemWithContext(ctx, in, once)
	refused := lockclient.StampError(err, in) != nil
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	x.refused = refused
	switch {
	case err == nil && x.commits == 0:
		c.w.violateLocked(c, StampsRise, fmt.Sprintf("write %d was acknowledged and never carried out", x.number))
	case refused:
		c.w.figures.StampedRefused++
	}
}

// stampLanded: no stamp of an earlier tenure comes after that of a later one. Called with mu held.
func (w *world) stampLanded(wr *write) {
	last := &w.writes.stamps[wr.tenure.client.plan.lock]
	if wr.tenure.token < *last {
		w.violateLocked(wr.tenure.client, StampsRise, fmt.Sprintf("write %d with token %d came after one with token %d", wr.number, wr.tenure.token, *last))
	}
	*last = max(*last, wr.tenure.token)
	w.figures.Stamped++
}

// committed looks at what a write that the server has answered well has done. Called with mu held.
func (w *world) committed(x *call) {
	number := stampIn(x.body)
	if number == 0 || number > len(w.writes.all) {
		return
	}
	wr := w.writes.all[number-1]
	lock := x.client.plan.lock
	if wr.how == guarded {
		n := w.guardedWrites(lock)
		if n == w.writes.seen[lock] {
			return // the server has recognised a repetition, and done nothing
		}
		w.writes.seen[lock] = n
	}
	wr.commits++
	holder := w.server.records[lock].holder
	current := holder != nil && *holder == wr.tenure
	if wr.how == stamped {
		w.stampLanded(wr)
		return
	}
	if wr.how == careless {
		w.figures.Careless++
		if !current {
			w.figures.CarelessStale++
			x.note("slips through: its writer does not hold the lock any more")
		}
		return
	}
	w.figures.Guarded++
	switch {
	case !current:
		w.violateLocked(x.client, GuardedByHolder, fmt.Sprintf("write %d, token %d", number, wr.tenure.token))
	case wr.commits > 1:
		w.violateLocked(x.client, GuardedOnce, fmt.Sprintf("write %d was carried out twice", number))
	case wr.refused:
		w.violateLocked(x.client, GuardedOnce, fmt.Sprintf("write %d was carried out although its writer was told that it was not", number))
	}
}

// guardedWrites is how many the item says it has had.
func (w *world) guardedWrites(lock int) int {
	a := w.server.must("GetItem", `{"TableName":"`+dataTable+`","Key":{"key":{"S":"guarded-`+lockName(lock)+`"}},"ConsistentRead":true}`)
	var reply struct {
		Item struct{ N struct{ N string } }
	}
	if err := json.Unmarshal(a.body, &reply); err != nil {
		panic(err)
	}
	n, _ := strconv.Atoi(reply.Item.N.N)
	return n
}

func stampIn(body []byte) int {
	_, rest, found := bytes.Cut(body, []byte(stampPrefix))
	if !found {
		return 0
	}
	digits, _, _ := strings.Cut(string(rest[:min(len(rest), 12)]), ".")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}
