package election_test

import (
	"context"
	"time"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
)

// The lock client is a Lock as it is, and tells all that a Lock may tell beyond that. Its clock
// fits the elector, too.
var (
	_ election.Lock = (*lockclient.DynamoDBLockClient)(nil)

	_ interface {
		AnnounceRelease(ctx context.Context) error
	} = (*lockclient.DynamoDBLockClient)(nil)

	_ interface {
		ObserveHeartbeats(observe func(took time.Duration, err error)) (stop func())
	} = (*lockclient.DynamoDBLockClient)(nil)

	_ election.Clock = lockclient.Clock(nil)
)
