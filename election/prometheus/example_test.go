package prometheus_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb/dynamodbiface"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leaderkit/leaderkit/election"
	leaderprom "github.com/leaderkit/leaderkit/election/prometheus"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// newDatabase stands for dynamodb.New(session) with the table in place.
func newDatabase() dynamodbiface.DynamoDBAPI {
	client := dynamotest.NewClient(dynamotest.New())
	if err := lockclient.EnsureTable(context.Background(), client, "locks", lockclient.WithoutTTL()); err != nil {
		log.Fatal(err)
	}
	return client
}

// A leader whose metrics can be scraped.
func Example() {
	db := newDatabase()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	provider, err := leaderprom.New(prometheus.DefaultRegisterer)
	if err != nil {
		log.Fatal(err)
	}
	election.SetProvider(provider) // before the first elector is made
	http.Handle("/metrics", promhttp.Handler())

	elector, err := election.NewLeaderElector(election.LeaderElectionConfig{
		Name: "orders", // the label name of every metric
		Lock: &lockclient.DynamoDBLockClient{
			LockName: "orders", TableName: "locks", LeaseDuration: 15 * time.Second, Client: db,
		},
		Callbacks: election.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { <-ctx.Done() },
			OnStoppedLeading: func() {},
		},
		ReleaseOnCancel: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- elector.Run(ctx) }()

	scrapeUntil(`leader_election_master_status{name="orders"} 1`)
	stop()
	fmt.Println("stopped:", <-done)
	scrapeUntil(`leader_election_master_status{name="orders"} 0`)
	scrapeUntil(`leader_election_terms_ended_total{cause="cancelled",name="orders"} 1`)
	// Output:
	// leader_election_master_status{name="orders"} 1
	// stopped: <nil>
	// leader_election_master_status{name="orders"} 0
	// leader_election_terms_ended_total{cause="cancelled",name="orders"} 1
}

// scrapeUntil gets the metrics as a Prometheus server does, until they have a line, and prints it.
func scrapeUntil(line string) {
	for {
		reply := httptest.NewRecorder()
		http.DefaultServeMux.ServeHTTP(reply, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if strings.Contains(reply.Body.String(), "\n"+line+"\n") {
			fmt.Println(line)
			return
		}
		runtime.Gosched()
	}
}
