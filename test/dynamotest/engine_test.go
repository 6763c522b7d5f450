package dynamotest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// What dynamotest promises beyond what DynamoDB does, and what an SDK makes of its answers.

func sdkTable(g Gomega, client dynamodbiface.DynamoDBAPI) {
	_, err := client.CreateTable(&dynamodb.CreateTableInput{
		TableName:            aws.String("locks"),
		BillingMode:          aws.String(dynamodb.BillingModePayPerRequest),
		KeySchema:            []*dynamodb.KeySchemaElement{{AttributeName: aws.String("key"), KeyType: aws.String("HASH")}},
		AttributeDefinitions: []*dynamodb.AttributeDefinition{{AttributeName: aws.String("key"), AttributeType: aws.String("S")}},
	})
	g.Expect(err).NotTo(HaveOccurred())
}

func sdkKey(key string) map[string]*dynamodb.AttributeValue {
	return map[string]*dynamodb.AttributeValue{"key": {S: aws.String(key)}}
}

func TestTheSDKDecodesAnswersAndErrors(t *testing.T) {
	server := dynamotest.NewServer()
	defer server.Close()
	for name, client := range map[string]dynamodbiface.DynamoDBAPI{
		"over a socket": server.Client(), "without a socket": dynamotest.NewClient(dynamotest.New()),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := client.GetItem(&dynamodb.GetItemInput{TableName: aws.String("locks"), Key: sdkKey("a")})
			var missing *dynamodb.ResourceNotFoundException
			g.Expect(err).To(BeAssignableToTypeOf(missing))
			g.Expect(err).To(MatchError("ResourceNotFoundException: Cannot do operations on a non-existent table"))
			sdkTable(g, client)
			g.Expect(client.WaitUntilTableExists(&dynamodb.DescribeTableInput{TableName: aws.String("locks")})).To(Succeed())

			item := map[string]*dynamodb.AttributeValue{"key": {S: aws.String("a")}, "data": {B: []byte{1, 2, 3}}, "n": {N: aws.String("7")}}
			_, err = client.PutItem(&dynamodb.PutItemInput{TableName: aws.String("locks"), Item: item})
			g.Expect(err).NotTo(HaveOccurred())
			got, err := client.GetItem(&dynamodb.GetItemInput{TableName: aws.String("locks"), Key: sdkKey("a")})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Item).To(Equal(item))

			_, err = client.UpdateItem(&dynamodb.UpdateItemInput{
				TableName: aws.String("locks"), Key: sdkKey("a"), ConditionExpression: aws.String("attribute_not_exists(#k)"),
				ExpressionAttributeNames:            map[string]*string{"#k": aws.String("key")},
				ReturnValuesOnConditionCheckFailure: aws.String("ALL_OLD"),
			})
			failed, ok := err.(*dynamodb.ConditionalCheckFailedException)
			g.Expect(ok).To(BeTrue(), "%v", err)
			g.Expect(failed.Item).To(Equal(item))

			_, err = client.TransactWriteItems(&dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{
				{ConditionCheck: &dynamodb.ConditionCheck{TableName: aws.String("locks"), Key: sdkKey("b"), ConditionExpression: aws.String("attribute_exists(n)")}},
				{Delete: &dynamodb.Delete{TableName: aws.String("locks"), Key: sdkKey("a")}},
			}})
			cancelled, ok := err.(*dynamodb.TransactionCanceledException)
			g.Expect(ok).To(BeTrue(), "%v", err)
			g.Expect(cancelled.CancellationReasons).To(HaveLen(2))
			g.Expect(*cancelled.CancellationReasons[0].Code).To(Equal("ConditionalCheckFailed"))
			g.Expect(*cancelled.CancellationReasons[1].Code).To(Equal("None"))

			batch, err := client.BatchGetItem(&dynamodb.BatchGetItemInput{RequestItems: map[string]*dynamodb.KeysAndAttributes{
				"locks": {Keys: []map[string]*dynamodb.AttributeValue{sdkKey("a"), sdkKey("b")}}}})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(batch.Responses["locks"]).To(Equal([]map[string]*dynamodb.AttributeValue{item}))
			g.Expect(batch.UnprocessedKeys).To(BeEmpty())

			_, err = client.Query(&dynamodb.QueryInput{TableName: aws.String("locks"), KeyConditionExpression: aws.String("=")})
			g.Expect(err.(awserr.Error).Code()).To(Equal("ValidationException"))
			_, err = client.ListBackups(nil)
			g.Expect(err.(awserr.Error).Code()).To(Equal("UnknownOperationException"))
		})
	}
}

