package interop

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/google/uuid"
)

type attributes = map[string]*dynamodb.AttributeValue

func s(text string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &text} }
func n(number int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(number, 10))}
}

// standIn sends the requests that version 1.4.0 of the Java client sends, and decides as it does;
// or, with goLease, as version 2 of cirello.io/dynamolock does, which is a translation of it.
type standIn struct {
	settings
	who    string
	ledger *ledger
	client dynamodbiface.DynamoDBAPI
	loops  sync.WaitGroup

	mu     sync.Mutex // guards what follows, and is held across requests, as Java's LockItem is
	known  watched    // what another holds, since when
	held   *javaLock
	grants int64
	dead   bool
}

// watched is Java's notMyLocks.
type watched struct {
	version  string
	lease    int64
	lookedUp int64
}

// javaLock is Java's LockItem. Times are whole milliseconds, cut off, as Java's are.
type javaLock struct {
	tenure   int64
	version  string
	lookedUp int64
	over     chan struct{} // closed when it has been given up
}

func newStandIn(c settings, l *ledger, client dynamodbiface.DynamoDBAPI) *standIn {
	return &standIn{settings: c, who: c.owner, ledger: l, client: client}
}

func millis() int64 { return clock().Milliseconds() }

func (p *standIn) expired(lookedUp, lease int64) bool { return millis()-lookedUp > lease }

func (p *standIn) key() attributes {
	key := attributes{"key": s(p.lock)}
	if p.sortKeyName != "" {
		key[p.sortKeyName] = s(p.sortKey)
	}
	return key
}

func (p *standIn) try() (bool, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return false, "", errors.New("it is dead")
	}
	out, err := p.client.GetItem(&dynamodb.GetItemInput{TableName: &p.table, Key: p.key(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return false, "", err
	}
	existing := out.Item
	lease, err := p.leaseOf(existing) // also of a released one
	if err != nil {
		return false, "", err
	}
	condition, values, names := "attribute_exists(#pk)", attributes{}, map[string]*string{"#pk": aws.String("key")}
	released := existing["isReleased"] != nil
	switch {
	case existing == nil:
		condition = "attribute_not_exists(#pk)"
	case released:
		condition += " AND #ir = :ir"
		names["#ir"], values[":ir"] = aws.String("isReleased"), s("1")
	default:
		version := aws.StringValue(existing["recordVersionNumber"].S)
		if p.known.version != version {
			p.known = watched{version: version, lease: lease, lookedUp: millis()}
			return false, "", nil
		}
		if !p.expired(p.known.lookedUp, p.known.lease) {
			return false, "", nil
		}
		condition += " AND #rvn = :rvn"
		names["#rvn"], values[":rvn"] = aws.String("recordVersionNumber"), s(version)
	}
	if p.sortKeyName != "" {
		condition = strings.Replace(condition, "(#pk)", "(#pk) AND "+strings.Split(condition, "(")[0]+"(#sk)", 1)
		names["#sk"] = &p.sortKeyName
	}

	item, version := p.item(existing)
	lookedUp := millis()
	if p.inPlace {
		_, err = p.client.UpdateItem(p.update(item, released, condition, names, values))
	} else {
		maps.Copy(item, p.key())
		if len(values) == 0 {
			values = nil
		}
		_, err = p.client.PutItem(&dynamodb.PutItemInput{TableName: &p.table, Item: item, ConditionExpression: &condition,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values})
	}
	var lostRace *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &lostRace) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	p.grants++
	lock := &javaLock{tenure: p.grants, version: version, lookedUp: lookedUp, over: make(chan struct{})}
	p.held = lock
	p.loops.Go(func() { p.look(lock) })
	if !p.withoutHeartbeats {
		p.loops.Go(func() { p.heartbeats(lock) })
	}
	data := ""
	if item["data"] != nil {
		data = string(item["data"].B)
	}
	return true, data, nil
}

