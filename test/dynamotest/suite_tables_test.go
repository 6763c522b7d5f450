package dynamotest_test

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("a table", func() {
	create := func(name, body string) string {
		GinkgoHelper()
		request := parseObject(body)
		request["TableName"] = name
		return bad("CreateTable", request)
	}

	It("is ACTIVE once created, and describes itself", func() {
		name, a := ddb.createTable("k:S", "r:N")
		Expect(a.Type).To(BeEmpty(), a.Message)
		DeferCleanup(func() { ddb.deleteTable(name) })
		made := a.Body["TableDescription"].(object)
		Expect(made).To(HaveKeyWithValue("TableStatus", "ACTIVE"))
		Expect(made).To(HaveKeyWithValue("KeySchema", parseObject(`{"_":[{"AttributeName":"k","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}]}`)["_"]))
		Expect(made).To(HaveKeyWithValue("AttributeDefinitions", parseObject(`{"_":[{"AttributeName":"k","AttributeType":"S"},{"AttributeName":"r","AttributeType":"N"}]}`)["_"]))
		Expect(made["BillingModeSummary"]).To(HaveKeyWithValue("BillingMode", "PAY_PER_REQUEST"))
		put(name, `{"k":{"S":"a"},"r":{"N":"1"}}`)
		described := ok("DescribeTable", object{"TableName": name})["Table"]
		Expect(described).To(HaveKeyWithValue("ItemCount", 1.0))
		Expect(described).To(HaveKeyWithValue("TableSizeBytes", 5.0))
	})

	It("with provisioned throughput shows it", func() {
		name := newTableName()
		body := parseObject(`{"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"B"}],
			"ProvisionedThroughput":{"ReadCapacityUnits":3,"WriteCapacityUnits":4}}`)
		body["TableName"] = name
		made := ok("CreateTable", body)["TableDescription"].(object)
		DeferCleanup(func() { ddb.deleteTable(name) })
		Expect(made["ProvisionedThroughput"]).To(HaveKeyWithValue("WriteCapacityUnits", 4.0))
		Expect(made).NotTo(HaveKey("BillingModeSummary"))
	})

	It("exists once", func() {
		name := newTable("k:S")
		_, a := ddb.createNamedTable(name, "k:S")
		Expect(a.String()).To(Equal("ResourceInUseException: Cannot create preexisting table"))
	})

	It("takes its items with it", func() {
		name, _ := ddb.createTable("k:S")
		put(name, `{"k":{"S":"a"}}`)
		ok("DeleteTable", object{"TableName": name})
		for _, operation := range []string{"DeleteTable", "DescribeTable", "Scan"} {
			Expect(bad(operation, object{"TableName": name})).To(Equal("ResourceNotFoundException: Cannot do operations on a non-existent table"))
		}
		_, a := ddb.createNamedTable(name, "k:S")
		Expect(a.Type).To(BeEmpty())
		DeferCleanup(func() { ddb.deleteTable(name) })
		Expect(get(name, `{"k":{"S":"a"}}`)).To(BeNil())
	})

	It("is listed among the others, in the order of their names", func() {
		var mine []string
		prefix := newTableName()
		for _, suffix := range []string{"-b", "-a", "-c"} {
			name, a := ddb.createNamedTable(prefix+suffix, "k:S")
			Expect(a.Type).To(BeEmpty(), a.Message)
			DeferCleanup(func() { ddb.deleteTable(name) })
			mine = append(mine, name)
		}
		slices.Sort(mine)
		for _, start := range []string{prefix, prefix + "-"} { // neither needs to be a table
			var seen []string
			for request := (object{"ExclusiveStartTableName": start, "Limit": 1}); len(seen) < 3; {
				page := ok("ListTables", request)
				Expect(page["TableNames"]).To(HaveLen(1))
				last := page["LastEvaluatedTableName"]
				if len(seen) < 2 {
					Expect(page["TableNames"]).To(ConsistOf(last))
				}
				seen = append(seen, page["TableNames"].([]any)[0].(string))
				request["ExclusiveStartTableName"] = last
			}
			Expect(seen).To(Equal(mine))
		}
		Expect(ok("ListTables", object{})["TableNames"]).NotTo(BeEmpty())
		ddb.deleteTable(mine[1])
		Expect(ok("ListTables", object{"ExclusiveStartTableName": mine[0], "Limit": 1})["TableNames"]).To(Equal([]any{mine[2]}))
	})

	DescribeTable("are not listed for a request that is wrong", func(body, want string) {
		Expect(bad("ListTables", parseObject(body))).To(HavePrefix(want))
	},
		Entry(nil, `{"Limit":0}`, "ValidationException: "),
		Entry(nil, `{"Limit":101}`, "ValidationException: "),
		Entry(nil, `{"ExclusiveStartTableName":"a b"}`, "ValidationException: "),
	)

	const nameRule = "ValidationException: Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'"
	DescribeTable("needs a good name", func(name string) {
		Expect(bad("DescribeTable", object{"TableName": name})).To(Equal(nameRule))
		Expect(bad("GetItem", object{"TableName": name, "Key": object{}})).To(Equal(nameRule))
	}, Entry(nil, ""), Entry(nil, "ab"), Entry(nil, "a b c"), Entry(nil, "täble"), Entry(nil, strings.Repeat("x", 256)))

	It("must be named", func() {
		const missing = "ValidationException: Value null at 'tableName' failed to satisfy constraint: Member must not be null"
		for _, operation := range []string{"DescribeTable", "DeleteTable", "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "UpdateTimeToLive"} {
			Expect(bad(operation, object{})).To(Equal(missing))
		}
	})

	DescribeTable("is not created when its schema is wrong", func(body, want string) {
		name := newTableName()
		Expect(create(name, body)).To(Equal("ValidationException: " + want))
		Expect(bad("DescribeTable", object{"TableName": name})).To(HavePrefix("ResourceNotFoundException"))
	},
		Entry(nil, `{"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`,
			"No defined key schema.  A key schema containing at least a hash key must be defined for all tables"),
		Entry(nil, `{"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}`,
			"No Attribute Schema Defined"),
		Entry(nil, `{"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}]}`,
			"No provisioned throughput specified for the table"),
		Entry(nil, `{"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":0}}`,
			"Table read and write throughput must be at least 1, and cannot be null"),
		Entry(nil, `{"KeySchema":[{"AttributeName":"q","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`,
			"Hash Key not specified in Attribute Definitions.  Type unknown."),
		Entry(nil, `{"KeySchema":[{"AttributeName":"k","KeyType":"RANGE"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`,
			"No Hash Key specified in schema.  All Dynamo DB tables must have exactly one hash key"),
		Entry(nil, `{"KeySchema":[{"AttributeName":"k","KeyType":"HASH"},{"AttributeName":"k","KeyType":"RANGE"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`,
			"Two keys can not have the same name"),
		Entry(nil, `{"KeySchema":[{"AttributeName":"k","KeyType":"HASH"},{"AttributeName":"r","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"},{"AttributeName":"r","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`,
			"Too many hash keys specified.  All Dynamo DB tables must have exactly one hash key"),
		Entry(nil, `{"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"},{"AttributeName":"r","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`,
			"The number of attributes in key schema must match the number of attributes defined in attribute definitions."),
		Entry(nil, `{"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"BOOL"}],"BillingMode":"PAY_PER_REQUEST"}`,
			"Member must satisfy enum value set: [B, N, S]"),
	)
})

