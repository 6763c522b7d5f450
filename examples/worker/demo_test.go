package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
	"github.com/leaderkit/leaderkit/test/wire"
)

// The demo starts its replicas as processes of its own program, which here is the test.
func TestMain(m *testing.M) {
	if demo.IsReplica() {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestTheDemoKeepsOneLedgerThroughACrashAndADrain(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of real time")
	}
	_, said, closeIdle, err := wire.Engine(os.Getenv("DYNAMODB_ENDPOINT"))
	if err != nil {
		t.Fatal(err)
	}
	closeIdle()
	fmt.Println(said)
	var out bytes.Buffer
	err = demonstrate(context.Background(), &out, demo.Flags{Table: "leaderkit-demo", Endpoint: os.Getenv("DYNAMODB_ENDPOINT")})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"(SIGKILL)", "TAKEOVER", "(SIGTERM)", "drained", "HANDOVER", "without a gap"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out.String())
		}
	}
}
