package simulation

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// forgetBursts makes lockclient forget when the last tenure of this process began. lockclient
// spreads the heartbeats of locks that are won in a burst, so the end of one run could change the
// beginning of the next. A lock that is won in the far future makes sure that the next one is not
// in its burst.
func forgetBursts(s *server) {
	c := &lockclient.DynamoDBLockClient{
		LockName: "far away", TableName: lockTable, Identifier: "nobody", LeaseDuration: time.Hour,
		Clock: farAway{}, Client: wire.NewClient(direct{s}, func(config *aws.Config) { config.Credentials = credentials.AnonymousCredentials }),
	}
	if held, err := c.GetLock(); !held {
		panic(err)
	}
	if err := c.RemoveLock(); err != nil {
		panic(err)
	}
}

// farAway is a clock that shows the same for ever.
type farAway struct{}

func (farAway) Monotonic() time.Duration { return 1 << 60 }
func (farAway) Wall() time.Time          { return time.Unix(1<<30, 0) }
func (farAway) AfterFunc(time.Duration, func()) (stop func() bool) {
	return func() bool { return true }
}

// direct is a network without faults.
type direct struct{ s *server }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	a := d.s.ask(r.Header.Get("X-Amz-Target")[len("DynamoDB_20120810."):], body)
	return &http.Response{StatusCode: a.status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body))}, nil
}
