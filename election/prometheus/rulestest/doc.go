// Package rulestest tests the alerting rules and the dashboard of election/prometheus with
// Prometheus' own parser and query engine, and with Grafana's own schema. It is a module of its
// own, so that users of election/prometheus don't depend on those.
package rulestest
