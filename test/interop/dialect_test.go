package interop

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/gomega"
)

// The stand-in is worth what it has in common with the Java client: here both do the same things,
// and what they send is compared, byte for byte but for the names of placeholders, their order, and
// UUIDs.
func TestStandInSendsWhatJavaSends(t *testing.T) {
	t.Parallel()
	if java == nil {
		t.Skip("there is no Java client to compare with")
	}
	for _, how := range []struct {
		name string
		settings
	}{
		{"putting", settings{}},
		{"in place", settings{inPlace: true}},
		{"keeping data", settings{keepsData: true}},
		{"sort keys in place", settings{sortKeyName: "range", inPlace: true}},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			perform := func(start func(*scene, settings) peer) []string {
				c, path := newScene(t), newGate(t)
				if how.sortKeyName != "" {
					c.table = sorted
				}
				s := how.settings
				s.owner, s.attribute, s.data, s.endpoint = "somebody", "color", "some data", path.URL
				var said []string
				note := func() {
					for _, line := range c.canonical(path.take()) {
						if !slices.Contains(said, line) { // polls and heartbeats come as often as they like
							said = append(said, line)
						}
					}
				}

				s.keepsItem = true
				p := start(c, s)
				c.mustTry(p) // there is no item
				note()
				c.beats(1)
				note()
				c.g.Expect(p.store("other data")).To(gomega.Succeed())
				note()
				c.mustRelease(p)
				note()
				s.owner, s.withoutHeartbeats, s.attribute, s.data = "another", true, "", ""
				p = start(c, s)
				c.mustTry(p) // there is a released one
				note()
				p.kill()
				s.owner, s.keepsItem = "a third", false
				p = start(c, s)
				granted, _, err := p.try() // there is a held one
				c.g.Expect(err).NotTo(gomega.HaveOccurred())
				c.g.Expect(granted).To(gomega.BeFalse())
				note()
				c.mustWait(p) // which runs out
				note()
				c.mustRelease(p) // and is deleted
				note()
				return said
			}
			theirs := perform(func(c *scene, s settings) peer { return c.javaPeer(c.with(s)) })
			standIns := perform(func(c *scene, s settings) peer { return c.standIn(c.with(s)) })
			gomega.NewWithT(t).Expect(standIns).To(gomega.Equal(theirs))
			if kinds := 8; len(theirs) != kinds { // a read, three ways to acquire, a heartbeat without and with data, a release, a deletion
				t.Errorf("the Java client has sent %d kinds of requests, not %d: %v", len(theirs), kinds, theirs)
			}
		})
	}
}

var aUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// canonical spells requests so that equal ones are equal: placeholders replaced by what they stand
// for, clauses in order.
func (c *scene) canonical(requests []request) []string {
	c.Helper()
	var spelt []string
	for _, r := range requests {
		var body map[string]any
		c.g.Expect(json.Unmarshal(r.body, &body)).To(gomega.Succeed())
		stands := map[string]string{}
		for placeholder, name := range object(body["ExpressionAttributeNames"]) {
			stands[placeholder] = fmt.Sprint(name)
		}
		for placeholder, value := range object(body["ExpressionAttributeValues"]) {
			stands[placeholder] = compact(value)
		}
		// No placeholder is the beginning of another that is replaced later.
		placeholders := slices.SortedFunc(maps.Keys(stands), func(a, b string) int { return len(b) - len(a) })
		written := func(name string) string {
			expression, _ := body[name].(string)
			for _, p := range placeholders {
				expression = strings.ReplaceAll(expression, p, stands[p])
			}
			return strings.Join(strings.Fields(expression), " ")
		}
		set, remove, _ := strings.Cut(strings.TrimPrefix(written("UpdateExpression"), "SET "), " REMOVE ")
		clauses := strings.Split(separator.ReplaceAllString(strings.ReplaceAll(set, " = ", "="), "}\n$1"), "\n")
		slices.Sort(clauses)
		line := fmt.Sprintf("%s %s%s if %s set %v remove %s consistent %v, %v", r.operation, compact(body["Key"]), compact(body["Item"]),
			written("ConditionExpression"), clauses, remove, body["ConsistentRead"], body["ReturnValues"])
		line = aUUID.ReplaceAllString(strings.ReplaceAll(line, c.lock, "<lock>"), "<version>")
		spelt = append(spelt, line)
	}
	return spelt
}

// separator is between two clauses of a SET, whose values are JSON objects.
var separator = regexp.MustCompile(`}, ?(\w)`)

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// compact is JSON with its keys in order.
func compact(v any) string {
	if v == nil {
		return ""
	}
	text, _ := json.Marshal(v) // it was JSON before
	return string(text)
}
