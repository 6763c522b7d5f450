package election_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/go-logr/logr"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/election/cron"
	"github.com/leaderkit/leaderkit/election/shards"
	"github.com/leaderkit/leaderkit/lockclient"
)

// What README.md shows is in these functions, line by line, so that it compiles.

func readmeConfigure(ctx context.Context, db dynamodbiface.DynamoDBAPI, hostname string, work func(context.Context)) error {
	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Name: "orders", // in logs, metrics and on the status page
		Lock: &lockclient.DynamoDBLockClient{
			LockName: "orders", TableName: "locks", LeaseDuration: 15 * time.Second, Client: db,
			Identifier: hostname, // unique among the live replicas
		},
		ReleaseOnCancel: true, // another leads at once after a shutdown
		HandoverNotice:  true, // and without a gap
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: work, // returns soon after its ctx is done
			OnStoppedLeading: func() {},
		},
		Logger: logr.FromSlogHandler(slog.Default().Handler()),
	})
	if err != nil {
		return err // names every field that must be changed
	}
	return elector.Run(ctx)
}

func readmeProbes(mux *http.ServeMux, elector *election.LeaderElector) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := elector.Check(15 * time.Second); err != nil && !errors.Is(err, election.ErrCannotCampaign) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.Handle("GET /leader", elector.Handler())
}

func readmeLogs() logr.Logger {
	logger := logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, nil)) // the standard library
	return logger
}

func readmeShutdown(elector *election.LeaderElector) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	err := elector.Run(ctx)
	return err
}

func readmeTransfer(ctx context.Context, elector *election.LeaderElector) error {
	if err := elector.TransferTo(ctx, "replica-2"); errors.Is(err, election.ErrNotLeading) {
		return nil // another process leads already
	}
	return nil
}

func readmeExits(work func(context.Context)) election.LeaderCallbacks {
	callbacks := election.LeaderCallbacks{
		OnStartedLeading: work,
		OnStoppedLeading: func() {},
		// Exits only if the work has not returned when its lease is about to end.
		OnLeaseEnding: func(cause error) { os.Exit(1) },
	}
	callbacks.OnStartedLeading = func(ctx context.Context) {
		// Exits as soon as leading ends, as with client-go. The lease then runs out by itself.
		context.AfterFunc(ctx, func() { os.Exit(1) })
		work(ctx)
	}
	return callbacks
}

func readmeMany(ctx context.Context, db dynamodbiface.DynamoDBAPI, tenants []string, runElector func(context.Context, election.Lock)) {
	session := &lockclient.Session{TableName: "locks", Client: db, LeaseDuration: 15 * time.Second}
	for _, tenant := range tenants {
		go runElector(ctx, &lockclient.DynamoDBLockClient{LockName: tenant, Session: session})
	}
}

func readmeShards(ctx context.Context, db dynamodbiface.DynamoDBAPI, consume func(context.Context, string)) error {
	replica, err := shards.New(shards.Config{
		Session: &lockclient.Session{TableName: "locks", Client: db, LeaseDuration: 15 * time.Second},
		Group:   "orders",
		Count:   512, // shards "0" to "511"
		Callbacks: shards.Callbacks{
			OnStarted: func(ctx context.Context, shard string) { consume(ctx, shard) }, // returns soon after ctx is done
			OnStopped: func(shard string) {},
		},
	})
	if err != nil {
		return err
	}
	return replica.Run(ctx)
}

func readmeCron(db dynamodbiface.DynamoDBAPI, runElector func(election.LeaderCallbacks) error, sendInvoices func(context.Context, time.Time) error) error {
	jobs, err := cron.New(cron.Config{Client: db, TableName: "locks", Jobs: []cron.Job{{
		Name:     "invoices",
		Schedule: cron.Every(time.Hour),
		Missed:   cron.RunOnce, // after an outage: one run for all missed ticks
		Run: func(ctx context.Context, tick cron.Tick) error {
			return sendInvoices(ctx, tick.Time) // ctx ends with the term
		},
	}}})
	if err != nil {
		return err
	}
	return runElector(election.LeaderCallbacks{OnStartedLeading: jobs.Lead, OnStoppedLeading: func() {}})
}

var _ = []any{readmeCron, readmeShards, readmeMany, readmeConfigure, readmeProbes, readmeLogs, readmeShutdown, readmeTransfer, readmeExits}

func TestEachGoBlockOfTheReadmeCompiles(t *testing.T) {
	compiled := flush(readFile(t, "readme_test.go"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readFile(t, "README.md"), -1)
	if len(blocks) < 7 {
		t.Fatalf("README.md has %d Go blocks", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(compiled, flush(block[1])) {
			t.Errorf("this block of README.md is not in readme_test.go:\n%s", block[1])
		}
	}
}

func TestTheReadmeHasEachMessageOfTheLog(t *testing.T) {
	readme := readFile(t, "README.md")
	messages := regexp.MustCompile(`(?m)^\tmsg\w+ += "(.*)"$`).FindAllStringSubmatch(readFile(t, "log.go"), -1)
	if len(messages) < 20 {
		t.Fatalf("log.go has %d messages", len(messages))
	}
	for _, message := range messages {
		if !strings.Contains(readme, "\n| `"+message[1]+"` | ") {
			t.Errorf("README.md does not say what to do about %q", message[1])
		}
	}
}

// The samples are from a real run. Each line must be one that the code can still write.
func TestTheReadmeShowsMessagesThatAreInItsTable(t *testing.T) {
	readme := readFile(t, "README.md")
	samples := regexp.MustCompile(`(?m)^t=\d.*$`).FindAllString(readme, -1)
	if len(samples) < 20 {
		t.Fatalf("README.md has %d samples", len(samples))
	}
	message := regexp.MustCompile(`level=(INFO|ERROR) msg=("([^"]+)"|(\w+))`)
	key := regexp.MustCompile(`(?:^| )(\w+)=`)
	quoted := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	for _, sample := range samples {
		said := message.FindStringSubmatch(sample)
		if said == nil {
			t.Errorf("no message: %s", sample)
			continue
		}
		row := regexp.MustCompile("(?m)^\\| `" + said[3] + said[4] + "` \\| (info|error) \\| ([^|]*) \\|").FindStringSubmatch(readme)
		if row == nil || !strings.EqualFold(row[1], said[1]) {
			t.Errorf("the table has no %s %q", said[1], said[3]+said[4])
			continue
		}
		for _, found := range key.FindAllStringSubmatch(quoted.ReplaceAllString(sample, ""), -1) {
			switch k := found[1]; k {
			case "t", "level", "msg", "name", "identity":
			default:
				if !strings.Contains(row[2], "`"+k+"`") {
					t.Errorf("the table has no key %s for %q", k, said[3]+said[4])
				}
			}
		}
	}
}

// flush is text without its indentation and blank lines.
func flush(text string) string {
	return regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(text, "")
}

func readFile(t *testing.T, name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