func TestTheEnvironmentChangesNoClient(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("AWS_CA_BUNDLE", "/no/such/file")
	t.Setenv("AWS_SDK_LOAD_CONFIG", "1")
	t.Setenv("AWS_PROFILE", "no-such-profile")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_ENDPOINT_URL", "http://no.such.host.invalid")
	t.Setenv("HTTP_PROXY", "http://no.such.host.invalid")
	t.Setenv("AWS_STS_REGIONAL_ENDPOINTS", "nonsense")
	server := dynamotest.NewServer()
	defer server.Close()
	sdkTable(g, server.Client())
	sdkTable(g, dynamotest.NewClient(dynamotest.New()))
}

func TestConcurrentUpdatesAreAtomic(t *testing.T) {
	const workers, rounds = 16, 50
	ours := inMemory()
	ours.createNamedTable("counters", "k:S")
	var wins sync.Map
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for round := range rounds {
				update := func(key string) object {
					return object{"TableName": "counters", "Key": object{"k": object{"S": key}}, "UpdateExpression": "ADD n :one",
						"ExpressionAttributeValues": parseObject(`{":one":{"N":"1"}}`)}
				}
				ours.call("UpdateItem", update("plain"))
				ours.call("TransactWriteItems", object{"TransactItems": []object{{"Update": update("left")}, {"Update": update("right")}}})
				won := ours.call("PutItem", object{"TableName": "counters", "ConditionExpression": "attribute_not_exists(k)",
					"Item": object{"k": object{"S": fmt.Sprint("lock", round)}, "owner": object{"N": fmt.Sprint(worker)}}})
				if won.Type == "" {
					if other, taken := wins.LoadOrStore(round, worker); taken {
						t.Errorf("lock %d was won by %v and %v", round, other, worker)
					}
				}
				ours.call("Scan", object{"TableName": "counters"})
			}
		})
	}
	group.Wait()
	for _, key := range []string{"plain", "left", "right"} {
		a := ours.call("GetItem", object{"TableName": "counters", "Key": object{"k": object{"S": key}}})
		if n := a.Body["Item"].(object)["n"].(object)["N"]; n != fmt.Sprint(workers*rounds) {
			t.Errorf("%s counted %v, not %d", key, n, workers*rounds)
		}
	}
}

