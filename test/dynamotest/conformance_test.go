package dynamotest_test

import (
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/dynamotest"
	testwire "github.com/leaderkit/leaderkit/test/wire"
)

func TestConformance(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Conformance: dynamotest and DynamoDB Local answer alike")
}

// ddb is the engine under test.
var ddb *wire

var _ = BeforeSuite(func() {
	ddb = underTest()
	Expect(ddb.call("DescribeTable", object{"TableName": "no-such-table"}).Type).To(Equal("ResourceNotFoundException"),
		"no DynamoDB answers: "+ddb.name)
	_, said, closeIdle, err := testwire.Engine(os.Getenv("DYNAMODB_ENDPOINT"))
	Expect(err).NotTo(HaveOccurred())
	closeIdle()
	fmt.Println(said)
})

// newTable makes a table for one spec.
func newTable(keys ...string) string {
	GinkgoHelper()
	name, a := ddb.createTable(keys...)
	Expect(a.Status).To(Equal(200), a.String())
	DeferCleanup(func() { ddb.deleteTable(name) })
	return name
}

// ok calls an operation that must succeed and gives its answer.
func ok(operation string, body any) object {
	GinkgoHelper()
	a := ddb.call(operation, body)
	Expect(a.Type).To(BeEmpty(), a.Message)
	return a.Body
}

// bad calls an operation that must fail, and gives "Type: message".
func bad(operation string, body any) string {
	GinkgoHelper()
	a := ddb.call(operation, body)
	Expect(a.Type).NotTo(BeEmpty(), "it succeeded: %v", a)
	Expect(a.Status).To(Equal(400))
	return a.String()
}

func put(table, item string) {
	GinkgoHelper()
	ok("PutItem", object{"TableName": table, "Item": parseObject(item)})
}

func get(table, key string) any {
	GinkgoHelper()
	return ok("GetItem", object{"TableName": table, "Key": parseObject(key), "ConsistentRead": true})["Item"]
}

// outcome is what an entry of the tables expects.
type outcome struct{ kind, text string }

func changes(attributes string) outcome { return outcome{"changes", attributes} }
func gives(content string) outcome      { return outcome{"gives", content} }
func refused(message string) outcome    { return outcome{"refused", message} }
func finds(keys ...string) outcome      { return outcome{"finds", strings.Join(keys, " ")} }

var (
	holds = outcome{kind: "holds"}
	fails = outcome{kind: "fails"}
)

func (want outcome) expectRefused(a answer) {
	GinkgoHelper()
	Expect(a.Type).To(Equal("ValidationException"), a.String())
	Expect(a.Message).To(Equal(want.text))
}

// expectation is what an expression, or a value, is to lead to.
type expectation struct {
	given string
	want  outcome
}

func entries(expectations []expectation) []TableEntry {
	var table []TableEntry
	for _, e := range expectations {
		table = append(table, Entry(fmt.Sprintf("%q %s %s", e.given, e.want.kind, e.want.text), e.given, e.want))
	}
	return table
}

// expressionRequest is about theItem, in the table given.
func expressionRequest(table, member, expression string, more object) object {
	request := object{"TableName": table, "Key": parseObject(`{"k":{"S":"a"}}`), member: expression}
	maps.Copy(request, more)
	return withPlaceholders(request, used(parseObject(theNames), expression), used(parseObject(theValues), expression))
}

var _ = Describe("an update expression", func() {
	DescribeTable("on the item", func(expression string, want outcome) {
		table := newTable("k:S")
		put(table, theItem)
		a := ddb.call("UpdateItem", expressionRequest(table, "UpdateExpression", expression, nil))
		after := get(table, `{"k":{"S":"a"}}`).(object)
		before := parseObject(theItem)
		if want.kind == "refused" {
			want.expectRefused(a)
			Expect(after).To(Equal(before), "a refused update changes nothing")
			return
		}
		Expect(a.Type).To(BeEmpty(), a.Message)
		expected := maps.Clone(before)
		for name, v := range parseObject(want.text) {
			if expected[name] = v; v == nil {
				delete(expected, name)
			}
		}
		Expect(after).To(Equal(expected))
	}, entries(updateExpectations))
})

var _ = Describe("a condition", func() {
	DescribeTable("on the item", func(expression string, want outcome) {
		table := newTable("k:S")
		put(table, theItem)
		a := ddb.call("UpdateItem", expressionRequest(table, "ConditionExpression", expression, nil))
		switch want {
		case holds:
			Expect(a.Type).To(BeEmpty(), a.Message)
		case fails:
			Expect(a.String()).To(Equal("ConditionalCheckFailedException: The conditional request failed"))
		default:
			want.expectRefused(a)
		}
	}, entries(conditionExpectations))

	DescribeTable("means the same in PutItem, DeleteItem, TransactWriteItems and in a filter", func(expression string, want outcome) {
		table := newTable("k:S")
		put(table, theItem)
		met := want == holds
		key := parseObject(`{"k":{"S":"a"}}`)
		request := func() object {
			return expressionRequest(table, "ConditionExpression", expression, nil)
		}
		check := ddb.call("TransactWriteItems", object{"TransactItems": []object{{"ConditionCheck": request()}}})
		Expect(check.Type == "").To(Equal(met), check.String())

		filter := expressionRequest(table, "FilterExpression", expression, nil)
		delete(filter, "Key")
		Expect(ok("Scan", filter)["Count"]).To(Equal(map[bool]float64{true: 1, false: 0}[met]))

		overwrite := request()
		delete(overwrite, "Key")
		overwrite["Item"] = parseObject(theItem)
		Expect(ddb.call("PutItem", overwrite).Type == "").To(Equal(met))

		Expect(ddb.call("DeleteItem", request()).Type == "").To(Equal(met))
		Expect(ok("GetItem", object{"TableName": table, "Key": key})["Item"] == nil).To(Equal(met))
	}, entries(truths()))
})

