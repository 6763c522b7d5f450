package sdkv2

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
)

// database is v1's client with waiters that end at once where the adapter refuses to send. v1's own
// go on for 8 minutes, whatever the error, and then don't say what it was.
type database struct{ *v1.DynamoDB }

func (d database) WaitUntilTableExists(in *v1.DescribeTableInput) error {
	return d.WaitUntilTableExistsWithContext(context.Background(), in)
}

func (d database) WaitUntilTableExistsWithContext(ctx aws.Context, in *v1.DescribeTableInput, options ...request.WaiterOption) error {
	return refusalIn(d.DynamoDB.WaitUntilTableExistsWithContext(ctx, in, append(slices.Clip(options), endAtRefusals)...))
}

func (d database) WaitUntilTableNotExists(in *v1.DescribeTableInput) error {
	return d.WaitUntilTableNotExistsWithContext(context.Background(), in)
}

func (d database) WaitUntilTableNotExistsWithContext(ctx aws.Context, in *v1.DescribeTableInput, options ...request.WaiterOption) error {
	return refusalIn(d.DynamoDB.WaitUntilTableNotExistsWithContext(ctx, in, append(slices.Clip(options), endAtRefusals)...))
}

func endAtRefusals(w *request.Waiter) {
	for _, code := range []string{request.InvalidParameterErrCode, codeMissingRegion, codeMissingEndpoint, codeNoCredentials} {
		w.Acceptors = append(w.Acceptors, request.WaiterAcceptor{State: request.FailureWaiterState, Matcher: request.ErrorWaiterMatch, Expected: code})
	}
}

// refusalIn takes the refusal out of a waiter's error, which is about the table.
func refusalIn(err error) error {
	waiting, ok := err.(awserr.Error)
	if !ok || waiting.Code() != request.WaiterResourceNotReadyErrorCode {
		return err
	}
	var refused awserr.Error
	if errors.As(waiting.OrigErr(), &refused) {
		return refused
	}
	return err
}
