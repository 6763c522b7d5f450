package dynamotest_test

import (
	"maps"
	"slices"
	"strings"
)

// lockTable is the kind of table that the toolkit uses; requests are drawn for it.
type lockTable struct {
	name   string
	sorted bool // has a range key
}

// drawnRequest is one request of the kinds that the toolkit makes.
type drawnRequest struct {
	operation string
	body      object
}

// draw makes a request: mostly sensible, sometimes wrong in a way that a caller's mistake can be.
func (t lockTable) draw(c *choices) drawnRequest {
	switch c.below(13) {
	case 0, 1, 2, 3:
		return drawnRequest{"UpdateItem", t.update(c)}
	case 4, 5:
		body := t.keyed(c)
		t.conditional(c, body)
		return drawnRequest{"DeleteItem", t.returning(c, body, "NONE", "ALL_OLD")}
	case 6, 7:
		body := object{"TableName": t.name, "Item": t.item(c)}
		t.conditional(c, body)
		return drawnRequest{"PutItem", t.returning(c, body, "NONE", "ALL_OLD")}
	case 8:
		return drawnRequest{"TransactWriteItems", t.transaction(c)}
	case 9:
		return t.search(c)
	case 10:
		return drawnRequest{"BatchGetItem", t.batch(c)}
	}
	body := t.keyed(c)
	if c.chance(3) {
		t.expression(body, "ProjectionExpression", pick(c, "#key, ownerName", "fencingToken", "#d, meta.x", "lst[1], lst[0]", "ownerName, ownerName", "owner"))
	}
	if c.chance(2) {
		body["ConsistentRead"] = true
	}
	t.capacity(c, body)
	return drawnRequest{"GetItem", body}
}

func (t lockTable) key(c *choices) object {
	k := object{"key": object{"S": pick(c, "a", "b", "lock-ü")}}
	if t.sorted {
		k["sort"] = object{"S": pick(c, "1", "2", "10")}
	}
	switch {
	case c.chance(40):
		k["key"] = object{"N": "1"}
	case c.chance(40):
		k["key"] = object{"S": ""}
	case c.chance(40):
		k["more"] = object{"S": "x"}
	}
	return k
}

func (t lockTable) keyed(c *choices) object { return object{"TableName": t.name, "Key": t.key(c)} }

// keyIn is the key that an action is about.
func (t lockTable) keyIn(action object) object {
	if item, isPut := action["Item"].(object); isPut {
		return object{"key": item["key"], "sort": item["sort"]}
	}
	key := action["Key"].(object)
	return object{"key": key["key"], "sort": key["sort"]}
}

// item draws a lock's attributes, and others of every type.
func (t lockTable) item(c *choices) object {
	it := t.key(c)
	for name, v := range map[string]object{
		"ownerName": {"S": "one"}, "leaseDuration": {"S": "5000"}, "recordVersionNumber": {"S": "v1"}, "isReleased": {"S": "1"},
		"data": {"B": "AQID"}, "fencingToken": {"N": "41"}, "heartbeatCount": {"N": "3"}, "lst": {"L": []any{object{"N": "1"}, object{"S": "x"}}},
		"meta": {"M": object{"x": object{"N": "1"}, "y": object{"S": "q"}}}, "tags": {"SS": []any{"a", "b"}}, "flag": {"BOOL": true}, "nil": {"NULL": true},
	} {
		if keepAttribute(c, name) {
			it[name] = v
		}
	}
	return it
}

// keepAttribute decides by a byte and the attribute's name, as a map has no order to draw in.
func keepAttribute(c *choices, name string) bool {
	if len(c.bytes) == 0 {
		return true
	}
	return (int(c.bytes[0])+len(name)*7+int(name[0]))%3 > 0
}

func (t lockTable) update(c *choices) object {
	body := t.keyed(c)
	if !c.chance(15) {
		t.expression(body, "UpdateExpression", t.updateExpression(c))
	}
	t.conditional(c, body)
	return t.returning(c, body, "ALL_NEW", "NONE", "ALL_OLD", "UPDATED_OLD", "UPDATED_NEW")
}

