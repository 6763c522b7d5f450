package dynamotest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// What WithTransactionTime and WithConflicts promise. DynamoDB Local commits in no time and never
// refuses a write for another's sake, so that only dynamotest is tried here.

const (
	ongoing          = "TransactionConflictException: Transaction is ongoing for the item"
	transactionTakes = time.Minute
)

// over is a wire to a handler.
func over(h http.Handler) *wire {
	return &wire{name: "dynamotest", url: "http://dynamotest.invalid", client: &http.Client{Transport: dynamotest.Transport(h)}}
}

func putAction(table, item string) object {
	return object{"Put": object{"TableName": table, "Item": parseObject(item)}}
}

func keyed(table, key, more string) object {
	body := object{"TableName": table, "Key": object{"k": object{"S": key}}}
	for name, v := range parseObject(more) {
		body[name] = v
	}
	return body
}

func incrementOf(table, key string) object {
	return keyed(table, key, `{"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}`)
}

func checkOf(table, key, condition string) object {
	return object{"ConditionCheck": keyed(table, key, `{"ConditionExpression":"`+condition+`"}`)}
}

func transactionOf(actions ...object) object { return object{"TransactItems": actions} }

// numberAt is the n of an item in the table "table", nil when there is none.
func (w *wire) numberAt(key string) any {
	it, _ := w.call("GetItem", keyed("table", key, `{"ConsistentRead":true}`)).Body["Item"].(object)
	n, _ := it["n"].(object)
	return n["N"]
}

// start sends a request that takes its time, and waits until it is under way.
func (w *wire) start(operation string, body any) <-chan answer {
	answered := make(chan answer, 1)
	go func() { answered <- w.call(operation, body) }()
	synctest.Wait()
	return answered
}

// inBubble gives do a wire to an engine with a table "table", whose items a, b, c, d and e have the
// number 1.
func inBubble(t *testing.T, do func(g Gomega, ours *wire), options ...dynamotest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		ours := over(dynamotest.New(options...))
		ours.fill(g)
		do(g, ours)
	})
}

func (w *wire) fill(g Gomega) {
	_, a := w.createNamedTable("table", "k:S")
	g.Expect(a.Type).To(BeEmpty(), a.String())
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		a := w.call("PutItem", object{"TableName": "table", "Item": parseObject(`{"k":{"S":"` + key + `"},"n":{"N":"1"}}`)})
		g.Expect(a.Type).To(BeEmpty(), a.String())
	}
}

// fourKinds is a transaction of one action of each kind.
func fourKinds() object {
	return transactionOf(
		object{"Update": incrementOf("table", "a")}, putAction("table", `{"k":{"S":"b"},"n":{"N":"2"}}`),
		object{"Delete": keyed("table", "c", `{}`)}, checkOf("table", "d", "attribute_exists(n)"))
}

func TestATransactionHoldsItsItemsUntilItsCommit(t *testing.T) {
	inBubble(t, func(g Gomega, ours *wire) {
		began := time.Now()
		answered := ours.start("TransactWriteItems", fourKinds())

		for _, key := range []string{"a", "b", "c", "d"} {
			g.Expect(ours.call("UpdateItem", incrementOf("table", key)).String()).To(Equal(ongoing), key)
			g.Expect(ours.call("DeleteItem", keyed("table", key, `{}`)).String()).To(Equal(ongoing), key)
			put := object{"TableName": "table", "Item": parseObject(`{"k":{"S":"` + key + `"}}`)}
			g.Expect(ours.call("PutItem", put).String()).To(Equal(ongoing), key)
			g.Expect(ours.numberAt(key)).To(Equal("1"), "reads see the item as it was")
		}
		failing := keyed("table", "a", `{"ConditionExpression":"attribute_not_exists(k)","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`)
		g.Expect(ours.call("DeleteItem", failing).String()).To(Equal(ongoing), "whatever the condition")
		g.Expect(ours.call("UpdateItem", incrementOf("table", "e")).Type).To(BeEmpty(), "no other item is held")
		g.Expect(ours.call("Scan", object{"TableName": "table"}).Body["Count"]).To(Equal(5.0))

		time.Sleep(transactionTakes - time.Nanosecond)
		g.Expect(ours.call("UpdateItem", incrementOf("table", "d")).String()).To(Equal(ongoing))
		g.Expect(ours.numberAt("a")).To(Equal("1"))

		a := <-answered
		g.Expect(a.Type).To(BeEmpty(), a.String())
		g.Expect(time.Since(began)).To(Equal(transactionTakes))
		g.Expect([]any{ours.numberAt("a"), ours.numberAt("b"), ours.numberAt("c"), ours.numberAt("d")}).To(Equal([]any{"2", "2", nil, "1"}))
		for _, key := range []string{"a", "b", "c", "d"} {
			g.Expect(ours.call("UpdateItem", incrementOf("table", key)).Type).To(BeEmpty(), "nothing is held any more")
		}
	}, dynamotest.WithTransactionTime(transactionTakes))
}

