package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/leaderkit/leaderkit/examples/internal/demo"
)

// verdict is what the contenders' own reports say about the promises.
type verdict struct {
	terms   []*term // in the order in which they were heard of
	reports int
}

// term is one contender's time as the leader, by its own reports.
type term struct {
	name    string
	token   int64
	beliefs []report
	renewed time.Time // when the last renewal that it knew of was sent
	stopped time.Time // OnStoppedLeading; zero: never
	ended   time.Time // when the demo killed it or told it to end
	how     string
}

func (t *term) end(how string, at time.Time) { t.how, t.ended = how, at }

// from and to are the first and the last moment at which it led for certain: after the first
// report, before the last one.
func (t *term) from() time.Time { return t.beliefs[0].At }
func (t *term) to() time.Time   { return t.beliefs[len(t.beliefs)-1].Asked }

func (v *verdict) latest() *term {
	if len(v.terms) == 0 {
		return nil
	}
	return v.terms[len(v.terms)-1]
}

// find gives the latest term of a contender, with that token unless it is 0.
func (v *verdict) find(name string, token int64) *term {
	for i := len(v.terms) - 1; i >= 0; i-- {
		if t := v.terms[i]; t.name == name && (token == 0 || t.token == token) {
			return t
		}
	}
	return nil
}

func (v *verdict) hear(r report) {
	v.reports++
	switch r.Kind {
	case leads:
		v.terms = append(v.terms, &term{name: r.Name, token: r.Token})
	case believes:
		if t := v.find(r.Name, r.Token); t != nil {
			t.beliefs = append(t.beliefs, r)
			if r.Renewed.After(t.renewed) {
				t.renewed = r.Renewed
			}
		}
	case stopped:
		if t := v.find(r.Name, 0); t != nil {
			t.stopped = r.At
		}
	}
}

// check says which promises were broken. It never accuses wrongly: a contender that was slow to
// report is given the benefit of the doubt.
func (v *verdict) check(lease time.Duration) error {
	var broken []error
	accuse := func(format string, args ...any) {
		broken = append(broken, fmt.Errorf("broken promise: "+format, args...))
	}
	if len(v.terms) != 3 {
		accuse("3 terms were to be seen, and %d were", len(v.terms))
	}
	for i, t := range v.terms {
		if len(t.beliefs) == 0 {
			accuse("%s never led in the term with token %d", t.name, t.token)
			continue
		}
		if t.how == "SIGTERM" && t.stopped.IsZero() {
			accuse("%s ended its term without OnStoppedLeading", t.name)
		}
		for _, earlier := range v.terms[:i] {
			if len(earlier.beliefs) == 0 {
				continue
			}
			if t.token <= earlier.token {
				accuse("the token of %s (%d) is not higher than that of %s before it (%d)", t.name, t.token, earlier.name, earlier.token)
			}
			if t.from().Before(earlier.to()) && earlier.from().Before(t.to()) {
				accuse("%s and %s led at once, for %v at least", earlier.name, t.name, earlier.to().Sub(t.from()))
			}
			if !earlier.stopped.IsZero() && t.from().Before(earlier.stopped) {
				accuse("%s led before %s had stopped its work", t.name, earlier.name)
			}
			if since := t.from().Sub(earlier.renewed); earlier.how == "SIGKILL" && since < lease {
				accuse("%s took over %v after the last renewal by %s, within its lease", t.name, since, earlier.name)
			}
		}
	}
	return errors.Join(broken...)
}

func (v *verdict) print(s *demo.Story, lease time.Duration) {
	s.Print("\nterm  leader  fencing token     led for  ended by")
	for i, t := range v.terms {
		if len(t.beliefs) == 0 {
			continue
		}
		how := t.how
		if i+1 < len(v.terms) && len(v.terms[i+1].beliefs) > 0 {
			next := v.terms[i+1]
			if how == "SIGKILL" {
				since := next.from().Sub(t.renewed)
				how += fmt.Sprintf("; takeover %s after its last renewal = %.2f x lease", demo.Span(since), since.Seconds()/lease.Seconds())
			} else {
				how += fmt.Sprintf("; handover %s after its work was done", demo.Span(next.from().Sub(t.stopped)))
			}
		}
		s.Print("%4d  %-6s  %13d  %10s  %s", i+1, t.name, t.token, demo.Span(t.to().Sub(t.from())), how)
	}
	if v.check(lease) == nil {
		s.Print("\nFrom %d reports: tokens rise with each term, no two led at once, no live lease was taken over,\n"+
			"and after the SIGTERM no other led before the work had stopped.", v.reports)
	}
}
