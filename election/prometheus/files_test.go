package prometheus

import (
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
)

// exportedSeries are the names of the exported series, one for each combination of labels.
func exportedSeries(t *testing.T, registry prometheus.Gatherer) (names []string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			h := m.GetHistogram()
			if h == nil {
				names = append(names, family.GetName())
				continue
			}
			for range len(h.Bucket) + 1 { // the last is +Inf
				names = append(names, family.GetName()+"_bucket")
			}
			names = append(names, family.GetName()+"_sum", family.GetName()+"_count")
		}
	}
	return names
}

var metricName = regexp.MustCompile(`\bleader_election_\w+`)

// A metric that was renamed must be renamed everywhere. That the expressions are valid, and that
// the alerts fire when they should, is tested in the directory rulestest.
func TestDashboardAndAlertsUseOnlyMetricsThatExist(t *testing.T) {
	g := NewWithT(t)
	registry, m := made(t)
	m.On("test")
	exported := map[string]bool{}
	for _, name := range exportedSeries(t, registry) {
		exported[name] = true
	}
	// Prose may name a histogram as a whole.
	const histogram = "leader_election_heartbeat_duration_seconds"
	g.Expect(exported).To(HaveKey(histogram + "_count"))

	for file, least := range map[string]int{"dashboard.json": 10, "alerts.yaml": 6, "README.md": 8} {
		text, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		used := metricName.FindAllString(string(text), -1)
		g.Expect(len(used)).To(BeNumerically(">=", least), file)
		for _, name := range used {
			if name != histogram {
				g.Expect(exported).To(HaveKey(name), "used in %s", file)
			}
		}
	}
}

// The program that README.md shows is one that compiles.
func TestTheREADMEShowsAProgramThatCompiles(t *testing.T) {
	g := NewWithT(t)
	readme, err := os.ReadFile("README.md")
	g.Expect(err).NotTo(HaveOccurred())
	program, err := os.ReadFile("readme/main.go")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(strings.Split(string(readme), "```go\n")).To(HaveLen(2))
	g.Expect(string(readme)).To(ContainSubstring("```go\n" + string(program) + "```"))
}
