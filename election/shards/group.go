package shards

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// The group's item has one attribute for each member, and one for each member that is suspected to
// be dead. They are attributes of the item itself, because a map in it would have to exist before
// the first member can write to it. changes counts the writes, so that a read that is older than an
// earlier one is noticed.
const (
	groupPrefix    = "leaderkit/group/"
	handoverPrefix = "leaderkit/handover/"

	attrMember  = "member "  // and its id: a map of the following
	attrSuspect = "suspect " // and its id: the id of the member that suspects it
	attrChanges = "changes"

	attrIdentity = "identity"
	attrWeight   = "weight"
	attrPlan     = "plan"
	attrPeriod   = "heartbeatPeriod" // milliseconds
	attrLeaving  = "leaving"
	attrLeads    = "leads" // a bit for each shard of the plan, sorted; only where there is a limit

	// Of a handover.
	attrMoving   = "moving"
	attrReleased = "released"
	attrSequence = "sequence"
	attrTTL      = "ttl"

	// Of a lock's record, as package lockclient writes it.
	attrLockReleased = "isReleased"
	attrLockOwner    = "ownerName"
)

// batch is the most items that one BatchGetItem takes.
const batch = 100

// longestID is the length of the longest id of a member in bytes. Longer ones are ignored: a lock's
// name would not hold them.
const longestID = 256

// handoverTTL is how long a handover that was not deleted is kept, in a table that deletes by ttl.
const handoverTTL = 24 * time.Hour

// table is where the items are.
type table struct {
	client       dynamodbiface.DynamoDBAPI
	name         string
	partitionKey string
	sortKey      string // "": none. Its value is that of the partition key.
}

// group sends all requests of a replica that are not a lock's.
type group struct {
	table
	group    string // its name
	clock    lease.Clock
	patience time.Duration // how long one request may take
}

// member is what a replica writes of itself into the group's item.
type member struct {
	identity string
	weight   int
	plan     string        // of which shards it computes the assignment
	period   time.Duration // it reads the item once in this time
	leaving  bool          // it wants no more shards, and hands over those that it leads
	leads    string        // the shards that it leads, as marksOf says it; "": none, or MaxPerReplica is 0
}

// roster is the group's item, as it was read.
type roster struct {
	members  map[string]member // by id
	suspects map[string]string // id -> the member that suspects it
	changes  int64
}

// handover is what a replica tells those that wait for its shards.
type handover struct {
	moving   bool     // it has announced moves, and they are not over
	released []string // shards that it has released lately
	sequence int64    // rises with each write
}

// lockName is the name of a shard's lock, memberLock that of the lock that a member holds as long
// as it lives.
func (g *group) lockName(shard string) string { return g.group + "/" + shard }
func (g *group) memberLock(id string) string  { return groupPrefix + g.group + "/" + id }

func (g *group) itemName() string              { return groupPrefix + g.group }
func (g *group) handoverName(id string) string { return handoverPrefix + g.group + "/" + id }

func (t *table) key(name string) map[string]*dynamodb.AttributeValue {
	key := map[string]*dynamodb.AttributeValue{t.partitionKey: text(name)}
	if t.sortKey != "" {
		key[t.sortKey] = text(name)
	}
	return key
}

// once turns off the SDK's own retries: a repeated body could undo a later write.
func once(r *request.Request) { r.Retryer = client.NoOpRetryer{} }

// errNoAnswer is the cause of the end of a request that took too long.
var errNoAnswer = fmt.Errorf("shards: no answer in time: %w", context.DeadlineExceeded)

// send gives one request its time, and its error a name.
func (g *group) send(ctx context.Context, what string, request func(ctx context.Context) error) error {
	ctx, cancel := lease.WithTimeout(ctx, g.clock, g.patience, errNoAnswer)
	defer cancel()
	err := request(ctx)
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), errNoAnswer) {
		err = fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return fmt.Errorf("%s of group %q: %w", what, g.group, err)
}

// read reads the group's item.
func (g *group) read(ctx context.Context, consistent bool) (roster, error) {
	var out *dynamodb.GetItemOutput
	err := g.send(ctx, "read the members", func(ctx context.Context) (err error) {
		out, err = g.client.GetItemWithContext(ctx, &dynamodb.GetItemInput{
			TableName: &g.name, Key: g.key(g.itemName()), ConsistentRead: &consistent,
		}, once)
		return err
	})
	if err != nil {
		return roster{}, err
	}
	return decodeRoster(out.Item), nil
}

// enter writes the entry of a member, and takes away that of its earlier id, if it had one.
func (g *group) enter(ctx context.Context, id string, m member, earlier string) error {
	remove := ""
	names := map[string]*string{"#m": aws.String(attrMember + id), "#c": aws.String(attrChanges)}
	if earlier != "" {
		names["#e"], names["#s"] = aws.String(attrMember+earlier), aws.String(attrSuspect+earlier)
		remove = " REMOVE #e, #s"
	}
	return g.update(ctx, "join the members", &dynamodb.UpdateItemInput{
		UpdateExpression:          aws.String("SET #m = :m" + remove + " ADD #c :one"),
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":m": m.encode(), ":one": number(1)},
	})
}

