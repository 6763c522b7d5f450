package sdkv2

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	httpv2 "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go"
)

// Codes of v1 that have no constant of their own.
const (
	codeNoCredentials   = "NoCredentialProviders"
	codeMissingRegion   = "MissingRegion"
	codeMissingEndpoint = "MissingEndpoint"
	codeChecksum        = "CRC32CheckFailed"
)

// failure is a failed request for which v1 has no type of its own.
type failure struct {
	code, message string
	cause         error // v2's error, or nil
	notSent       bool
}

var _ awserr.Error = (*failure)(nil)

func (e *failure) Error() string { return e.code + ": " + e.message }

// Code is v1's code.
func (e *failure) Code() string { return e.code }

// Message is DynamoDB's message, or what v2 says where DynamoDB has not answered.
func (e *failure) Message() string { return e.message }

// OrigErr is v2's error.
func (e *failure) OrigErr() error { return e.cause }

// NotSent reports whether it is certain that no server has seen the request.
func (e *failure) NotSent() bool { return e.notSent }

// Unwrap is v2's error.
func (e *failure) Unwrap() error { return e.cause }

// answer is a failure that came with a reply.
type answer struct {
	failure
	status    int
	requestID string
}

var _ awserr.RequestFailure = (*answer)(nil)

func (e *answer) Error() string {
	return fmt.Sprintf("%s (status code %d, request id %q)", e.failure.Error(), e.status, e.requestID)
}

// StatusCode is the reply's HTTP status.
func (e *answer) StatusCode() int { return e.status }

// RequestID is the server's name for the request.
func (e *answer) RequestID() string { return e.requestID }

// failure is v1's form of err, with which the exchange ended.
func (x *exchange) failure(ctx context.Context, err error) error {
	if !x.sent {
		return x.localFailure(ctx, err)
	}
	f := failure{message: oneLine(err), cause: err}
	var said smithy.APIError
	switch timeout := (*httpv2.ResponseTimeoutError)(nil); {
	case x.answered() && errors.As(err, &said):
		if typed := x.exception(said); typed != nil {
			return typed
		}
		f.code, f.message = said.ErrorCode(), said.ErrorMessage()
	case ctx.Err() != nil:
		f.code = request.CanceledErrorCode
	case errors.As(err, &timeout):
		f.code = request.ErrCodeResponseTimeout
	case errors.Is(err, errChecksum):
		f.code = codeChecksum
	case x.answered():
		f.code = request.ErrCodeSerialization // the reply is cut off or is no reply of DynamoDB's
	default:
		f.code = request.ErrCodeRequestError
	}
	if !x.answered() {
		return &f
	}
	return &answer{f, x.reply.StatusCode, x.requestID()}
}

// localFailure is an err that kept the request from being sent.
func (x *exchange) localFailure(ctx context.Context, err error) error {
	f := &failure{code: request.ErrCodeRequestError, message: oneLine(err), cause: err, notSent: true}
	var unfit *misfit
	var invalid smithy.InvalidParamsError
	var unserializable *smithy.SerializationError
	switch {
	case errors.As(err, &unfit), errors.As(err, &invalid), errors.As(err, &unserializable):
		f.code = request.InvalidParameterErrCode
	case ctx.Err() != nil:
		f.code = request.CanceledErrorCode
	case x.identity != nil && !passing(x.identity):
		f.code = codeNoCredentials
	case x.identified && x.region == "" && strings.Contains(f.message, "endpoint"):
		f.code = codeMissingRegion
	case x.identified && (strings.Contains(f.message, "endpoint") || strings.Contains(f.message, "accountID")):
		f.code = codeMissingEndpoint
	}
	return f
}

// passing reports whether credentials that were not to be had can be fetched a little later: the
// service that issues them is throttling, failing or out of reach. A metadata service that is out
// of reach is most often not there at all.
func passing(err error) bool {
	var call *smithy.OperationError
	if errors.As(err, &call) && call.ServiceID == "ec2imds" {
		return false
	}
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == awsv2.TrueTernary
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// exceptions are the types that v1 has for what the operations here are answered with.
var exceptions = map[string]func() error{
	v1.ErrCodeConditionalCheckFailedException:          func() error { return new(v1.ConditionalCheckFailedException) },
	v1.ErrCodeIdempotentParameterMismatchException:     func() error { return new(v1.IdempotentParameterMismatchException) },
	v1.ErrCodeIndexNotFoundException:                   func() error { return new(v1.IndexNotFoundException) },
	v1.ErrCodeInternalServerError:                      func() error { return new(v1.InternalServerError) },
	v1.ErrCodeItemCollectionSizeLimitExceededException: func() error { return new(v1.ItemCollectionSizeLimitExceededException) },
	v1.ErrCodeLimitExceededException:                   func() error { return new(v1.LimitExceededException) },
	v1.ErrCodePolicyNotFoundException:                  func() error { return new(v1.PolicyNotFoundException) },
	v1.ErrCodeProvisionedThroughputExceededException:   func() error { return new(v1.ProvisionedThroughputExceededException) },
	v1.ErrCodeRequestLimitExceeded:                     func() error { return new(v1.RequestLimitExceeded) },
	v1.ErrCodeResourceInUseException:                   func() error { return new(v1.ResourceInUseException) },
	v1.ErrCodeResourceNotFoundException:                func() error { return new(v1.ResourceNotFoundException) },
	v1.ErrCodeTableAlreadyExistsException:              func() error { return new(v1.TableAlreadyExistsException) },
	v1.ErrCodeTableInUseException:                      func() error { return new(v1.TableInUseException) },
	v1.ErrCodeTableNotFoundException:                   func() error { return new(v1.TableNotFoundException) },
	v1.ErrCodeTransactionCanceledException:             func() error { return new(v1.TransactionCanceledException) },
	v1.ErrCodeTransactionConflictException:             func() error { return new(v1.TransactionConflictException) },
	v1.ErrCodeTransactionInProgressException:           func() error { return new(v1.TransactionInProgressException) },
}

// exception is v1's type for what the server said, with all its fields, or nil if v1 has none. It
// is not wrapped in anything, since programs of v1's time look at the type of an error itself.
func (x *exchange) exception(said smithy.APIError) error {
	empty := exceptions[said.ErrorCode()]
	if empty == nil {
		return nil
	}
	typed := empty()
	to := reflect.ValueOf(typed).Elem()
	if from := reflect.Indirect(reflect.ValueOf(said)); from.Kind() == reflect.Struct && from.Type().Name() == to.Type().Name() {
		_ = assignFields(to, from) // fails for v1 parameters only
	}
	if message := said.ErrorMessage(); message != "" {
		to.FieldByName("Message_").Set(reflect.ValueOf(&message))
	}
	meta := to.FieldByName("RespMetadata")
	meta.FieldByName("StatusCode").SetInt(int64(x.reply.StatusCode))
	meta.FieldByName("RequestID").SetString(x.requestID())
	return typed
}
