package dynamotest_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

var expressionMembers = []string{"ConditionExpression", "UpdateExpression", "ProjectionExpression"}

// FuzzExpression: no text makes a parser panic, and the canonical form of an accepted expression
// means the same expression.
func FuzzExpression(f *testing.F) {
	for _, e := range conditionExpectations {
		f.Add(e.given)
	}
	for _, e := range updateExpectations {
		f.Add(e.given)
	}
	for _, e := range projectionExpectations {
		f.Add(e.given)
	}
	f.Add(strings.Repeat("(", 4000))
	f.Add(strings.Repeat("NOT ", 1000) + "a = b")
	engine := inMemory()
	engine.createNamedTable("expressions", "k:S")
	f.Fuzz(func(t *testing.T, text string) {
		for _, member := range expressionMembers {
			tree, err := dynamotest.Parse(member, text)
			if err != nil {
				continue
			}
			canonical := tree.String()
			again, err := dynamotest.Parse(member, canonical)
			if err != nil {
				if strings.HasPrefix(err.Error(), "Expression size has exceeded") {
					continue // the canonical form has more spaces
				}
				t.Fatalf("%s %q was accepted, but not its canonical form %q: %v", member, text, canonical, err)
			}
			if again.String() != canonical {
				t.Fatalf("%s %q is %q, and that is %q", member, text, canonical, again)
			}
		}
		// Binding and evaluating what has been parsed must not panic either.
		for _, member := range expressionMembers[:2] {
			request := object{"TableName": "expressions", "Key": object{"k": object{"S": "a"}}, member: text}
			withPlaceholders(request, used(parseObject(theNames), text), used(parseObject(theValues), text))
			engine.call("PutItem", object{"TableName": "expressions", "Item": parseObject(theItem)})
			if a := engine.call("UpdateItem", request); a.Type == "no answer" {
				t.Fatalf("%s %q: %v", member, text, a)
			}
		}
	})
}

// FuzzRequest: no request makes the engine panic or answer anything but JSON.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ operation, body string }{
		{"CreateTable", `{"TableName":"fuzzed","KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}`},
		{"PutItem", `{"TableName":"requests","Item":` + theItem + `}`},
		{"Query", `{"TableName":"requests","KeyConditionExpression":"k = :a","ExpressionAttributeValues":{":a":{"S":"a"}},"Limit":1}`},
		{"Scan", `{"TableName":"requests","Segment":0,"TotalSegments":2,"ExclusiveStartKey":{"k":{"S":"a"}}}`},
		{"TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"requests","Item":{"k":{"S":"b"}}}}],"ClientRequestToken":"t"}`},
		{"UpdateTimeToLive", `{"TableName":"requests","TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":true}}`},
		{"GetItem", `{"TableName":"requests","Key":{"k":null}}`},
		{"BatchGetItem", `{"RequestItems":{"requests":{"Keys":[{"k":{"S":"a"}},{"k":{"S":"b"}}],"ProjectionExpression":"#n","ExpressionAttributeNames":{"#n":"n"}}}}`},
		{"GetItem", `nul`}, {"GetItem", `[]`}, {"GetItem", `{}{}`}, {"DescribeTable", `{"TableName":1}`},
	} {
		f.Add(seed.operation, seed.body)
	}
	engine := inMemory()
	engine.createNamedTable("requests", "k:S")
	f.Fuzz(func(t *testing.T, operation, body string) {
		if strings.ContainsAny(operation, "\r\n\x00") {
			t.Skip("no header can hold this")
		}
		if a := engine.call(operation, body); a.Type == "no JSON" {
			t.Fatalf("%s %s: %v", operation, body, a)
		}
	})
}

// FuzzNumber: numbers agree with math/big.
func FuzzNumber(f *testing.F) {
	for _, seed := range [][2]string{
		{"0", "-0"}, {"1", "1.0"}, {"1e125", "-1e125"}, {"1e-130", "1"}, {"99999999999999999999999999999999999999", "1"}, {"-1.5", "1e2"}, {"0.1", "-0.1"}, {"1e37", "1"}, {"5.", ".5"}, {"+1E+3", "x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, errA := dynamotest.Number(a)
		y, errB := dynamotest.Number(b)
		if errA != nil || errB != nil {
			return
		}
		if again, err := dynamotest.Number(x.String()); err != nil || again != x {
			t.Fatalf("%q is %v, and that is %v, %v", a, x, again, err)
		}
		p, q := rational(t, a), rational(t, b)
		if rational(t, x.String()).Cmp(p) != 0 {
			t.Fatalf("%q became %v", a, x)
		}
		if sign(dynamotest.Compare(a, b)) != p.Cmp(q) {
			t.Fatalf("%v compared with %v is %d", x, y, dynamotest.Compare(a, b))
		}
		if sum, err := dynamotest.Add(a, b); err == nil && rational(t, sum).Cmp(new(big.Rat).Add(p, q)) != 0 {
			t.Fatalf("%v + %v = %v", x, y, sum)
		}
	})
}

func rational(t *testing.T, text string) *big.Rat {
	t.Helper()
	if mantissa, _, _ := strings.Cut(strings.ToLower(text), "e"); strings.Trim(mantissa, "+-0.") == "" {
		return new(big.Rat) // zero, whose exponent may be of any size
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("accepted %q, which is no number", text)
	}
	return r
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// FuzzText: whatever text is stored comes back, as JSON that others can read.
func FuzzText(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\x00\x1f\u2028 <&> 日本\U0001F600")
	engine := inMemory()
	engine.createNamedTable("texts", "k:S")
	f.Fuzz(func(t *testing.T, text string) {
		var want string // as JSON carries it: what is no UTF-8 becomes U+FFFD
		if err := json.Unmarshal([]byte(jsonText(text)), &want); err != nil {
			t.Skip(err)
		}
		engine.call("PutItem", object{"TableName": "texts", "Item": object{"k": object{"S": "a"}, "v": object{"S": text}}})
		a := engine.call("GetItem", object{"TableName": "texts", "Key": object{"k": object{"S": "a"}}})
		if got := a.Body["Item"].(object)["v"].(object)["S"]; got != want {
			t.Fatalf("stored %q, read %q", want, got)
		}
	})
}
