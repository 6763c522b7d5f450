package dynamotest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// What global tables promise. DynamoDB Local has none, so that there is nothing to compare with:
// the specs say what AWS documents.

const (
	lag       = time.Second
	writeTime = 80 * time.Millisecond
	cutOff    = "InternalServerError"
	conflict  = "ReplicatedWriteConflictException: One or more items in this request are being modified by a request in another Region."
)

// regions are the Regions of a global table in a bubble, with a table "table" in them.
type regions struct {
	Gomega
	*dynamotest.GlobalTable
	wires []*wire
}

// inRegions makes a global table of three Regions.
func inRegions(t *testing.T, create func(int, ...dynamotest.Option) *dynamotest.GlobalTable, do func(r *regions), options ...dynamotest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(newRegions(t, create(3, options...))) })
}

func newRegions(t *testing.T, global *dynamotest.GlobalTable) *regions {
	r := &regions{Gomega: NewWithT(t), GlobalTable: global}
	for _, region := range global.Regions() {
		w := over(region)
		w.name = region.Name()
		r.wires = append(r.wires, w)
	}
	_, a := r.wires[0].createNamedTable("table", "k:S")
	r.Expect(a.Type).To(BeEmpty(), a.String())
	return r
}

// put writes {k: key, n: number} in a Region, and gives the error, "" for none.
func (r *regions) put(region int, key, number string) string {
	return r.wires[region].call("PutItem", object{"TableName": "table", "Item": parseObject(`{"k":{"S":"` + key + `"},"n":{"N":"` + number + `"}}`)}).Type
}

func (r *regions) increment(region int, key string) string {
	return r.wires[region].call("UpdateItem", incrementOf("table", key)).Type
}

// read is the number at a key as a Region reads it: nil for no item, the error's type for none.
func (r *regions) read(region int, key string, consistent bool) any {
	a := r.wires[region].call("GetItem", keyed("table", key, fmt.Sprintf(`{"ConsistentRead":%t}`, consistent)))
	if a.Type != "" {
		return a.Type
	}
	it, _ := a.Body["Item"].(object)
	n, _ := it["n"].(object)
	return n["N"]
}

// reads are those of all Regions.
func (r *regions) reads(key string, consistent bool) []any {
	var all []any
	for region := range r.wires {
		all = append(all, r.read(region, key, consistent))
	}
	return all
}

func the(numbers ...any) []any { return numbers }

func TestAStronglyConsistentTableIsOneHistory(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.Expect(r.put(0, "a", "1")).To(BeEmpty())
		r.Expect(r.reads("a", true)).To(Equal(the("1", "1", "1")))
		r.Expect(r.increment(1, "a")).To(BeEmpty())
		r.Expect(r.increment(2, "a")).To(BeEmpty())
		r.Expect(r.reads("a", true)).To(Equal(the("3", "3", "3")))

		once := keyed("table", "a", `{"ConditionExpression":"attribute_not_exists(k)","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`)
		a := r.wires[1].call("UpdateItem", once)
		r.Expect(a.Type).To(Equal("ConditionalCheckFailedException"), "a condition is about the latest version, wherever that was written")
		r.Expect(a.Body["Item"]).To(HaveKeyWithValue("n", object{"N": "3"}))
		for _, w := range r.wires {
			r.Expect(w.call("Scan", `{"TableName":"table","ConsistentRead":true}`).Body["Count"]).To(Equal(1.0))
			r.Expect(w.call("Query", `{"TableName":"table","ConsistentRead":true,"KeyConditionExpression":"k = :a","ExpressionAttributeValues":{":a":{"S":"a"}}}`).
				Body["Count"]).To(Equal(1.0))
			r.Expect(w.call("BatchGetItem", `{"RequestItems":{"table":{"ConsistentRead":true,"Keys":[{"k":{"S":"a"}}]}}}`).
				Body["Responses"].(object)["table"]).To(HaveLen(1))
		}
	})
}

