package dynamotest_test

import (
	"fmt"
	"maps"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("TransactWriteItems", func() {
	var table string
	BeforeEach(func() {
		table = newTable("k:S")
		put(table, `{"k":{"S":"a"},"n":{"N":"1"}}`)
		put(table, `{"k":{"S":"b"},"n":{"N":"2"}}`)
	})
	action := func(kind, body string) object {
		members := parseObject(body)
		if _, named := members["TableName"]; !named {
			members["TableName"] = table
		}
		return object{kind: members}
	}
	putOf := func(item string) object { return action("Put", `{"Item":`+item+`}`) }
	check := func(key, condition string) object {
		return action("ConditionCheck", fmt.Sprintf(`{"Key":{"k":{"S":%q}},"ConditionExpression":%q}`, key, condition))
	}
	increment := func(key string) object {
		return action("Update", fmt.Sprintf(`{"Key":{"k":{"S":%q}},"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{":one":{"N":"1"}}}`, key))
	}
	transact := func(actions ...object) object { return object{"TransactItems": actions} }
	number := func(key string) any {
		GinkgoHelper()
		it, _ := get(table, fmt.Sprintf(`{"k":{"S":%q}}`, key)).(object)
		return it["n"]
	}
	reasons := func(request object) []any {
		GinkgoHelper()
		a := ddb.call("TransactWriteItems", request)
		Expect(a.Type).To(Equal("TransactionCanceledException"), a.String())
		return a.Body["CancellationReasons"].([]any)
	}

	It("does all of it", func() {
		ok("TransactWriteItems", transact(
			increment("a"), action("Delete", `{"Key":{"k":{"S":"b"}}}`), putOf(`{"k":{"S":"c"},"n":{"N":"9"}}`), check("none", "attribute_not_exists(k)")))
		Expect(number("a")).To(Equal(any(object{"N": "2"})))
		Expect(get(table, `{"k":{"S":"b"}}`)).To(BeNil())
		Expect(number("c")).To(Equal(any(object{"N": "9"})))
		Expect(get(table, `{"k":{"S":"none"}}`)).To(BeNil())
	})

	It("or none of it, with a reason for every action, in order", func() {
		failing := action("Update", `{"Key":{"k":{"S":"b"}},"UpdateExpression":"SET n = :nine","ConditionExpression":"n = :nine",
			"ExpressionAttributeValues":{":nine":{"N":"9"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`)
		a := ddb.call("TransactWriteItems", transact(increment("a"), failing, putOf(`{"k":{"S":"c"}}`), check("none", "attribute_exists(k)")))
		Expect(a.String()).To(Equal("TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons " +
			"[None, ConditionalCheckFailed, None, ConditionalCheckFailed]"))
		Expect(a.Body["CancellationReasons"]).To(Equal([]any{
			object{"Code": "None"},
			object{"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": any(parseObject(`{"k":{"S":"b"},"n":{"N":"2"}}`))},
			object{"Code": "None"},
			object{"Code": "ConditionalCheckFailed", "Message": "The conditional request failed."},
		}))
		Expect(number("a")).To(Equal(any(object{"N": "1"})))
		Expect(get(table, `{"k":{"S":"c"}}`)).To(BeNil())
	})

	It("spans tables", func() {
		other := newTable("k:S", "r:N")
		ok("TransactWriteItems", transact(increment("a"), action("Put", `{"TableName":"`+other+`","Item":{"k":{"S":"x"},"r":{"N":"1"}}}`)))
		Expect(get(other, `{"k":{"S":"x"},"r":{"N":"1"}}`)).NotTo(BeNil())
	})

	It("names an action that is invalid for its item", func() {
		Expect(reasons(transact(action("Put", `{"Item":{"k":{"N":"1"}}}`)))).To(Equal([]any{
			object{"Code": "ValidationError", "Message": "One or more parameter values were invalid: Type mismatch for key"}}))
		Expect(reasons(transact(action("Update", `{"Key":{"k":{"S":"a"}},"UpdateExpression":"REMOVE k"}`)))).To(Equal([]any{
			object{"Code": "ValidationError", "Message": "One or more parameter values were invalid: Cannot update attribute k. This attribute is part of the key"}}))
	})

	DescribeTable("is refused as a whole", func(want string, actions func() []object) {
		request := object{"TransactItems": actions()}
		before := ok("Scan", object{"TableName": table})
		Expect(bad("TransactWriteItems", request)).To(Equal(want))
		Expect(ok("Scan", object{"TableName": table})).To(Equal(before))
	},
		Entry("without actions", "ValidationException: Value [] at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1",
			func() []object { return []object{} }),
		Entry("with an empty action", "ValidationException: Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
			func() []object { return []object{{}} }),
		Entry("with two actions in one", "ValidationException: TransactItems can only contain one of Check, Put, Update or Delete",
			func() []object {
				two := increment("a")
				maps.Copy(two, putOf(`{"k":{"S":"c"}}`))
				return []object{two}
			}),
		Entry("with two actions on one item", "ValidationException: Transaction request cannot include multiple operations on one item",
			func() []object { return []object{increment("a"), check("a", "attribute_exists(k)")} }),
		Entry("with more than 100 actions", "ValidationException: Member must have length less than or equal to 100",
			func() []object {
				var many []object
				for i := range 101 {
					many = append(many, putOf(fmt.Sprintf(`{"k":{"S":"x%d"}}`, i)))
				}
				return many
			}),
		Entry("with more than 4 MB", "ValidationException: Transaction payload size cannot exceed 4MB. Payload Size: 4400067",
			func() []object {
				var many []object
				for i := range 11 {
					many = append(many, putOf(fmt.Sprintf(`{"k":{"S":"big%d"},"d":{"S":%q}}`, i, strings.Repeat("x", 400_000))))
				}
				return many
			}),
		Entry("with a table that does not exist", "ResourceNotFoundException: Cannot do operations on a non-existent table",
			func() []object {
				return []object{increment("a"), action("Put", `{"TableName":"no-such-table","Item":{"k":{"S":"x"}}}`)}
			}),
		Entry("with a check without a condition", "ValidationException: Value null at 'transactItems.2.member.conditionCheck.conditionExpression' failed to satisfy constraint: Member must not be null",
			func() []object { return []object{increment("a"), action("ConditionCheck", `{"Key":{"k":{"S":"b"}}}`)} }),
		Entry("with a bad expression", "ValidationException: Invalid UpdateExpression: Syntax error; token: \"<EOF>\", near: \"SET\"",
			func() []object {
				return []object{increment("a"), action("Update", `{"Key":{"k":{"S":"b"}},"UpdateExpression":"SET"}`)}
			}),
		Entry("with an update that cannot be worked out", "ValidationException: The provided expression refers to an attribute that does not exist in the item",
			func() []object {
				return []object{increment("a"), action("Update", `{"Key":{"k":{"S":"b"}},"UpdateExpression":"SET n = zz"}`)}
			}),
	)

	Describe("with a ClientRequestToken", func() {
		var token string
		BeforeEach(func() { token = strings.TrimPrefix(newTableName(), "dynamotest-")[:20] })
		withToken := func(request object) object { request["ClientRequestToken"] = token; return request }

		It("is applied once, however often it is sent", func() {
			for range 3 {
				ok("TransactWriteItems", withToken(transact(increment("a"))))
			}
			Expect(number("a")).To(Equal(any(object{"N": "2"})))
		})
		It("is IdempotentParameterMismatchException when sent for something else", func() {
			ok("TransactWriteItems", withToken(transact(increment("a"))))
			Expect(ddb.call("TransactWriteItems", withToken(transact(increment("b")))).Type).To(Equal("IdempotentParameterMismatchException"))
			Expect(number("b")).To(Equal(any(object{"N": "2"})))
		})
		It("is tried again when it had failed", func() {
			request := withToken(transact(check("none", "attribute_exists(k)"), increment("a")))
			reasons(request)
			put(table, `{"k":{"S":"none"}}`)
			ok("TransactWriteItems", request)
			Expect(number("a")).To(Equal(any(object{"N": "2"})))
		})
		It("takes no more than 36 characters", func() {
			token = strings.Repeat("x", 37)
			Expect(bad("TransactWriteItems", withToken(transact(increment("a"))))).
				To(Equal("ValidationException: Value " + token + " at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to 36"))
		})
	})

	It("costs twice what the action costs alone; a check costs a read", func() {
		cost := func(a object) any {
			GinkgoHelper()
			request := transact(a)
			request["ReturnConsumedCapacity"] = "TOTAL"
			consumed := ok("TransactWriteItems", request)["ConsumedCapacity"].([]any)
			Expect(consumed).To(HaveLen(1))
			Expect(consumed[0]).To(HaveKeyWithValue("TableName", table))
			return consumed[0].(object)["CapacityUnits"]
		}
		Expect(cost(increment("a"))).To(BeEquivalentTo(2))
		Expect(cost(putOf(`{"k":{"S":"big"},"d":{"S":"` + strings.Repeat("x", 5000) + `"}}`))).To(BeEquivalentTo(10))
		Expect(cost(check("big", "attribute_exists(k)"))).To(BeEquivalentTo(4))
		Expect(cost(action("Delete", `{"Key":{"k":{"S":"big"}}}`))).To(BeEquivalentTo(10))
	})
})
