// Command dynamolocal runs DynamoDB Local.
//
//	dynamolocal [-port N] [-folder DIR]                    prints its endpoint and runs until it is interrupted
//	dynamolocal [-port N] [-folder DIR] COMMAND [ARG...]   runs the command with DYNAMODB_ENDPOINT set, then ends
//
// The port is 8000, or a free one if there is a command. -folder keeps the tables in files; without
// it they end with the process. DYNAMODB_ENGINE is set too: it says in words what runs there. Its
// exit code is the exit code of dynamolocal.
//
// DynamoDB Local ends with dynamolocal, and dynamolocal ends with the process that started it.
// SIGINT and SIGTERM end it in order: it passes SIGTERM on to the command and waits for it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/leaderkit/leaderkit/test/dynamolocal"
)

func main() {
	parent := os.Getppid()
	port := flag.Int("port", 8000, "`port` to listen on; 0: a free one, which is the default with a command")
	folder := flag.String("folder", "", "`folder` for the tables (default: in memory)")
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "port" })
	if !given && flag.NArg() > 0 {
		*port = 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, orphaned := context.WithCancel(ctx)
	go endWithParent(ctx, parent, orphaned)
	code, err := serve(ctx, flag.Args(), dynamolocal.WithPort(*port), dynamolocal.WithFolder(*folder))
	orphaned()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// endWithParent calls cancel when the parent has ended: the process then has another parent. There
// is no other way to notice that the parent was killed, because "go run" passes no SIGTERM on.
func endWithParent(ctx context.Context, parent int, cancel func()) {
	for ctx.Err() == nil && os.Getppid() == parent {
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	cancel()
}

func serve(ctx context.Context, command []string, options ...dynamolocal.Option) (code int, err error) {
	server, err := dynamolocal.Start(ctx, options...)
	if ctx.Err() != nil && err != nil {
		return 1, errors.New("dynamolocal: interrupted before it was started")
	}
	if err != nil {
		return 1, err
	}
	defer server.Close()
	if len(command) > 0 {
		return runCommand(ctx, server, command)
	}
	fmt.Println(server.URL)
	fmt.Fprintf(os.Stderr, "%s, until it is interrupted\n", server)
	select {
	case <-ctx.Done():
		return 0, nil
	case <-server.Ended():
		return 1, server.Check(ctx)
	}
}

// runCommand fails if the command fails, and also if the engine ended before the command did.
func runCommand(ctx context.Context, server *dynamolocal.Server, command []string) (code int, err error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DYNAMODB_ENDPOINT="+server.URL, "DYNAMODB_ENGINE="+server.String())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return 1, fmt.Errorf("dynamolocal: %w", err)
	}
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		return code, nil
	}
	if err != nil {
		return 1, fmt.Errorf("dynamolocal: %s: %w", command[0], err)
	}
	return 0, server.Check(context.WithoutCancel(ctx))
}