func TestEventuallyConsistentReadsOfAStronglyConsistentTableLag(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		counts := func() []any {
			var all []any
			for _, w := range r.wires {
				scanned := w.call("Scan", `{"TableName":"table"}`).Body["Count"]
				queried := w.call("Query", `{"TableName":"table","KeyConditionExpression":"k = :a","ExpressionAttributeValues":{":a":{"S":"a"}}}`).Body["Count"]
				batch := w.call("BatchGetItem", `{"RequestItems":{"table":{"Keys":[{"k":{"S":"a"}}]}}}`).Body["Responses"].(object)["table"].([]any)
				r.Expect([]any{queried, float64(len(batch))}).To(HaveEach(scanned))
				all = append(all, scanned)
			}
			return all
		}
		r.put(0, "a", "1")
		time.Sleep(lag / 2)
		r.put(1, "a", "2")
		time.Sleep(lag/2 - time.Nanosecond)
		r.Expect(r.reads("a", false)).To(Equal(the(nil, nil, nil)), "in the Region of the write, too")
		r.Expect(counts()).To(Equal(the(0.0, 0.0, 0.0)))
		time.Sleep(time.Nanosecond)
		r.Expect(r.reads("a", false)).To(Equal(the("1", "1", "1")))
		r.Expect(counts()).To(Equal(the(1.0, 1.0, 1.0)))
		time.Sleep(lag / 2)
		r.Expect(r.reads("a", false)).To(Equal(the("2", "2", "2")))

		r.wires[2].call("DeleteItem", keyed("table", "a", `{}`))
		r.Expect(r.reads("a", false)).To(Equal(the("2", "2", "2")))
		r.SetLag(0)
		r.Expect(r.reads("a", false)).To(Equal(the(nil, nil, nil)), "another lag is one for changes on their way, too")
		r.SetLag(time.Hour)
		r.put(0, "a", "3")
		r.Expect(r.reads("a", false)).To(Equal(the(nil, nil, nil)))
		r.Replicate()
		r.Expect(r.reads("a", false)).To(Equal(the("3", "3", "3")))
	})
}

func TestAWriteThatMeetsOneFromAnotherRegionIsRefused(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		r.SetWriteTime(writeTime)
		began := time.Now()
		first := r.wires[0].start("UpdateItem", incrementOf("table", "a"))
		second := r.wires[0].start("UpdateItem", incrementOf("table", "a"))
		for _, other := range r.wires[1:] {
			r.Expect(other.call("UpdateItem", incrementOf("table", "a")).String()).To(Equal(conflict))
			r.Expect(other.call("DeleteItem", keyed("table", "a", `{"ConditionExpression":"attribute_not_exists(k)"}`)).String()).To(Equal(conflict))
		}
		r.Expect(time.Since(began)).To(BeZero(), "a refusal takes no time")
		r.Expect(r.reads("a", true)).To(Equal(the("1", "1", "1")))

		r.Expect(r.put(1, "b", "1")).To(BeEmpty(), "another item is free")
		r.Expect(time.Since(began)).To(Equal(writeTime))
		r.Expect((<-first).Type).To(BeEmpty())
		r.Expect(time.Since(began)).To(Equal(writeTime))
		r.Expect(r.reads("a", true)).To(Equal(the("2", "2", "2")))
		synctest.Wait()
		r.Expect(r.increment(2, "a")).To(Equal("ReplicatedWriteConflictException"), "the second write of the first Region has it now")
		r.Expect((<-second).Type).To(BeEmpty())
		r.Expect(time.Since(began)).To(Equal(2*writeTime), "writes of one Region wait for each other")
		r.Expect(r.increment(2, "a")).To(BeEmpty(), "it can be sent again")
		r.Expect(r.reads("a", true)).To(Equal(the("4", "4", "4")))
	})
}

func TestAConditionOfAStronglyConsistentWriteIsEvaluatedAfterWhatItWaitedFor(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.SetWriteTime(writeTime)
		take := keyed("table", "a", `{"UpdateExpression":"ADD n :one","ConditionExpression":"attribute_not_exists(k)","ExpressionAttributeValues":{":one":{"N":"1"}}}`)
		first := r.wires[0].start("UpdateItem", take)
		second := r.wires[0].start("UpdateItem", take)
		r.Expect((<-first).Type).To(BeEmpty())
		r.Expect((<-second).Type).To(Equal("ConditionalCheckFailedException"))
		r.SetWriteTime(0)
		began := time.Now()
		r.Expect(r.increment(1, "a")).To(BeEmpty(), "nothing is held after a failed condition")
		r.Expect(time.Since(began)).To(BeZero())
	})
}

