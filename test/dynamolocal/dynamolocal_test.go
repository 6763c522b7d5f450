package dynamolocal

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
)

const ownerVariable = "LEADERKIT_DYNAMOLOCAL_OWNER"

// The test's own program is also the process that starts a server and is killed.
func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) == "" {
		os.Exit(m.Run())
	}
	server, err := Start(context.Background())
	if err == nil && os.Getenv(ownerVariable) == "paused" {
		err = server.Pause()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(server.URL)
	select {}
}

// slow is how long anything may take on a busy machine.
const slow = 30 * time.Second

func refusesConnections(g *gomega.WithT, url string) {
	g.Eventually(func() error {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}).WithTimeout(slow).WithPolling(20 * time.Millisecond).Should(gomega.MatchError(gomega.ContainSubstring("refused")))
}

func makeTable(g *gomega.WithT, s *Server) {
	g.Expect(lockclient.EnsureTable(context.Background(), s.Client(), "locks")).To(gomega.Succeed())
}

func tables(g *gomega.WithT, s *Server) []*string {
	list, err := s.Client().ListTables(&dynamodb.ListTablesInput{})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	return list.TableNames
}

func TestServersAnswerApartFromEachOtherUntilTheyAreClosed(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	one, other := NewServer(t), NewServer(t)
	g.Expect(one.URL).NotTo(gomega.Equal(other.URL))
	g.Expect(one.String()).To(gomega.HavePrefix("DynamoDB Local " + Version + " in "))
	makeTable(g, one)
	g.Expect(tables(g, one)).To(gomega.HaveLen(1))
	g.Expect(tables(g, other)).To(gomega.BeEmpty())

	g.Expect(one.Check(t.Context())).To(gomega.Succeed())
	mistaken := &Server{URL: one.URL, origin: other.origin, process: other.process, http: other.http}
	g.Expect(mistaken.Check(t.Context())).To(gomega.MatchError(gomega.ContainSubstring("something else answers")))

	one.Close()
	one.Close()
	g.Expect(one.Ended()).To(gomega.BeClosed())
	g.Expect(one.Check(t.Context())).To(gomega.MatchError(gomega.ContainSubstring("DynamoDB Local has ended (signal: killed)")))
	refusesConnections(g, one.URL)
	g.Expect(other.Check(t.Context())).To(gomega.Succeed())
}

func TestAServerEndsWithItsOwnerThatIsKilled(t *testing.T) {
	for _, state := range []string{"running", "paused"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			g := gomega.NewWithT(t)
			if _, err := findDocker(t.Context(), options{}); err != nil {
				java(t)
			}
			owner := exec.Command(os.Args[0])
			owner.Env = append(os.Environ(), ownerVariable+"="+state)
			stdout, err := owner.StdoutPipe()
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(owner.Start()).To(gomega.Succeed())
			lines := bufio.NewScanner(stdout)
			g.Expect(lines.Scan()).To(gomega.BeTrue())
			url := lines.Text()
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			g.Expect(err).NotTo(gomega.HaveOccurred(), "the owner said "+url)
			g.Expect(conn.Close()).To(gomega.Succeed())

			g.Expect(owner.Process.Kill()).To(gomega.Succeed())
			_ = owner.Wait()
			refusesConnections(g, url)
		})
	}
}

func TestAServerIsNotEndedByTheSignalsOfATerminalAndCanBePaused(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	server := NewServer(t)
	for _, name := range []string{"INT", "TERM", "HUP"} {
		g.Expect(server.signal(name)).To(gomega.Succeed())
	}
	g.Expect(server.Check(t.Context())).To(gomega.Succeed())

	g.Expect(server.Pause()).To(gomega.Succeed())
	g.Eventually(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return server.Check(ctx)
	}).WithTimeout(slow).Should(gomega.MatchError(context.DeadlineExceeded))
	g.Expect(server.Resume()).To(gomega.Succeed())
	g.Expect(server.Check(t.Context())).To(gomega.Succeed())

	g.Expect(server.signal("KILL")).To(gomega.Succeed())
	g.Eventually(server.Ended()).WithTimeout(slow).Should(gomega.BeClosed())
	g.Expect(server.Check(t.Context())).To(gomega.MatchError(gomega.ContainSubstring("DynamoDB Local has ended")))
	g.Expect(server.Pause()).To(gomega.MatchError(gomega.ContainSubstring("DynamoDB Local has ended")))
}

func TestTablesInAFolderAreThereAgainAfterARestart(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	folder := t.TempDir()
	java(t)
	before := NewServer(t, WithFolder(folder))
	makeTable(g, before)
	before.Close()
	port, err := strconv.Atoi(before.URL[strings.LastIndex(before.URL, ":")+1:])
	g.Expect(err).NotTo(gomega.HaveOccurred())
	after := NewServer(t, WithFolder(folder), WithPort(port))
	g.Expect(after.URL).To(gomega.Equal(before.URL))
	g.Expect(tables(g, after)).To(gomega.HaveLen(1))
}

// java is DynamoDB Local in Java. The test is skipped where there is only docker.
func java(t *testing.T) source {
	t.Helper()
	java, err := findJava(t.Context())
	if err != nil {
		NewServer(t) // fails or skips, and says why
		t.Skipf("DynamoDB Local runs in docker here: %v", err)
	}
	return java
}

// squatter is a server that has taken a port and answers as an engine would.
func squatter(t *testing.T, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"TableNames":[]}`) })
	server := &http.Server{Handler: answer, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

func TestAServerThatHasThePortIsNotTakenForTheEngine(t *testing.T) {
	t.Parallel()
	g := gomega.NewWithT(t)
	port, err := freePort()
	g.Expect(err).NotTo(gomega.HaveOccurred())
	squatter(t, port)

	sleeping := source(func(int, string, string) engine {
		return engine{command: []string{"sh", "-c", leash, "sh", "sleep", "60"}}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = sleeping.launch(ctx, port, "")
	g.Expect(err).To(gomega.MatchError(gomega.And(gomega.ContainSubstring("something else answers"), gomega.ContainSubstring("deadline"))))

	java := java(t)
	_, err = java.launch(t.Context(), port, "")
	g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("DynamoDB Local has ended")))
	_, err = options{port: port}.start(t.Context(), java)
	g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(fmt.Sprintf("port %d is in use", port))))

	// A port that was free a moment ago.
	attempts := 0
	server, err := options{}.start(t.Context(), func(port int, folder, origin string) engine {
		if attempts++; attempts == 1 {
			squatter(t, port)
		}
		return java(port, folder, origin)
	})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	defer server.Close()
	g.Expect(attempts).To(gomega.Equal(2))
	g.Expect(server.Check(t.Context())).To(gomega.Succeed())
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, port := range []int{-1, 65536} {
		_, err := Start(t.Context(), WithPort(port))
		gomega.NewWithT(t).Expect(err).To(gomega.MatchError(gomega.ContainSubstring(fmt.Sprintf("WithPort(%d): give a port from 1 to 65535", port))))
	}
}
