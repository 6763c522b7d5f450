package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
)

// counter is an item that the holders of a lock increment: they read it, look at the lock, and
// write one more on condition that it hasn't changed meanwhile. A write that fails its condition
// while its writer holds the lock is a second holder's doing.
type counter struct {
	client      dynamodbiface.DynamoDBAPI
	table, lock string
}

func (c counter) read() (attributes, error) {
	out, err := c.client.GetItem(&dynamodb.GetItemInput{TableName: &c.table, ConsistentRead: aws.Bool(true), Key: attributes{"key": s("counter of " + c.lock)}})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

func (c counter) value() (int64, error) {
	item, err := c.read()
	if err != nil || item == nil {
		return 0, err
	}
	return strconv.ParseInt(aws.StringValue(item["value"].N), 10, 64)
}

// set makes it one more than value; false: it isn't value any more.
func (c counter) set(value int64, by string) (bool, error) {
	_, err := c.client.UpdateItem(&dynamodb.UpdateItemInput{TableName: &c.table, Key: attributes{"key": s("counter of " + c.lock)},
		UpdateExpression:          aws.String("SET #v = :new, #by = :by"),
		ConditionExpression:       aws.String("attribute_not_exists(#v) OR #v = :old"),
		ExpressionAttributeNames:  map[string]*string{"#v": aws.String("value"), "#by": aws.String("by")},
		ExpressionAttributeValues: attributes{":new": n(value + 1), ":old": n(value), ":by": s(by)}})
	var changed *dynamodb.ConditionalCheckFailedException
	if !errors.As(err, &changed) {
		return err == nil, err
	}
	item, err := c.read() // the SDK may have repeated it, when the first copy was carried out
	return item["by"] != nil && aws.StringValue(item["by"].S) == by, err
}

// contending is a contender for contend.
type contending struct {
	who  string
	take func() (bool, error) // false: others had it for longer than the contender wanted to wait
	held func() bool
	free func() error
}

// contend is Contender.contend of the Java program.
func contend(d time.Duration, count counter, c contending) (t tally, err error) {
	for end := clock() + d; clock() < end; {
		held, err := c.take()
		if err != nil {
			return t, err
		}
		if !held {
			continue
		}
		t.tenures++
		for hold := clock() + 50*time.Millisecond + rand.N(200*time.Millisecond); clock() < hold && c.held(); {
			if err := t.increment(count, fmt.Sprintf("%s/%d", c.who, t.tenures), c.held); err != nil {
				return t, err
			}
			pause(5 * time.Millisecond)
		}
		if err := c.free(); err != nil {
			return t, err
		}
		pause(rand.N(100 * time.Millisecond))
	}
	return t, nil
}

func (t *tally) increment(count counter, by string, held func() bool) error {
	value, err := count.value()
	if err != nil || !held() {
		return err
	}
	done, err := count.set(value, fmt.Sprintf("%s/%d", by, value))
	switch {
	case err != nil:
		return err
	case done:
		t.increments++
	case held():
		t.conflicts++
	default:
		t.late++
	}
	return nil
}

// pause is a contender's own pace; nothing is waited for.
func pause(d time.Duration) {
	time.Sleep(d) // sleep: the contender works and rests at random
}
