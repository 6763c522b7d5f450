package dynamotest_test

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("BatchGetItem", func() {
	var table, sorted string
	BeforeEach(func() {
		table, sorted = newTable("k:S"), newTable("k:S", "r:N")
		for _, k := range []string{"a", "b", "c"} {
			put(table, `{"k":{"S":"`+k+`"},"n":{"N":"1"},"m":{"M":{"x":{"N":"1"},"y":{"N":"2"}}}}`)
		}
		for _, r := range []string{"1", "2"} {
			put(sorted, `{"k":{"S":"a"},"r":{"N":"`+r+`"},"d":{"S":"`+strings.Repeat("x", 5000)+`"}}`)
		}
	})
	key := func(k string) object { return object{"k": object{"S": k}} }
	keys := func(names ...string) []object {
		var all []object
		for _, k := range names {
			all = append(all, key(k))
		}
		return all
	}
	// ask is a request about one table; more are members of the table's part.
	ask := func(keys []object, more string) object {
		part := parseObject(more)
		part["Keys"] = keys
		return object{"RequestItems": object{table: part}}
	}
	found := func(body object, table string) []any {
		GinkgoHelper()
		items, ok := body["Responses"].(object)[table].([]any)
		Expect(ok).To(BeTrue(), "%v", body)
		return items
	}

	It("gives the items that are there, whatever their order, and leaves no key", func() {
		body := ok("BatchGetItem", ask(keys("a", "none", "c"), `{}`))
		item := func(k string) any {
			return any(parseObject(`{"k":{"S":"` + k + `"},"n":{"N":"1"},"m":{"M":{"x":{"N":"1"},"y":{"N":"2"}}}}`))
		}
		Expect(found(body, table)).To(ConsistOf(item("a"), item("c")))
		Expect(body["UnprocessedKeys"]).To(Equal(any(object{})))
		Expect(body).NotTo(HaveKey("ConsumedCapacity"))
	})
	It("gives an empty list when none is there", func() {
		Expect(found(ok("BatchGetItem", ask(keys("none"), `{"ConsistentRead":true}`)), table)).To(BeEmpty())
	})
	It("reads several tables, each in its own way", func() {
		body := ok("BatchGetItem", object{"ReturnConsumedCapacity": "TOTAL", "RequestItems": object{
			table:  object{"Keys": keys("a", "b"), "ConsistentRead": true, "ProjectionExpression": "n"},
			sorted: object{"Keys": []object{parseObject(`{"k":{"S":"a"},"r":{"N":"1"}}`), parseObject(`{"k":{"S":"a"},"r":{"N":"2"}}`)}, "ProjectionExpression": "r"},
		}})
		Expect(found(body, table)).To(HaveExactElements(parseObject(`{"n":{"N":"1"}}`), parseObject(`{"n":{"N":"1"}}`)))
		Expect(found(body, sorted)).To(ConsistOf(parseObject(`{"r":{"N":"1"}}`), parseObject(`{"r":{"N":"2"}}`)))
		Expect(body["ConsumedCapacity"]).To(ConsistOf(
			object{"TableName": table, "CapacityUnits": 2.0}, object{"TableName": sorted, "CapacityUnits": 2.0}))
	})
	It("projects, and gives an empty item where nothing is left of one", func() {
		body := ok("BatchGetItem", ask(keys("a", "none"), `{"ProjectionExpression":"m.x, #n","ExpressionAttributeNames":{"#n":"n"}}`))
		Expect(found(body, table)).To(HaveExactElements(parseObject(`{"n":{"N":"1"},"m":{"M":{"x":{"N":"1"}}}}`)))
		Expect(found(ok("BatchGetItem", ask(keys("a", "none"), `{"ProjectionExpression":"nothing"}`)), table)).To(HaveExactElements(object{}))
	})
	DescribeTable("costs what its reads cost, each item by itself", func(consistent bool, units float64) {
		request := object{"ReturnConsumedCapacity": "INDEXES", "RequestItems": object{sorted: object{"ConsistentRead": consistent, "ProjectionExpression": "r",
			"Keys": []object{parseObject(`{"k":{"S":"a"},"r":{"N":"1"}}`), parseObject(`{"k":{"S":"a"},"r":{"N":"2"}}`)}}}}
		Expect(ok("BatchGetItem", request)["ConsumedCapacity"]).To(ConsistOf(
			object{"TableName": sorted, "CapacityUnits": units, "Table": object{"CapacityUnits": units}}))
	}, Entry("eventually consistent", false, 2.0), Entry("consistent", true, 4.0))

	It("takes 100 keys, over all tables together", func() {
		var hundred, sortedKeys []object
		for i := range 100 {
			hundred = append(hundred, key(fmt.Sprint(i)))
		}
		for i := range 60 {
			sortedKeys = append(sortedKeys, parseObject(fmt.Sprintf(`{"k":{"S":"a"},"r":{"N":"%d"}}`, i)))
		}
		Expect(found(ok("BatchGetItem", ask(hundred, `{}`)), table)).To(BeEmpty())
		const tooMany = "ValidationException: Too many items requested for the BatchGetItem call"
		Expect(bad("BatchGetItem", ask(append(hundred, key("one more")), `{}`))).To(Equal(tooMany))
		Expect(bad("BatchGetItem", object{"RequestItems": object{
			table: object{"Keys": hundred[:41]}, sorted: object{"Keys": sortedKeys}}})).To(Equal(tooMany))
		both := ok("BatchGetItem", object{"RequestItems": object{table: object{"Keys": hundred[:40]}, sorted: object{"Keys": sortedKeys}}})
		Expect(found(both, sorted)).To(HaveLen(2))
	})

	It("stops before 16 MB, and leaves the rest as a request that can be sent", func() {
		var names []string
		for i := range 60 {
			names = append(names, fmt.Sprintf("big%02d", i))
			put(table, `{"k":{"S":"`+names[i]+`"},"d":{"S":"`+strings.Repeat("x", 300_000)+`"}}`)
		}
		request := ask(keys(names...), `{"ConsistentRead":true,"ProjectionExpression":"#k","ExpressionAttributeNames":{"#k":"k"}}`)
		first := ok("BatchGetItem", request)
		Expect(found(first, table)).To(HaveLen(55), "55 x 300,008 bytes are less than 16 MB, 56 are more")
		rest := first["UnprocessedKeys"].(object)[table].(object)
		Expect(rest).To(And(HaveKeyWithValue("ConsistentRead", true), HaveKeyWithValue("ProjectionExpression", "#k"), HaveKeyWithValue("Keys", HaveLen(5))))
		second := ok("BatchGetItem", object{"RequestItems": first["UnprocessedKeys"]})
		Expect(second["UnprocessedKeys"]).To(Equal(any(object{})))
		var all []any
		for _, k := range keys(names...) {
			all = append(all, any(k))
		}
		Expect(append(found(first, table), found(second, table)...)).To(ConsistOf(all...))
	})

	DescribeTable("refuses", func(want string, request func() object) {
		Expect(bad("BatchGetItem", request())).To(Equal("ValidationException: " + want))
	},
		Entry("nothing to do", "BatchGetItem must have some requests set", func() object { return object{} }),
		Entry("no table", "BatchGetItem must have some requests set", func() object { return object{"RequestItems": object{}} }),
		Entry("the same key twice", "Provided list of item keys contains duplicates", func() object { return ask(keys("a", "b", "a"), `{}`) }),
		Entry("the same key twice, though it is not there", "Provided list of item keys contains duplicates", func() object { return ask(keys("none", "none"), `{}`) }),
		Entry("a key of another type", "One or more parameter values were invalid: Type mismatch for key",
			func() object { return ask([]object{key("a"), parseObject(`{"k":{"N":"1"}}`)}, `{}`) }),
		Entry("a key of another table", "The number of conditions on the keys is invalid",
			func() object { return ask([]object{parseObject(`{"k":{"S":"a"},"r":{"N":"1"}}`)}, `{}`) }),
		Entry("a key with another attribute", "One of the required keys was not given a value", func() object { return ask([]object{parseObject(`{"q":{"S":"a"}}`)}, `{}`) }),
		Entry("an empty key value", "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: k",
			func() object { return ask(keys(""), `{}`) }),
		Entry("a value that is none", "A value provided cannot be converted into a number", func() object { return ask([]object{parseObject(`{"k":{"N":"x"}}`)}, `{}`) }),
		Entry("a bad projection", `Invalid ProjectionExpression: Syntax error; token: "<EOF>", near: ","`, func() object { return ask(keys("a"), `{"ProjectionExpression":"n,"}`) }),
		Entry("a name that is not used", "Value provided in ExpressionAttributeNames unused in expressions: keys: {#k}",
			func() object {
				return ask(keys("a"), `{"ProjectionExpression":"n","ExpressionAttributeNames":{"#k":"k"}}`)
			}),
		Entry("names without a projection", "ExpressionAttributeNames can only be specified when using expressions",
			func() object { return ask(keys("a"), `{"ExpressionAttributeNames":{"#k":"k"}}`) }),
		Entry("a bad table name", "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'",
			func() object { return object{"RequestItems": object{"a b": object{"Keys": keys("a")}}} }),
	)
	It("refuses a table without keys, or with an empty one", func() {
		for _, part := range []any{object{"Keys": []object{}}, object{}, nil} {
			Expect(bad("BatchGetItem", object{"RequestItems": object{table: part}})).
				To(Equal("ValidationException: The list of keys in RequestItems for BatchGetItem is required: " + table + " has empty list"))
		}
		for _, empty := range []any{object{}, nil} {
			Expect(bad("BatchGetItem", object{"RequestItems": object{table: object{"Keys": []any{key("a"), empty}}}})).
				To(Equal("ValidationException: The list of keys in RequestItems for BatchGetItem may not contain null or empty values: " + table + " has one or more empty keys"))
		}
	})
	It("is refused as a whole when one table is missing", func() {
		request := ask(keys("a"), `{}`)
		request["RequestItems"].(object)["no-such-table"] = object{"Keys": keys("a")}
		Expect(bad("BatchGetItem", request)).To(Equal("ResourceNotFoundException: Cannot do operations on a non-existent table"))
	})
})