func TestATransactionThatMeetsAnotherIsCancelled(t *testing.T) {
	inBubble(t, func(g Gomega, ours *wire) {
		answered := ours.start("TransactWriteItems", fourKinds())
		reasonsOf := func(actions ...object) []any {
			a := ours.call("TransactWriteItems", transactionOf(actions...))
			g.Expect(a.Type).To(Equal("TransactionCanceledException"), a.String())
			return a.Body["CancellationReasons"].([]any)
		}
		conflict := object{"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
		none := object{"Code": "None"}
		g.Expect(reasonsOf(object{"Update": incrementOf("table", "e")}, object{"Update": incrementOf("table", "a")})).To(Equal([]any{none, conflict}))
		g.Expect(reasonsOf(checkOf("table", "d", "attribute_exists(n)"))).To(Equal([]any{conflict}), "two checks of one item conflict, too")
		g.Expect(reasonsOf(object{"Delete": keyed("table", "b", `{}`)}, checkOf("table", "e", "attribute_not_exists(n)"))).To(Equal([]any{
			conflict, object{"Code": "ConditionalCheckFailed", "Message": "The conditional request failed."}}))
		g.Expect(ours.numberAt("e")).To(Equal("1"), "a cancelled transaction changes nothing")
		g.Expect(ours.call("UpdateItem", incrementOf("table", "e")).Type).To(BeEmpty(), "and holds nothing")
		g.Expect((<-answered).Type).To(BeEmpty())
	}, dynamotest.WithTransactionTime(transactionTakes))
}

func TestACancelledTransactionTakesNoTime(t *testing.T) {
	inBubble(t, func(g Gomega, ours *wire) {
		began := time.Now()
		a := ours.call("TransactWriteItems", transactionOf(object{"Update": incrementOf("table", "a")}, checkOf("table", "b", "attribute_not_exists(n)")))
		g.Expect(a.Type).To(Equal("TransactionCanceledException"))
		g.Expect(time.Since(began)).To(BeZero())
		g.Expect(ours.call("UpdateItem", incrementOf("table", "a")).Type).To(BeEmpty())
	}, dynamotest.WithTransactionTime(transactionTakes))
}

func TestATokenOfATransactionThatIsUnderWay(t *testing.T) {
	inBubble(t, func(g Gomega, ours *wire) {
		withToken := func(keys ...string) object {
			request := object{"TransactItems": []object{}, "ClientRequestToken": "token"}
			for _, key := range keys {
				request["TransactItems"] = append(request["TransactItems"].([]object), object{"Update": incrementOf("table", key)})
			}
			return request
		}
		answered := ours.start("TransactWriteItems", withToken("a"))
		g.Expect(ours.call("TransactWriteItems", withToken("a")).String()).
			To(Equal("TransactionInProgressException: Transaction from previous request is still in progress"))
		g.Expect(ours.call("TransactWriteItems", withToken("b")).Type).To(Equal("IdempotentParameterMismatchException"))
		g.Expect((<-answered).Type).To(BeEmpty())

		committed := time.Now()
		g.Expect(ours.call("TransactWriteItems", withToken("a")).Type).To(BeEmpty(), "now it is a repetition of what was done")
		g.Expect(time.Since(committed)).To(BeZero())
		g.Expect(ours.numberAt("a")).To(Equal("2"), "done once")
		time.Sleep(10 * time.Minute)
		g.Expect(ours.call("TransactWriteItems", withToken("b")).Type).To(Equal("IdempotentParameterMismatchException"), "ten minutes after the commit")
		time.Sleep(time.Nanosecond)
		g.Expect(ours.call("TransactWriteItems", withToken("b")).Type).To(BeEmpty())
	}, dynamotest.WithTransactionTime(transactionTakes))
}

func TestATransactionWhoseCallerGivesUpIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		engine := dynamotest.New(dynamotest.WithTransactionTime(transactionTakes))
		ours := over(engine)
		ours.fill(g)
		client := dynamotest.NewClient(engine)
		key := map[string]*dynamodb.AttributeValue{"k": {S: aws.String("a")}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.TransactWriteItemsWithContext(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
			{Delete: &dynamodb.Delete{TableName: aws.String("table"), Key: key}}}})
		g.Expect(err).To(HaveOccurred())

		var conflict *dynamodb.TransactionConflictException
		_, err = client.DeleteItem(&dynamodb.DeleteItemInput{TableName: aws.String("table"), Key: key})
		g.Expect(errors.As(err, &conflict)).To(BeTrue(), "%v", err)
		g.Expect(ours.numberAt("a")).To(Equal("1"))
		time.Sleep(transactionTakes)
		g.Expect(ours.numberAt("a")).To(BeNil())
	})
}

func TestHeldItemsDoNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		engine := dynamotest.New(dynamotest.WithTransactionTime(transactionTakes))
		ours := over(engine)
		ours.fill(g)
		ours.call("UpdateTimeToLive", `{"TableName":"table","TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":true}}`)
		for _, key := range []string{"a", "b"} {
			ours.call("PutItem", `{"TableName":"table","Item":{"k":{"S":"`+key+`"},"n":{"N":"1"},"ttl":{"N":"1"}}}`)
		}
		answered := ours.start("TransactWriteItems", transactionOf(object{"Update": incrementOf("table", "a")}))
		g.Expect(engine.ExpireItems(time.Unix(2, 0))).To(Equal(1))
		g.Expect((<-answered).Type).To(BeEmpty())
		g.Expect([]any{ours.numberAt("a"), ours.numberAt("b")}).To(Equal([]any{"2", nil}))
		g.Expect(engine.ExpireItems(time.Unix(2, 0))).To(Equal(1))
	})
}

func TestATransactionDoesNotReachTheNextTableOfThatName(t *testing.T) {
	inBubble(t, func(g Gomega, ours *wire) {
		answered := ours.start("TransactWriteItems", transactionOf(object{"Update": incrementOf("table", "a")}))
		ours.deleteTable("table")
		g.Expect(ours.call("UpdateItem", incrementOf("table", "a")).Type).To(Equal("ResourceNotFoundException"))
		ours.createNamedTable("table", "k:S")
		g.Expect(ours.call("PutItem", `{"TableName":"table","Item":{"k":{"S":"a"},"n":{"N":"7"}}}`).Type).To(BeEmpty())
		g.Expect((<-answered).Type).To(BeEmpty())
		g.Expect(ours.numberAt("a")).To(Equal("7"))
	}, dynamotest.WithTransactionTime(transactionTakes))
}

func TestAnEngineFromOutsideABubbleKeepsItsTimeInside(t *testing.T) {
	ours := over(dynamotest.New(dynamotest.WithTransactionTime(time.Hour)))
	ours.fill(NewWithT(t))
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		began := time.Now()
		a := ours.call("TransactWriteItems", transactionOf(object{"Update": incrementOf("table", "a")}))
		g.Expect(a.Type).To(BeEmpty(), a.String())
		g.Expect(time.Since(began)).To(Equal(time.Hour))
	})
}

func TestAServerThatClosesCommitsWhatIsUnderWay(t *testing.T) {
	g := NewWithT(t)
	server := dynamotest.NewServer(dynamotest.WithTransactionTime(time.Hour))
	defer server.Close()
	outside := &wire{name: "over a socket", url: server.URL, client: &http.Client{}}
	ours := over(server.Engine)
	ours.fill(g)
	answered := make(chan answer, 1)
	go func() {
		answered <- outside.call("TransactWriteItems", transactionOf(object{"Update": incrementOf("table", "a")}))
	}()
	g.Eventually(func() string {
		return ours.call("DeleteItem", keyed("table", "a", `{"ConditionExpression":"attribute_not_exists(k)"}`)).String()
	}).Should(Equal(ongoing))
	server.Close()
	server.Close()
	var a answer
	g.Eventually(answered).Should(Receive(&a))
	g.Expect(a.Type).To(BeEmpty(), a.String())
	g.Expect(ours.numberAt("a")).To(Equal("2"))
	outside.client.CloseIdleConnections()
}

