//go:build unix

// Command runner runs the stages of hack/test.sh: runner FOLDER-FOR-LOGS [quick].
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/leaderkit/leaderkit/test/dynamolocal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	began, r := time.Now(), &runner{ctx: ctx, logs: os.Args[1], ended: map[string]int{}}
	r.stage("tools", 10, ".", nil, "sh", "-c", "go version && go build -race errors && go mod download")
	quick := len(os.Args) > 2
	var both sync.WaitGroup // most suites on DynamoDB Local only wait for leases to run out
	if !quick {
		both.Go(func() { r.withDynamoDBLocal(mostSuites) })
	}
	r.stage("lint", 20, ".", nil, "hack/lint.sh")
	r.onDynamotest()
	both.Wait()
	if !quick { // these use all cores, and the last one judges times
		r.stage("simulation, 5000 seeds", 30, ".", nil, "hack/simulate.sh", "-n", "5000")
		r.stage("every mutant is caught", 30, ".", nil, "go", "run", "./test/simulation/mutants")
		if slices.Contains(suites(), judgesTimes) {
			r.withDynamoDBLocal(func(e *engine) { e.suite(judgesTimes) })
		}
	}
	fmt.Printf("\n%-62s %-8s %7s\n%s\ntime: %v\n", "stage", "result", "seconds", r.table, time.Since(began).Round(time.Second))
	fmt.Printf("%d passed, %d failed\n", r.ended["passed"], r.ended["FAILED"])
	if r.ended["FAILED"] > 0 || ctx.Err() != nil {
		os.Exit(1) // the logs stay
	}
	_ = os.RemoveAll(r.logs)
}

