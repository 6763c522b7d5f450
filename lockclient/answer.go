package lockclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// errorCode is the SDK's code for err, or "".
func errorCode(err error) string {
	var coded awserr.Error
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return ""
}

// isPermanent reports whether retrying can't help.
func isPermanent(err error) bool {
	var p interface {
		error
		Permanent() bool
	}
	return errors.As(err, &p) && p.Permanent()
}

// conditionFailed returns the SDK's error when err is a failed condition.
func conditionFailed(err error) (*dynamodb.ConditionalCheckFailedException, bool) {
	var failed *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return failed, true
	}
	// Wrappers of the SDK and test doubles return the code without the type.
	if errorCode(err) == dynamodb.ErrCodeConditionalCheckFailedException {
		return &dynamodb.ConditionalCheckFailedException{}, true
	}
	return nil, false
}

// readAsRefusal is the error of the write that a read has made unnecessary: it would have
// been refused.
func readAsRefusal() error {
	return &dynamodb.ConditionalCheckFailedException{Message_: aws.String("The conditional request failed")}
}

// mayHaveCommitted reports whether a write that ended in err may have been carried out, or
// may still be. It was not if the server refused it, with a status of the 400s. (408 comes
// from a proxy that has given up waiting for the server.) Nor if it never left this machine.
func mayHaveCommitted(err error) bool {
	if err == nil {
		return true
	}
	// A DynamoDB client says so by this method, as sdkv2's does.
	var local interface {
		error
		NotSent() bool
	}
	if errors.As(err, &local) && local.NotSent() {
		return false
	}
	if errorCode(err) == dynamodb.ErrCodeTransactionInProgressException {
		return true // an earlier delivery of the same transaction is being carried out
	}
	if status := statusOf(err); status >= 400 && status < 500 && status != http.StatusRequestTimeout {
		return false
	}
	if errors.Is(err, errNotSent) {
		return false
	}
	switch errorCode(err) {
	case request.InvalidParameterErrCode, request.ParamRequiredErrCode, "MissingRegion", "MissingEndpoint", "NoCredentialProviders":
		return false // the SDK refused it
	}
	return !isDialError(err)
}

// isDialError reports whether connecting has failed. The SDK's errors lead to their causes
// by OrigErr, which errors.As does not follow.
func isDialError(err error) bool {
	for range 10 { // awserr's batches of errors lead to themselves
		var failed *net.OpError
		if errors.As(err, &failed) && failed.Op == "dial" {
			return true
		}
		var wrapped awserr.Error
		if !errors.As(err, &wrapped) {
			return false
		}
		err = wrapped.OrigErr()
	}
	return false
}

// isConflict reports whether a write met another one of the same item: a transaction, or a
// write in another Region. That passes in milliseconds.
func isConflict(err error) bool {
	switch errorCode(err) {
	case dynamodb.ErrCodeTransactionConflictException, "ReplicatedWriteConflictException":
		return true
	}
	return false
}

// wasAnswered reports whether a reply shows the outcome of the request. A status of the 500s, a
// proxy's page or half a reply does not.
func wasAnswered(err error) bool {
	if err == nil {
		return true
	}
	if _, refused := conditionFailed(err); refused {
		return true
	}
	return statusOf(err) > 0 && !mayHaveCommitted(err)
}

// statusOf is the HTTP status that came with err; 0 when there was no reply.
func statusOf(err error) int {
	var reply awserr.RequestFailure
	if errors.As(err, &reply) {
		return reply.StatusCode()
	}
	return 0
}

// errNotSent marks a request that was given up before it left.
var errNotSent = errors.New("lockclient: not sent")

// contextError is ctx's cause, and ctx's error if that is another one.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, errNoAnswer) {
		return cause // our own timeout: the caller has cancelled nothing
	}
	if cause == nil || errors.Is(cause, err) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
