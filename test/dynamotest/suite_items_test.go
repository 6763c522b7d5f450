package dynamotest_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// attributesAfter runs an update of {k: a} and gives the Attributes of the answer.
func attributesAfter(table, expression, returnValues string) any {
	GinkgoHelper()
	return ok("UpdateItem", expressionRequest(table, "UpdateExpression", expression, object{"ReturnValues": returnValues}))["Attributes"]
}

var _ = Describe("ReturnValues", func() {
	const expression = "SET n = :one, m.x = :five REMOVE s, m.y ADD q :one"
	var table string
	BeforeEach(func() {
		table = newTable("k:S")
		put(table, `{"k":{"S":"a"},"n":{"N":"7"},"s":{"S":"x"},"m":{"M":{"x":{"N":"1"},"y":{"N":"2"}}}}`)
	})

	DescribeTable("of UpdateItem", func(which, want string) {
		given := attributesAfter(table, expression, which)
		if want == "" {
			Expect(given).To(BeNil())
			return
		}
		Expect(given).To(Equal(any(parseObject(want))))
	},
		Entry("NONE: nothing", "NONE", ""),
		Entry("ALL_OLD: the item as it was", "ALL_OLD", `{"k":{"S":"a"},"n":{"N":"7"},"s":{"S":"x"},"m":{"M":{"x":{"N":"1"},"y":{"N":"2"}}}}`),
		Entry("ALL_NEW: the item as it is", "ALL_NEW", `{"k":{"S":"a"},"n":{"N":"1"},"q":{"N":"1"},"m":{"M":{"x":{"N":"5"}}}}`),
		Entry("UPDATED_OLD: the attributes named, as they were", "UPDATED_OLD", `{"n":{"N":"7"},"s":{"S":"x"},"m":{"M":{"x":{"N":"1"},"y":{"N":"2"}}}}`),
		Entry("UPDATED_NEW: the attributes named, as they are", "UPDATED_NEW", `{"n":{"N":"1"},"q":{"N":"1"},"m":{"M":{"x":{"N":"5"}}}}`),
	)

	It("of UpdateItem that creates the item has no old attributes", func() {
		key := object{"Key": parseObject(`{"k":{"S":"new"}}`)}
		for _, which := range []string{"ALL_OLD", "UPDATED_OLD"} {
			key["ReturnValues"] = which
			Expect(ok("UpdateItem", expressionRequest(table, "UpdateExpression", "SET n = :one", key))).NotTo(HaveKey("Attributes"))
			ok("DeleteItem", object{"TableName": table, "Key": key["Key"]})
		}
		key["ReturnValues"] = "ALL_NEW"
		Expect(ok("UpdateItem", expressionRequest(table, "UpdateExpression", "REMOVE n", key))["Attributes"]).To(Equal(any(parseObject(`{"k":{"S":"new"}}`))))
	})

	It("of PutItem and DeleteItem is the item that was there", func() {
		item := parseObject(`{"k":{"S":"b"},"n":{"N":"1"}}`)
		replace := object{"TableName": table, "Item": item, "ReturnValues": "ALL_OLD"}
		Expect(ok("PutItem", replace)).NotTo(HaveKey("Attributes"))
		Expect(ok("PutItem", replace)["Attributes"]).To(Equal(any(item)))
		remove := object{"TableName": table, "Key": parseObject(`{"k":{"S":"b"}}`), "ReturnValues": "ALL_OLD"}
		Expect(ok("DeleteItem", remove)["Attributes"]).To(Equal(any(item)))
		Expect(ok("DeleteItem", remove)).NotTo(HaveKey("Attributes"))
	})

	It("refuses what an operation cannot return", func() {
		Expect(bad("PutItem", object{"TableName": table, "Item": parseObject(`{"k":{"S":"b"}}`), "ReturnValues": "ALL_NEW"})).
			To(Equal("ValidationException: Return values set to invalid value"))
		Expect(bad("DeleteItem", object{"TableName": table, "Key": parseObject(`{"k":{"S":"b"}}`), "ReturnValues": "UPDATED_OLD"})).
			To(Equal("ValidationException: Return values set to invalid value"))
		Expect(bad("UpdateItem", object{"TableName": table, "Key": parseObject(`{"k":{"S":"b"}}`), "ReturnValues": "SOME"})).
			To(Equal("ValidationException: Return values set to invalid value"))
	})
})