func TestWithConflictsOnAStronglyConsistentTable(t *testing.T) {
	var asked []dynamotest.Write
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.Expect(r.put(0, "a", "1")).To(BeEmpty())
		r.Expect(r.wires[1].call("UpdateItem", incrementOf("table", "a")).String()).To(Equal(conflict))
		r.Expect(r.reads("a", true)).To(Equal(the("1", "1", "1")))
		key := map[string]*dynamodb.AttributeValue{"k": {S: aws.String("a")}}
		r.Expect(asked).To(Equal([]dynamotest.Write{
			{Region: "us-east-1", Operation: "PutItem", TableName: "table", Key: key}, {Region: "us-east-2", Operation: "UpdateItem", TableName: "table", Key: key}}))
	}, dynamotest.WithConflicts(func(w dynamotest.Write) bool {
		asked = append(asked, w)
		return w.Region == "us-east-2"
	}))
}

func TestWhatStronglyConsistentTablesDoNotHave(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		a := r.wires[0].call("TransactWriteItems", transactionOf(object{"Update": incrementOf("table", "a")}))
		r.Expect(a.String()).To(Equal("ValidationException: Transactions are not supported on global tables with multi-Region strong consistency"))
		a = r.wires[0].call("TransactWriteItems", transactionOf(checkOf("table", "a", "attribute_exists(k)")))
		r.Expect(a.Type).To(Equal("ValidationException"))
		r.Expect(r.reads("a", true)).To(Equal(the("1", "1", "1")))
		a = r.wires[0].call("UpdateTimeToLive", `{"TableName":"table","TimeToLiveSpecification":{"AttributeName":"n","Enabled":true}}`)
		r.Expect(a.String()).To(Equal("ValidationException: Time to Live is not supported on global tables with multi-Region strong consistency"))
		r.Expect(r.Region(0).ExpireItems(time.Unix(2, 0))).To(BeZero())
	})
}

func TestARegionOfAStronglyConsistentTableThatIsCutOff(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		time.Sleep(lag)
		r.put(1, "a", "2")
		r.Region(2).Isolate()
		r.Expect(r.increment(0, "a")).To(BeEmpty(), "the others go on")
		time.Sleep(10 * lag)

		r.Expect(r.increment(2, "a")).To(Equal(cutOff))
		a := r.wires[2].call("PutItem", `{"TableName":"table","Item":{"k":{"S":"b"}}}`)
		r.Expect(a.Status).To(Equal(500))
		r.Expect(a.Body["__type"]).To(Equal("com.amazonaws.dynamodb.v20120810#InternalServerError"))
		r.Expect(r.reads("a", true)).To(Equal(the("3", "3", cutOff)))
		r.Expect(r.reads("a", false)).To(Equal(the("3", "3", "1")), "what had arrived when it was cut off")
		for operation, more := range map[string]string{"Scan": `{}`, "Query": `{"KeyConditionExpression":"k = :a","ExpressionAttributeValues":{":a":{"S":"a"}}}`} {
			request := parseObject(more)
			request["TableName"] = "table"
			r.Expect(r.wires[2].call(operation, request).Body["Count"]).To(Equal(1.0))
			request["ConsistentRead"] = true
			r.Expect(r.wires[2].call(operation, request).Type).To(Equal(cutOff))
		}
		r.Expect(r.wires[2].call("BatchGetItem", `{"RequestItems":{"table":{"ConsistentRead":true,"Keys":[{"k":{"S":"a"}}]}}}`).Type).To(Equal(cutOff))

		r.put(0, "a", "7")
		r.Region(2).Rejoin()
		r.Expect(r.reads("a", false)).To(Equal(the("3", "3", "3")), "what is due arrives at once")
		r.Expect(r.increment(2, "a")).To(Equal(cutOff), "it has not caught up")
		r.Expect(r.read(2, "a", true)).To(Equal(cutOff))
		time.Sleep(lag)
		r.Expect(r.increment(2, "a")).To(BeEmpty())
		r.Expect(r.reads("a", true)).To(Equal(the("8", "8", "8")))

		r.put(0, "a", "9")
		r.Region(2).Rejoin()
		r.Expect(r.increment(2, "a")).To(BeEmpty(), "to rejoin without having been cut off changes nothing")
	})
}

