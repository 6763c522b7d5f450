package interop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// javaProgram is what it takes to start the Java program.
type javaProgram struct{ java, classpath string }

// missing is what it takes to build the Java program and isn't there.
type missing struct{ what string }

func (m *missing) Error() string { return m.what }

// buildJava builds the Java program, once for each version of its sources.
var buildJava = sync.OnceValues(func() (*javaProgram, error) {
	java, err := findProgram("java")
	if err != nil {
		return nil, err
	}
	javac, err := findProgram("javac")
	if err != nil {
		return nil, err
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return nil, &missing{"no mvn on PATH"}
	}
	sources, err := filepath.Glob("java/src/main/java/leaderkit/interop/*.java")
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, name := range append([]string{"java/pom.xml"}, sources...) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sum.Write(text)
	}
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	built := filepath.Join(cache, "interop-"+hex.EncodeToString(sum.Sum(nil))[:16])
	program := &javaProgram{java: java, classpath: filepath.Join(built, "classes") + string(os.PathListSeparator) + filepath.Join(built, "lib", "*")}
	if _, err := os.Stat(built); err == nil {
		return program, nil
	}
	// Under another name until it is whole, so that what an interrupted build leaves is never taken
	// for a program.
	draft, err := os.MkdirTemp(cache, "interop-draft-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(draft) }()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	lib, classes := filepath.Join(draft, "lib"), filepath.Join(draft, "classes")
	for _, step := range []*exec.Cmd{
		exec.CommandContext(ctx, mvn, "-B", "-q", "-C", "-f", "java/pom.xml", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
			"-DincludeScope=runtime", "-DoutputDirectory="+lib),
		exec.CommandContext(ctx, javac, append([]string{"--release", "17", "-Xlint:all", "-Werror", "-cp", filepath.Join(lib, "*"), "-d", classes}, sources...)...),
	} {
		if said, err := step.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the Java program: %v: %w\n%s", step.Args, err, said)
		}
	}
	if err := os.Rename(draft, built); err != nil && !exists(built) { // another run may have been faster
		return nil, err
	}
	return program, nil
})

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// findProgram looks into JAVA_HOME and on PATH.
func findProgram(name string) (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if path, err := exec.LookPath(filepath.Join(home, "bin", name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		return "", &missing{"no " + name + " in JAVA_HOME or on PATH: a JDK is needed"}
	}
	return path, err
}

// cacheFolder is beside what test/dynamolocal has downloaded.
func cacheFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "leaderkit")
	return cache, os.MkdirAll(cache, 0o755)
}

// command is the program with its arguments: small and quick to start, as the tests ask little of
// it.
func (j *javaProgram) command(s settings) *exec.Cmd {
	args := []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp", j.classpath, "leaderkit.interop.Contender"}
	return exec.Command(j.java, append(args, s.arguments()...)...)
}
