package sdkv2

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"sync/atomic"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// adapter sends v1 requests through a v2 client.
type adapter struct {
	client   *v2.Client
	unusable string // why the client can't send; "": it can

	region      string
	credentials awsv2.CredentialsProvider // nil: none
	drops       atomic.Int64              // how often credentials were dropped
}

// operation carries out one operation: params is the v1 input, the result the v2 output.
type operation func(ctx context.Context, client *v2.Client, params any, options func(*v2.Options)) (any, error)

// through makes an operation of the v2 client's method.
func through[In, Out any](send func(*v2.Client, context.Context, *In, ...func(*v2.Options)) (*Out, error)) operation {
	return func(ctx context.Context, client *v2.Client, params any, options func(*v2.Options)) (any, error) {
		in := new(In)
		if err := convert(in, params); err != nil {
			return nil, err
		}
		out, err := send(client, ctx, in, options)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// send is the v1 handler that takes the place of signing, sending and parsing.
func (a *adapter) send(r *request.Request) {
	if a.refuse(r); r.Error != nil {
		return // an option has removed the handlers that validate
	}
	ctx := r.Context()
	if a.credentials == nil {
		// v2 would send the request without a signature.
		r.Error = &failure{code: codeNoCredentials, message: "sdkv2: the aws-sdk-go-v2 client has no credentials: set Credentials, e.g. with config.LoadDefaultConfig", notSent: true}
		return
	}
	x := &exchange{adapter: a, headers: r.HTTPRequest.Header}
	out, err := operations[r.Operation.Name](ctx, a.client, r.Params, x.options)
	if x.answered() {
		reply := *x.reply
		reply.Body = http.NoBody
		r.HTTPResponse, r.RequestID = &reply, x.requestID()
	}
	if err == nil {
		err = convert(r.Data, out)
	}
	if err == nil {
		return
	}
	r.Error = x.failure(ctx, err)
	if request.IsErrorExpiredCreds(r.Error) {
		a.dropCredentials(x.drops)
	}
}

// dropCredentials makes the client's cache fetch new credentials, unless that was done since drops
// was read: many requests fail at once when credentials expire.
func (a *adapter) dropCredentials(drops int64) {
	cache, ok := a.credentials.(interface{ Invalidate() })
	if ok && a.drops.CompareAndSwap(drops, drops+1) {
		cache.Invalidate()
	}
}

// exchange is one call of the v2 client. It belongs to the goroutine of the call.
type exchange struct {
	*adapter
	headers http.Header

	drops      int64 // adapter.drops when the credentials were fetched
	identity   error // why there are no credentials
	identified bool  // there are
	unchecked  bool  // the client doesn't want checksums looked at
	sent       bool  // the request has been handed to the HTTP client
	reply      *http.Response
}

var errRepeated = errors.New("sdkv2: a middleware of the aws-sdk-go-v2 client repeats the request, which is not safe: leaderkit repeats requests itself")

// options are given with every call.
func (x *exchange) options(o *v2.Options) {
	o.Retryer = awsv2.NopRetryer{}
	o.EndpointDiscovery.EnableEndpointDiscovery = awsv2.EndpointDiscoveryDisabled
	o.Credentials = x
	x.unchecked = o.DisableValidateResponseChecksum
	o.DisableValidateResponseChecksum = true // verify does it; v2's warns of every reply that has none
	for name, values := range x.headers {
		for _, value := range values {
			o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue(name, value))
		}
	}
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		// After all others: next is the HTTP client.
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("leaderkit.SendOnce", x.transmit), middleware.After)
	})
}

// transmit notes that the request leaves, and what comes back.
func (x *exchange) transmit(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	if x.sent {
		return middleware.DeserializeOutput{}, middleware.Metadata{}, errRepeated
	}
	x.sent = true
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if reply, ok := out.RawResponse.(*smithyhttp.Response); ok && reply != nil {
		x.reply = reply.Response
	}
	if err == nil && !x.unchecked {
		err = verify(x.reply)
	}
	return out, metadata, err
}

var errChecksum = errors.New("the reply does not have the checksum that its header says")

// verify compares a reply with the checksum of its X-Amz-Crc32. v1 refuses a reply that differs; v2
// only logs it. Like v1 it leaves errors alone.
func verify(reply *http.Response) error {
	if reply == nil || reply.StatusCode != http.StatusOK || reply.Uncompressed {
		return nil
	}
	want, err := strconv.ParseUint(reply.Header.Get("X-Amz-Crc32"), 10, 32)
	if err != nil {
		return nil // there is none
	}
	body, err := io.ReadAll(reply.Body)
	_ = reply.Body.Close()
	reply.Body = io.NopCloser(bytes.NewReader(body))
	if err == nil && crc32.ChecksumIEEE(body) != uint32(want) {
		err = errChecksum
	}
	return err
}

// answered reports whether a server replied; v2 makes an empty reply up where none did.
func (x *exchange) answered() bool { return x.reply != nil && x.reply.StatusCode > 0 }

func (x *exchange) requestID() string { return x.reply.Header.Get("X-Amzn-Requestid") }

var errNoKeys = errors.New("the credentials are empty")

// Retrieve fetches the client's credentials and remembers whether that worked.
func (x *exchange) Retrieve(ctx context.Context) (awsv2.Credentials, error) {
	x.drops = x.adapter.drops.Load()
	value, err := x.credentials.Retrieve(ctx)
	if err == nil && !value.HasKeys() {
		err = errNoKeys
	}
	x.identity, x.identified = err, err == nil
	return value, err
}

// ProviderSources is for the client's User-Agent, as without exchange in between.
func (x *exchange) ProviderSources() []awsv2.CredentialSource {
	if source, ok := x.credentials.(awsv2.CredentialProviderSource); ok {
		return source.ProviderSources()
	}
	return nil
}

// convert copies a v1 input to a v2 input, or a v2 output to a v1 output, given as pointers.
func convert(dst, src any) error {
	to, from := reflect.ValueOf(dst), reflect.ValueOf(src)
	if from.IsNil() {
		return nil
	}
	return at(from.Type().Elem().Name(), assign(to.Elem(), from.Elem()))
}