// change writes the entry of a member that has one. If it has none, nothing happens: the next read
// shows it.
func (g *group) change(ctx context.Context, id string, m member) error {
	err := g.update(ctx, "change an entry among the members", &dynamodb.UpdateItemInput{
		ConditionExpression:       aws.String("attribute_exists(#m)"),
		UpdateExpression:          aws.String("SET #m = :m ADD #c :one"),
		ExpressionAttributeNames:  map[string]*string{"#m": aws.String(attrMember + id), "#c": aws.String(attrChanges)},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":m": m.encode(), ":one": number(1)},
	})
	if isRefused(err) {
		return nil
	}
	return err
}

// remove takes away all that the item says of a member.
func (g *group) remove(ctx context.Context, id string) error {
	return g.update(ctx, "leave the members", &dynamodb.UpdateItemInput{
		UpdateExpression: aws.String("REMOVE #m, #s ADD #c :one"),
		ExpressionAttributeNames: map[string]*string{
			"#m": aws.String(attrMember + id), "#s": aws.String(attrSuspect + id), "#c": aws.String(attrChanges),
		},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":one": number(1)},
	})
}

// suspect says that a member's heartbeat is late.
func (g *group) suspect(ctx context.Context, id, by string) error {
	err := g.update(ctx, "suspect one of the members", &dynamodb.UpdateItemInput{
		ConditionExpression: aws.String("attribute_exists(#m)"),
		UpdateExpression:    aws.String("SET #s = :by ADD #c :one"),
		ExpressionAttributeNames: map[string]*string{
			"#m": aws.String(attrMember + id), "#s": aws.String(attrSuspect + id), "#c": aws.String(attrChanges),
		},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":by": text(by), ":one": number(1)},
	})
	if isRefused(err) {
		return nil
	}
	return err
}

// trust takes a suspicion back.
func (g *group) trust(ctx context.Context, id string) error {
	return g.update(ctx, "trust one of the members", &dynamodb.UpdateItemInput{
		UpdateExpression:          aws.String("REMOVE #s ADD #c :one"),
		ExpressionAttributeNames:  map[string]*string{"#s": aws.String(attrSuspect + id), "#c": aws.String(attrChanges)},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":one": number(1)},
	})
}

func (g *group) update(ctx context.Context, what string, in *dynamodb.UpdateItemInput) error {
	in.TableName, in.Key = &g.name, g.key(g.itemName())
	return g.send(ctx, what, func(ctx context.Context) error {
		_, err := g.client.UpdateItemWithContext(ctx, in, once)
		return err
	})
}

// tell writes a member's handover. One that arrives after a later one is refused.
func (g *group) tell(ctx context.Context, id string, h handover) error {
	item := g.key(g.handoverName(id))
	item[attrSequence] = number(h.sequence)
	item[attrTTL] = number(g.clock.Wall().Add(handoverTTL).Unix())
	if h.moving {
		item[attrMoving] = &dynamodb.AttributeValue{BOOL: aws.Bool(true)}
	}
	if len(h.released) > 0 {
		item[attrReleased] = &dynamodb.AttributeValue{SS: aws.StringSlice(h.released)}
	}
	err := g.send(ctx, "announce moves", func(ctx context.Context) error {
		_, err := g.client.PutItemWithContext(ctx, &dynamodb.PutItemInput{
			TableName: &g.name, Item: item,
			ConditionExpression:       aws.String("attribute_not_exists(#q) OR #q < :q"),
			ExpressionAttributeNames:  map[string]*string{"#q": aws.String(attrSequence)},
			ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":q": number(h.sequence)},
		}, once)
		return err
	})
	if isRefused(err) {
		return nil
	}
	return err
}

// forget deletes a member's handover.
func (g *group) forget(ctx context.Context, id string) error {
	return g.send(ctx, "delete a handover", func(ctx context.Context) error {
		_, err := g.client.DeleteItemWithContext(ctx, &dynamodb.DeleteItemInput{TableName: &g.name, Key: g.key(g.handoverName(id))}, once)
		return err
	})
}

// handovers reads those of some members. Members without one are left out.
func (g *group) handovers(ctx context.Context, ids []string) (map[string]handover, error) {
	byName := map[string]string{}
	for _, id := range ids {
		byName[g.handoverName(id)] = id
	}
	found := map[string]handover{}
	err := g.readAll(ctx, "read handovers", byName, true, func(id string, item map[string]*dynamodb.AttributeValue) {
		h := handover{}
		h.sequence, _ = numberOf(item[attrSequence])
		h.moving = item[attrMoving] != nil && aws.BoolValue(item[attrMoving].BOOL)
		if item[attrReleased] != nil {
			h.released = aws.StringValueSlice(item[attrReleased].SS)
		}
		found[id] = h
	})
	return found, err
}

