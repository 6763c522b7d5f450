package dynamolocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// source makes the command that starts an engine.
type source func(port int, folder, origin string) engine

type engine struct {
	command   []string
	container string   // "": in no container
	inside    []string // what runs a command beside the engine: docker exec, or nothing
}

// javaOptions are for an engine that is small and quick to start, as tests ask little of it.
func javaOptions(libraries string) []string {
	return []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-Djava.library.path=" + libraries}
}

// engineOptions are those of DynamoDB Local. Its answers to a browser's page repeat the page's
// origin if -cors allows it.
func engineOptions(port int, folder, origin string) []string {
	tables := []string{"-inMemory"}
	if folder != "" {
		tables = []string{"-dbPath", folder}
	}
	return append(tables, "-disableTelemetry", "-port", strconv.Itoa(port), "-cors", origin)
}

// findJava makes sure that there is a Java, and that the jars are there.
func findJava(ctx context.Context) (source, error) {
	java, err := lookUpJava(ctx)
	if err != nil {
		return nil, err
	}
	jars, err := findJars(ctx)
	if err != nil {
		return nil, err
	}
	return func(port int, folder, origin string) engine {
		command := append([]string{"sh", "-c", leash, "sh", java}, javaOptions(jars)...)
		command = append(command, "-cp", filepath.Join(jars, "*"), "software.amazon.dynamodb.services.local.main.ServerRunner")
		return engine{command: append(command, engineOptions(port, folder, origin)...)}
	}, nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// lookUpJava finds the Java of JAVA_HOME or of PATH, and asks for its version: on macOS there is a
// java that only says that there is none.
func lookUpJava(ctx context.Context) (string, error) {
	name := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		name = filepath.Join(home, "bin", "java")
	}
	java, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("no %s", name)
	}
	said, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	version := javaVersion.FindSubmatch(said)
	if err != nil || version == nil {
		return "", fmt.Errorf("%s -version fails: %v: %s", java, err, said)
	}
	if n, err := strconv.Atoi(string(version[1])); err != nil || n < 17 {
		return "", fmt.Errorf("%s is Java %s, and 17 or newer is needed", java, version[1])
	}
	return java, nil
}

// pom asks Maven for DynamoDB Local and everything that it needs.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>leaderkit</groupId>
  <artifactId>dynamolocal</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>software.amazon.dynamodb</groupId>
      <artifactId>DynamoDBLocal</artifactId>
      <version>` + Version + `</version>
    </dependency>
  </dependencies>
</project>
`

// findJars returns the folder with DynamoDB Local's jars and downloads them if they are missing.
// The only source is Maven Central: Amazon publishes there, and Maven checks what it downloads.
//
// A download is made in a folder of its own, which gets its final name when it is complete. So half
// a download is never used, and of two at once the faster one wins.
func findJars(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, "leaderkit", "dynamodb-local-"+Version)
	jars := filepath.Join(home, "maven")
	if exists(jars) {
		return jars, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("no mvn on PATH to download DynamoDB Local with")
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	draft, err := os.MkdirTemp(home, "download-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(draft) }()
	pomFile, complete := filepath.Join(draft, "pom.xml"), filepath.Join(draft, "jars")
	if err := os.WriteFile(pomFile, []byte(pom), 0o644); err != nil {
		return "", err
	}
	// -C: a download with a wrong checksum fails.
	if err := run(exec.CommandContext(ctx, mvn, "-B", "-q", "-C", "-f", pomFile,
		"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+complete)); err != nil {
		return "", fmt.Errorf("the download failed: %w", err)
	}
	if !exists(filepath.Join(complete, "DynamoDBLocal-"+Version+".jar")) {
		return "", errors.New("mvn has downloaded no DynamoDBLocal-" + Version + ".jar")
	}
	if err := os.Rename(complete, jars); err != nil && !exists(jars) {
		return "", err
	}
	return jars, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