func TestUnsupportedMembersAreRefused(t *testing.T) {
	g := NewWithT(t)
	ours := inMemory()
	ours.createNamedTable("table", "k:S")
	for operation, members := range map[string]string{
		"GetItem":            `{"AttributesToGet":["a"]}`,
		"PutItem":            `{"Expected":{}} {"ConditionalOperator":"AND"}`,
		"UpdateItem":         `{"Expected":{}} {"AttributeUpdates":{}} {"ConditionalOperator":"AND"}`,
		"DeleteItem":         `{"Expected":{}} {"ConditionalOperator":"AND"}`,
		"Query":              `{"KeyConditions":{}} {"QueryFilter":{}} {"AttributesToGet":["a"]} {"IndexName":"i"} {"ConditionalOperator":"AND"}`,
		"Scan":               `{"ScanFilter":{}} {"AttributesToGet":["a"]} {"IndexName":"i"}`,
		"CreateTable":        `{"GlobalSecondaryIndexes":[]} {"LocalSecondaryIndexes":[]} {"StreamSpecification":{}} {"SSESpecification":{}} {"TableClass":"STANDARD"}`,
		"TransactWriteItems": `{"TransactItem":[]}`,
		"BatchGetItem":       `{"TableName":"table"} {"AttributesToGet":["a"]}`,
	} {
		for _, member := range strings.Fields(members) {
			for name, v := range parseObject(member) {
				a := ours.call(operation, object{"TableName": "table", name: v})
				g.Expect(a.String()).To(HavePrefix("ValidationException: dynamotest does not support the member "))
				g.Expect(a.Message).To(And(ContainSubstring(" of "+operation), ContainSubstring("leave it out, or test against DynamoDB Local")))
			}
		}
	}
	batch := object{"RequestItems": object{"table": object{"Keys": []object{{"k": object{"S": "a"}}}, "AttributesToGet": []string{"a"}}}}
	g.Expect(ours.call("BatchGetItem", batch).Message).To(ContainSubstring("does not support the member AttributesToGet of RequestItems"))
	nested := object{"TransactItems": []object{{"Put": object{"TableName": "table", "Item": object{"k": object{"S": "a"}}, "Expected": object{}}}}}
	g.Expect(ours.call("TransactWriteItems", nested).Message).To(ContainSubstring("does not support the member Expected of Put"))
	g.Expect(ours.call("Scan", object{"TableName": "table"}).Body["Count"]).To(BeZero())
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	g := NewWithT(t)
	ours := inMemory()
	ours.createNamedTable("table", "k:S")
	for _, body := range []string{"", "nul", "[]", `"x"`, "{", `{"TableName":"table"} x`, `{"TableName":5}`, `{"TableName":["table"]}`,
		`{"TableName":"table","Key":[]}`, `{"TableName":"table","Key":{"k":"a"}}`, `{"TableName":"table","Key":{"k":{"S":5}}}`,
		`{"TableName":"table","Key":{"k":{"B":"!"}}}`, `{"TableName":"table","Key":{"k":{"S":"a"}},"ConsistentRead":"yes"}`} {
		g.Expect(ours.call("GetItem", body).Type).To(Equal("SerializationException"), body)
	}
	g.Expect(ours.call("PutItem", `{"TableName":"table","Item":{"k":{"S":"`+strings.Repeat("x", 17<<20)+`"}}}`).Type).To(Equal("SerializationException"))
	recorder := httptest.NewRecorder()
	dynamotest.New().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	g.Expect(recorder.Code).To(Equal(http.StatusBadRequest))
	g.Expect(recorder.Body.String()).To(ContainSubstring("UnknownOperationException"))
}

func TestATransactionTellsOfEveryAction(t *testing.T) {
	g := NewWithT(t)
	ours := inMemory()
	ours.createNamedTable("left", "k:S")
	ours.createNamedTable("right", "k:S")
	put := func(table, key string) object {
		return object{"Put": object{"TableName": table, "Item": object{"k": object{"S": key}}}}
	}
	a := ours.call("TransactWriteItems", object{"ReturnConsumedCapacity": "TOTAL", "TransactItems": []object{put("left", "a"), put("right", "a"), put("left", "b")}})
	g.Expect(a.Body["ConsumedCapacity"]).To(Equal([]any{
		object{"TableName": "left", "CapacityUnits": 4.0}, object{"TableName": "right", "CapacityUnits": 2.0}}))

	wrongKey := object{"Delete": object{"TableName": "left", "Key": object{"k": object{"N": "1"}}}}
	a = ours.call("TransactWriteItems", object{"TransactItems": []object{put("left", "c"), wrongKey, put("right", "c")}})
	g.Expect(a.Message).To(HaveSuffix("[None, ValidationError, None]"))
	g.Expect(a.Body["CancellationReasons"]).To(HaveLen(3))

	failing := object{"Delete": object{"TableName": "left", "Key": object{"k": object{"S": "zz"}}, "ConditionExpression": "attribute_exists(k)"}}
	again := object{"Delete": object{"TableName": "left", "Key": object{"k": object{"S": "zz"}}}}
	g.Expect(ours.call("TransactWriteItems", object{"TransactItems": []object{failing, again}}).String()).
		To(Equal("ValidationException: Transaction request cannot include multiple operations on one item"))
}

