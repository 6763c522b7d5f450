package layout

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
)

// Who imports the core gets nothing of the adapters: not into the program, and not into the list of
// modules. The program is in a module of its own, as a user's is.
func TestAProgramOnTheCoreGetsNothingOfTheAdapters(t *testing.T) {
	g := gomega.NewWithT(t)
	root, err := filepath.Abs("../..")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/user\n\ngo 1.25.0\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + root + "\n",
		"go.sum": read(t, filepath.Join(root, "go.sum")),
		"main.go": "package main\n\nimport (\n\t_ \"" + module + "/election\"\n\t_ \"" + module + "/lockclient\"\n)\n\n" +
			"func main() {}\n",
	} {
		g.Expect(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)).To(gomega.Succeed())
	}
	list := func(args ...string) []string {
		cmd := exec.Command("go", append([]string{"list"}, args...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		said, err := cmd.Output()
		g.Expect(err).NotTo(gomega.HaveOccurred(), "go list %q", args)
		return strings.Fields(string(said))
	}
	adapters := gomega.MatchRegexp("prometheus|gocron|robfig|aws-sdk-go-v2|smithy|" + module + "/.")
	g.Expect(list("-m", "-f", "{{.Path}}", "all")).To(gomega.And(
		gomega.ContainElement(module), gomega.Not(gomega.ContainElement(adapters))))
	linked := list("-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	slices.Sort(linked)
	g.Expect(slices.Compact(linked)).To(gomega.ConsistOf("example.com/user", module,
		"github.com/aws/aws-sdk-go", "github.com/go-logr/logr", "github.com/google/uuid", "github.com/jmespath/go-jmespath"))
}