var _ = Describe("a failed condition", func() {
	var table string
	BeforeEach(func() {
		table = newTable("k:S")
		put(table, `{"k":{"S":"a"},"n":{"N":"7"}}`)
	})

	It("brings the item when asked, in all three writes", func() {
		more := object{"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
		request := expressionRequest(table, "ConditionExpression", "n = :one", more)
		for _, operation := range []string{"UpdateItem", "DeleteItem"} {
			a := ddb.call(operation, request)
			Expect(a.Type).To(Equal("ConditionalCheckFailedException"))
			Expect(a.Body["Item"]).To(Equal(any(parseObject(`{"k":{"S":"a"},"n":{"N":"7"}}`))))
		}
		delete(request, "Key")
		request["Item"] = parseObject(`{"k":{"S":"a"}}`)
		Expect(ddb.call("PutItem", request).Body["Item"]).To(Equal(any(parseObject(`{"k":{"S":"a"},"n":{"N":"7"}}`))))
	})

	It("brings nothing when not asked, or when there is no item", func() {
		Expect(ddb.call("UpdateItem", expressionRequest(table, "ConditionExpression", "n = :one", nil)).Body).NotTo(HaveKey("Item"))
		none := object{"ReturnValuesOnConditionCheckFailure": "NONE"}
		Expect(ddb.call("UpdateItem", expressionRequest(table, "ConditionExpression", "n = :one", none)).Body).NotTo(HaveKey("Item"))
		missing := object{"ReturnValuesOnConditionCheckFailure": "ALL_OLD", "Key": parseObject(`{"k":{"S":"zz"}}`)}
		Expect(ddb.call("UpdateItem", expressionRequest(table, "ConditionExpression", "n = :one", missing)).Body).NotTo(HaveKey("Item"))
	})

	It("comes before the update is worked out, and changes nothing", func() {
		request := expressionRequest(table, "ConditionExpression", "n = :one", nil)
		request["UpdateExpression"] = "SET q = nothing.there"
		Expect(bad("UpdateItem", request)).To(HavePrefix("ConditionalCheckFailedException"))
		Expect(get(table, `{"k":{"S":"a"}}`)).To(Equal(any(parseObject(`{"k":{"S":"a"},"n":{"N":"7"}}`))))
	})

	It("takes the members' values from a list only", func() {
		Expect(bad("UpdateItem", expressionRequest(table, "ConditionExpression", "n = :one", object{"ReturnValuesOnConditionCheckFailure": "SOME"}))).
			To(Equal("ValidationException: 1 validation error detected: Value 'SOME' at 'returnValuesOnConditionCheckFailure' failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, NONE]"))
	})
})

var _ = Describe("a key", func() {
	DescribeTable("that is wrong", func(keys string, key, want string) {
		table := newTable(strings.Fields(keys)...)
		want = "ValidationException: " + want
		Expect(bad("GetItem", object{"TableName": table, "Key": parseObject(key)})).To(Equal(want))
		Expect(bad("DeleteItem", object{"TableName": table, "Key": parseObject(key)})).To(Equal(want))
		Expect(bad("UpdateItem", object{"TableName": table, "Key": parseObject(key)})).To(Equal(want))
	},
		Entry("none", "k:S", `{}`, "The number of conditions on the keys is invalid"),
		Entry("half of it", "k:S r:N", `{"k":{"S":"a"}}`, "The number of conditions on the keys is invalid"),
		Entry("more than it", "k:S", `{"k":{"S":"a"},"r":{"S":"a"}}`, "The number of conditions on the keys is invalid"),
		Entry("another attribute", "k:S", `{"q":{"S":"a"}}`, "One of the required keys was not given a value"),
		Entry("another type", "k:S", `{"k":{"N":"1"}}`, "One or more parameter values were invalid: Type mismatch for key"),
		Entry("another type of the range key", "k:S r:N", `{"k":{"S":"a"},"r":{"S":"1"}}`, "One or more parameter values were invalid: Type mismatch for key"),
		Entry("empty string", "k:S", `{"k":{"S":""}}`, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: k"),
		Entry("empty binary", "k:B", `{"k":{"B":""}}`, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty binary value. Key: k"),
		Entry("too long", "k:S", `{"k":{"S":"`+strings.Repeat("x", 2049)+`"}}`, "Hash primary key values must be under 2048 bytes, and range primary key values must be under 1024 bytes"),
		Entry("range too long", "k:S r:S", `{"k":{"S":"a"},"r":{"S":"`+strings.Repeat("x", 1025)+`"}}`, "Hash primary key values must be under 2048 bytes, and range primary key values must be under 1024 bytes"),
		Entry("no number", "k:N", `{"k":{"N":"x"}}`, "A value provided cannot be converted into a number"),
	)

	It("may be as long as allowed", func() {
		table := newTable("k:S", "r:S")
		put(table, `{"k":{"S":"`+strings.Repeat("x", 2048)+`"},"r":{"S":"`+strings.Repeat("x", 1024)+`"}}`)
	})

	It("is a number, however it is written", func() {
		table := newTable("k:N")
		put(table, `{"k":{"N":"1.50"},"n":{"N":"1"}}`)
		Expect(get(table, `{"k":{"N":"15e-1"}}`)).To(Equal(any(parseObject(`{"k":{"N":"1.5"},"n":{"N":"1"}}`))))
	})

	It("is binary", func() {
		table := newTable("k:B", "r:B")
		put(table, `{"k":{"B":"AAE="},"r":{"B":"/w=="}}`)
		Expect(get(table, `{"k":{"B":"AAE="},"r":{"B":"/w=="}}`)).NotTo(BeNil())
		Expect(get(table, `{"k":{"B":"AAE="},"r":{"B":"/g=="}}`)).To(BeNil())
	})

	It("is missing altogether", func() {
		table := newTable("k:S")
		Expect(bad("GetItem", object{"TableName": table})).To(Equal("ValidationException: Cannot have null key for GetItem, DeleteItem, or UpdateItem"))
		Expect(bad("PutItem", object{"TableName": table})).To(Equal("ValidationException: Item to put in PutItem cannot be null"))
		Expect(bad("PutItem", object{"TableName": table, "Item": object{}})).To(Equal("ValidationException: One of the required keys was not given a value"))
	})
})

var _ = Describe("an item's size", func() {
	var table string
	BeforeEach(func() { table = newTable("k:S") })
	item := func(size int) string { // with k: a, and d
		return `{"k":{"S":"a"},"d":{"S":"` + strings.Repeat("x", size-len("k"+"a"+"d")) + `"}}`
	}

	It("is at most 400 KB", func() {
		put(table, item(400<<10))
		Expect(bad("PutItem", object{"TableName": table, "Item": parseObject(item(400<<10 + 1))})).
			To(Equal("ValidationException: Item size has exceeded the maximum allowed size"))
		Expect(bad("UpdateItem", expressionRequest(table, "UpdateExpression", "SET n = :one", nil))).
			To(Equal("ValidationException: Item size to update has exceeded the maximum allowed size"))
	})

	DescribeTable("counts a value as", func(v string, size int) {
		room := 400<<10 - size - len("v") - len("k") - len("a") - len("d")
		fits := object{"k": object{"S": "a"}, "v": parseObject(v), "d": object{"S": strings.Repeat("x", room)}}
		ok("PutItem", object{"TableName": table, "Item": fits})
		fits["d"] = object{"S": strings.Repeat("x", room+1)}
		Expect(bad("PutItem", object{"TableName": table, "Item": fits})).To(HaveSuffix("exceeded the maximum allowed size"))
	},
		Entry(nil, `{"S":"äö"}`, 4), Entry(nil, `{"B":"AQID"}`, 3), Entry(nil, `{"BOOL":true}`, 1), Entry(nil, `{"NULL":true}`, 1),
		Entry(nil, `{"N":"0"}`, 1), Entry(nil, `{"N":"1"}`, 2), Entry(nil, `{"N":"-12"}`, 3), Entry(nil, `{"N":"123"}`, 3), Entry(nil, `{"N":"1.5"}`, 3),
		Entry(nil, `{"N":"1000"}`, 2), Entry(nil, `{"N":"12345678901234567890"}`, 11),
		Entry(nil, `{"L":[]}`, 3), Entry(nil, `{"L":[{"S":"abc"}]}`, 7), Entry(nil, `{"M":{"a":{"S":"abc"}}}`, 8),
		Entry(nil, `{"SS":["abc","d"]}`, 4), Entry(nil, `{"NS":["1","2"]}`, 4),
	)

	It("nests at most 32 levels", func() {
		nested := func(levels int) object {
			text := strings.Repeat(`{"L":[`, levels) + `{"S":"x"}` + strings.Repeat(`]}`, levels)
			return object{"k": object{"S": "a"}, "v": parseObject(text)}
		}
		ok("PutItem", object{"TableName": table, "Item": nested(31)})
		Expect(bad("PutItem", object{"TableName": table, "Item": nested(32)})).
			To(Equal("ValidationException: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"))
	})
})

var _ = Describe("placeholders", func() {
	var table string
	BeforeEach(func() { table = newTable("k:S") })
	update := func(more object) string {
		GinkgoHelper()
		request := object{"TableName": table, "Key": parseObject(`{"k":{"S":"a"}}`)}
		for name, v := range more {
			request[name] = v
		}
		return bad("UpdateItem", request)
	}
	one := object{":v": object{"N": "1"}}

	It("must be used", func() {
		Expect(update(object{"UpdateExpression": "SET n = :v", "ExpressionAttributeValues": object{":v": object{"N": "1"}, ":w": object{"N": "1"}}})).
			To(Equal("ValidationException: Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}"))
		Expect(update(object{"UpdateExpression": "SET n = :v", "ExpressionAttributeValues": one, "ExpressionAttributeNames": object{"#n": "n"}})).
			To(Equal("ValidationException: Value provided in ExpressionAttributeNames unused in expressions: keys: {#n}"))
	})
	It("must not be empty maps", func() {
		Expect(update(object{"UpdateExpression": "REMOVE n", "ExpressionAttributeValues": object{}})).To(Equal("ValidationException: ExpressionAttributeValues must not be empty"))
		Expect(update(object{"UpdateExpression": "REMOVE n", "ExpressionAttributeNames": object{}})).To(Equal("ValidationException: ExpressionAttributeNames must not be empty"))
	})
	It("need an expression", func() {
		Expect(update(object{"ExpressionAttributeNames": object{"#n": "n"}})).To(Equal("ValidationException: ExpressionAttributeNames can only be specified when using expressions"))
		Expect(update(object{"ExpressionAttributeValues": one})).To(Equal("ValidationException: ExpressionAttributeValues can only be specified when using expressions: UpdateExpression and ConditionExpression are null"))
	})
	It("are spelled with # and :", func() {
		Expect(update(object{"UpdateExpression": "REMOVE n", "ExpressionAttributeNames": object{"n": "n"}})).To(Equal(`ValidationException: ExpressionAttributeNames contains invalid key: Syntax error; key: "n"`))
		Expect(update(object{"UpdateExpression": "REMOVE n", "ExpressionAttributeValues": object{"v": object{"N": "1"}}})).To(Equal(`ValidationException: ExpressionAttributeValues contains invalid key: Syntax error; key: "v"`))
	})
	It("say which of them has an invalid value", func() {
		Expect(update(object{"UpdateExpression": "SET n = :v", "ExpressionAttributeValues": object{":v": object{"N": "x"}}})).
			To(Equal("ValidationException: ExpressionAttributeValues contains invalid value: A value provided cannot be converted into a number for key :v"))
	})
})

var _ = Describe("ConsumedCapacity", func() {
	var table string
	BeforeEach(func() {
		table = newTable("k:S")
		put(table, `{"k":{"S":"a"},"d":{"S":"`+strings.Repeat("x", 4997)+`"}}`) // 5000 bytes
	})
	units := func(body object) any {
		GinkgoHelper()
		Expect(body).To(HaveKey("ConsumedCapacity"))
		consumed := body["ConsumedCapacity"].(object)
		Expect(consumed["TableName"]).To(Equal(table))
		return consumed["CapacityUnits"]
	}
	ask := func(operation string, more object) object {
		GinkgoHelper()
		request := object{"TableName": table, "ReturnConsumedCapacity": "TOTAL"}
		for name, v := range more {
			request[name] = v
		}
		return ok(operation, request)
	}
	a, none := parseObject(`{"k":{"S":"a"}}`), parseObject(`{"k":{"S":"none"}}`)

	It("of reads is half a unit for every 4 KB, one when consistent", func() {
		Expect(units(ask("GetItem", object{"Key": a}))).To(BeEquivalentTo(1))
		Expect(units(ask("GetItem", object{"Key": a, "ConsistentRead": true}))).To(BeEquivalentTo(2))
		Expect(units(ask("GetItem", object{"Key": none}))).To(BeEquivalentTo(0.5))
		Expect(units(ask("Scan", nil))).To(BeEquivalentTo(1))
		Expect(units(ask("Scan", object{"ConsistentRead": true}))).To(BeEquivalentTo(2))
	})
	It("of writes is one unit for every KB of the larger of before and after", func() {
		Expect(units(ask("UpdateItem", object{"Key": a, "UpdateExpression": "REMOVE d"}))).To(BeEquivalentTo(5))
		Expect(units(ask("UpdateItem", object{"Key": a, "UpdateExpression": "REMOVE d"}))).To(BeEquivalentTo(1))
		Expect(units(ask("PutItem", object{"Item": parseObject(`{"k":{"S":"a"},"d":{"S":"` + strings.Repeat("x", 1022) + `"}}`)}))).To(BeEquivalentTo(2))
		Expect(units(ask("DeleteItem", object{"Key": a}))).To(BeEquivalentTo(2))
		Expect(units(ask("DeleteItem", object{"Key": a}))).To(BeEquivalentTo(1))
	})
	It("by INDEXES names the table's share", func() {
		body := ask("GetItem", object{"Key": a, "ReturnConsumedCapacity": "INDEXES"})
		Expect(body["ConsumedCapacity"].(object)["Table"]).To(Equal(any(object{"CapacityUnits": 1.0})))
	})
	It("is left out when not asked for", func() {
		Expect(ask("GetItem", object{"Key": a, "ReturnConsumedCapacity": "NONE"})).NotTo(HaveKey("ConsumedCapacity"))
		Expect(ok("GetItem", object{"TableName": table, "Key": a})).NotTo(HaveKey("ConsumedCapacity"))
	})
})
