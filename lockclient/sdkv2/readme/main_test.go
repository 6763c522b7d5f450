package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/leaderkit/leaderkit/test/dynamotest"
	"github.com/leaderkit/leaderkit/test/wire"
)

// The README shows this program, and it works on the engine at DYNAMODB_ENDPOINT, or in memory.
func TestTheProgramOfTheReadmeTakesTheLock(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(program)+"```") {
		t.Error("README.md does not show main.go")
	}
	url := os.Getenv("DYNAMODB_ENDPOINT")
	_, said, closeIdle, err := wire.Engine(url)
	if err != nil {
		t.Fatal(err)
	}
	closeIdle()
	fmt.Println(said)
	if url == "" {
		server := dynamotest.NewServer()
		defer server.Close()
		url = server.URL
	}
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": url, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"} {
		t.Setenv(name, value)
	}
	main() // exits if it fails
}
