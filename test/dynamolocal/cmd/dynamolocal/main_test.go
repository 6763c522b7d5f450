package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/dynamolocal"
)

const commandVariable = "LEADERKIT_DYNAMOLOCAL_COMMAND"

// The test's own program is also the command.
func TestMain(m *testing.M) {
	if os.Getenv(commandVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

var available = sync.OnceValue(func() error {
	server, err := dynamolocal.Start(context.Background())
	if err == nil {
		server.Close()
	}
	return err
})

// dynamolocalCommand runs the command, or a program that runs it.
func dynamolocalCommand(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	if err := available(); errors.Is(err, dynamolocal.ErrUnavailable) && os.Getenv(dynamolocal.Required) == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), commandVariable+"=1")
	cmd.Stderr = os.Stderr
	return cmd
}

func answers(url string) error {
	reply, err := http.Get(url)
	if err == nil {
		_ = reply.Body.Close()
	}
	return err
}

func TestACommandFindsTheEndpointInItsEnvironment(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	said, err := dynamolocalCommand(t, os.Args[0], "sh", "-c", `echo "$DYNAMODB_ENDPOINT"; echo "$DYNAMODB_ENGINE"; exit 7`).Output()
	g.Expect(string(said)).To(gomega.MatchRegexp(`^http://127\.0\.0\.1:\d+\nDynamoDB Local .* in .*\n$`))
	g.Expect(err).To(gomega.MatchError("exit status 7"))

	kill := `kill -9 $(echo "$DYNAMODB_ENGINE" | sed 's/.*pid //')`
	said, err = dynamolocalCommand(t, os.Args[0], "sh", "-c", kill).Output()
	if err == nil && len(said) == 0 {
		t.Error("the command has succeeded, and its engine had ended before it did")
	}
}

func TestWithoutACommandItRunsUntilItIsInterruptedOrItsParentEnds(t *testing.T) {
	for how, end := range map[string]func(*exec.Cmd) error{
		"interrupted": func(cmd *exec.Cmd) error { return cmd.Process.Signal(os.Interrupt) },
		"terminated":  func(cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) },
		"orphaned":    func(cmd *exec.Cmd) error { return cmd.Process.Kill() },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			g := gomega.NewWithT(t)
			cmd := dynamolocalCommand(t, os.Args[0], "-port", "0", "-folder", t.TempDir())
			if how == "orphaned" {
				cmd = dynamolocalCommand(t, "sh", "-c", os.Args[0]+" -port 0 & wait")
			}
			stdout, err := cmd.StdoutPipe()
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(cmd.Start()).To(gomega.Succeed())
			lines := bufio.NewScanner(stdout)
			g.Expect(lines.Scan()).To(gomega.BeTrue())
			url := lines.Text()
			g.Expect(answers(url)).To(gomega.Succeed())
			g.Expect(end(cmd)).To(gomega.Succeed())
			_, _ = io.Copy(io.Discard, stdout) // until all who could write to it have ended
			if err := cmd.Wait(); how != "orphaned" {
				g.Expect(err).NotTo(gomega.HaveOccurred())
			}
			g.Expect(answers(url)).To(gomega.MatchError(gomega.ContainSubstring("refused")))
		})
	}
}
