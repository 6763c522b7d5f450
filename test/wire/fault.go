package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Fault decides what becomes of one request. What it returns is what the client gets. Whether and
// when it calls Deliver decides what the server gets. ctx is the client's.
type Fault func(ctx context.Context, c *Call) (*http.Response, error)

// ErrNetwork is in every network error that a Fault makes.
var ErrNetwork = errors.New("wire: connection reset")

// Refuse is a network error before the server sees the request.
func Refuse() Fault {
	return func(context.Context, *Call) (*http.Response, error) {
		return nil, fmt.Errorf("%w before the request was delivered", ErrNetwork)
	}
}

// DropReply is a network error after the server has carried the request out.
func DropReply() Fault { return AfterDelivery(Refuse()) }

// AfterDelivery lets the server carry the request out, whatever the client's context says, drops
// the answer, and then does what outcome does, without delivering again.
// AfterDelivery(InternalError()) is a commit that is answered with status 500.
func AfterDelivery(outcome Fault) Fault {
	return func(ctx context.Context, c *Call) (*http.Response, error) {
		c.Repeat()
		return outcome(ctx, c)
	}
}

// Hang never answers and delivers nothing; the client gets its context's error once that is done.
func Hang() Fault {
	return func(ctx context.Context, _ *Call) (*http.Response, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

// Deaf never answers, delivers nothing, and ignores the client's context. The call returns a
// network error when until is closed.
func Deaf(until <-chan struct{}) Fault {
	return func(context.Context, *Call) (*http.Response, error) {
		<-until
		return nil, fmt.Errorf("%w at last", ErrNetwork)
	}
}

// Delay delivers the request d later, even if the client has stopped waiting by then. Settle waits
// for that.
func Delay(d time.Duration) Fault {
	return func(ctx context.Context, c *Call) (*http.Response, error) {
		due := time.Now().Add(d)
		if err := Sleep(ctx, d); err != nil {
			c.wire.later(time.Until(due), func() { c.Repeat() })
			return nil, err
		}
		return c.Deliver(ctx)
	}
}

// DelayReply lets the server carry the request out at once, whatever the client's context says, and
// holds the answer back for d.
func DelayReply(d time.Duration) Fault {
	return func(ctx context.Context, c *Call) (*http.Response, error) {
		reply, err := c.Deliver(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		if err := Sleep(ctx, d); err != nil {
			discard(reply)
			return nil, err
		}
		return reply, nil
	}
}

// Twice delivers the request twice in a row, as a proxy does that lost the first answer. The client
// gets the second answer.
func Twice() Fault {
	return func(ctx context.Context, c *Call) (*http.Response, error) {
		c.Repeat()
		return c.Deliver(ctx)
	}
}

// Echo delivers the request, gives the client the answer, and delivers the same bytes once more d
// later. Settle waits for that. With d = 0 the second delivery comes before the client has its
// answer.
func Echo(d time.Duration) Fault {
	return func(ctx context.Context, c *Call) (*http.Response, error) {
		reply, err := c.Deliver(ctx)
		if d == 0 {
			c.Repeat()
		} else {
			c.wire.later(d, func() { c.Repeat() })
		}
		return reply, err
	}
}

func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Answer replies instead of the server, with an error of DynamoDB's JSON protocol.
func Answer(status int, code, message string) Fault {
	return AnswerBody(status, "application/x-amz-json-1.0", fmt.Sprintf(`{"__type":%q,"message":%q}`, code, message))
}

// AnswerBody replies instead of the server with any body, for example a load balancer's page.
func AnswerBody(status int, contentType, body string) Fault {
	return func(_ context.Context, c *Call) (*http.Response, error) {
		return &http.Response{
			Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
			StatusCode:    status,
			Proto:         "HTTP/1.1",
			ProtoMajor:    1,
			ProtoMinor:    1,
			Header:        http.Header{"Content-Type": {contentType}, "X-Amzn-Requestid": {fmt.Sprintf("wire-%d", c.Number)}},
			Body:          io.NopCloser(strings.NewReader(body)),
			ContentLength: int64(len(body)),
			Request:       c.request,
		}, nil
	}
}

// CutReply lets the server carry the request out and gives the client the first half of its answer.
func CutReply() Fault {
	return func(ctx context.Context, c *Call) (*http.Response, error) {
		reply, err := c.Deliver(ctx)
		if err != nil {
			return nil, err
		}
		whole, err := io.ReadAll(reply.Body)
		_ = reply.Body.Close()
		if err != nil {
			return nil, err
		}
		reply.Header.Del("X-Amz-Crc32")
		reply.Body = io.NopCloser(io.MultiReader(strings.NewReader(string(whole[:len(whole)/2])), brokenReader{}))
		return reply, nil
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

const (
	modelled = "com.amazonaws.dynamodb.v20120810#"
	common   = "com.amazon.coral.service#"
)

// Throttle is DynamoDB's answer when a partition or table is out of capacity.
func Throttle() Fault {
	return Answer(http.StatusBadRequest, modelled+"ProvisionedThroughputExceededException",
		"The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.")
}

// ThrottleAccount is its answer when requests of the account come too fast.
func ThrottleAccount() Fault {
	return Answer(http.StatusBadRequest, common+"ThrottlingException", "Rate of requests exceeds the allowed throughput.")
}

// InternalError is status 500.
func InternalError() Fault {
	return Answer(http.StatusInternalServerError, modelled+"InternalServerError", "Internal server error")
}

// Unavailable is status 503.
func Unavailable() Fault {
	return Answer(http.StatusServiceUnavailable, common+"ServiceUnavailable", "The service is temporarily unavailable.")
}

// ExpiredToken is the answer to credentials that have run out.
func ExpiredToken() Fault {
	return Answer(http.StatusBadRequest, common+"ExpiredTokenException", "The security token included in the request is expired")
}

// AccessDenied is the answer to a caller without the permission.
func AccessDenied() Fault {
	return Answer(http.StatusBadRequest, common+"AccessDeniedException",
		"User: arn:aws:iam::123456789012:user/test is not authorized to perform this action on the resource")
}

// ResourceNotFound is the answer for a table that isn't there.
func ResourceNotFound() Fault {
	return Answer(http.StatusBadRequest, modelled+"ResourceNotFoundException", "Requested resource not found")
}

// TransactionConflict is the answer to a single write that met a transaction.
func TransactionConflict() Fault {
	return Answer(http.StatusBadRequest, modelled+"TransactionConflictException", "Transaction is ongoing for the item")
}

// CancelTransaction is the answer to a TransactWriteItems whose items failed for these reasons, in
// order; "None" for those that did not.
func CancelTransaction(reasons ...string) Fault {
	list := make([]string, len(reasons))
	for i, reason := range reasons {
		list[i] = fmt.Sprintf(`{"Code":%q}`, reason)
		if reason != "None" {
			list[i] = fmt.Sprintf(`{"Code":%q,"Message":%q}`, reason, "made by the fault hook")
		}
	}
	message := "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(reasons, ", ") + "]"
	return AnswerBody(http.StatusBadRequest, "application/x-amz-json-1.0",
		fmt.Sprintf(`{"__type":%q,"Message":%q,"CancellationReasons":[%s]}`, modelled+"TransactionCanceledException", message, strings.Join(list, ",")))
}