var _ = Describe("UpdateTimeToLive", func() {
	ttl := func(table, attribute string, enabled bool) object {
		return object{"TableName": table, "TimeToLiveSpecification": object{"AttributeName": attribute, "Enabled": enabled}}
	}
	It("switches on and off, and says when there is nothing to switch", func() {
		table := newTable("k:S")
		Expect(bad("UpdateTimeToLive", ttl(table, "ttl", false))).To(Equal("ValidationException: TimeToLive is already disabled"))
		Expect(ok("UpdateTimeToLive", ttl(table, "ttl", true))).To(Equal(parseObject(`{"TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":true}}`)))
		Expect(bad("UpdateTimeToLive", ttl(table, "ttl", true))).To(Equal("ValidationException: TimeToLive is already enabled"))
		Expect(bad("UpdateTimeToLive", ttl(table, "other", true))).To(Equal("ValidationException: TimeToLive is active on a different AttributeName"))
		ok("UpdateTimeToLive", ttl(table, "ttl", false))
		ok("UpdateTimeToLive", ttl(table, "other", true))
	})
	It("needs a table, a specification and an attribute", func() {
		table := newTable("k:S")
		Expect(bad("UpdateTimeToLive", ttl("no-such-table", "ttl", true))).To(HavePrefix("ResourceNotFoundException"))
		Expect(bad("UpdateTimeToLive", object{"TableName": table})).To(Equal("ValidationException: TimeToLiveSpecification cannot be null"))
		Expect(bad("UpdateTimeToLive", object{"TableName": table, "TimeToLiveSpecification": object{"Enabled": true}})).
			To(Equal("ValidationException: AttributeName cannot be null when time to live is being enabled"))
	})
})