func TestAStronglyConsistentTableNeedsTwoRegions(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		r.Replicate()
		r.Region(0).Isolate()
		r.Region(1).Isolate()
		r.Expect([]string{r.increment(0, "a"), r.increment(1, "a"), r.increment(2, "a")}).To(HaveEach(cutOff), "the third one is alone, too")
		r.Expect(r.reads("a", false)).To(HaveEach("1"))
		r.Region(1).Rejoin()
		r.Expect([]string{r.increment(0, "a"), r.increment(1, "a"), r.increment(2, "a")}).To(Equal([]string{cutOff, "", ""}))
	})
}

func TestWhatAStronglyConsistentTableHasWrittenArrivesWithoutItsRegion(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		r.Region(0).Isolate()
		time.Sleep(lag)
		r.Expect(r.reads("a", false)).To(HaveEach("1"), "a write that was answered is in two Regions, and its own knows it anyway")
		r.Region(0).Rejoin()
		r.put(0, "a", "2")
		r.Region(0).Isolate()
		r.Region(0).Rejoin()
		r.Expect(r.increment(0, "a")).To(BeEmpty(), "it has missed nothing: what is on its way is its own")
	})
}

func TestTwoReplicasAndAWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegions(t, dynamotest.NewGlobalTable(2))
		r.Region(0).Isolate()
		r.Expect([]string{r.increment(0, "a"), r.increment(1, "a")}).To(Equal([]string{cutOff, ""}), "with the witness there are two")
		described := r.wires[1].call("DescribeTable", `{"TableName":"table"}`).Body["Table"]
		r.Expect(described).To(HaveKeyWithValue("GlobalTableWitnesses", []any{object{"RegionName": "us-west-2", "WitnessStatus": "ACTIVE"}}))
		r.Expect(described).To(HaveKeyWithValue("Replicas", []any{object{"RegionName": "us-east-1", "ReplicaStatus": "ACTIVE"}}))
	})
}

func TestARegionThatIsCutOffDuringItsWrite(t *testing.T) {
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		r.SetWriteTime(writeTime)
		answered := r.wires[0].start("UpdateItem", incrementOf("table", "a"))
		r.Region(0).Isolate()
		r.Expect(r.increment(1, "a")).To(Equal("ReplicatedWriteConflictException"), "nobody knows yet that it will fail")
		r.Expect((<-answered).Status).To(Equal(500))
		r.Expect(r.increment(1, "a")).To(BeEmpty())
		r.Expect(r.read(2, "a", true)).To(Equal("2"))
	})
}

func TestGlobalTablesDescribeThemselvesOnTheWire(t *testing.T) {
	g := NewWithT(t)
	for _, kind := range []struct {
		global *dynamotest.GlobalTable
		want   string
	}{{dynamotest.NewGlobalTable(3), "STRONG"}, {dynamotest.NewEventualGlobalTable(3), "EVENTUAL"}} {
		_, a := over(kind.global.Region(1)).createNamedTable("table", "k:S")
		g.Expect(a.Body["TableDescription"]).To(HaveKeyWithValue("MultiRegionConsistency", kind.want))
		table := over(kind.global.Region(2)).call("DescribeTable", `{"TableName":"table"}`).Body["Table"]
		g.Expect(table).To(And(HaveKeyWithValue("MultiRegionConsistency", kind.want), HaveKeyWithValue("GlobalTableVersion", "2019.11.21"),
			HaveKeyWithValue("TableArn", "arn:aws:dynamodb:us-west-2:000000000000:table/table"), Not(HaveKey("GlobalTableWitnesses"))))
		g.Expect(table).To(HaveKeyWithValue("Replicas", []any{
			object{"RegionName": "us-east-1", "ReplicaStatus": "ACTIVE"}, object{"RegionName": "us-east-2", "ReplicaStatus": "ACTIVE"}}), "all but the one that is asked")
	}
	alone := inMemory()
	alone.createNamedTable("table", "k:S")
	g.Expect(alone.call("DescribeTable", `{"TableName":"table"}`).Body["Table"]).To(And(Not(HaveKey("MultiRegionConsistency")), Not(HaveKey("Replicas"))))
}

