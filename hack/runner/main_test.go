//go:build unix

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/dynamolocal"
)

const runnerVariable = "LEADERKIT_RUNNER_TEST"

// The test's own program is also the runner, in the folder of a broken project.
func TestMain(m *testing.M) {
	if os.Getenv(runnerVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// project writes a module with these files and returns the command that runs only its suites.
func project(t *testing.T, files map[string]string) *exec.Cmd {
	t.Helper()
	if said, err := exec.Command("go", "build", "-race", "errors").CombinedOutput(); err != nil {
		t.Skipf("the race detector does not work here: %s", said)
	}
	dir := t.TempDir()
	files["go.mod"] = "module example.com/p\n\ngo 1.25.0\n"
	files["hack/lint.sh"], files["hack/simulate.sh"] = "#!/bin/sh\n", "#!/bin/sh\n"
	files["examples/leader/main.go"], files["test/simulation/mutants/main.go"] = "package main\nfunc main() {}\n", "package main\nfunc main() {}\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0], t.TempDir(), "quick")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), runnerVariable+"=1", "DYNAMODB_ENDPOINT=", "GOFLAGS=-mod=mod", "GOWORK=off")
	return cmd
}

// suite is a test that could talk to an engine. This file itself must not look like one.
func suite(body string) string {
	return `package p
import ("fmt"; "net/http"; "os"; "testing")
var url, _, _ = os.Getenv("DYNAMODB_` + `ENDPOINT"), fmt.Sprint(), http.MethodGet
func TestIt(t *testing.T) { ` + body + "}"
}

func TestWhatIsBrokenIsReportedAndFailsTheRun(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		says  []string
		last  string
	}{
		"nothing is broken": {map[string]string{"p_test.go": suite(`fmt.Println("leaderkit-engine: dynamotest")`)}, []string{"    leaderkit-engine: dynamotest"}, "4 passed, 0 failed"},
		"a test fails":      {map[string]string{"p_test.go": suite(`fmt.Println("leaderkit-engine: dynamotest"); t.Error("two leaders")`)}, []string{"--- FAIL: TestIt", "two leaders", "exit status 1"}, "3 passed, 1 failed"},
		"it does not build": {map[string]string{"p_test.go": suite(`nonsense()`)}, []string{"undefined: nonsense"}, "3 passed, 1 failed"},
		"another engine":    {map[string]string{"p_test.go": suite(`fmt.Println("leaderkit-engine: endpoint http://x")`)}, []string{`promised "dynamotest", and the suite ran on "endpoint http://x"`}, "3 passed, 1 failed"},
		"no engine named":   {map[string]string{"p_test.go": suite("")}, []string{"does not say which engine"}, "3 passed, 1 failed"},
		"a nested module": {map[string]string{"p_test.go": suite(`fmt.Println("leaderkit-engine: dynamotest")`),
			"a/b/go.mod": "module example.com/b\n\ngo 1.25.0\n", "a/b/b_test.go": "package b\n\nfunc init() { panic(1) }\n"}, []string{"panic: 1"}, "4 passed, 1 failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gomega.NewWithT(t)
			output, err := project(t, c.files).CombinedOutput()
			for _, text := range c.says {
				g.Expect(string(output)).To(gomega.ContainSubstring(text))
			}
			lines := strings.Split(strings.TrimSpace(string(output)), "\n")
			g.Expect(lines[len(lines)-1]).To(gomega.Equal(c.last), string(output))
			g.Expect(err == nil).To(gomega.Equal(strings.HasSuffix(c.last, " 0 failed")))
		})
	}
}

func TestASuiteThatOnlyPretendsToTalkToDynamoDBLocalFails(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	dynamolocal.NewServer(t).Close() // or it is skipped
	const says = `if url == "" { fmt.Println("leaderkit-engine: dynamotest"); return }
		fmt.Printf("leaderkit-engine: endpoint %s (Jetty(12))\n", url)
		`
	cmd := project(t, map[string]string{"honest/p_test.go": suite(says + "for range 30 { _, _ = http.Get(url) }"), "pretends/p_test.go": suite(says)})
	cmd.Args = cmd.Args[:2] // not quick
	output, _ := cmd.CombinedOutput()
	g.Expect(string(output)).To(gomega.HaveSuffix("9 passed, 1 failed\n"))
	g.Expect(string(output)).To(gomega.MatchRegexp(`honest on DynamoDB Local +passed`))
}

// A stage that takes too long or is interrupted leaves no process behind, even if it ignores
// SIGTERM.
func TestAStageIsEndedWithAllItsProcesses(t *testing.T) {
	const script = `(trap '' TERM; while :; do echo >>beats; sleep 0.02; done) & wait`
	for why, limit := range map[string]time.Duration{"stopped: it took longer than 500ms": 500 * time.Millisecond, "context canceled": time.Minute} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			g := gomega.NewWithT(t)
			ctx, cancel := context.WithCancel(t.Context())
			dir := t.TempDir()
			beats := func() int64 {
				file, err := os.Stat(filepath.Join(dir, "beats"))
				if err != nil {
					return 0
				}
				return file.Size()
			}
			go func() {
				g.Eventually(beats).WithTimeout(time.Minute).Should(gomega.BeNumerically(">", 3))
				if limit == time.Minute {
					cancel()
				}
			}()
			err := run(ctx, limit, dir, filepath.Join(dir, "log"), []string{"sh", "-c", script})
			g.Expect(err).To(gomega.MatchError(why))
			cancel()
			g.Eventually(func() bool {
				before := beats()
				<-time.After(300 * time.Millisecond) // sleep: a process that is still there writes meanwhile
				return beats() == before
			}).Should(gomega.BeTrue())
		})
	}
}
