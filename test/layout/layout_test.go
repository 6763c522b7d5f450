// Package layout tests the rules of this repository that neither the compiler nor a linter knows.
package layout

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
)

const module = "github.com/leaderkit/leaderkit"

// files returns the paths of the project's files, committed or about to be, relative to the root
// and with slashes. Without git it returns all files.
func files(t *testing.T) []string {
	t.Helper()
	t.Chdir("../..")
	if said, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard").Output(); err == nil {
		return slices.DeleteFunc(strings.Fields(string(said)), func(path string) bool {
			_, err := os.Stat(path)
			return err != nil
		})
	}
	var all []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d.Name() == ".git" {
			return fs.SkipDir
		}
		if !d.IsDir() {
			all = append(all, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNothingElseIsAtTheTopLevel(t *testing.T) {
	top := map[string]bool{}
	for _, path := range files(t) {
		name, _, _ := strings.Cut(path, "/")
		top[name] = top[name] || !strings.HasPrefix(name, ".")
	}
	for _, name := range []string{"LICENSE", "README.md", "election", "examples", "go.mod", "go.sum", "hack", "lockclient", "test"} {
		if !top[name] {
			t.Errorf("%s is missing", name)
		}
		delete(top, name)
	}
	for name, shown := range top {
		if shown {
			t.Errorf("%s does not belong at the top level", name)
		}
	}
}

// goMod is what "go mod edit -json" prints.
type goMod struct {
	Go      string
	Require []struct {
		Path     string
		Indirect bool
	}
}

func TestTheCoreHasSixDependenciesAndAllModulesTheSameGo(t *testing.T) {
	g := gomega.NewWithT(t)
	for _, path := range files(t) {
		if filepath.Base(path) != "go.mod" {
			continue
		}
		said, err := exec.Command("go", "mod", "edit", "-json", path).Output()
		g.Expect(err).NotTo(gomega.HaveOccurred())
		var mod goMod
		g.Expect(json.Unmarshal(said, &mod)).To(gomega.Succeed())
		g.Expect(mod.Go).To(gomega.Equal("1.25.0"), path)
		var direct []string
		for _, r := range mod.Require {
			if !r.Indirect {
				direct = append(direct, r.Path)
			}
		}
		if path == "go.mod" {
			g.Expect(direct).To(gomega.ConsistOf("github.com/aws/aws-sdk-go", "github.com/go-logr/logr", "github.com/go-logr/stdr",
				"github.com/google/uuid", "github.com/onsi/ginkgo/v2", "github.com/onsi/gomega"))
		}
	}
}

// Who needs whom, directly or not. election knows lockclient through an interface. lockclient knows
// nothing of election. Neither needs anything of the tests. An in-memory engine that used code of
// the client would have the same mistakes.
func TestPackagesDoNotNeedWhatTheyMustNotKnow(t *testing.T) {
	t.Chdir("../..")
	for _, rule := range []struct{ packages, needs, mustNot string }{
		{"./election/...", "Deps", `^(lockclient|test|examples)(/|$)`},
		{"./lockclient/...", "Deps", `^(election|test|examples)(/|$)`},
		{"./lockclient/...", "TestImports", `^election(/|$)`},
		{"./lockclient/...", "XTestImports", `^election(/|$)`},
		{"./test/dynamotest", "Deps", `^(lockclient|election)(/|$)`},
		{"./test/dynamolocal", "Deps", `^(lockclient|election)(/|$)`},
	} {
		said, err := exec.Command("go", "list", "-f", "{{range ."+rule.needs+"}}{{$.ImportPath}} {{.}}\n{{end}}", rule.packages).Output()
		if err != nil || len(said) == 0 {
			t.Fatalf("go list %s: %v", rule.packages, err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(said)), "\n") {
			who, needed, _ := strings.Cut(line, " ")
			needed, ours := strings.CutPrefix(needed, module+"/")
			shared := needed == "lockclient/lease" || strings.HasPrefix(who, module+"/election/shards") // shards is built on both
			if ours && !shared && regexp.MustCompile(rule.mustNot).MatchString(needed) {
				t.Errorf("%s must not need %s", who, needed)
			}
		}
	}
}

// The form of requests, and that they go out without the SDK's retries, is decided in files that
// say so.
func TestRequestsOfLockclientAreBuiltInFilesOfThatName(t *testing.T) {
	request := regexp.MustCompile(`dynamodb\.[A-Za-z]*Input\{`)
	built := 0
	for _, path := range files(t) {
		dir, name := filepath.Split(path)
		if dir != "lockclient/" || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || !request.MatchString(read(t, path)) {
			continue
		}
		built++
		if !strings.HasSuffix(name, "requests.go") {
			t.Errorf("%s builds requests: do that in requests.go, or tablerequests.go for tables", path)
		}
	}
	if built == 0 {
		t.Error("no file of lockclient builds requests")
	}
}

// A test that sleeps for real is slow, and fails on a slow machine. In a synctest bubble the clock
// is virtual and sleeping takes no time, so a file that mentions synctest may sleep. Elsewhere a
// line that must let real time pass says why at its end, as in "// sleep: the reason".
func TestNoTestSleepsInRealTimeWithoutAReason(t *testing.T) {
	sleeps := regexp.MustCompile(`time\.(Sleep|After)\(`)
	excused := regexp.MustCompile(`// sleep: .{10,}|^\s*//|case <-time\.After`)
	for _, path := range files(t) {
		if !strings.HasSuffix(path, "_test.go") {
			continue
		}
		text := read(t, path)
		if strings.Contains(text, "synctest") {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if sleeps.MatchString(line) && !excused.MatchString(line) {
				t.Errorf("%s:%d: wait with Eventually or in a synctest bubble, or say why: // sleep: the reason\n%s", path, i+1, line)
			}
		}
	}
}

// hack/test.sh finds the suites that use an engine by the variable that their tests read.
func TestOnlyTestsAndProgramsReadTheEndpoint(t *testing.T) {
	reads := regexp.MustCompile(`(Getenv|LookupEnv)\("DYNAMODB_ENDPOINT"\)`)
	for _, path := range files(t) {
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			if text := read(t, path); reads.MatchString(text) && !strings.Contains("\n"+text, "\npackage main\n") {
				t.Errorf("%s reads DYNAMODB_ENDPOINT for the tests of others: let them read it, so that they are found", path)
			}
		}
	}
}

// A fault whose test has been renamed is a fault without a test.
func TestTheTestsNamedInTheSafetyArgumentExist(t *testing.T) {
	var tests strings.Builder
	for _, path := range files(t) {
		if strings.HasSuffix(path, "_test.go") {
			tests.WriteString(read(t, path))
		}
	}
	safety := read(t, "test/SAFETY.md")
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(safety, -1)
	_, faults, found := strings.Cut(safety, "\n## Fault models")
	faults, _, ends := strings.Cut(faults, "\n## The figures")
	specs := regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(faults, -1)
	if !found || !ends || len(names) == 0 || len(specs) == 0 {
		t.Fatal("test/SAFETY.md has no fault models, or names no tests")
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "\nfunc "+name[1]+"(") {
			t.Errorf("test/SAFETY.md names %s, and there is no such test", name[1])
		}
	}
	for _, spec := range specs {
		if !strings.Contains(tests.String(), spec[1]) {
			t.Errorf("test/SAFETY.md quotes %q, and there is no such spec", spec[1])
		}
	}
}

