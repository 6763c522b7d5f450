package lockclient

import (
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// FenceAttribute is the attribute of the caller's item in which Stamp keeps the
// highest fencing token that has written it.
const FenceAttribute = "fence"

// The placeholders that Stamp adds to the caller's expressions.
const (
	stampName  = "#leaderkitFence"
	stampValue = ":leaderkitFence"
)

// Stamp returns a copy of in that is guarded by the current tenure's fencing token: the update is
// refused after a later tenure has written the item with Stamp. It adds the condition
//
//	attribute_not_exists(fence) OR fence <= :token
//
// and sets fence to the token. in is not changed. Its UpdateExpression may be empty,
// and must not use FenceAttribute itself. StampError reads the refusal.
//
// A stamp needs no transaction, so it also works on multi-Region strongly consistent tables, which
// have none. It protects less than ConditionCheck: a write of an earlier tenure is refused only
// after a later tenure has written the same item.
//
// ErrNotHeld without a tenure. ErrInvalidConfig if in uses the legacy parameters
// AttributeUpdates or Expected.
func (c *DynamoDBLockClient) Stamp(in *dynamodb.UpdateItemInput) (*dynamodb.UpdateItemInput, error) {
	k, err := c.heldTenure()
	if err != nil {
		return nil, err
	}
	switch {
	case in == nil:
		return nil, fmt.Errorf("%w: the UpdateItemInput is nil: give the update to stamp", ErrInvalidConfig)
	case in.AttributeUpdates != nil, in.Expected != nil:
		return nil, fmt.Errorf("%w: AttributeUpdates and Expected can't be stamped: use UpdateExpression and ConditionExpression", ErrInvalidConfig)
	}
	stamped := *in
	stamped.ExpressionAttributeNames = maps.Clone(in.ExpressionAttributeNames)
	if stamped.ExpressionAttributeNames == nil {
		stamped.ExpressionAttributeNames = make(map[string]*string)
	}
	stamped.ExpressionAttributeNames[stampName] = aws.String(FenceAttribute)
	stamped.ExpressionAttributeValues = maps.Clone(in.ExpressionAttributeValues)
	if stamped.ExpressionAttributeValues == nil {
		stamped.ExpressionAttributeValues = make(map[string]*dynamodb.AttributeValue)
	}
	stamped.ExpressionAttributeValues[stampValue] = integer(k.fencingToken())

	guard := "attribute_not_exists(" + stampName + ") OR " + stampName + " <= " + stampValue
	if theirs := aws.StringValue(in.ConditionExpression); theirs != "" {
		guard = "(" + theirs + ") AND (" + guard + ")"
	}
	stamped.ConditionExpression = &guard
	stamped.UpdateExpression = aws.String(withAssignment(aws.StringValue(in.UpdateExpression), stampName+" = "+stampValue))
	if stamped.ReturnValuesOnConditionCheckFailure == nil {
		stamped.ReturnValuesOnConditionCheckFailure = aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld)
	}
	return &stamped, nil
}

// StampError reads the answer to an update that Stamp made. It returns an error that
// wraps ErrLockLost and err when the update was refused because a later tenure has
// stamped the item, and nil for everything else.
func StampError(err error, stamped *dynamodb.UpdateItemInput) error {
	failed, refused := conditionFailed(err)
	if !refused || stamped == nil {
		return nil
	}
	ours, ok := integerOf(stamped.ExpressionAttributeValues[stampValue])
	theirs, found := integerOf(failed.Item[FenceAttribute])
	if !ok || !found || theirs <= ours {
		return nil
	}
	return fmt.Errorf("%w: the item was stamped by a later tenure (fencing token %d, ours is %d): %w", ErrLockLost, theirs, ours, brief(err))
}

// withAssignment adds an assignment to an update expression, whose SET clause may
// occur once only.
func withAssignment(update, assignment string) string {
	if strings.TrimSpace(update) == "" {
		return "SET " + assignment
	}
	if after := afterKeyword(update, "SET"); after >= 0 {
		return update[:after] + " " + assignment + "," + update[after:]
	}
	return "SET " + assignment + " " + update
}

// afterKeyword returns where a bare keyword of an expression ends, or -1. Names and
// values that contain it begin with another character or go on after it.
func afterKeyword(expression, keyword string) int {
	isWord := func(c byte) bool {
		return c == '_' || c == '#' || c == ':' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for from := 0; from < len(expression); {
		if !isWord(expression[from]) {
			from++
			continue
		}
		to := from
		for to < len(expression) && isWord(expression[to]) {
			to++
		}
		if strings.EqualFold(expression[from:to], keyword) {
			return to
		}
		from = to
	}
	return -1
}