// item is what an acquire writes, save the key.
func (p *standIn) item(existing attributes) (item attributes, version string) {
	version = uuid.NewString()
	item = attributes{"ownerName": s(p.owner), "leaseDuration": s(p.leaseText()), "recordVersionNumber": s(version)}
	if p.attribute != "" {
		item[p.attribute] = s("java's")
	}
	if p.data != "" {
		item["data"] = &dynamodb.AttributeValue{B: []byte(p.data)}
	}
	if p.keepsData && existing["data"] != nil {
		item["data"] = existing["data"]
	}
	return item, version
}

func (p *standIn) leaseText() string {
	if p.goLease {
		return p.lease.String()
	}
	return strconv.FormatInt(p.lease.Milliseconds(), 10)
}

// leaseOf reads a lease in milliseconds. Neither client can read the other's spelling.
func (p *standIn) leaseOf(item attributes) (int64, error) {
	if item == nil {
		return 0, nil
	}
	text := aws.StringValue(item["leaseDuration"].S)
	if p.goLease {
		d, err := time.ParseDuration(text)
		return d.Milliseconds(), err
	}
	return strconv.ParseInt(text, 10, 64)
}

func (p *standIn) update(item attributes, released bool, condition string, names map[string]*string, values attributes) *dynamodb.UpdateItemInput {
	var set []string
	for i, name := range slices.Sorted(maps.Keys(item)) {
		k, v := "#k"+strconv.Itoa(i), ":v"+strconv.Itoa(i)
		names[k], values[v] = &name, item[name]
		set = append(set, k+"="+v)
	}
	expression := "SET " + strings.Join(set, ",")
	if released {
		expression += " REMOVE #ir "
	}
	return &dynamodb.UpdateItemInput{TableName: &p.table, Key: p.key(), UpdateExpression: &expression, ConditionExpression: &condition,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values}
}

// look tells the ledger what the stand-in believes until it gives the lock up or may no longer
// believe.
func (p *standIn) look(lock *javaLock) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for {
		from := clock()
		lookedUp := p.lookedUp(lock)
		held := !p.expired(lookedUp, p.lease.Milliseconds())
		to := clock()
		if !held {
			return
		}
		p.ledger.believes(p.who, lock.tenure, from, to, time.Duration(lookedUp)*time.Millisecond+p.lease)
		select {
		case <-lock.over:
			return
		case <-every.C:
		}
	}
}

// lookedUp waits for a request that is under way, which makes a look longer, and so less certain.
func (p *standIn) lookedUp(lock *javaLock) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return lock.lookedUp
}

func (p *standIn) heartbeats(lock *javaLock) {
	every := time.NewTicker(p.heartbeat)
	defer every.Stop()
	for {
		select {
		case <-lock.over:
			return
		case <-every.C:
			if err := p.beat(lock, ""); errors.Is(err, errRefused) {
				return
			}
		}
	}
}

// beat is one heartbeat, with data or without.
func (p *standIn) beat(lock *javaLock, data string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != lock || p.expired(lock.lookedUp, p.lease.Milliseconds()) {
		return errRefused
	}
	version, lookedUp := uuid.NewString(), millis()
	in := p.guarded(lock)
	in.UpdateExpression = aws.String("SET #ld = :ld, #rvn = :newRvn")
	in.ExpressionAttributeNames["#ld"] = aws.String("leaseDuration")
	in.ExpressionAttributeValues[":ld"], in.ExpressionAttributeValues[":newRvn"] = s(p.leaseText()), s(version)
	if data != "" {
		*in.UpdateExpression += ", #d = :d"
		in.ExpressionAttributeNames["#d"] = aws.String("data")
		in.ExpressionAttributeValues[":d"] = &dynamodb.AttributeValue{B: []byte(data)}
	}
	_, err := p.client.UpdateItem(in)
	var lost *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &lost) {
		return errRefused
	}
	if err == nil {
		lock.version, lock.lookedUp = version, lookedUp
	}
	return err
}