// grep returns the lines of Go's test files that match.
func grep(options, pattern string) []string {
	out, _ := exec.Command("grep", options, "--include=*_test.go", pattern, ".").Output()
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// suites are the folders of the tests that talk to an engine.
func suites() (folders []string) {
	for _, file := range grep("-rlE", `(Getenv|LookupEnv)\("DYNAMODB_ENDPOINT"\)`) {
		folders = append(folders, filepath.Dir(file))
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

func (r *runner) onDynamotest() {
	modules, _ := exec.Command("find", ".", "-name", "go.mod", "-not", "-path", "*/testdata/*").Output()
	for _, file := range strings.Fields(string(modules)) {
		module := filepath.Dir(file)
		talks := slices.ContainsFunc(suites(), func(s string) bool { return module == "." || strings.HasPrefix(s+"/", module+"/") })
		r.stage("module "+module, 24, module, func(said string) error { return ranOn("dynamotest", talks, said) },
			"go", "test", "-race", "-count=1", "-timeout", "23m", "-v", "./...")
	}
	r.stage("demo", 5, ".", nil, "go", "run", "./examples/leader")
}

// judgesTimes is the suite that runs alone and on an engine of its own, because it judges how long
// real processes take. An engine that has served all the others is slow.
const judgesTimes = "test/chaos"

// engine is DynamoDB Local, and the door to it.
type engine struct {
	*runner
	server *dynamolocal.Server
	door   *door
}

// withDynamoDBLocal starts DynamoDB Local, and ends it when the stages that use it are over.
func (r *runner) withDynamoDBLocal(stages func(*engine)) {
	began := time.Now()
	server, err := dynamolocal.Start(r.ctx)
	if err != nil {
		r.record("DynamoDB Local starts", began, "", err)
		return
	}
	defer server.Close()
	r.record("DynamoDB Local starts", began, fmt.Sprintf("    %s, at %s\n", server, server.URL), nil)
	door, err := open(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		r.record("a door to DynamoDB Local", began, "", err)
		return
	}
	defer door.close()
	stages(&engine{r, server, door})
}

func (e *engine) stage(name, dir string, talks bool, command ...string) {
	before := e.door.passed.Load()
	e.runner.stage(name+" on DynamoDB Local", 20, dir, func(said string) error {
		err := errors.Join(ranOn("endpoint "+e.door.url+" (Jetty(", talks, said), e.server.Check(e.ctx))
		if got := e.door.passed.Load() - before; talks && got < fewBytes {
			err = errors.Join(err, fmt.Errorf("the suite has sent %d bytes to DynamoDB Local: it did not talk to it", got))
		}
		return err
	}, append([]string{"env", "DYNAMODB_ENDPOINT=" + e.door.url}, command...)...)
}

func (e *engine) suite(folder string) {
	e.stage(folder, folder, true, "go", "test", "-race", "-count=1", "-timeout", "19m", "-v", ".")
}

// mostSuites runs all that uses DynamoDB Local, but for the suite that runs alone.
func mostSuites(e *engine) {
	for _, folder := range suites() {
		if folder != judgesTimes {
			e.suite(folder)
		}
	}
	scripts, _ := filepath.Glob("test/*/run.sh")
	for _, script := range scripts {
		e.stage(script, ".", false, script)
	}
	e.stage("demo", ".", false, "go", "run", "./examples/leader", "-endpoint", e.door.url, "-table", "leaderkit-demo")
	for _, line := range grep("-roE", `^func Fuzz\w+`) { // a differential target compares with DynamoDB Local
		file, target, _ := strings.Cut(line, ":func ")
		e.stage(target+" in "+filepath.Dir(file), filepath.Dir(file), false, "sh", "-c", fuzz, target)
	}
}

// fuzz runs a target for 10 s. Before Go 1.27 it may fail without cause: golang/go#75804.
const fuzz = `said=$(go test -run '^$' -fuzz "^$0\$" -fuzztime 10s . 2>&1); code=$?; echo "$said"
echo "$said" | grep -q '^fuzz: elapsed' || exit 1
[ $code = 0 ] || { echo "$said" | grep -q 'context deadline exceeded' && ! echo "$said" | grep -qE 'Failing input|^panic:|_test.go:'; }`

// ranOn fails if a suite ran on another engine than promised, or does not say which it talked to.
func ranOn(promised string, talks bool, said string) error {
	named := regexp.MustCompile(`leaderkit-engine: (.*)`).FindAllStringSubmatch(said, -1)
	if talks && len(named) == 0 {
		return fmt.Errorf("promised %q, and the suite does not say which engine it ran on", promised)
	}
	for _, name := range named {
		if !strings.HasPrefix(name[1], promised) {
			return fmt.Errorf("promised %q, and the suite ran on %q", promised, name[1])
		}
	}
	return nil
}

// runner runs stages. One that fails stops no other.
type runner struct {
	ctx   context.Context
	logs  string     // a folder
	mu    sync.Mutex // two stages may end at once
	table string
	ended map[string]int // "passed", "FAILED"
}

func (r *runner) record(name string, began time.Time, shown string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	verdict, seconds := "passed", time.Since(began).Seconds()
	if err != nil {
		verdict = "FAILED"
		shown += fmt.Sprintf("    %v\n", err)
	}
	r.ended[verdict]++
	fmt.Printf("==> %s: %s in %.0f s\n%s", name, verdict, seconds, shown)
	r.table += fmt.Sprintf("%-62s %-8s %7.0f\n", name, verdict, seconds)
}

// What a reader wants to see of a stage that passed, and of one that failed.
const (
	notes   = `grep -oE 'leaderkit-engine: .*|^ *skipped .*' "$0" | sort -u | sed 's/^/    /'`
	excerpt = `quiet() { grep -vE '^ *(=== (RUN|PAUSE|CONT)|--- PASS)' "$0"; }
{ [ "$(quiet | wc -l)" -gt 60 ] && quiet | grep -E -B25 -A8 -e '--- FAIL|\[FAIL|^panic: |DATA RACE|VIOLATION|^WRONG|^FAIL	|^# ' | head -n 200
echo ...; quiet | tail -n 60; } | sed 's/^/    | /'; echo "    all of it: $0"`
)

// stage runs a command, and then judge if the command succeeded and judge is not nil.
func (r *runner) stage(name string, minutes time.Duration, dir string, judge func(said string) error, command ...string) {
	if r.ctx.Err() != nil {
		return
	}
	fmt.Printf("... %s\n", name)
	began := time.Now()
	log := filepath.Join(r.logs, regexp.MustCompile(`\W+`).ReplaceAllString(name, "-")+".log")
	err := run(r.ctx, minutes*time.Minute, dir, log, command)
	if said, unread := os.ReadFile(log); err == nil && judge != nil {
		err = errors.Join(unread, judge(string(said)))
	}
	show := notes
	if err != nil {
		show = excerpt
	}
	shown, _ := exec.Command("sh", "-c", show, log).Output()
	r.record(name, began, string(shown), err)
}

// run runs a command in a process group of its own. When it returns, the whole group has ended.
func run(ctx context.Context, limit time.Duration, dir, log string, command []string) error {
	file, err := os.Create(log)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("stopped: it took longer than %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func(signal syscall.Signal) error { return syscall.Kill(-cmd.Process.Pid, signal) }
	cmd.Cancel = func() error { return kill(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second // then SIGKILL
	if err := cmd.Start(); err != nil {
		return err
	}
	err = cmd.Wait()
	_ = kill(syscall.SIGKILL) // whoever is left of the group
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