// aws-sdk-go v1 is older than MRSC.
func TestWhatVersion1OfTheSDKSeesOfAStronglyConsistentTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the SDK's retries take no time
		g := NewWithT(t)
		refuse := false
		global := dynamotest.NewGlobalTable(3, dynamotest.WithConflicts(func(dynamotest.Write) bool { return refuse }))
		client := global.Region(0).Client()
		sdkTable(g, client)
		out, err := global.Region(1).Client().DescribeTable(&dynamodb.DescribeTableInput{TableName: aws.String("locks")})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(*out.Table.GlobalTableVersion).To(Equal("2019.11.21"))
		g.Expect(out.Table.Replicas).To(HaveLen(2))
		g.Expect(*out.Table.Replicas[0].RegionName).To(Equal("us-east-1"))

		put := &dynamodb.PutItemInput{TableName: aws.String("locks"), Item: sdkKey("a")}
		refuse = true
		began := time.Now()
		_, err = client.PutItem(put)
		var failed awserr.RequestFailure
		g.Expect(errors.As(err, &failed)).To(BeTrue(), "%v", err)
		g.Expect(failed.Code()).To(Equal("ReplicatedWriteConflictException"), "no type of its own, but its code")
		g.Expect(failed.StatusCode()).To(Equal(http.StatusBadRequest))
		g.Expect(time.Since(began)).To(BeZero(), "the SDK does not retry what it does not know")

		refuse = false
		global.Region(0).Isolate()
		_, err = client.PutItem(put)
		var internal *dynamodb.InternalServerError
		g.Expect(errors.As(err, &internal)).To(BeTrue(), "%v", err)
		g.Expect(time.Since(began)).NotTo(BeZero(), "it retries this one")
	})
}

func TestTablesAreInAllRegions(t *testing.T) {
	for name, create := range map[string]func(int, ...dynamotest.Option) *dynamotest.GlobalTable{
		"strong": dynamotest.NewGlobalTable, "eventual": dynamotest.NewEventualGlobalTable,
	} {
		t.Run(name, func(t *testing.T) {
			inRegions(t, create, func(r *regions) {
				for _, w := range r.wires {
					_, a := w.createNamedTable("table", "k:S")
					r.Expect(a.Type).To(Equal("ResourceInUseException"))
				}
				r.put(1, "a", "1")
				r.wires[2].deleteTable("table")
				r.Expect(r.reads("a", false)).To(HaveEach("ResourceNotFoundException"))
				r.wires[2].createNamedTable("table", "k:S")
				time.Sleep(lag)
				r.Expect(r.reads("a", false)).To(HaveEach(BeNil()), "the new table gets nothing of what was written to the old one")

				r.Region(0).Isolate()
				_, a := r.wires[0].createNamedTable("more", "k:S")
				r.Expect(a.Type).To(Equal(cutOff))
				r.Expect(r.wires[0].call("DeleteTable", `{"TableName":"table"}`).Type).To(Equal(cutOff))
				r.Expect(r.wires[0].call("DescribeTable", `{"TableName":"table"}`).Type).To(BeEmpty())
			})
		})
	}
}