// guarded is an update on condition that the record is still this lock's last write.
func (p *standIn) guarded(lock *javaLock) *dynamodb.UpdateItemInput {
	in := &dynamodb.UpdateItemInput{TableName: &p.table, Key: p.key(),
		ConditionExpression:       aws.String("attribute_exists(#pk) AND #rvn = :rvn AND #on = :on"),
		ExpressionAttributeNames:  map[string]*string{"#pk": aws.String("key"), "#rvn": aws.String("recordVersionNumber"), "#on": aws.String("ownerName")},
		ExpressionAttributeValues: attributes{":rvn": s(lock.version), ":on": s(p.owner)}}
	if p.sortKeyName != "" {
		*in.ConditionExpression = "attribute_exists(#pk) AND attribute_exists(#sk) AND #rvn = :rvn AND #on = :on"
		in.ExpressionAttributeNames["#sk"] = &p.sortKeyName
	}
	return in
}

// wait gives up when d has passed, and before that the lease of the holder that it meets first.
func (p *standIn) wait(d time.Duration) (bool, string, error) {
	every := time.NewTicker(p.heartbeat / 2)
	defer every.Stop()
	end, met := clock()+d, false
	for {
		granted, data, err := p.try()
		if granted || err != nil {
			return granted, data, err
		}
		if holders := p.holdersLease(); !met && holders > 0 {
			end, met = end+holders, true
		}
		if clock() > end {
			return false, "", nil
		}
		<-every.C
	}
}

// holdersLease is what the record of the holder that was met last says; 0: none was.
func (p *standIn) holdersLease() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(p.known.lease) * time.Millisecond
}

func (p *standIn) store(data string) error {
	p.mu.Lock()
	lock := p.held
	p.mu.Unlock()
	return p.beat(lock, data)
}

func (p *standIn) release() (bool, error) {
	lock := p.giveUp()
	if lock == nil {
		return false, nil
	}
	p.loops.Wait()
	in := p.guarded(lock)
	var err error
	if p.keepsItem {
		in.UpdateExpression = aws.String("SET #ir = :ir")
		in.ExpressionAttributeNames["#ir"], in.ExpressionAttributeValues[":ir"] = aws.String("isReleased"), s("1")
		_, err = p.client.UpdateItem(in)
	} else {
		_, err = p.client.DeleteItem(&dynamodb.DeleteItemInput{TableName: in.TableName, Key: in.Key, ConditionExpression: in.ConditionExpression,
			ExpressionAttributeNames: in.ExpressionAttributeNames, ExpressionAttributeValues: in.ExpressionAttributeValues})
	}
	var lost *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &lost) {
		return false, nil
	}
	return err == nil, err
}

// giveUp ends the tenure for the ledger and stops its heartbeats; nil: there is none.
func (p *standIn) giveUp() *javaLock {
	p.mu.Lock()
	defer p.mu.Unlock()
	lock := p.held
	if lock == nil {
		return nil
	}
	p.ledger.yields(p.who, lock.tenure, clock())
	p.held = nil
	close(lock.over)
	return lock
}

func (p *standIn) contend(d time.Duration) (tally, error) {
	return contend(d, counter{client: p.client, table: p.table, lock: p.lock}, contending{
		who:  p.who,
		take: func() (bool, error) { held, _, err := p.wait(p.lease); return held, err },
		held: func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.held != nil && !p.expired(p.held.lookedUp, p.lease.Milliseconds())
		},
		free: func() error { _, err := p.release(); return err },
	})
}

// kill leaves the record as it is. Its claim stays in the ledger: a dead holder's lease has to run
// out.
func (p *standIn) kill() {
	p.mu.Lock()
	p.dead = true
	lock := p.held
	p.held = nil
	p.mu.Unlock()
	if lock != nil {
		close(lock.over)
	}
	p.loops.Wait()
}