func TestBatchGetItemWhereItFollowsAWS(t *testing.T) {
	g := NewWithT(t)
	ours := inMemory()
	ours.createNamedTable("numbers", "k:N")
	batch := func(part string) answer {
		return ours.call("BatchGetItem", `{"ReturnConsumedCapacity":"TOTAL","RequestItems":{"numbers":`+part+`}}`)
	}
	g.Expect(batch(`{"Keys":[{"k":{"N":"1"}},{"k":{"N":"1.0"}}]}`).String()).To(Equal("ValidationException: Provided list of item keys contains duplicates"))
	for part, units := range map[string]float64{`{"Keys":[{"k":{"N":"1"}},{"k":{"N":"2"}}]}`: 1, `{"Keys":[{"k":{"N":"1"}}],"ConsistentRead":true}`: 1} {
		g.Expect(batch(part).Body["ConsumedCapacity"]).To(Equal([]any{object{"TableName": "numbers", "CapacityUnits": units}}), "reading what is not there costs the least that a read costs")
	}
	for _, part := range []string{`5`, `{"Keys":{}}`, `{"Keys":[5]}`, `{"Keys":[{"k":5}]}`, `{"Keys":[{"k":{"N":"1"}}],"ConsistentRead":"yes"}`} {
		g.Expect(batch(part).Type).To(Equal("SerializationException"), part)
	}
	g.Expect(ours.call("BatchGetItem", `{"RequestItems":[]}`).Type).To(Equal("SerializationException"))
}

func TestExpireItems(t *testing.T) {
	g := NewWithT(t)
	engine := dynamotest.New()
	ours := inMemory()
	ours.client.Transport = dynamotest.Transport(engine)
	ours.createNamedTable("expiring", "k:S", "r:N")
	now := time.Unix(1_800_000_000, 0)
	for r, ttl := range []string{
		`{"N":"1799999999"}`,                       // over
		`{"N":"1800000000"}`,                       // not before now
		`{"N":"1800000001"}`,                       // to come
		`{"S":"1799999999"}`,                       // no number
		`{"N":"1"}`,                                // more than five years ago
		`{"N":"1.5"}`,                              // no whole seconds
		`{"N":"99999999999999999999999999999999"}`, // no time
	} {
		ours.call("PutItem", fmt.Sprintf(`{"TableName":"expiring","Item":{"k":{"S":"a"},"r":{"N":"%d"},"ttl":%s}}`, r, ttl))
	}
	g.Expect(engine.ExpireItems(now)).To(BeZero(), "there is no time to live yet")
	g.Expect(ours.call("UpdateTimeToLive", `{"TableName":"expiring","TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":true}}`).Type).To(BeEmpty())
	g.Expect(rangeKeys(ours.call("Scan", `{"TableName":"expiring"}`).Body)).To(HaveLen(7), "nothing expires by itself")
	g.Expect(engine.ExpireItems(now)).To(Equal(1))
	g.Expect(engine.ExpireItems(now)).To(BeZero())
	g.Expect(rangeKeys(ours.call("Scan", `{"TableName":"expiring"}`).Body)).To(Equal([]string{"1", "2", "3", "4", "5", "6"}))
	g.Expect(engine.ExpireItems(now.Add(time.Hour))).To(Equal(2))
}

func TestEqualRequestsGetEqualAnswers(t *testing.T) {
	g := NewWithT(t)
	run := func() string {
		var log strings.Builder
		ours := inMemory()
		table := lockTable{name: "deterministic", sorted: true}
		ours.createNamedTable(table.name, "key:S", "sort:S")
		for c := (&choices{bytes: randomBytes(7, 3000)}); !c.done(); {
			r := table.draw(c)
			_, raw, err := ours.send(r.operation, jsonText(r.body))
			g.Expect(err).NotTo(HaveOccurred())
			log.Write(raw)
		}
		return log.String()
	}
	g.Expect(run()).To(Equal(run()))
}

func BenchmarkUpdateItem(b *testing.B) {
	engine := dynamotest.New()
	ours := &wire{url: "http://dynamotest.invalid", client: &http.Client{Transport: dynamotest.Transport(engine)}}
	ours.createNamedTable("locks", "key:S")
	body := `{"TableName":"locks","Key":{"key":{"S":"a"}},"UpdateExpression":"SET recordVersionNumber = :v, heartbeatCount = if_not_exists(heartbeatCount, :zero) + :one",
		"ConditionExpression":"attribute_not_exists(isReleased) AND (attribute_not_exists(ownerName) OR ownerName = :v)","ReturnValues":"ALL_NEW",
		"ExpressionAttributeValues":{":v":{"S":"2f1e9c3a"},":zero":{"N":"0"},":one":{"N":"1"}}}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.UpdateItem")
		recorder := httptest.NewRecorder()
		engine.ServeHTTP(recorder, r)
		if recorder.Code != http.StatusOK {
			b.Fatal(recorder.Body)
		}
	}
}
