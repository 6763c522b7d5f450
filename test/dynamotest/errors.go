package dynamotest

import "fmt"

// invalid is the text of a ValidationException. DynamoDB's sentences are its own: capitals,
// semicolons and all.
type invalid string

func (e invalid) Error() string { return string(e) }

func invalidf(format string, args ...any) error {
	return invalid(fmt.Sprintf(format, args...))
}

// inExpression says which of a request's expressions an error comes from.
func inExpression(member string, err error) error {
	if err == nil {
		return nil
	}
	return invalid("Invalid " + member + ": " + err.Error())
}

// refused is a validation error of one action: alone it is an ordinary ValidationException, in a
// transaction it is the reason why the transaction is cancelled.
type refused string

func (e refused) Error() string { return string(e) }

const errTooDeep = invalid("Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")

// failure is an error of the protocol: its type as it goes over the wire, and what goes with it.
type failure struct {
	kind    string
	message string
	status  int      // 0: 400
	item    item     // ConditionalCheckFailedException: the item as it is, when asked for
	reasons []reason // TransactionCanceledException: one for each action, in order
}

// reason is one entry of CancellationReasons; its code is "None" for an action that would have
// succeeded.
type reason struct {
	code    string
	message string
	item    item
}

func (e *failure) Error() string { return e.kind + ": " + e.message }

const (
	conditionFailed     = "ConditionalCheckFailedException"
	conditionFailedText = "The conditional request failed"
	transactionOngoing  = "Transaction is ongoing for the item"
)

func errNoTable() error {
	return &failure{kind: "ResourceNotFoundException", message: "Cannot do operations on a non-existent table"}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
