package lockclient_test

import (
	"strconv"
	"sync/atomic"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
)

// rotatingKeys are credentials that are valid until the server says otherwise.
type rotatingKeys struct{ retrieved atomic.Int32 }

func (k *rotatingKeys) Retrieve() (credentials.Value, error) {
	k.retrieved.Add(1)
	return credentials.Value{AccessKeyID: "key", SecretAccessKey: "secret", SessionToken: strconv.Itoa(int(k.retrieved.Load()))}, nil
}

func (k *rotatingKeys) IsExpired() bool { return false }

func (k *rotatingKeys) configure(c *aws.Config) { c.Credentials = credentials.NewCredentials(k) }