func TestTheFunctionOfWithConflictsDecides(t *testing.T) {
	g := NewWithT(t)
	var asked []dynamotest.Write
	refuse := false
	ours := over(dynamotest.New(dynamotest.WithConflicts(func(w dynamotest.Write) bool {
		asked = append(asked, w)
		return refuse && *w.Key["k"].S == "a"
	})))
	ours.fill(g)
	g.Expect(asked).To(HaveLen(5))
	key := func(text string) map[string]*dynamodb.AttributeValue {
		return map[string]*dynamodb.AttributeValue{"k": {S: &text}}
	}

	asked, refuse = nil, true
	g.Expect(ours.call("UpdateItem", incrementOf("table", "a")).String()).To(Equal(ongoing))
	g.Expect(ours.call("DeleteItem", keyed("table", "a", `{}`)).String()).To(Equal(ongoing))
	g.Expect(ours.call("PutItem", `{"TableName":"table","Item":{"k":{"S":"a"},"n":{"N":"7"}}}`).String()).To(Equal(ongoing))
	g.Expect(asked).To(Equal([]dynamotest.Write{
		{Operation: "UpdateItem", TableName: "table", Key: key("a")},
		{Operation: "DeleteItem", TableName: "table", Key: key("a")},
		{Operation: "PutItem", TableName: "table", Key: key("a")},
	}))

	asked = nil
	a := ours.call("TransactWriteItems", transactionOf(object{"Update": incrementOf("table", "b")}, checkOf("table", "a", "attribute_exists(k)")))
	g.Expect(a.Type).To(Equal("TransactionCanceledException"))
	g.Expect(a.Message).To(HaveSuffix("[None, TransactionConflict]"))
	g.Expect(asked).To(Equal([]dynamotest.Write{
		{Operation: "TransactWriteItems", TableName: "table", Key: key("b")},
		{Operation: "TransactWriteItems", TableName: "table", Key: key("a"), Check: true},
	}))
	g.Expect([]any{ours.numberAt("a"), ours.numberAt("b")}).To(Equal([]any{"1", "1"}))

	asked = nil
	g.Expect(ours.call("UpdateItem", keyed("table", "a", `{"UpdateExpression":"nonsense"}`)).Type).To(Equal("ValidationException"))
	g.Expect(asked).To(BeEmpty(), "nobody is asked about what is no write")
}

func TestTheFunctionOfWithConflictsSeesEveryKindOfKey(t *testing.T) {
	g := NewWithT(t)
	var seen dynamotest.Write
	ours := over(dynamotest.New(dynamotest.WithConflicts(func(w dynamotest.Write) bool { seen = w; return false })))
	ours.createNamedTable("binary", "k:B", "r:N")
	a := ours.call("PutItem", `{"TableName":"binary","Item":{"k":{"B":"AQID"},"r":{"N":"1.0"},"x":{"S":"no part of the key"}}}`)
	g.Expect(a.Type).To(BeEmpty(), a.String())
	g.Expect(seen.Key).To(Equal(map[string]*dynamodb.AttributeValue{"k": {B: []byte{1, 2, 3}}, "r": {N: aws.String("1")}}))
}

func TestTheFunctionOfWithConflictsMaySendRequests(t *testing.T) {
	g := NewWithT(t)
	var ours *wire
	ours = over(dynamotest.New(dynamotest.WithConflicts(func(w dynamotest.Write) bool {
		if w.Operation == "UpdateItem" && *w.Key["k"].S == "a" {
			ours.call("UpdateItem", incrementOf("table", "b"))
		}
		return false
	})))
	ours.fill(g)
	g.Expect(ours.call("UpdateItem", incrementOf("table", "a")).Type).To(BeEmpty())
	g.Expect(ours.numberAt("b")).To(Equal("2"))
}

func TestATableMayGoWhileItsWritesAreDecidedAbout(t *testing.T) {
	g := NewWithT(t)
	var ours *wire
	drop := false
	ours = over(dynamotest.New(dynamotest.WithConflicts(func(dynamotest.Write) bool {
		if drop {
			ours.deleteTable("table")
		}
		return false
	})))
	for operation, body := range map[string]object{
		"UpdateItem":         incrementOf("table", "a"),
		"TransactWriteItems": transactionOf(object{"Update": incrementOf("table", "a")}),
	} {
		drop = false
		ours.fill(g)
		drop = true
		g.Expect(ours.call(operation, body).String()).To(Equal("ResourceNotFoundException: Cannot do operations on a non-existent table"))
	}
}

func TestNoUpdateIsLostToRandomConflicts(t *testing.T) {
	const workers, rounds = 4, 50
	g := NewWithT(t)
	var mu sync.Mutex
	random, refused := rand.New(rand.NewPCG(1, 2)), 0
	ours := over(dynamotest.New(dynamotest.WithConflicts(func(dynamotest.Write) bool {
		mu.Lock()
		defer mu.Unlock()
		conflict := random.IntN(4) == 0
		if conflict {
			refused++
		}
		return conflict
	})))
	ours.createNamedTable("table", "k:S")
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for done := 0; done < rounds; {
				if ours.call("UpdateItem", incrementOf("table", "a")).Type == "" {
					done++
				}
			}
		})
	}
	group.Wait()
	g.Expect(ours.numberAt("a")).To(Equal(fmt.Sprint(workers * rounds)))
	g.Expect(refused).To(BeNumerically(">", workers*rounds/8))
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	g := NewWithT(t)
	g.Expect(func() { dynamotest.New(dynamotest.WithTransactionTime(-time.Second)) }).
		To(PanicWith("dynamotest: WithTransactionTime(-1s): the time is negative: give 0 or more"))
	g.Expect(func() { dynamotest.NewServer(dynamotest.WithConflicts(nil)) }).
		To(PanicWith("dynamotest: WithConflicts(nil): give a function, or leave the option out"))
}