func TestAnEventuallyConsistentTableIsLocalFirst(t *testing.T) {
	inRegions(t, dynamotest.NewEventualGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		time.Sleep(lag - time.Nanosecond)
		r.Expect(r.reads("a", true)).To(Equal(the("1", nil, nil)), "a consistent read is one of the Region's own replica")
		r.Expect(r.reads("a", false)).To(Equal(the("1", nil, nil)))
		take := `{"TableName":"table","Item":{"k":{"S":"a"},"n":{"N":"7"}},"ConditionExpression":"attribute_not_exists(k)"}`
		r.Expect(r.wires[0].call("PutItem", take).Type).To(Equal("ConditionalCheckFailedException"))
		r.Expect(r.wires[1].call("PutItem", take).Type).To(BeEmpty(), "and so is a condition: both have taken it")
		time.Sleep(time.Nanosecond)
		r.Expect(r.reads("a", true)).To(Equal(the("1", "7", "1")), "what arrives is older than what the second Region has")
		time.Sleep(lag)
		r.Expect(r.reads("a", true)).To(Equal(the("7", "7", "7")), "the last writer has won")
	})
}

func TestTheLastWriterWinsWhateverItDoes(t *testing.T) {
	inRegions(t, dynamotest.NewEventualGlobalTable, func(r *regions) {
		remove := func(region int) { r.wires[region].call("DeleteItem", keyed("table", "a", `{}`)) }
		r.put(0, "a", "1")
		r.Replicate()
		remove(0)
		r.put(1, "a", "2")
		r.Replicate()
		r.Expect(r.reads("a", true)).To(HaveEach("2"), "put after deleted")

		r.put(0, "a", "3")
		remove(1)
		r.Replicate()
		r.Expect(r.reads("a", true)).To(HaveEach(BeNil()), "deleted after put")

		r.put(0, "a", "4")
		remove(1)
		r.Replicate()
		r.Expect(r.reads("a", true)).To(HaveEach("4"), "to delete what is not there changes nothing, and nothing of it is replicated")
	})
}

func TestARegionOfAnEventuallyConsistentTableThatIsCutOff(t *testing.T) {
	inRegions(t, dynamotest.NewEventualGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		r.put(2, "b", "1")
		r.Region(2).Isolate()
		r.put(2, "a", "2")
		r.put(0, "c", "1")
		time.Sleep(time.Hour)
		r.Replicate()
		r.Expect(r.reads("a", true)).To(Equal(the("1", "1", "2")))
		r.Expect(r.reads("b", true)).To(Equal(the(nil, nil, "1")), "what was on its way when it was cut off is held back")
		r.Expect(r.reads("c", true)).To(Equal(the("1", "1", nil)))
		r.Region(2).Rejoin()
		r.Expect([][]any{r.reads("a", true), r.reads("b", true), r.reads("c", true)}).To(Equal([][]any{the("2", "2", "2"), the("1", "1", "1"), the("1", "1", "1")}))
	})
}

func TestTransactionsOfAnEventuallyConsistentTableAreOfOneRegion(t *testing.T) {
	inRegions(t, dynamotest.NewEventualGlobalTable, func(r *regions) {
		r.put(0, "a", "1")
		r.Replicate()
		answered := r.wires[0].start("TransactWriteItems", transactionOf(object{"Update": incrementOf("table", "a")}))
		r.Expect(r.increment(0, "a")).To(Equal("TransactionConflictException"))
		r.Expect(r.put(1, "a", "5")).To(BeEmpty(), "the item is held in one Region only")
		time.Sleep(lag)
		r.Expect(r.reads("a", true)).To(Equal(the("1", "5", "5")), "a change from elsewhere waits for the transaction")
		r.Expect((<-answered).Type).To(BeEmpty())
		r.Expect(r.reads("a", true)).To(Equal(the("2", "5", "5")))
		time.Sleep(lag)
		r.Expect(r.reads("a", true)).To(HaveEach("2"), "the transaction's commit was the last write")
	}, dynamotest.WithTransactionTime(transactionTakes))
}

func TestTimeToLiveOfAnEventuallyConsistentTable(t *testing.T) {
	inRegions(t, dynamotest.NewEventualGlobalTable, func(r *regions) {
		r.Expect(r.wires[0].call("UpdateTimeToLive", `{"TableName":"table","TimeToLiveSpecification":{"AttributeName":"n","Enabled":true}}`).Type).To(BeEmpty())
		r.put(1, "a", "1")
		r.Replicate()
		r.Expect(r.Region(2).ExpireItems(time.Unix(2, 0))).To(Equal(1), "the setting is for all Regions")
		r.Expect(r.reads("a", true)).To(Equal(the("1", "1", nil)))
		time.Sleep(lag)
		r.Expect(r.reads("a", true)).To(HaveEach(BeNil()), "the removal is replicated")
	})
}

