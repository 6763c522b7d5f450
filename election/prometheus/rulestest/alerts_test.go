package rulestest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// alerts are the rules of alerts.yaml by name, as Prometheus itself reads them.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile("../alerts.yaml", false, model.UTF8Validation)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	rules := map[string]rulefmt.Rule{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			rules[rule.Alert] = rule
		}
	}
	return rules
}

func TestEveryAlertSaysWhatHappenedAndHowBadItIs(t *testing.T) {
	for name, rule := range alerts(t) {
		if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s lacks a severity, a summary or a description", name)
		}
	}
}

// evaluate gives the labels of what an expression finds an hour after the first sample; the samples
// are a minute apart.
func evaluate(t *testing.T, expr, samples string) []string {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n  "+strings.TrimSpace(samples))
	defer func() { _ = storage.Close() }()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery)
	query, err := engine.NewInstantQuery(t.Context(), storage, nil, expr, time.Unix(3600, 0))
	if err != nil {
		t.Fatalf("%v\n%s", err, expr)
	}
	defer query.Close()
	vector, err := query.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%v\n%s", err, expr)
	}
	found := []string{}
	for _, sample := range vector {
		found = append(found, sample.Metric.String())
	}
	slices.Sort(found)
	return found
}

// The history of an hour, two pods a and b, sampled once a minute. 0x50 is 51 samples.
func TestAlertsFireWhenTheyShouldAndOnlyThen(t *testing.T) {
	orders := []string{`{job="shop", name="orders"}`}
	for _, c := range []struct {
		alert, about, history string
		fires                 []string
	}{
		{"LeaderElectionNoLeader", "one leads", `
			leader_election_master_status{job="shop", name="orders", instance="a"} 1x60
			leader_election_master_status{job="shop", name="orders", instance="b"} 0x60`, nil},
		{"LeaderElectionNoLeader", "nobody leads, while another election has a leader", `
			leader_election_master_status{job="shop", name="orders", instance="a"} 1x50 0x9
			leader_election_master_status{job="shop", name="orders", instance="b"} 0x60
			leader_election_master_status{job="shop", name="bills", instance="a"} 1x60`, orders},
		{"LeaderElectionNoLeader", "the leader's pod is gone and another leads", `
			leader_election_master_status{job="shop", name="orders", instance="a"} 1x50 stale _x8
			leader_election_master_status{job="shop", name="orders", instance="b"} _x48 0x2 1x8`, nil},
		{"LeaderElectionNoLeader", "all pods are gone", `
			leader_election_master_status{job="shop", name="orders", instance="a"} 1x50 stale _x8
			leader_election_master_status{job="shop", name="orders", instance="b"} 0x50 stale _x8`, orders},

		{"LeaderElectionFlapping", "one change of leader", `
			leader_election_failovers_total{job="shop", name="orders", instance="a"} 2x50 3x9
			leader_election_failovers_total{job="shop", name="orders", instance="b"} 0x50 1x9`, nil},
		{"LeaderElectionFlapping", "four changes, each seen by both pods", `
			leader_election_failovers_total{job="shop", name="orders", instance="a"} 0x50 1 2 3 4x6
			leader_election_failovers_total{job="shop", name="orders", instance="b"} 0x50 1 2 3 4x6`, nil},
		{"LeaderElectionFlapping", "a change each minute, seen by a pod that never leads", `
			leader_election_failovers_total{job="shop", name="orders", instance="a"} 0x60
			leader_election_failovers_total{job="shop", name="orders", instance="b"} 0+1x60`, orders},

		{"LeaderElectionRenewalsLate", "one late renewal", `
			leader_election_slowpath_total{job="shop", name="orders", instance="a"} 0x55 1x4`, nil},
		{"LeaderElectionRenewalsLate", "four late renewals, by two leaders in turn", `
			leader_election_slowpath_total{job="shop", name="orders", instance="a"} 0x51 1 2x7
			leader_election_slowpath_total{job="shop", name="orders", instance="b"} 7x55 8 9x3`, orders},

		{"LeaderElectionLeaseLost", "graceful ends, and a loss long ago", `
			leader_election_terms_ended_total{job="shop", name="orders", instance="a", cause="resigned"} 0x50 1 2 3x7
			leader_election_terms_ended_total{job="shop", name="orders", instance="a", cause="cancelled"} 0x50 1x9
			leader_election_terms_ended_total{job="shop", name="orders", instance="a", cause="lease_expired"} 0x20 4x39`, nil},
		{"LeaderElectionLeaseLost", "a lease ran out", `
			leader_election_terms_ended_total{job="shop", name="orders", instance="a", cause="lease_expired"} 0x57 1x2
			leader_election_terms_ended_total{job="shop", name="orders", instance="a", cause="lock_lost"} 0x60`,
			[]string{`{cause="lease_expired", job="shop", name="orders"}`}},
		{"LeaderElectionLeaseLost", "a lock was taken away", `
			leader_election_terms_ended_total{job="shop", name="orders", instance="a", cause="lock_lost"} 0x57 1x2`,
			[]string{`{cause="lock_lost", job="shop", name="orders"}`}},
	} {
		t.Run(c.alert+", "+c.about, func(t *testing.T) {
			rule, ok := alerts(t)[c.alert]
			if !ok {
				t.Fatal("no such alert")
			}
			if found := evaluate(t, rule.Expr, c.history); !slices.Equal(found, c.fires) && len(found)+len(c.fires) > 0 {
				t.Errorf("fires for %v, want %v", found, c.fires)
			}
		})
	}
}
