//go:build aws

package account

import (
	"context"
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/endpoints"
	"github.com/aws/aws-sdk-go/aws/session"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/test/dynamotest"
)

var (
	spend  = flag.Float64("spend", 0, "dollars that the run may cost at most; 0: only estimate")
	suites = flag.String("suites", "./test/integration,./test/dynamotest", "the packages to run, separated by commas")
	run    = flag.String("only", "", "a regular expression for go test -run; empty: all tests that talk to an engine")
	focus  = flag.String("focus", "", "a regular expression for the sentences of the specs; empty: all")
)

// TestOnAWS runs the suites on dynamotest, and then on AWS. See doc.go.
func TestOnAWS(t *testing.T) {
	g := NewWithT(t)
	t.Log("counting what the suites ask for, on dynamotest")
	estimate := estimated(t)
	t.Logf("the suites cost about:\n%v", estimate)
	if *spend == 0 {
		t.Skip("skipped: this was only the estimate. To run the suites in your account, add -spend DOLLARS")
	}
	g.Expect(estimate.Dollars()).To(BeNumerically("<=", *spend), "the estimate is above what -spend allows: nothing was sent to AWS")

	yours, err := session.NewSessionWithOptions(session.Options{SharedConfigState: session.SharedConfigEnable})
	g.Expect(err).NotTo(HaveOccurred())
	region := ""
	if yours.Config.Region != nil {
		region = *yours.Config.Region
	}
	g.Expect(region).NotTo(BeEmpty(), "no Region: set AWS_REGION")
	at, err := endpoints.DefaultResolver().EndpointFor("dynamodb", region)
	g.Expect(err).NotTo(HaveOccurred())
	a, err := Open(t.Context(), Config{Endpoint: at.URL, Region: region, Credentials: yours.Config.Credentials})
	g.Expect(err).NotTo(HaveOccurred())
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		g.Expect(a.Close(ctx)).To(Succeed())
		t.Logf("it cost about:\n%v", a.Usage())
	}()
	g.Expect(runSuites(t, a)).To(Succeed())
}

func estimated(t *testing.T) Usage {
	g := NewWithT(t)
	engine := httptest.NewServer(dynamotest.New())
	defer engine.Close()
	a, err := Open(t.Context(), Config{
		Endpoint: engine.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentials("none", "none", ""),
		Poll: time.Millisecond, HTTPClient: engine.Client(),
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(runSuites(t, a)).To(Succeed())
	used := a.Usage()
	g.Expect(a.Close(t.Context())).To(Succeed())
	return used
}

// runSuites runs one suite after the other on an account.
func runSuites(t *testing.T, a *Account) error {
	args := append([]string{"test", "-count=1", "-v", "-p=1", "-timeout=0"}, strings.Split(*suites, ",")...)
	if *run != "" {
		args = append(args, "-run", *run)
	}
	if *focus != "" {
		args = append(args, "-ginkgo.focus", *focus)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "../..", os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DYNAMODB_ENDPOINT="+a.URL())
	return cmd.Run()
}
