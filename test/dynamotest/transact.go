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

// actionKinds are the kinds of action in a transaction, each with the members of it that the engine
// honours.
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
	actions, err := e.readActions(r)
	if err != nil {
		return nil, err
	}
	if e.isStrong() {
		return nil, invalid("Transactions are not supported on global tables with multi-Region strong consistency")
	}
	x := &transaction{request: r}
	if x.writes, x.invalid = readTargets(actions); x.invalid == nil {
		e.askForConflicts(r.operation, x.writes...)
	}
	answer, under, err := e.prepare(x)
	if under {
		e.pause(e.options.transactionTime)
		e.commit(x)
	}
	return answer, err
}

// transaction is a TransactWriteItems that has been read.
type transaction struct {
	request *request
	writes  []*write
	invalid error // what was wrong with one of the actions; it counts less than a token used twice
}

// prepare evaluates a transaction. It is under way if it is to be committed once its time has
// passed: its items and its token are held until then, and the answer is the one that it will have.
// A transaction that takes no time is committed already.
func (e *Engine) prepare(x *transaction) (answer reply, underWay bool, err error) {
	e.lock()
	defer e.mu.Unlock()
	past, err := e.pastTransaction(x.request)
	if err = firstError(err, x.invalid); err == nil {
		err = e.checkPresent(x.writes...)
	}
	if err != nil {
		return nil, false, err
	}
	if past != nil {
		answer, err = transactionReply(x.request, x.writes, (*write).replayCapacity)
		return answer, false, err
	}
	if err := e.planAll(x.writes); err != nil {
		return nil, false, err
	}
	if answer, err = transactionReply(x.request, x.writes, (*write).transactCapacity); err != nil {
		return nil, false, err
	}
	e.remember(x.request)
	if e.options.transactionTime > 0 {
		e.hold(x.writes)
		return answer, true, nil
	}
	e.carryOut(x)
	return answer, false, nil
}

// commit ends a transaction that is under way.
func (e *Engine) commit(x *transaction) {
	e.lock()
	defer e.mu.Unlock()
	e.release(x.writes)
	e.carryOut(x)
}

func (e *Engine) carryOut(x *transaction) {
	for _, w := range x.writes {
		e.commitWrite(w)
	}
	if past := e.tokens[x.request.text("ClientRequestToken")]; past != nil {
		past.committed, past.at = true, now()
	}
}

// transactAction is one of TransactItems, its expressions read but not yet the item that it is
// about.
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

// readAction reads one of TransactItems: an object with a single member, which says what kind of
// action it is.
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
	t, err := e.lockedTable(r)
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
	seen := make(map[itemID]bool, len(writes))
	for _, w := range writes {
		if seen[w.itemID()] {
			return invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[w.itemID()] = true
	}
	return nil
}

// planAll works out every write. Any failed condition and any conflict cancels the transaction, and
// then every condition is evaluated, so that each has its reason.
func (e *Engine) planAll(writes []*write) error {
	reasons := noReasons(len(writes))
	failed := false
	for i, w := range writes {
		if e.conflicts(w) {
			failed = true
			reasons[i] = reason{code: "TransactionConflict", message: transactionOngoing}
			continue
		}
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

// pastTransaction is a transaction that was prepared under a ClientRequestToken, and committed
// since or not yet.
type pastTransaction struct {
	body      [sha256.Size]byte
	committed bool
	at        time.Time // of the commit
}

// pastTransaction finds the commit that this request repeats; nil when it is a new one.
func (e *Engine) pastTransaction(r *request) (*pastTransaction, error) {
	for token, past := range e.tokens {
		if past.committed && now().Sub(past.at) > tokenLifetime {
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
	switch {
	case past == nil:
		return nil, nil
	case past.body != transactionBody(r):
		return nil, &failure{
			kind:    "IdempotentParameterMismatchException",
			message: "The request's actions differ from those that were committed under the same ClientRequestToken",
		}
	case !past.committed:
		return nil, &failure{kind: "TransactionInProgressException", message: "Transaction from previous request is still in progress"}
	}
	return past, nil
}

// remember keeps the token of a transaction that is going to be committed.
func (e *Engine) remember(r *request) {
	if token := r.text("ClientRequestToken"); token != "" {
		e.tokens[token] = &pastTransaction{body: transactionBody(r)}
	}
}

// transactionBody is the same for two requests that ask for the same actions, however they are
// spaced and ordered.
func transactionBody(r *request) [sha256.Size]byte {
	body, err := json.Marshal(r.members["TransactItems"])
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	return sha256.Sum256(body)
}