func (t lockTable) updateExpression(c *choices) string {
	set := []string{
		"ownerName = :owner", "recordVersionNumber = :version", "fencingToken = if_not_exists(fencingToken, :now) + :one",
		"heartbeatCount = if_not_exists(heartbeatCount, :zero) + :one", "#d = :data", "isReleased = :yes", "expiresAt = :now", "leaseDuration = :version",
		"duplicate = if_not_exists(ownerName, :owner)", "meta = :map", "tags = :tags", "lst = list_append(if_not_exists(lst, :list), :list)",
		"n1 = if_not_exists(meta.y, :owner)", "n2 = if_not_exists(fencingToken, :zero) - :one", "lst = :list",
	}
	remove := []string{"isReleased", "#d", "nothing", "duplicate", "leaseDuration", "lst", "n1"}
	add := []string{"heartbeatCount :one", "fencingToken :now", "tags :tags", "newCount :one", "newTags :tags"}
	drop := []string{"tags :tags", "nothing :tags"}
	if c.chance(6) { // what may fail, by the item or always
		set = append(set, "meta.x = :one", "lst[0] = :owner", "lst[7] = :one", "fencingToken = fencingToken - :one", "duplicate = ownerName",
			"lst = list_append(lst, :list)", "fencingToken = ownerName + :one", "#key = :owner", "ownerName = :undefined", "owner = :owner", "lst[1].x = :one")
		remove = append(remove, "meta.x", "lst[0]", "lst[1], lst[0]", "meta.nothing.x", "#key", "ownerName")
		add = append(add, "ownerName :one", "counter :one", "meta.x :one", "tags :one")
		drop = append(drop, "ownerName :tags", "tags :one")
	}
	var sections []string
	if c.below(4) > 0 {
		sections = append(sections, "SET "+someOf(c, set))
	}
	if c.chance(3) {
		sections = append(sections, "REMOVE "+someOf(c, remove))
	}
	if c.chance(3) {
		sections = append(sections, "ADD "+someOf(c, add))
	}
	if c.chance(8) {
		sections = append(sections, "DELETE "+someOf(c, drop))
	}
	if len(sections) == 0 {
		return "ADD heartbeatCount :one"
	}
	return strings.Join(sections, " ")
}

func someOf(c *choices, from []string) string {
	parts := []string{pick(c, from...)}
	for c.chance(2) && len(parts) < 5 {
		parts = append(parts, pick(c, from...))
	}
	return strings.Join(parts, ", ")
}

func (t lockTable) condition(c *choices, depth int) string {
	if depth < 3 && c.chance(3) {
		switch c.below(4) {
		case 0:
			return t.condition(c, depth+1) + " AND " + t.condition(c, depth+1)
		case 1:
			return t.condition(c, depth+1) + " OR " + t.condition(c, depth+1)
		case 2:
			return "NOT " + t.condition(c, depth+1)
		}
		return "(" + t.condition(c, depth+1) + ")"
	}
	if c.chance(12) {
		return pick(c, "owner = :owner", "ownerName = :undefined", "ownerName = ownerName", "fencingToken < :true", "size(:one) = :one", "foo(ownerName)",
			"begins_with(ownerName, :one)", "attribute_exists(:one)", "ownerName", "((ownerName = :owner))")
	}
	return pick(c,
		"attribute_not_exists(#key)", "attribute_exists(#key)", "attribute_not_exists(isReleased)", "isReleased = :yes", "ownerName = :owner",
		"recordVersionNumber = :version", "fencingToken = :forty", "fencingToken < :now", "fencingToken >= :forty", "heartbeatCount <> :one",
		"attribute_exists(#d)", "attribute_type(fencingToken, :typeN)", "begins_with(ownerName, :o)", "contains(tags, :a)", "contains(ownerName, :o)",
		"size(ownerName) > :one", "size(lst) BETWEEN :zero AND :forty", "fencingToken IN (:one, :forty, :now)", "meta.x = :one", "lst[0] = :one",
		"#d = :data", "nil = :null", "flag = :true", "fencingToken = heartbeatCount", "tags = :tags", "ownerName = :forty",
		"attribute_not_exists(fence) OR fence <= :now", "attribute_exists(meta.y)", "leaseDuration IN (:version, :yes)")
}

func (t lockTable) conditional(c *choices, body object) {
	if c.below(3) == 0 {
		return
	}
	t.expression(body, "ConditionExpression", t.condition(c, 0))
	if c.below(2) == 0 {
		body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
	}
}

