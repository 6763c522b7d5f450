package sdkv2_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws/awserr"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go"
)

// What DynamoDB answers, as type, and status unless 400.
var answers = []struct {
	kind   string
	status int
}{
	{kind: "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"},
	{kind: "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"},
	{kind: "com.amazonaws.dynamodb.v20120810#TransactionConflictException"},
	{kind: "com.amazonaws.dynamodb.v20120810#TransactionInProgressException"},
	{kind: "com.amazonaws.dynamodb.v20120810#IdempotentParameterMismatchException"},
	{kind: "com.amazonaws.dynamodb.v20120810#ReplicatedWriteConflictException"}, // no type in v1
	{kind: "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"},
	{kind: "com.amazonaws.dynamodb.v20120810#ResourceInUseException"},
	{kind: "com.amazonaws.dynamodb.v20120810#LimitExceededException"},
	{kind: "com.amazonaws.dynamodb.v20120810#ItemCollectionSizeLimitExceededException"},
	{kind: "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"},
	{kind: "com.amazonaws.dynamodb.v20120810#RequestLimitExceeded"},
	{kind: "com.amazonaws.dynamodb.v20120810#IndexNotFoundException"},
	{kind: "com.amazonaws.dynamodb.v20120810#TableInUseException"},
	{kind: "com.amazonaws.dynamodb.v20120810#TableAlreadyExistsException"},
	{kind: "com.amazonaws.dynamodb.v20120810#TableNotFoundException"},
	{kind: "com.amazonaws.dynamodb.v20120810#PolicyNotFoundException"},
	{kind: "com.amazonaws.dynamodb.v20120810#InvalidEndpointException", status: 421}, // no type in v1
	{kind: "com.amazonaws.dynamodb.v20120810#InternalServerError", status: 500},
	{kind: "com.amazon.coral.service#ThrottlingException"}, // a type in v2 only
	{kind: "com.amazon.coral.service#ServiceUnavailable", status: 503},
	{kind: "com.amazon.coral.service#InternalFailure", status: 500},
	{kind: "com.amazon.coral.service#AccessDeniedException"},
	{kind: "com.amazon.coral.service#ExpiredTokenException"},
	{kind: "com.amazon.coral.service#UnrecognizedClientException"},
	{kind: "com.amazon.coral.service#InvalidSignatureException"},
	{kind: "com.amazon.coral.service#MissingAuthenticationTokenException"},
	{kind: "com.amazon.coral.service#SerializationException"},
	{kind: "com.amazon.coral.service#UnknownOperationException"},
	{kind: "com.amazon.coral.validate#ValidationException"},
	{kind: "SomethingNew"},
}

func TestAnAnswerIsTheErrorThatV1MakesOfIt(t *testing.T) {
	for i, a := range answers {
		_, code, found := strings.Cut(a.kind, "#")
		if !found {
			code = a.kind
		}
		t.Run(code, func(t *testing.T) {
			status := max(a.status, http.StatusBadRequest)
			p := newPair(answer(status, errorBody(t, uint64(i), a.kind)))
			_, err1 := p.first.GetItem(getItem("k"))
			_, err2 := p.second.GetItem(getItem("k"))
			want, got := failureOf(t, err1), failureOf(t, err2)
			if got.Code() != code || got.Code() != want.Code() || got.Message() != want.Message() || got.StatusCode() != status ||
				got.RequestID() != "request-1" || notSent(err2) {
				t.Errorf("%v; v1: %v", got, want)
			}
			if typeOfV1(err1) && !reflect.DeepEqual(err1, err2) {
				t.Errorf("v1 makes      %#v\nadapter makes %#v", err1, err2)
			}
			var said smithy.APIError
			if !typeOfV1(err1) && !errors.As(err2, &said) {
				t.Errorf("the error of v2 is not in the chain of %v", err2)
			}
			if p.toSecond.count() != 1 {
				t.Errorf("%d requests", p.toSecond.count())
			}
		})
	}
}

// errorBody has the members that any exception may have. Each SDK takes those that it knows.
func errorBody(t *testing.T, seed uint64, kind string) []byte {
	g := generate(seed)
	reasons := make([]*v1.CancellationReason, 3)
	for i := range reasons {
		reasons[i] = new(v1.CancellationReason)
		g.fill(reflect.ValueOf(reasons[i]).Elem(), "")
	}
	in := &v1.TransactionCanceledException{CancellationReasons: reasons}
	members := asJSON(t, in)
	item := asJSON(t, &v1.GetItemOutput{Item: map[string]*v1.AttributeValue{"a": g.value(3), "b": g.value(3)}})
	return fmt.Appendf(nil, `{"__type":%q,"message":"what happened",%s,%s}`, kind, members[1:len(members)-1], item[1:len(item)-1])
}

func failureOf(t *testing.T, err error) awserr.RequestFailure {
	t.Helper()
	failure, ok := err.(awserr.RequestFailure)
	if !ok {
		t.Fatalf("%T is no awserr.RequestFailure: %v", err, err)
	}
	return failure
}

// typeOfV1 tells v1's exceptions from its generic errors.
func typeOfV1(err error) bool {
	t := reflect.TypeOf(err)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == reflect.TypeFor[v1.GetItemInput]().PkgPath()
}