// free reports which of these shards' locks are free, by a read that may be out of date. The result
// decides only whether to try to acquire the lock.
func (g *group) free(ctx context.Context, shards []string) (map[string]bool, error) {
	byName := make(map[string]string, len(shards))
	free := make(map[string]bool, len(shards))
	for _, shard := range shards {
		byName[g.lockName(shard)] = shard
		free[shard] = true
	}
	err := g.readAll(ctx, "look at the locks", byName, false, func(shard string, item map[string]*dynamodb.AttributeValue) {
		free[shard] = item[attrLockReleased] != nil && aws.StringValue(item[attrLockReleased].S) == "1"
	})
	return free, err
}

// readAll reads items of these names, and calls found with what each name stands for. An item that
// is missing is not found, nor is one that was not answered for: then there is an error.
func (g *group) readAll(ctx context.Context, what string, names map[string]string, consistent bool, found func(string, map[string]*dynamodb.AttributeValue)) error {
	keys := make([]map[string]*dynamodb.AttributeValue, 0, len(names))
	for name := range names {
		keys = append(keys, g.key(name))
	}
	for len(keys) > 0 {
		n := min(len(keys), batch)
		var out *dynamodb.BatchGetItemOutput
		err := g.send(ctx, what, func(ctx context.Context) (err error) {
			out, err = g.client.BatchGetItemWithContext(ctx, &dynamodb.BatchGetItemInput{
				RequestItems: map[string]*dynamodb.KeysAndAttributes{g.name: {Keys: keys[:n], ConsistentRead: &consistent}},
			}, once)
			return err
		})
		if err != nil {
			return err
		}
		for _, item := range out.Responses[g.name] {
			if name := item[g.partitionKey]; name != nil {
				found(names[aws.StringValue(name.S)], item)
			}
		}
		keys = keys[n:]
		if rest := out.UnprocessedKeys[g.name]; rest != nil && len(rest.Keys) > 0 {
			return fmt.Errorf("%s of group %q: throttled, %d items unread", what, g.group, len(rest.Keys)+len(keys))
		}
	}
	return nil
}

func (m *member) encode() *dynamodb.AttributeValue {
	entry := map[string]*dynamodb.AttributeValue{
		attrIdentity: text(m.identity),
		attrWeight:   number(int64(m.weight)),
		attrPlan:     text(m.plan),
		attrPeriod:   number(m.period.Milliseconds()),
	}
	if m.leaving {
		entry[attrLeaving] = &dynamodb.AttributeValue{BOOL: aws.Bool(true)}
	}
	if m.leads != "" {
		entry[attrLeads] = &dynamodb.AttributeValue{B: []byte(m.leads)}
	}
	return &dynamodb.AttributeValue{M: entry}
}

// decodeRoster reads any item without complaint. What it does not know it leaves out: a later
// release may have written it.
func decodeRoster(item map[string]*dynamodb.AttributeValue) roster {
	r := roster{members: map[string]member{}, suspects: map[string]string{}}
	r.changes, _ = numberOf(item[attrChanges])
	for name, value := range item {
		// A member without a lock of its own would be there for ever.
		if id, ok := strings.CutPrefix(name, attrMember); ok && value.M != nil && id != "" && len(id) <= longestID {
			r.members[id] = decodeMember(value.M)
		}
		if id, ok := strings.CutPrefix(name, attrSuspect); ok && value.S != nil {
			r.suspects[id] = *value.S
		}
	}
	for id, by := range r.suspects {
		_, known := r.members[id]
		// A member that has left can't withdraw its suspicion.
		if _, there := r.members[by]; !known || !there {
			delete(r.suspects, id)
		}
	}
	return r
}

func decodeMember(entry map[string]*dynamodb.AttributeValue) member {
	m := member{weight: 1}
	if v := entry[attrIdentity]; v != nil {
		m.identity = aws.StringValue(v.S)
	}
	if v := entry[attrPlan]; v != nil {
		m.plan = aws.StringValue(v.S)
	}
	if w, ok := numberOf(entry[attrWeight]); ok {
		m.weight = int(min(max(w, 1), maxWeight))
	}
	if ms, ok := numberOf(entry[attrPeriod]); ok {
		m.period = time.Duration(min(max(ms, 0), time.Hour.Milliseconds())) * time.Millisecond
	}
	m.leaving = entry[attrLeaving] != nil && aws.BoolValue(entry[attrLeaving].BOOL)
	if v := entry[attrLeads]; v != nil {
		m.leads = string(v.B)
	}
	return m
}

func isRefused(err error) bool {
	var refused *dynamodb.ConditionalCheckFailedException
	return errors.As(err, &refused)
}

func text(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

func numberOf(v *dynamodb.AttributeValue) (int64, bool) {
	if v == nil || v.N == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(*v.N, 10, 64)
	return n, err == nil
}