// What a reader copies out of an example needs no internal package: it is in files of its own.
func TestExamplesCanBeCopiedOut(t *testing.T) {
	copied := map[string]bool{}
	for _, path := range files(t) {
		folder := strings.Split(path, "/")
		if folder[0] != "examples" || folder[1] == "internal" || !strings.HasSuffix(path, ".go") {
			continue
		}
		text := read(t, path)
		takesPart := strings.Contains(text, module+`/lockclient"`) || strings.Contains(text, module+`/election"`)
		copied[folder[1]] = copied[folder[1]] || takesPart && !strings.Contains(text, module+"/examples/internal/")
	}
	for _, folder := range []string{"basic-case", "create-local-table", "cron", "leader", "sessions", "shards", "worker"} {
		if can, found := copied[folder]; !found || !can {
			t.Errorf("examples/%s has no file on lockclient or election without examples/internal", folder)
		}
	}
}

// The licence of DynamoDB Local forbids redistribution, and nobody can review a binary.
func TestNoProgramIsCommitted(t *testing.T) {
	binary := regexp.MustCompile(`\.(jar|so|dylib|dll|tgz|zip|gz|class|exe|test)$`)
	for _, path := range files(t) {
		if binary.MatchString(path) {
			t.Errorf("%s does not belong into the repository", path)
		}
	}
}