func TestAllReplicasEndUpWithTheLastVersion(t *testing.T) {
	for seed := range uint64(20) {
		inRegions(t, dynamotest.NewEventualGlobalTable, func(r *regions) {
			random, last := rand.New(rand.NewPCG(seed, 0)), map[string]any{}
			for i := range 300 {
				region, key := random.IntN(3), string(rune('a'+random.IntN(4)))
				switch random.IntN(10) {
				case 0:
					r.SetLag(time.Duration(random.IntN(2000)) * time.Millisecond)
				case 1:
					r.Region(region).Isolate()
				case 2:
					r.Region(region).Rejoin()
				case 3:
					if r.read(region, key, true) != nil { // else it changes nothing
						r.wires[region].call("DeleteItem", keyed("table", key, `{}`))
						last[key] = nil
					}
				default:
					r.put(region, key, fmt.Sprint(i))
					last[key] = fmt.Sprint(i)
				}
				time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			}
			for _, region := range r.Regions() {
				region.Rejoin()
			}
			r.Replicate()
			for key, n := range last {
				if n == nil {
					r.Expect(r.reads(key, true)).To(HaveEach(BeNil()), "seed %d, item %s", seed, key)
					continue
				}
				r.Expect(r.reads(key, true)).To(HaveEach(n), "seed %d, item %s", seed, key)
			}
		})
	}
}

func TestNoUpdateIsLostBetweenRegions(t *testing.T) {
	const rounds, clients = 40, 2 // of each Region
	inRegions(t, dynamotest.NewGlobalTable, func(r *regions) {
		r.SetWriteTime(writeTime)
		var group sync.WaitGroup
		var refused atomic.Int64
		for client := range clients * len(r.wires) {
			random := rand.New(rand.NewPCG(uint64(client), 7))
			group.Go(func() {
				for done := 0; done < rounds; time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) {
					if r.increment(client/clients, "a") == "" {
						done++
					} else {
						refused.Add(1)
					}
				}
			})
		}
		group.Wait()
		r.Expect(r.reads("a", true)).To(HaveEach(fmt.Sprint(rounds * clients * len(r.wires))))
		r.Expect(refused.Load()).To(BeNumerically(">", rounds))
	})
}

func TestGlobalTablesThatMakeNoSense(t *testing.T) {
	g := NewWithT(t)
	for _, n := range []int{-1, 0, 1, 4} {
		g.Expect(func() { dynamotest.NewGlobalTable(n) }).To(PanicWith(fmt.Sprintf(
			"dynamotest: NewGlobalTable(%d): a strongly consistent table has 3 replicas, or 2 and a witness: give 2 or 3, or take NewEventualGlobalTable", n)))
	}
	g.Expect(func() { dynamotest.NewGlobalTable(3, dynamotest.WithTransactionTime(time.Second)) }).To(PanicWith(ContainSubstring("have no transactions: leave the option out")))
	for _, n := range []int{1, 11} {
		g.Expect(func() { dynamotest.NewEventualGlobalTable(n) }).To(PanicWith(fmt.Sprintf("dynamotest: NewEventualGlobalTable(%d): give 2 to 10 Regions", n)))
	}
	strong, eventual := dynamotest.NewGlobalTable(3), dynamotest.NewEventualGlobalTable(10)
	g.Expect(func() { strong.SetLag(-1) }).To(PanicWith("dynamotest: SetLag(-1ns): the lag is negative: give 0 or more"))
	g.Expect(func() { strong.SetWriteTime(-1) }).To(PanicWith("dynamotest: SetWriteTime(-1ns): the time is negative: give 0 or more"))
	g.Expect(func() { eventual.SetWriteTime(1) }).To(PanicWith(ContainSubstring("the tables are eventually consistent")))
	g.Expect(func() { strong.Region(3) }).To(PanicWith("dynamotest: Region(3): there are 3 Regions, counted from 0"))
}
