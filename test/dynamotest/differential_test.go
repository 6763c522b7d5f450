package dynamotest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// sequences is how many random sequences of requests TestDifferential sends, each of up to
// sequenceBytes decisions.
const (
	sequences     = 120
	sequenceBytes = 600
)

const nothingCompared = "NOTHING IS COMPARED: this test sends the same requests to dynamotest and to the engine at DYNAMODB_ENDPOINT, which is not set. " +
	"To set it: go run ./test/dynamolocal/cmd/dynamolocal go test ./test/dynamotest"

// TestDifferential: whatever the toolkit may ask, dynamotest and the engine at DYNAMODB_ENDPOINT
// answer the same.
func TestDifferential(t *testing.T) {
	reference := endpoint()
	if reference == nil {
		t.Skip(nothingCompared)
	}
	t.Logf("dynamotest is compared with %s", reference.name)
	compared := map[string]int{}
	for seed := range uint64(sequences) {
		compareSequence(t, reference, randomBytes(seed, sequenceBytes), compared)
		if t.Failed() {
			t.Fatalf("the sequence with seed %d differs", seed)
		}
	}
	for outcome, n := range compared {
		t.Logf("%6d equal answers: %s", n, outcome)
	}
}

// TestDifferentialGrammar: for any string of tokens, both engines agree whether it is an
// expression, and what it does.
func TestDifferentialGrammar(t *testing.T) {
	reference := endpoint()
	if reference == nil {
		t.Skip(nothingCompared)
	}
	ours := inMemory()
	table := lockTable{name: newTableName()}
	for _, w := range []*wire{reference, ours} {
		if _, a := w.createNamedTable(table.name, "k:S"); a.Status != 200 {
			t.Fatalf("%s: no table: %v", w.name, a)
		}
	}
	defer reference.deleteTable(table.name)
	verdicts := map[string]int{}
	for seed := range uint64(tokenStrings) {
		c := &choices{bytes: randomBytes(seed, 64)}
		member := pick(c, "ConditionExpression", "UpdateExpression")
		request := expressionRequest(table.name, member, tokenString(c, member), nil)
		var told [2]answer
		for i, w := range []*wire{reference, ours} {
			w.call("PutItem", object{"TableName": table.name, "Item": parseObject(theItem)})
			told[i] = w.call("UpdateItem", request)
		}
		verdicts[member+" "+told[0].Type]++
		if told[0].Type != told[1].Type {
			t.Errorf("seed %d: %s\n%s: %v\n%s: %v", seed, jsonText(request), reference.name, told[0], ours.name, told[1])
		}
	}
	for verdict, n := range verdicts {
		t.Logf("%6d equal verdicts: %s", n, verdict)
	}
}

// tokenStrings is how many strings of tokens TestDifferentialGrammar sends.
const tokenStrings = 1500

// tokenString puts tokens in a row: often an expression, as it prefers what may follow, and often
// nearly one.
func tokenString(c *choices, member string) string {
	operand := func() string {
		return pick(c, "n", "s", ":one", ":s", "m.x", "l[0]", "zz", "#d", "(n)", "size(s)", "if_not_exists(zz, :one)", "list_append(l, :list)", ":list", "neg", "n.x")
	}
	junk := func() string {
		return pick(c, "(", ")", ",", "=", "AND", "NOT", ".", "[0]", "+", ":one", "n", "SET", "data", "BETWEEN", "5", "$")
	}
	var tokens []string
	if member == "UpdateExpression" {
		for range 1 + c.below(2) {
			section := pick(c, "SET", "SET", "REMOVE", "ADD", "DELETE")
			tokens = append(tokens, section, pick(c, "n", "m.x", "l[0]", "zz", "#d", "ss", "m.q", "k"))
			switch section {
			case "SET":
				tokens = append(tokens, "=", operand())
				if c.below(2) == 0 {
					tokens = append(tokens, pick(c, "+", "-"), operand())
				}
			case "ADD", "DELETE":
				tokens = append(tokens, pick(c, ":one", ":ab", ":s", "n"))
			}
		}
	} else {
		for i := range 1 + c.below(3) {
			if i > 0 {
				tokens = append(tokens, pick(c, "AND", "OR", "AND NOT"))
			}
			switch c.below(5) {
			case 0:
				tokens = append(tokens, operand(), "BETWEEN", operand(), "AND", operand())
			case 1:
				tokens = append(tokens, operand(), "IN", "("+operand()+", "+operand()+")")
			case 2:
				tokens = append(tokens, pick(c, "attribute_exists", "begins_with", "contains", "attribute_type"), "(", operand(), ",", operand(), ")")
			default:
				tokens = append(tokens, operand(), pick(c, "=", "<>", "<", "<=", ">", ">="), operand())
			}
		}
	}
	for c.chance(3) {
		at := c.below(len(tokens) + 1)
		tokens = slices.Insert(tokens, at, junk())
	}
	return strings.Join(tokens, " ")
}

