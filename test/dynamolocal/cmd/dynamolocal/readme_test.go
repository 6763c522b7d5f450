package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/onsi/gomega"
)

// The walk of the root README, in a module of its own as a user's is: the program that it shows,
// its commands, two leaders, one that is stopped and one that is killed.
func TestANewcomerGetsALeaderFromTheRootReadmeAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a lease of 15 s")
	}
	engine := dynamolocalCommand(t, os.Args[0], "-port", "0") // README.md has the default port, which may be in use here
	g := gomega.NewWithT(t)
	text, err := os.ReadFile("../../../../README.md")
	g.Expect(err).NotTo(gomega.HaveOccurred())
	readme := string(text)
	g.Expect(readme).To(gomega.ContainSubstring("\ngo mod tidy && go run github.com/leaderkit/leaderkit/test/dynamolocal/cmd/dynamolocal\n"))
	n := &newcomer{g: g, dir: t.TempDir()}
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		if strings.Contains(block[1], "election.RunOrDie") {
			g.Expect(os.WriteFile(filepath.Join(n.dir, "main.go"), []byte(block[1]), 0o600)).To(gomega.Succeed())
		}
	}
	n.makeModule()

	stdout, err := engine.StdoutPipe()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(engine.Start()).To(gomega.Succeed())
	t.Cleanup(func() {
		_ = engine.Process.Signal(os.Interrupt)
		_ = engine.Wait()
	})
	url, err := bufio.NewReader(stdout).ReadString('\n')
	g.Expect(err).NotTo(gomega.HaveOccurred())

	export := regexp.MustCompile(`(?m)^export (DYNAMODB_ENDPOINT=.*)$`).FindStringSubmatch(readme)
	g.Expect(export).NotTo(gomega.BeNil())
	n.environment = append(os.Environ(), strings.Fields(export[1])...)
	n.environment = append(n.environment, "DYNAMODB_ENDPOINT="+strings.TrimSpace(url))

	first := n.leader(t)
	first.says("leading .*how=first")
	second := n.leader(t)
	second.says("new leader .*how=first")
	g.Expect(first.cmd.Process.Signal(os.Interrupt)).To(gomega.Succeed())
	second.says("leading .*how=released")
	g.Expect(first.cmd.Wait()).To(gomega.Succeed())
	third := n.leader(t)
	third.says("new leader .*how=first")
	g.Expect(second.cmd.Process.Kill()).To(gomega.Succeed())
	third.says("leading .*how=expired")
	third.says("working as the leader")
}

// newcomer is a user with a folder.
type newcomer struct {
	g           *gomega.WithT
	dir         string
	environment []string
}

// makeModule stands for "go get" and "go mod tidy", which need a release and the network.
func (n *newcomer) makeModule() {
	root, err := filepath.Abs("../../../..")
	n.g.Expect(err).NotTo(gomega.HaveOccurred())
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	n.g.Expect(err).NotTo(gomega.HaveOccurred())
	n.g.Expect(os.WriteFile(filepath.Join(n.dir, "go.sum"), sums, 0o600)).To(gomega.Succeed())
	for _, args := range [][]string{
		{"mod", "init", "example.com/try"},
		{"mod", "edit", "-replace", "github.com/leaderkit/leaderkit=" + root},
		{"mod", "edit", "-require", "github.com/leaderkit/leaderkit@v0.0.0"},
		{"vet", "github.com/leaderkit/leaderkit/test/dynamolocal/cmd/dynamolocal"},
		{"build", "-o", "try", "."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = n.dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		said, err := cmd.CombinedOutput()
		n.g.Expect(err).NotTo(gomega.HaveOccurred(), "go %q: %s", args, said)
	}
}

// process is the program, running.
type process struct {
	g     *gomega.WithT
	cmd   *exec.Cmd
	lines chan string // closed when it has ended
}

func (n *newcomer) leader(t *testing.T) *process {
	p := &process{g: n.g, cmd: exec.Command(filepath.Join(n.dir, "try")), lines: make(chan string, 10_000)}
	p.cmd.Env = n.environment
	read, write := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = write, write
	n.g.Expect(p.cmd.Start()).To(gomega.Succeed())
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(read); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		_ = write.Close()
	})
	return p
}

// says waits for a line.
func (p *process) says(pattern string) {
	p.g.Eventually(p.lines, "2m").Should(gomega.Receive(gomega.MatchRegexp(pattern)), pattern)
}
