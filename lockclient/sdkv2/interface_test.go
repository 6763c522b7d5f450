package sdkv2_test

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"

	"github.com/leaderkit/leaderkit/lockclient/sdkv2"
)

// operationOf is the operation that a method of v1's interface sends.
func operationOf(method string) string {
	switch strings.TrimSuffix(method, "WithContext") {
	case "WaitUntilTableExists", "WaitUntilTableNotExists":
		return "DescribeTable"
	}
	for _, suffix := range []string{"WithContext", "Pages", "Request"} {
		method = strings.TrimSuffix(method, suffix)
	}
	return method
}

// arguments are what a careless caller gives: nil wherever there can be nil, but for the context.
func arguments(method reflect.Type) []reflect.Value {
	var in []reflect.Value
	for i := range method.NumIn() {
		switch {
		case method.In(i) == reflect.TypeFor[context.Context]():
			in = append(in, reflect.ValueOf(context.Background()))
		case method.IsVariadic() && i == method.NumIn()-1:
		default:
			in = append(in, reflect.Zero(method.In(i)))
		}
	}
	return in
}

// errorOf calls a method and sends the request if that is what it returns.
func errorOf(db dynamodbiface.DynamoDBAPI, name string) error {
	method := reflect.ValueOf(db).MethodByName(name)
	results := method.Call(arguments(method.Type()))
	if r, ok := results[0].Interface().(*request.Request); ok {
		return r.Send()
	}
	err, _ := results[len(results)-1].Interface().(error)
	return err
}

func TestEveryMethodOfTheInterfaceWorksOrNamesTheOperationThatDoesNot(t *testing.T) {
	server := &script{reply: answer(200, []byte("{}"))}
	api := reflect.TypeFor[dynamodbiface.DynamoDBAPI]()
	for i := range api.NumMethod() {
		name := api.Method(i).Name
		operation := operationOf(name)
		err := errorOf(adapted(server), name)
		failure, ok := err.(awserr.Error)
		if !ok || !notSent(err) && slices.Contains(supported, operation) == (failure.Code() != "InvalidParameter") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Contains(supported, operation) && (failure.Code() != "UnknownOperationException" || !strings.Contains(err.Error(), "sdkv2: "+operation+" is not among")) {
			t.Errorf("%s: %v", name, err)
		}
		var invalid request.ErrInvalidParams
		if slices.Contains(supported, operation) && !errors.As(err, &invalid) {
			t.Errorf("%s: %v is not v1's own error", name, err)
		}
		for _, unusable := range []*dynamodb.Client{nil, {}} {
			if err := errorOf(sdkv2.New(unusable), name); err == nil || !strings.Contains(err.Error(), "sdkv2: New was given") {
				t.Errorf("%s without a client: %v", name, err)
			}
		}
	}
	if server.count() > 0 {
		t.Errorf("%d requests", server.count())
	}
}

func TestARequestObjectOfV1IsSentThroughV2(t *testing.T) {
	server := &script{reply: answer(200, []byte(`{"Item":{"a":{"N":"1"}}}`))}
	db := adapted(server)
	r, out := db.GetItemRequest(getItem("k"))
	if err := r.Send(); err != nil || *out.Item["a"].N != "1" || server.count() != 1 || r.RequestID != "request-1" {
		t.Errorf("%v, %v, %d requests", err, out, server.count())
	}
	r, _ = db.GetItemRequest(getItem("k"))
	if url, err := r.Presign(1e9); err == nil || !notSent(err) {
		t.Errorf("Presign: %q, %v", url, err)
	}
}

func TestWhatRequestOptionsAsForIsHonoured(t *testing.T) {
	server := &script{reply: answer(200, []byte("{}"))}
	var got http.Header
	var order []string
	note := func(list *request.HandlerList, name string) {
		list.PushBack(func(*request.Request) { order = append(order, name) })
	}
	_, err := adapted(server).GetItemWithContext(t.Context(), getItem("k"),
		request.WithSetRequestHeaders(map[string]string{"X-Trace": "abc"}),
		request.WithAppendUserAgent("somebody"),
		request.WithGetResponseHeaders(&got),
		func(r *request.Request) {
			note(&r.Handlers.Validate, "validate")
			note(&r.Handlers.Build, "build")
			note(&r.Handlers.Sign, "sign")
			note(&r.Handlers.Send, "send")
			note(&r.Handlers.CompleteAttempt, "attempt")
			note(&r.Handlers.Complete, "complete")
		})
	if err != nil {
		t.Fatal(err)
	}
	sent := server.heads[0]
	if sent.Get("X-Trace") != "abc" || !strings.Contains(sent.Get("Authorization"), "x-trace") || !strings.HasPrefix(sent.Get("User-Agent"), "aws-sdk-go-v2/") {
		t.Errorf("sent %v", sent)
	}
	if got.Get("X-Amzn-Requestid") != "request-1" {
		t.Errorf("the reply's headers are %v", got)
	}
	if want := []string{"validate", "build", "sign", "send", "attempt", "complete"}; !slices.Equal(order, want) {
		t.Errorf("handlers ran in the order %v", order)
	}
}

func TestAnOptionThatRemovesValidationLeavesV2s(t *testing.T) {
	server := &script{reply: answer(200, []byte("{}"))}
	unchecked := func(r *request.Request) { r.Handlers.Validate.Clear() }
	_, err := adapted(server).GetItemWithContext(t.Context(), &v1.GetItemInput{TableName: aws.String("table")}, unchecked)
	if failure, ok := err.(awserr.Error); !ok || failure.Code() != "InvalidParameter" || !notSent(err) || server.count() != 0 {
		t.Errorf("%v after %d requests", err, server.count())
	}
	if _, err := adapted(server).ListBackupsWithContext(t.Context(), nil, unchecked); err == nil {
		t.Error("an operation that there is not succeeded")
	}
}

// v1 fills the token in, so that a transaction that its caller repeats by hand is one.
func TestATransactionHasAToken(t *testing.T) {
	server := &script{reply: answer(200, []byte("{}"))}
	in := put(map[string]*v1.AttributeValue{"key": {S: aws.String("k")}})
	if _, err := adapted(server).TransactWriteItems(in); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(server.bodies[0], `"ClientRequestToken":"`) || in.ClientRequestToken != nil {
		t.Errorf("sent %s, and the input's token is %v", server.bodies[0], in.ClientRequestToken)
	}
}
