package dynamolocal

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/onsi/gomega"
)

// A machine of its own for a test: a PATH with these scripts and the tools that a shell has, and an
// empty cache.
func machine(t *testing.T, scripts map[string]string) (cache string) {
	t.Helper()
	bin := t.TempDir()
	for _, tool := range []string{"sh", "mkdir", "sed", "cat", "sleep"} {
		path := "/bin/" + tool
		if !exists(path) {
			path = "/usr" + path
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	t.Setenv("PATH", bin)
	t.Setenv("JAVA_HOME", "")
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestWhatAMachineLacksIsNamed(t *testing.T) {
	const java = `echo 'openjdk version "21.0.2"' >&2`
	for _, c := range []struct {
		scripts map[string]string
		want    []string
	}{
		{nil, []string{"no docker on PATH", "no java", "default-jdk-headless"}},
		{map[string]string{"docker": "echo is the daemon running? >&2; exit 1"}, []string{"no engine answers", "is the daemon running?"}},
		{map[string]string{"docker": "case $1 in version) ;; *) echo no route >&2; exit 1;; esac"}, []string{"no route", "no java"}},
		{map[string]string{"java": `echo 'java version "11.0.2"' >&2`}, []string{"Java 11, and 17 or newer is needed"}},
		{map[string]string{"java": "echo No Java runtime present >&2; exit 1"}, []string{"No Java runtime present"}},
		{map[string]string{"java": java}, []string{"no mvn on PATH"}},
		{map[string]string{"java": java, "mvn": "echo central is unreachable; exit 1"}, []string{"the download failed", "central is unreachable"}},
		{map[string]string{"java": java, "mvn": "exit 0"}, []string{"has downloaded no DynamoDBLocal-" + Version + ".jar"}},
	} {
		cache := machine(t, c.scripts)
		_, err := Start(t.Context())
		g := gomega.NewWithT(t)
		g.Expect(err).To(gomega.MatchError(ErrUnavailable))
		for _, text := range c.want {
			g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(text)))
		}
		left, _ := filepath.Glob(filepath.Join(cache, "leaderkit", "*", "*"))
		g.Expect(left).To(gomega.BeEmpty(), "nothing is left of a download that failed")
	}
}

// verdict is a test that panics with the way it ends.
type verdict struct{}

func (verdict) Helper()        {}
func (verdict) Cleanup(func()) {}
func (verdict) Log(...any)     {}
func (verdict) Skip(a ...any)  { panic("skipped: " + fmt.Sprint(a...)) }
func (verdict) Fatal(a ...any) { panic("failed: " + fmt.Sprint(a...)) }

func TestATestIsSkippedWithoutDynamoDBLocalUnlessItIsRequired(t *testing.T) {
	machine(t, nil)
	g := gomega.NewWithT(t)
	t.Setenv(Required, "")
	g.Expect(func() { NewServer(verdict{}) }).To(gomega.PanicWith(gomega.HavePrefix("skipped: dynamolocal: DynamoDB Local is not available here")))
	g.Expect(func() { NewServer(verdict{}, WithPort(-1)) }).To(gomega.PanicWith(gomega.HavePrefix("failed: ")))
	t.Setenv(Required, "1")
	g.Expect(func() { NewServer(verdict{}) }).To(gomega.PanicWith(gomega.HavePrefix("failed: dynamolocal: DynamoDB Local is not available here")))
}

// An engine in docker that ends at once is a failure, not a lack.
func TestAnEngineThatFailsInDockerIsNotCalledUnavailable(t *testing.T) {
	machine(t, map[string]string{"docker": "[ $1 != run ] || { echo no space left >&2; exit 125; }"})
	_, err := Start(t.Context())
	g := gomega.NewWithT(t)
	g.Expect(err).To(gomega.MatchError(gomega.And(gomega.ContainSubstring("no space left"), gomega.ContainSubstring("no java"))))
	g.Expect(err).NotTo(gomega.MatchError(ErrUnavailable))
}

// Two processes that start at once on a new machine download at once, too.
func TestADownloadIsSeenWholeOrNotAtAll(t *testing.T) {
	cache := machine(t, map[string]string{"mvn": `
		for a; do case $a in -DoutputDirectory=*) out=${a#*=};; esac; done
		mkdir "$out" && echo >"$out/DynamoDBLocal-` + Version + `.jar" && sleep 0.1 && echo >"$out/last.jar"`})
	g := gomega.NewWithT(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			jars, err := findJars(t.Context())
			if err != nil || !exists(filepath.Join(jars, "last.jar")) {
				t.Errorf("jars in %s: %v; half of a download was taken for all of it", jars, err)
			}
		})
	}
	all.Wait()
	left, _ := filepath.Glob(filepath.Join(cache, "leaderkit", "*", "*"))
	g.Expect(left).To(gomega.HaveExactElements(gomega.HaveSuffix("/maven")))
	files, _ := filepath.Glob(filepath.Join(left[0], "*"))
	g.Expect(files).To(gomega.HaveLen(2))
}

// A docker of a few lines stands in for the real one: it runs in Java here what the real one runs
// in a container.
func TestDockerIsPreferredAndItsContainerIsOnTheLeash(t *testing.T) {
	command := java(t)(0, "", "").command
	program, jars := command[4], filepath.Dir(command[slices.Index(command, "-cp")+1])
	log := filepath.Join(t.TempDir(), "log")
	machine(t, map[string]string{"java": "exec " + program + ` "$@"`, "docker": `
		echo "$*" >>` + log + `
		case $1 in
		run)
			while [ "$1" != -p ]; do shift; done
			port=$(echo "$2" | sed 's/127.0.0.1:\([0-9]*\):8000/\1/')
			while [ "$1" != -c ]; do shift; done
			script=$2; shift 4
			while [ "$1" != -inMemory ]; do shift; done
			exec sh -c "$script" sh java -cp '` + jars + `/*' software.amazon.dynamodb.services.local.main.ServerRunner $1 $2 $3 $port $5 $6 ;;
		exec) shift 2; exec "$@" ;;
		esac`})
	g := gomega.NewWithT(t)
	server := NewServer(t)
	g.Expect(server.String()).To(gomega.ContainSubstring("in docker, container dynamolocal-"))
	g.Expect(server.Pause()).To(gomega.Succeed())
	g.Expect(server.Resume()).To(gomega.Succeed())
	g.Expect(server.Check(t.Context())).To(gomega.Succeed())
	server.Close()
	refusesConnections(g, server.URL)
	said, err := os.ReadFile(log)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(strings.Count(string(said), "run --rm -i --init --name dynamolocal-")).To(gomega.Equal(1))
	g.Expect(string(said)).To(gomega.ContainSubstring(":8000 --entrypoint sh amazon/dynamodb-local:" + Version + " -c"))
}
