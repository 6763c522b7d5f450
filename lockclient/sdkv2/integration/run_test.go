package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leaderkit/leaderkit/test/race"
)

func TestTheSpecificationOfLockclientHoldsOnAWSSDKv2(t *testing.T) {
	engine := "leaderkit-engine: dynamotest"
	if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		engine = "leaderkit-engine: endpoint " + endpoint + " "
	}
	var flags []string
	if race.Enabled { // what runs in virtual time uses the adapter in the same ways
		flags = append(flags, "-race")
	}
	said := runOnV2(t, "github.com/leaderkit/leaderkit/test/integration", "integration", flags...)
	line := lineWith(said, engine)
	if line == "" {
		t.Errorf("the suite passed, but does not say %q:\n%s", engine, said)
	}
	t.Log(line) // hack/test.sh looks for it
}

func TestTheVirtualTestsOfLockclientPassOnAWSSDKv2(t *testing.T) {
	if os.Getenv("DYNAMODB_ENDPOINT") != "" {
		t.Skip("in virtual time the engine is always dynamotest")
	}
	// Those left out have thousands of locks, or a busy server: they are about load, not SDKs.
	runOnV2(t, "github.com/leaderkit/leaderkit/lockclient", "lockclient_test", "-skip=Thousands|Throttles|BusyServer")
}

// TestTheSimulationRunsOnAWSSDKv2 compares the timelines of both SDKs, and runs seeds of which half
// are v2's.
func TestTheSimulationRunsOnAWSSDKv2(t *testing.T) {
	if os.Getenv("DYNAMODB_ENDPOINT") != "" {
		t.Skip("in virtual time the engine is always dynamotest")
	}
	t.Setenv("SIMULATION_SEEDS", "60")
	said := runOnV2(t, "github.com/leaderkit/leaderkit/test/simulation", "simulation", "-run=^(TestTheOtherSDKChangesNothing|TestSeeds)$")
	for _, name := range []string{"TestTheOtherSDKChangesNothing", "TestSeeds"} {
		if !strings.Contains(said, "--- PASS: "+name) {
			t.Errorf("%s has not run", name)
		}
	}
}

// runOnV2 runs the tests in a folder, with clients_test.go added to the package of that name.
func runOnV2(t *testing.T, folder, name string, flags ...string) string {
	args := append([]string{"test", "-count=1", "-v", "-overlay=" + overlay(t, folder, name)}, flags...)
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-timeout="+(time.Until(deadline)-5*time.Second).String())
	}
	command := exec.CommandContext(t.Context(), "go", append(args, folder)...)
	command.Env = append(os.Environ(), "NO_COLOR=1", "LEADERKIT_V2_REQUIRED=1")
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	line := lineWith(string(said), "leaderkit-client: aws-sdk-go-v2 sent")
	if line == "" {
		t.Errorf("the suite passed, but does not say which SDK it ran on:\n%s", said)
	}
	t.Log(line)
	return string(said)
}

// overlay writes the file that tells go test to add clients_test.go to a package.
func overlay(t *testing.T, suite, name string) string {
	folder, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", suite).Output()
	if err != nil {
		t.Fatalf("find the suite: %v", err)
	}
	clients, err := os.ReadFile("clients_test.go")
	if err != nil {
		t.Fatal(err)
	}
	renamed := strings.Replace(string(clients), "package integration\n", "package "+name+"\n", 1)
	if name == "simulation" { // it uses both SDKs, and chooses by seed
		renamed = strings.Replace(renamed, "wire.Make = newClientV2", "otherSDK, _ = newClientV2, wire.Make", 1)
	}
	return overlayOf(t, filepath.Join(strings.TrimSpace(string(folder)), "sdkv2_clients_test.go"), renamed)
}

// overlayOf writes an overlay that adds one file.
func overlayOf(t *testing.T, path, content string) string {
	source := filepath.Join(t.TempDir(), "clients_test.go")
	if err := os.WriteFile(source, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: source}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(file, replace, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
