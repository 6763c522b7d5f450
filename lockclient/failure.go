package lockclient

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// failure explains a failed request. A failed condition is not one: its callers
// look at the record first.
func (s *requests) failure(doing string, err error) *requestError {
	e := &requestError{doing: doing, lock: s.name, table: s.table, cause: err}
	if status := statusOf(err); status >= 500 || status > 0 && status < 400 {
		return e // the server, or a proxy before it, has failed, and the body does not count
	}
	var panicked *clientPanic
	if errors.As(err, &panicked) {
		e.permanent = true
		e.remedy = "fix the DynamoDB client: the lock calls UpdateItemWithContext, GetItemWithContext, DeleteItemWithContext and TransactWriteItemsWithContext"
		return e
	}
	switch code := errorCode(err); code {
	case dynamodb.ErrCodeResourceNotFoundException:
		e.kind, e.permanent = ErrTableNotFound, true
		e.remedy = "create it (lockclient.EnsureTable does) or correct TableName, region or account"
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation":
		e.kind, e.permanent = ErrAccessDenied, true
		e.remedy = "allow dynamodb:UpdateItem, GetItem and, where they are used, DeleteItem (DeleteOnRelease) and ConditionCheckItem (fenced transactions) on the table"
		if s.name == "" {
			e.remedy = "allow dynamodb:DescribeTable and, for EnsureTable, CreateTable and UpdateTimeToLive, for Locks, Scan on the table"
		}
	case "NoCredentialProviders":
		// None are configured, or looking them up has failed this once. If there were
		// credentials before, they can come back.
		e.kind, e.permanent = ErrAccessDenied, !s.answered.Load()
		e.remedy = "give the client credentials"
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "IncompleteSignature",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired":
		e.kind, e.permanent = ErrAccessDenied, true
		e.remedy = "give the client working credentials for this region (and check this machine's clock)"
	case "ValidationException":
		e.permanent = true
		message := strings.ToLower(err.Error())
		switch {
		case strings.Contains(message, "key element") || strings.Contains(message, "required keys") || strings.Contains(message, "number of conditions on the keys") ||
			strings.Contains(message, "provided key") || strings.Contains(message, "type mismatch for key"):
			e.kind = ErrTableMismatch
			e.remedy = fmt.Sprintf("this client uses %s; set PartitionKeyName, SortKeyName and SortKeyValue to the table's key, which must be of type S", s.keyText())
		case strings.Contains(message, "operand"):
			e.kind = ErrNotALock
			e.remedy = "an attribute of the record has a type that no lock client writes; look at the item"
		}
	case "MissingRegion", "MissingEndpoint", "SerializationException", "UnknownOperationException", "ParamRequiredError",
		"InvalidParameter", dynamodb.ErrCodeIdempotentParameterMismatchException, dynamodb.ErrCodeItemCollectionSizeLimitExceededException:
		e.permanent = true
		e.remedy = "correct the request or the DynamoDB client's configuration"
	}
	return e
}

// transactionFailure explains why a fenced transaction failed. The lock's item is only one
// of its items, and DynamoDB does not say which of them is at fault.
func (s *requests) transactionFailure(err error) error {
	e := s.failure("transaction guarded by", err)
	switch {
	case errors.Is(e, ErrAccessDenied) && strings.HasPrefix(errorCode(err), "AccessDenied"):
		e.remedy = "allow what its items need on their tables, and dynamodb:ConditionCheckItem on the lock's"
	case errorCode(err) == "ValidationException":
		e.kind = nil
		e.remedy = "correct the item that does not fit its table; the lock's own key is " + s.keyText()
	}
	return e
}

// notALock is the error for an item that no lock client wrote.
func (s *requests) notALock() error {
	return &requestError{doing: "acquire", lock: s.name, table: s.table, kind: ErrNotALock, permanent: true,
		remedy: "the item under this key has no " + attrVersion + "; choose another LockName, or delete the item (it was not changed)"}
}

// notASession is the error for such an item under the name of a session.
func (s *requests) notASession() error {
	return &requestError{doing: "follow the session of", lock: s.name, table: s.table, kind: ErrNotALock, permanent: true,
		remedy: "the item under this key has no " + attrVersion + "; delete it, and the session's locks can be taken one lease later (it was not changed)"}
}

// unusableToken is the error for an item whose token no acquire can raise.
func (s *requests) unusableToken() error {
	return &requestError{doing: "acquire", lock: s.name, table: s.table, kind: ErrNotALock, permanent: true,
		remedy: "the item's " + attrToken + " is not a number, or there is no higher one; correct it, or delete the item (it was not changed)"}
}
