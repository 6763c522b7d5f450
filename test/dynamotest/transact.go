package dynamotest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

const (
	maxActions         = 100
	maxTransactionSize = 4 << 20
	maxTokenLength     = 36
	tokenLifetime      = 10 * time.Minute
)

// actionKinds are the kinds of action in a transaction, each with the members of it that the engine honours.
var actionKinds = map[string]struct {
	kind    writeKind
	members []string
}{
	"ConditionCheck": {aCheck, []string{
		"TableName", "Key", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValuesOnConditionCheckFailure"}},
	"Put": {aPut, []string{
		"TableName", "Item", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValuesOnConditionCheckFailure"}},
	"Update": {anUpdate, []string{
		"TableName", "Key", "UpdateExpression", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues",
		"ReturnValuesOnConditionCheckFailure"}},
	"Delete": {aDelete, []string{
		"TableName", "Key", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues", "ReturnValuesOnConditionCheckFailure"}},
}

func (e *Engine) transactWriteItems(r *request) (reply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	actions, err := e.readActions(r)
	if err != nil {
		return nil, err
	}
	past, err := e.pastTransaction(r)
	if err != nil {
		return nil, err
	}
	writes, err := readTargets(actions)
	if err != nil {
		return nil, err
	}
	if past != nil {
		return transactionReply(r, writes, (*write).replayCapacity)
	}
	if err := planAll(writes); err != nil {
		return nil, err
	}
	answer, err := transactionReply(r, writes, (*write).transactCapacity)
	if err != nil {
		return nil, err
	}
	for _, w := range writes {
		w.commit()
	}
	e.remember(r)
	return answer, nil
}

// transactAction is one of TransactItems, its expressions read but not yet the item that it is about.
type transactAction struct {
	kind    writeKind
	request *request
	write   *write
}

func (e *Engine) readActions(r *request) ([]transactAction, error) {
	given := r.objects("TransactItems")
	switch {
	case r.err != nil:
		return nil, r.err
	case !r.has("TransactItems"):
		return nil, invalid("Value null at 'transactItems' failed to satisfy constraint: Member must not be null")
	case len(given) == 0:
		return nil, invalid("Value [] at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len(given) > maxActions:
		return nil, invalidf("Member must have length less than or equal to %d", maxActions)
	}
	actions := make([]transactAction, len(given))
	for i, part := range given {
		var err error
		if actions[i], err = e.readAction(part, i); err != nil {
			return nil, err
		}
	}
	return actions, nil
}

// readAction reads one of TransactItems: an object with a single member, which says what kind of action it is.
func (e *Engine) readAction(part *request, index int) (transactAction, error) {
	name := ""
	for member := range part.members {
		if !part.has(member) {
			continue
		}
		if name != "" {
			return transactAction{}, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
		}
		name = member
	}
	as, known := actionKinds[name]
	if !known {
		return transactAction{}, invalid("Invalid Request: TransactWriteRequest should contain Delete or Put or Update request")
	}
	r := &request{members: part.object(name)}
	if part.err != nil {
		return transactAction{}, part.err
	}
	if err := r.refuseUnsupported(name, as.members); err != nil {
		return transactAction{}, err
	}
	t, err := e.table(r)
	if err != nil {
		return transactAction{}, err
	}
	if name == "ConditionCheck" && !r.has("ConditionExpression") {
		return transactAction{}, invalidf("Value null at 'transactItems.%d.member.conditionCheck.conditionExpression' failed to satisfy constraint: Member must not be null", index+1)
	}
	a := transactAction{kind: as.kind, request: r, write: &write{table: t}}
	return a, firstError(as.kind.readExpressions(a.write, r), r.err)
}

// readTargets reads the actions' keys and items, and makes sure that they are different ones.
func readTargets(actions []transactAction) ([]*write, error) {
	writes := make([]*write, len(actions))
	size := 0
	for i, a := range actions {
		err := firstError(a.kind.readTarget(a.write, a.request), a.request.err)
		if f := cancelledBy(err, i, len(actions)); f != nil {
			return nil, f
		}
		if err != nil {
			return nil, err
		}
		writes[i] = a.write
		size += a.write.keyItem.size()
	}
	if size > maxTransactionSize {
		return nil, invalidf("Transaction payload size cannot exceed 4MB. Payload Size: %d", size)
	}
	return writes, checkApart(writes)
}

// checkApart refuses two actions on one item.
func checkApart(writes []*write) error {
	type place struct {
		table *table
		hash  string
		sort  string
	}
	seen := make(map[place]bool, len(writes))
	for _, w := range writes {
		p := place{table: w.table, hash: w.key.hash}
		if w.key.sort != nil {
			p.sort = keyText(w.key.sort)
		}
		if seen[p] {
			return invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[p] = true
	}
	return nil
}

// planAll works out every write. Any failed condition cancels the transaction, and then every condition is evaluated, so that
// each has its reason.
func planAll(writes []*write) error {
	reasons := noReasons(len(writes))
	failed := false
	for i, w := range writes {
		err := w.plan()
		var f *failure
		switch {
		case err == nil:
			continue
		case errors.As(err, &f) && f.kind == conditionFailed:
			failed = true
			reasons[i] = reason{code: "ConditionalCheckFailed", message: f.message, item: f.item}
			if w.check {
				reasons[i].message += "." // DynamoDB Local's spelling
			}
		default:
			if cancelled := cancelledBy(err, i, len(writes)); cancelled != nil {
				return cancelled
			}
			return err
		}
	}
	if failed {
		return cancelled(reasons)
	}
	return nil
}

func noReasons(n int) []reason {
	reasons := make([]reason, n)
	for i := range reasons {
		reasons[i].code = "None"
	}
	return reasons
}

// cancelledBy turns an error that is one action's own into the transaction's; nil for any other.
func cancelledBy(err error, index, actions int) error {
	var own refused
	if !errors.As(err, &own) {
		return nil
	}
	reasons := noReasons(actions)
	reasons[index] = reason{code: "ValidationError", message: own.Error()}
	return cancelled(reasons)
}

func cancelled(reasons []reason) error {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.code
	}
	return &failure{
		kind:    "TransactionCanceledException",
		message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		reasons: reasons,
	}
}

// pastTransaction is a transaction that was committed under a ClientRequestToken.
type pastTransaction struct {
	body [sha256.Size]byte
	at   time.Time
}

// pastTransaction finds the commit that this request repeats; nil when it is a new one.
func (e *Engine) pastTransaction(r *request) (*pastTransaction, error) {
	for token, past := range e.tokens {
		if now().Sub(past.at) > tokenLifetime {
			delete(e.tokens, token)
		}
	}
	token := r.text("ClientRequestToken")
	if r.err != nil {
		return nil, r.err
	}
	if len(token) > maxTokenLength {
		return nil, invalidf("Value %s at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to %d", token, maxTokenLength)
	}
	past := e.tokens[token]
	if past != nil && past.body != transactionBody(r) {
		return nil, &failure{
			kind:    "IdempotentParameterMismatchException",
			message: "The request's actions differ from those that were committed under the same ClientRequestToken",
		}
	}
	return past, nil
}

func (e *Engine) remember(r *request) {
	if token := r.text("ClientRequestToken"); token != "" {
		e.tokens[token] = &pastTransaction{body: transactionBody(r), at: now()}
	}
}

// transactionBody is the same for two requests that ask for the same actions, however they are spaced and ordered.
func transactionBody(r *request) [sha256.Size]byte {
	body, err := json.Marshal(r.members["TransactItems"])
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	return sha256.Sum256(body)
}
