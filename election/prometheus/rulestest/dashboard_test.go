package rulestest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leaderkit/leaderkit/election"
	leaderprom "github.com/leaderkit/leaderkit/election/prometheus"
)

// A panel that finds nothing in what a leader really exports names a metric or a label that does
// not exist.
func TestEveryExpressionOfTheDashboardFindsSomething(t *testing.T) {
	samples := exported(t)
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range", "30m", "$job", ".*", "$name", ".*")
	count := 0
	for title, expr := range expressions(t) {
		count++
		expr = variables.Replace(expr)
		if strings.Contains(expr, "$") {
			t.Errorf("%s: a variable that the dashboard does not have: %s", title, expr)
		}
		if found := evaluate(t, expr, samples); len(found) == 0 {
			t.Errorf("%s: finds nothing: %s", title, expr)
		}
	}
	if count < 10 {
		t.Errorf("%d expressions, want one or more for each panel", count)
	}
}

func TestTheDashboardFollowsGrafanasSchema(t *testing.T) {
	raw, err := os.ReadFile("../dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the file is of the first schema, which every Grafana reads
	var d dashboard.Dashboard
	// Without a fault it returns an error without a text.
	if err := d.UnmarshalJSONStrict(raw); err != nil && err.Error() != "" {
		t.Error(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

func TestThePanelsOfTheDashboardDoNotOverlap(t *testing.T) {
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range read(t).Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("%s: id %d is 0 or another panel's", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s covers %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
			if x >= 24 {
				t.Errorf("%s is too wide", p.Title)
			}
		}
	}
}

type file struct {
	Panels []struct {
		ID      int    `json:"id"`
		Title   string `json:"title"`
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			Expr  string `json:"expr"`
			RefID string `json:"refId"`
		}
	}
}

func read(t *testing.T) (f file) {
	t.Helper()
	raw, err := os.ReadFile("../dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// expressions are those of all panels, by title and letter.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, p := range read(t).Panels {
		for _, target := range p.Targets {
			all[p.Title+" "+target.RefID] = target.Expr
		}
	}
	return all
}

// exported is an hour of all the series that a leader exports, each rising by 1 a minute, but for
// the status, which is 1.
func exported(t *testing.T) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	provider, err := leaderprom.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	m := provider.NewLeaderMetric().(election.OperatorMetric)
	m.On("orders")
	m.HeartbeatLatency("orders", 5*time.Millisecond, nil)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	line := func(name string, labels map[string]string, values string) {
		b.WriteString("  " + name + "{")
		for _, label := range slices.Sorted(maps.Keys(labels)) {
			fmt.Fprintf(&b, "%s=%q,", label, labels[label])
		}
		b.WriteString(`job="shop",instance="a"} ` + values + "\n")
	}
	for _, family := range families {
		for _, metric := range family.Metric {
			labels := map[string]string{}
			for _, pair := range metric.Label {
				labels[pair.GetName()] = pair.GetValue()
			}
			switch histogram := metric.GetHistogram(); {
			case histogram != nil:
				line(family.GetName()+"_count", labels, "0+1x60")
				line(family.GetName()+"_sum", labels, "0+1x60")
				for _, bucket := range histogram.Bucket {
					labels["le"] = fmt.Sprint(bucket.GetUpperBound())
					line(family.GetName()+"_bucket", labels, "0+1x60")
				}
				labels["le"] = "+Inf"
				line(family.GetName()+"_bucket", labels, "0+1x60")
			case strings.HasSuffix(family.GetName(), "_status"):
				line(family.GetName(), labels, "1x60")
			default:
				line(family.GetName(), labels, "0+1x60")
			}
		}
	}
	return b.String()
}
