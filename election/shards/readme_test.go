package shards_test

import (
	"context"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/election/shards"
	"github.com/leaderkit/leaderkit/lockclient"
)

// What README.md shows is in this function, line by line, so that it compiles.
func readmeRun(ctx context.Context, db dynamodbiface.DynamoDBAPI, work func(context.Context, string, int64)) error {
	session := &lockclient.Session{TableName: "locks", Client: db, LeaseDuration: 15 * time.Second}
	replica, err := shards.New(shards.Config{
		Session: session,
		Group:   "orders", // the same for all replicas
		Count:   512,      // shards "0" to "511"; or give Names
		Callbacks: shards.Callbacks{
			OnStarted: func(ctx context.Context, shard string) {
				term, _ := election.TermFromContext(ctx) // check term.FencingToken where you write
				work(ctx, shard, term.FencingToken)      // returns soon after its ctx is done
			},
			OnStopped: func(shard string) {},
		},
		Logger: logr.FromSlogHandler(slog.Default().Handler()),
	})
	if err != nil {
		return err // names every field that must be changed
	}
	if err := replica.Run(ctx); err != nil { // until ctx ends: then it hands its shards over
		return err
	}
	return session.Close(context.WithoutCancel(ctx))
}

var _ = readmeRun

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// flush takes the indentation away.
func flush(text string) string { return regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(text, "") }

func TestTheBlockOfTheReadmeCompiles(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readFile(t, "README.md"), -1)
	if len(blocks) != 1 || !strings.Contains(flush(readFile(t, "readme_test.go")), flush(blocks[0][1])) {
		t.Errorf("%d blocks, which are not in readme_test.go", len(blocks))
	}
}

func TestTheReadmeHasEachMessageOfTheLog(t *testing.T) {
	readme := readFile(t, "README.md")
	messages := regexp.MustCompile(`(?m)^\tmsg\w+ += "(.*)"$`).FindAllStringSubmatch(readFile(t, "log.go"), -1)
	if len(messages) < 15 {
		t.Fatalf("log.go has %d messages", len(messages))
	}
	for _, message := range messages {
		if !strings.Contains(readme, "\n| `"+message[1]+"` | ") {
			t.Errorf("README.md does not say what %q means", message[1])
		}
	}
}