var _ = Describe("Query and Scan", func() {
	var table string
	BeforeEach(func() {
		table = newTable("k:S", "r:N")
		for _, r := range []string{"1", "2", "3", "4", "5"} {
			put(table, `{"k":{"S":"a"},"r":{"N":"`+r+`"},"odd":{"BOOL":`+map[bool]string{true: "true", false: "false"}[strings.Contains("135", r)]+`}}`)
		}
		put(table, `{"k":{"S":"b"},"r":{"N":"7"}}`)
	})
	query := func(more object) object {
		request := object{"TableName": table, "KeyConditionExpression": "k = :a", "ExpressionAttributeValues": parseObject(`{":a":{"S":"a"}}`)}
		for name, v := range more {
			request[name] = v
		}
		return request
	}
	// pages follows LastEvaluatedKey, and gives the range keys of each page.
	pages := func(operation string, request object) [][]string {
		GinkgoHelper()
		var all [][]string
		for {
			body := ok(operation, request)
			all = append(all, rangeKeys(body))
			last, more := body["LastEvaluatedKey"]
			if !more {
				return all
			}
			Expect(len(all)).To(BeNumerically("<", 20))
			request["ExclusiveStartKey"] = last
		}
	}

	It("come in pages of Limit items, forward and backward; a full last page is followed by an empty one", func() {
		Expect(pages("Query", query(object{"Limit": 2}))).To(Equal([][]string{{"1", "2"}, {"3", "4"}, {"5"}}))
		Expect(pages("Query", query(object{"Limit": 2, "ScanIndexForward": false}))).To(Equal([][]string{{"5", "4"}, {"3", "2"}, {"1"}}))
		Expect(pages("Query", query(object{"Limit": 5}))).To(Equal([][]string{{"1", "2", "3", "4", "5"}, {}}))
		Expect(pages("Query", query(object{"Limit": 6}))).To(HaveLen(1))
	})
	It("scan every item once, in pages", func() {
		var all []string
		for _, page := range pages("Scan", object{"TableName": table, "Limit": 2}) {
			Expect(len(page)).To(BeNumerically("<=", 2))
			all = append(all, page...)
		}
		Expect(all).To(ConsistOf("1", "2", "3", "4", "5", "7"))
	})
	It("scan every item once, in segments", func() {
		var all []string
		for segment := range 3 {
			for _, page := range pages("Scan", object{"TableName": table, "Limit": 2, "Segment": segment, "TotalSegments": 3}) {
				all = append(all, page...)
			}
		}
		Expect(all).To(ConsistOf("1", "2", "3", "4", "5", "7"))
	})
	It("share the partitions out among the segments", func() {
		for i := range 60 {
			put(table, fmt.Sprintf(`{"k":{"S":"key-%d"},"r":{"N":"1"}}`, i))
		}
		total := 0.0
		for segment := range 3 {
			count := ok("Scan", object{"TableName": table, "Segment": segment, "TotalSegments": 3, "Select": "COUNT"})["Count"].(float64)
			Expect(count).To(BeNumerically(">", 5))
			total += count
		}
		Expect(total).To(Equal(66.0))
	})
	It("end with the page that ends at a bound of the key condition", func() {
		bounded := func(condition string, forward bool) object {
			return query(object{"KeyConditionExpression": condition, "Limit": 2, "ScanIndexForward": forward,
				"ExpressionAttributeValues": used(parseObject(`{":a":{"S":"a"},":two":{"N":"2"},":four":{"N":"4"}}`), condition)})
		}
		Expect(pages("Query", bounded("k = :a AND r <= :two", true))).To(HaveLen(1))
		Expect(pages("Query", bounded("k = :a AND :four <= r", false))).To(HaveLen(1))
		Expect(pages("Query", bounded("k = :a AND r BETWEEN :two AND :four", true))).To(Equal([][]string{{"2", "3"}, {"4"}}))
		Expect(pages("Query", bounded("k = :a AND r >= :four", true))).To(Equal([][]string{{"4", "5"}, {}}))
	})
	It("filter after the limit has been counted", func() {
		odd := object{"Limit": 2, "FilterExpression": "odd = :yes", "ExpressionAttributeValues": parseObject(`{":a":{"S":"a"},":yes":{"BOOL":true}}`)}
		body := ok("Query", query(odd))
		Expect(rangeKeys(body)).To(Equal([]string{"1"}))
		Expect(body).To(And(HaveKeyWithValue("Count", 1.0), HaveKeyWithValue("ScannedCount", 2.0), HaveKey("LastEvaluatedKey")))
		Expect(pages("Query", query(odd))).To(Equal([][]string{{"1"}, {"3"}, {"5"}}))
	})
	It("count", func() {
		Expect(ok("Query", query(object{"Select": "COUNT"}))).To(Equal(object{"Count": 5.0, "ScannedCount": 5.0}))
		Expect(ok("Scan", object{"TableName": table, "Select": "COUNT"})).To(Equal(object{"Count": 6.0, "ScannedCount": 6.0}))
	})
	It("project", func() {
		body := ok("Query", query(object{"ProjectionExpression": "odd", "Limit": 1}))
		Expect(body["Items"]).To(Equal([]any{parseObject(`{"odd":{"BOOL":true}}`)}))
	})
	It("find nothing", func() {
		Expect(ok("Query", query(object{"ExpressionAttributeValues": parseObject(`{":a":{"S":"none"}}`)}))).
			To(Equal(object{"Count": 0.0, "ScannedCount": 0.0, "Items": []any{}}))
	})
	It("stop at 1 MB, whatever passes the filter", func() {
		big := strings.Repeat("x", 399_000)
		for _, r := range []string{"1", "2", "3", "4"} {
			put(table, `{"k":{"S":"big"},"r":{"N":"`+r+`"},"d":{"S":"`+big+`"}}`)
		}
		request := query(object{"ExpressionAttributeValues": parseObject(`{":a":{"S":"big"}}`), "ProjectionExpression": "r", "ReturnConsumedCapacity": "TOTAL"})
		first := ok("Query", request)
		Expect(rangeKeys(first)).To(Equal([]string{"1", "2", "3"}))
		Expect(first["ConsumedCapacity"]).To(HaveKeyWithValue("CapacityUnits", 146.5))
		Expect(pages("Query", request)).To(Equal([][]string{{"1", "2", "3"}, {"4"}}))
	})
	DescribeTable("refuse", func(operation, member string, want string) {
		request := object{"TableName": table}
		if operation == "Query" {
			request = query(nil)
		}
		for name, v := range parseObject(member) {
			request[name] = v
		}
		Expect(bad(operation, request)).To(Equal("ValidationException: " + want))
	},
		Entry(nil, "Query", `{"Limit":0}`, "Limit must be greater than or equal to 1"),
		Entry(nil, "Scan", `{"Limit":-1}`, "Limit must be greater than or equal to 1"),
		Entry(nil, "Query", `{"KeyConditionExpression":null,"ExpressionAttributeValues":null}`, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
		Entry(nil, "Query", `{"Select":"FOO"}`, "Select must be ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES, COUNT, or SPECIFIC_ATTRIBUTES"),
		Entry(nil, "Query", `{"Select":"COUNT","ProjectionExpression":"r"}`, "Cannot specify the ProjectionExpression when choosing to get only the Count"),
		Entry(nil, "Query", `{"Select":"ALL_ATTRIBUTES","ProjectionExpression":"r"}`, "Cannot specify the ProjectionExpression when choosing to get ALL_ATTRIBUTES"),
		Entry(nil, "Query", `{"Select":"SPECIFIC_ATTRIBUTES"}`, "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"),
		Entry(nil, "Query", `{"FilterExpression":"r = :a"}`, "Filter Expression can only contain non-primary key attributes: Primary key attribute: r"),
		Entry(nil, "Query", `{"FilterExpression":"r.x = :a"}`, "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: r"),
		Entry(nil, "Query", `{"ExclusiveStartKey":{}}`, "The provided starting key is invalid"),
		Entry(nil, "Query", `{"ExclusiveStartKey":{"k":{"S":"a"}}}`, "Exclusive Start Key must have same size as table's key schema"),
		Entry(nil, "Query", `{"ExclusiveStartKey":{"k":{"S":"b"},"r":{"N":"7"}}}`, "The provided starting key does not match the range key predicate"),
		Entry(nil, "Scan", `{"ExclusiveStartKey":{"k":{"S":"a"}}}`, "Exclusive Start Key must have same size as table's key schema"),
		Entry(nil, "Scan", `{"Segment":0}`, "If segment is specified, total segment must also be specified"),
		Entry(nil, "Scan", `{"TotalSegments":2}`, "If total segments is specified, a particular segment must also be specified for this request"),
		Entry(nil, "Scan", `{"Segment":2,"TotalSegments":2}`, "1 validation error detected: Value '2' at 'segment' failed to satisfy constraint: Member must have value less than or equal to 1"),
		Entry(nil, "Scan", `{"FilterExpression":""}`, "Invalid FilterExpression: The expression can not be empty;"),
		Entry(nil, "Scan", `{"ExpressionAttributeValues":{":a":{"S":"a"}}}`, "ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null"),
	)
	It("order strings by their bytes and numbers by their value", func() {
		strs := newTable("k:S", "r:S")
		for _, r := range []string{"b", "ab", "a", "B", "ä", "abc"} {
			put(strs, `{"k":{"S":"a"},"r":{"S":"`+r+`"}}`)
		}
		request := query(object{"TableName": strs})
		Expect(rangeKeys(ok("Query", request))).To(Equal([]string{"B", "a", "ab", "abc", "b", "ä"}))
		request["KeyConditionExpression"] = "k = :a AND begins_with(r, :a)"
		Expect(rangeKeys(ok("Query", request))).To(Equal([]string{"a", "ab", "abc"}))
		for _, r := range []string{"-1.5", "1e10", "0.3", "-100"} {
			put(table, `{"k":{"S":"n"},"r":{"N":"`+r+`"}}`)
		}
		Expect(rangeKeys(ok("Query", query(object{"ExpressionAttributeValues": parseObject(`{":a":{"S":"n"}}`)})))).
			To(Equal([]string{"-100", "-1.5", "0.3", "10000000000"}))
	})
})
