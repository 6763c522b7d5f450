package dynamolocal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

const image = "amazon/dynamodb-local:" + Version

// findDocker makes sure that a docker engine answers and has the image.
func findDocker(ctx context.Context, o options) (source, error) {
	if o.folder != "" {
		return nil, errors.New("not for tables in a folder")
	}
	docker, err := exec.LookPath("docker")
	if err != nil {
		return nil, errors.New("no docker on PATH")
	}
	asked, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := run(exec.CommandContext(asked, docker, "version", "--format", "{{.Server.Version}}")); err != nil {
		return nil, fmt.Errorf("no engine answers: %w", err)
	}
	if run(exec.CommandContext(ctx, docker, "image", "inspect", image)) != nil {
		if err := run(exec.CommandContext(ctx, docker, "pull", "-q", image)); err != nil {
			return nil, err
		}
	}
	return func(port int, _, origin string) engine {
		container := "dynamolocal-" + strings.ToLower(rand.Text())
		command := []string{docker, "run", "--rm", "-i", "--init", "--name", container, "-p", fmt.Sprintf("127.0.0.1:%d:8000", port),
			"--entrypoint", "sh", image, "-c", leash, "sh", "java"}
		command = append(command, javaOptions("./DynamoDBLocal_lib")...)
		command = append(command, "-jar", "DynamoDBLocal.jar")
		return engine{
			command:   append(command, engineOptions(8000, "", origin)...),
			container: container,
			inside:    []string{docker, "exec", container},
		}
	}, nil
}