// expression sets a member and defines the placeholders that it needs, but for :undefined.
func (t lockTable) expression(body object, member, text string) {
	body[member] = text
	values := parseObject(`{":owner":{"S":"two"},":version":{"S":"v2"},":now":{"N":"1700000000000"},":one":{"N":"1"},":zero":{"N":"0"},":forty":{"N":"41"},
		":yes":{"S":"1"},":data":{"B":"AQID"},":list":{"L":[{"N":"7"}]},":map":{"M":{"y":{"S":"q"}}},":tags":{"SS":["a","c"]},":typeN":{"S":"N"},":o":{"S":"o"},
		":a":{"S":"a"},":null":{"NULL":true},":true":{"BOOL":true},":lock":{"S":"lock-ü"}}`)
	names := object{"#key": "key", "#d": "data"}
	addPlaceholders(body, "ExpressionAttributeValues", used(values, text))
	addPlaceholders(body, "ExpressionAttributeNames", used(names, text))
}

func addPlaceholders(body object, member string, more object) {
	if len(more) == 0 {
		return
	}
	all := object{}
	if have, _ := body[member].(object); have != nil {
		maps.Copy(all, have)
	}
	maps.Copy(all, more)
	body[member] = all
}

func (t lockTable) returning(c *choices, body object, allowed ...string) object {
	if c.below(4) > 0 {
		body["ReturnValues"] = pick(c, allowed...)
	}
	t.capacity(c, body)
	return body
}

func (t lockTable) capacity(c *choices, body object) {
	if c.chance(4) {
		body["ReturnConsumedCapacity"] = pick(c, "TOTAL", "INDEXES", "NONE")
	}
}

func (t lockTable) transaction(c *choices) object {
	var actions []object
	seen := map[string]bool{} // one action for each item: two are refused by both engines, but not at the same moment
	for range 1 + c.below(3) {
		var body object
		kind := pick(c, "ConditionCheck", "Update", "Put", "Delete")
		switch kind {
		case "ConditionCheck":
			body = t.keyed(c)
			t.expression(body, "ConditionExpression", t.condition(c, 1))
			if c.below(2) == 0 {
				body["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
			}
		case "Update":
			body = t.keyed(c)
			t.expression(body, "UpdateExpression", t.updateExpression(c))
			t.conditional(c, body)
		case "Put":
			body = object{"TableName": t.name, "Item": t.item(c)}
			t.conditional(c, body)
		case "Delete":
			body = t.keyed(c)
			t.conditional(c, body)
		}
		where := jsonText(t.keyIn(body))
		if !seen[where] {
			actions = append(actions, object{kind: body})
		}
		seen[where] = true
	}
	body := object{"TransactItems": actions}
	if c.chance(3) {
		body["ClientRequestToken"] = t.name[max(0, len(t.name)-30):] + pick(c, "1", "2", "3")
	}
	return body
}

// batch asks for some keys, now and then for one of them twice.
func (t lockTable) batch(c *choices) object {
	part := object{}
	var keys []object
	for range 1 + c.below(4) {
		k := t.key(c)
		if repeated := slices.ContainsFunc(keys, func(other object) bool { return jsonText(k) == jsonText(other) }); !repeated || c.chance(8) {
			keys = append(keys, k)
		}
	}
	part["Keys"] = keys
	if c.chance(3) {
		t.expression(part, "ProjectionExpression", pick(c, "#key, ownerName", "fencingToken", "#d, meta.x", "lst[1], lst[0]", "owner"))
	}
	if c.chance(2) {
		part["ConsistentRead"] = c.below(2) == 0
	}
	body := object{"RequestItems": object{t.name: part}}
	t.capacity(c, body)
	return body
}

func (t lockTable) search(c *choices) drawnRequest {
	body := object{"TableName": t.name}
	operation := "Scan"
	if t.sorted && c.below(2) == 0 {
		operation = "Query"
		t.expression(body, "KeyConditionExpression", pick(c, "#key = :lock", "#key = :a", "#key = :a AND sort > :yes", "#key = :a AND begins_with(sort, :yes)",
			"#key = :a AND sort BETWEEN :yes AND :version", "sort = :a", "#key > :a", "#key = :one"))
		if c.below(2) == 0 {
			body["ScanIndexForward"] = false
		}
		if c.below(2) == 0 {
			body["Limit"] = 1 + c.below(4)
		}
	}
	if c.below(2) == 0 {
		t.expression(body, "FilterExpression", t.condition(c, 1))
	}
	if c.chance(3) {
		t.expression(body, "ProjectionExpression", pick(c, "#key, ownerName", "fencingToken, meta.x", "lst[1]"))
	}
	if c.chance(4) {
		body["Select"] = "COUNT"
	}
	t.capacity(c, body)
	return drawnRequest{operation, body}
}