// FuzzDifferential is TestDifferential with the decisions in the fuzzer's hands.
func FuzzDifferential(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(randomBytes(1000+seed, sequenceBytes))
	}
	f.Fuzz(func(t *testing.T, decisions []byte) {
		reference := endpoint()
		if reference == nil {
			t.Skip(nothingCompared)
		}
		compareSequence(t, reference, decisions[:min(len(decisions), 4*sequenceBytes)], map[string]int{})
	})
}

func randomBytes(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// compareSequence sends one sequence of requests to a new table of both engines.
func compareSequence(t *testing.T, reference *wire, decisions []byte, compared map[string]int) {
	t.Helper()
	c := &choices{bytes: decisions}
	table := lockTable{name: newTableName(), sorted: c.below(2) == 1}
	keys := []string{"key:S"}
	if table.sorted {
		keys = append(keys, "sort:S")
	}
	ours := inMemory()
	for _, w := range []*wire{reference, ours} {
		if _, a := w.createNamedTable(table.name, keys...); a.Status != 200 {
			t.Fatalf("%s: no table: %v", w.name, a)
		}
	}
	defer reference.deleteTable(table.name)
	for !c.done() {
		r := table.draw(c)
		want, got := reference.call(r.operation, r.body), ours.call(r.operation, r.body)
		compared[r.operation+" "+want.Type]++
		if w, g := canonical(r, want), canonical(r, got); w != g {
			t.Errorf("%s %s\n%s: %s\n%s: %s", r.operation, jsonText(r.body), reference.name, w, ours.name, g)
			return
		}
	}
	// However the answers looked, the tables must now hold the same.
	scan := drawnRequest{"Scan", object{"TableName": table.name, "ConsistentRead": true}}
	if w, g := canonical(scan, reference.call("Scan", scan.body)), canonical(scan, ours.call("Scan", scan.body)); w != g {
		t.Errorf("the tables differ\n%s: %s\n%s: %s", reference.name, w, ours.name, g)
	}
}

func severalActions(update string) bool {
	sections := 0
	for _, word := range strings.Fields(update) {
		if slices.Contains([]string{"SET", "REMOVE", "ADD", "DELETE"}, word) {
			sections++
		}
	}
	return sections > 1 || strings.Contains(update, ", ")
}

const oneOfSeveral = "an action cannot be worked out"

var cannotBeWorkedOut = strings.NewReplacer(
	"The provided expression refers to an attribute that does not exist in the item", oneOfSeveral,
	"An operand in the update expression has an incorrect data type", oneOfSeveral,
	"The document path provided in the update expression is invalid for update", oneOfSeveral,
)

// canonical writes an answer so that equal answers are equal texts, and so that the differences
// listed in the package's documentation do not show. Nothing else may differ.
func canonical(r drawnRequest, a answer) string {
	body := a.Body
	if r.operation == "Scan" {
		if items, ok := body["Items"].([]any); ok { // the order of partitions is each engine's own
			slices.SortFunc(items, func(x, y any) int { return strings.Compare(jsonText(x), jsonText(y)) })
		}
	}
	if r.operation == "BatchGetItem" {
		if a.Type == "ValidationException" {
			return "a key or the projection is invalid" // of several that are, each engine reports another
		}
		canonicalBatch(r, body)
	}
	if asked := r.body["ReturnConsumedCapacity"]; r.operation == "DeleteItem" && (asked == nil || asked == "NONE") {
		delete(body, "ConsumedCapacity") // Local gives it unasked when there is no item
	}
	actions, _ := r.body["TransactItems"].([]object)
	if len(actions) > 1 && (a.Type == "ValidationException" || strings.Contains(a.Message, "ValidationError")) {
		return "an action is invalid" // Local's reasons stop at it, and of several it reports another first
	}
	if update, _ := r.body["UpdateExpression"].(string); severalActions(update) {
		// Of two actions that cannot be worked out, Local reports the one that comes first in a
		// hash table.
		body["Message"] = cannotBeWorkedOut.Replace(fmt.Sprint(body["Message"]))
	}
	if a.Type == "IdempotentParameterMismatchException" {
		delete(body, "Message") // Local's is empty
	}
	if head, paths, found := strings.Cut(a.Message, "path one: "); found { // Local may name the wrong second path
		first, _, _ := strings.Cut(paths, ", path two")
		body["Message"] = head + first
	}
	return fmt.Sprintf("%d %s", a.Status, jsonText(body))
}

// canonicalBatch is for BatchGetItem: the order of the items is each engine's own, and Local takes
// no capacity for an item that is not there.
func canonicalBatch(r drawnRequest, body object) {
	for table, found := range body["Responses"].(object) {
		items := found.([]any)
		slices.SortFunc(items, func(x, y any) int { return strings.Compare(jsonText(x), jsonText(y)) })
		if keys := r.body["RequestItems"].(object)[table].(object)["Keys"].([]object); len(items) < len(keys) {
			delete(body, "ConsumedCapacity")
		}
	}
}
