package interop

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/wire"
)

// workerVariable makes this test's binary a contender of ours in a process of its own, to be
// stopped and killed. It holds the arguments, one a line.
const workerVariable = "LEADERKIT_INTEROP_WORKER"

// runWorker obeys the commands that the Java program obeys, as far as they are needed.
func runWorker(arguments string) error {
	settings := map[string]string{}
	for line := range strings.Lines(arguments) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		settings[name] = value
	}
	milliseconds := func(name string) time.Duration {
		n, _ := strconv.Atoi(settings[name])
		return time.Duration(n) * time.Millisecond
	}
	transport, _, err := wire.Endpoint(settings["endpoint"])
	if err != nil {
		return err
	}
	client := wire.NewClient(transport)
	o := &ours{
		// The ledger is in another process, and is told.
		ledger: &ledger{told: func(words ...any) { fmt.Println(words...) }},
		DynamoDBLockClient: &lockclient.DynamoDBLockClient{
			LockName: settings["lock"], TableName: settings["table"], Identifier: settings["owner"],
			LeaseDuration: milliseconds("lease"), HeartbeatPeriod: milliseconds("heartbeat"), Client: client,
		},
	}
	if text := settings["data"]; text != "" {
		o.Data = []byte(text)
	}
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		command, argument, _ := strings.Cut(commands.Text(), " ")
		ms, _ := strconv.Atoi(argument)
		duration := time.Duration(ms) * time.Millisecond
		switch command {
		case "clock":
			fmt.Println("clock", clock().Nanoseconds())
		case "wait":
			ctx, cancel := context.WithTimeout(context.Background(), o.LeaseDuration+duration)
			err := o.await(ctx)
			cancel()
			if err != nil {
				fmt.Println("refused")
				continue
			}
			fmt.Println("granted", string(o.Data))
		case "release":
			held, _ := o.HasLock()
			if err := o.free(); err != nil {
				fmt.Println("error", err)
				continue
			}
			fmt.Println("released", held)
		case "contend":
			t, err := o.contend(duration, counter{client: client, table: o.TableName, lock: o.LockName})
			if err != nil {
				fmt.Println("error", err)
				continue
			}
			fmt.Println("contended", t.tenures, t.increments, t.late, t.conflicts)
		default:
			fmt.Println("error no command", command)
		}
	}
	return commands.Err()
}