// truths are the conditions that hold or fail.
func truths() []expectation {
	return slices.DeleteFunc(slices.Clone(conditionExpectations), func(e expectation) bool { return e.want.kind == "refused" })
}

var _ = Describe("a projection", func() {
	DescribeTable("of the item", func(expression string, want outcome) {
		table := newTable("k:S")
		put(table, theItem)
		request := expressionRequest(table, "ProjectionExpression", expression, nil)
		delete(request, "ExpressionAttributeValues")
		a := ddb.call("GetItem", request)
		if want.kind == "refused" {
			want.expectRefused(a)
			return
		}
		Expect(a.Body["Item"]).To(Equal(any(parseObject(want.text))))
	}, entries(projectionExpectations))
})

var _ = Describe("a reserved word", func() {
	It("is no bare name, in any case", func() {
		table := newTable("k:S")
		words := dynamotest.ReservedWords()
		Expect(words).To(HaveLen(573), "as many as AWS lists")
		for _, word := range words {
			if word == "SIZE" || word == "CONVERT" {
				continue // AWS reserves these two, DynamoDB Local does not
			}
			for _, name := range []string{word, strings.ToLower(word)} {
				a := ddb.call("GetItem", object{"TableName": table, "Key": parseObject(`{"k":{"S":"a"}}`), "ProjectionExpression": "n, " + name})
				Expect(a.Message).To(Or(
					Equal("Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: "+name),
					HavePrefix("Invalid ProjectionExpression: Syntax error; token: \""+name+"\""), // a word of the grammar itself
				))
			}
		}
	})
})

var _ = Describe("an attribute value", func() {
	DescribeTable("put and read", func(given string, want outcome) {
		table := newTable("k:S")
		a := ddb.call("PutItem", object{"TableName": table, "Item": object{"k": object{"S": "v"}, "v": parseObject(given)}})
		if want.kind == "refused" {
			want.expectRefused(a)
			return
		}
		Expect(a.Type).To(BeEmpty(), a.Message)
		Expect(get(table, `{"k":{"S":"v"}}`).(object)["v"]).To(Equal(any(parseObject(want.text))))
	}, entries(valueExpectations))
})

var _ = Describe("a key condition", func() {
	DescribeTable("on the table", func(expression string, want outcome) {
		table := newTable("k:S", "r:N")
		for _, r := range []string{"-3", "0", "1", "5", "6.5", "100"} {
			put(table, `{"k":{"S":"a"},"r":{"N":"`+r+`"}}`)
		}
		put(table, `{"k":{"S":"b"},"r":{"N":"1"}}`)
		for _, forward := range []bool{true, false} {
			request := expressionRequest(table, "KeyConditionExpression", expression, object{"ScanIndexForward": forward})
			delete(request, "Key")
			a := ddb.call("Query", request)
			if want.kind == "refused" {
				want.expectRefused(a)
				continue
			}
			Expect(a.Type).To(BeEmpty(), a.Message)
			keys := strings.Fields(want.text)
			if !forward {
				slices.Reverse(keys)
			}
			Expect(rangeKeys(a.Body)).To(HaveExactElements(keys))
		}
	}, entries(keyConditionExpectations))
})

// rangeKeys are the items' r, in order.
func rangeKeys(body object) []string {
	keys := []string{}
	for _, it := range body["Items"].([]any) {
		r := it.(object)["r"].(object)
		for _, text := range r {
			keys = append(keys, text.(string))
		}
	}
	return keys
}

var _ = Describe("an answer", func() {
	It("carries the checksum of its body", func() {
		reply, raw, err := ddb.send("DescribeTable", jsonText(object{"TableName": newTable("k:S")}))
		Expect(err).NotTo(HaveOccurred())
		Expect(reply.Header.Get("X-Amz-Crc32")).To(Equal(strconv.FormatUint(uint64(crc32.ChecksumIEEE(raw)), 10)))
		Expect(reply.Header.Get("Content-Type")).To(Equal("application/x-amz-json-1.0"))
		Expect(reply.Header.Get("X-Amzn-Requestid")).NotTo(BeEmpty())
	})

	It("is UnknownOperationException for an operation that does not exist", func() {
		Expect(bad("MakeCoffee", object{})).To(Equal("UnknownOperationException: An unknown operation was requested."))
	})

	It("has the prefixes of the real one in an error's type", func() {
		Expect(ddb.call("GetItem", object{"TableName": "no-such-table", "Key": object{}}).Body["__type"]).
			To(Equal("com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"))
		Expect(ddb.call("GetItem", object{"TableName": "!"}).Body["__type"]).
			To(Equal("com.amazon.coral.validate#ValidationException"))
	})
})
