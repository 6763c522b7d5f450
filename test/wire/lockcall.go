package wire

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Kind says which step of the lock's protocol a request is.
type Kind string

// The steps; Other is everything else.
const (
	Acquire   Kind = "acquire"
	Heartbeat Kind = "heartbeat"
	Release   Kind = "release"
	Announce  Kind = "announce" // of a release
	Poll      Kind = "poll"     // a read of the record
	Other     Kind = "other"
)

type lockRequest struct {
	UpdateExpression          string
	ConditionExpression       string
	ConsistentRead            bool
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]map[string]any
}

var placeholder = regexp.MustCompile(`#\w+`)

// Kind tells by what the request would change in a record.
func (c *Call) Kind() Kind {
	if c.kind == nil {
		return c.readKind() // a call that no Wire has made
	}
	return c.kind()
}

func (c *Call) readKind() Kind {
	switch c.Operation {
	case "GetItem":
		return Poll
	case "DeleteItem":
		return Release
	case "UpdateItem":
	default:
		return Other
	}
	update := c.UpdateExpression()
	switch {
	case strings.Contains(update, "isReleased ="):
		return Release
	case strings.Contains(update, "ownerName ="):
		return Acquire
	case strings.Contains(update, "heartbeatCount"):
		return Heartbeat
	case strings.Contains(update, "isReleasing ="):
		return Announce
	default:
		return Other
	}
}

// UpdateExpression is the request's, with the attributes' names in place.
func (c *Call) UpdateExpression() string {
	return c.expression(func(r lockRequest) string { return r.UpdateExpression })
}

// ConditionExpression is the request's, with the attributes' names in place.
func (c *Call) ConditionExpression() string {
	return c.expression(func(r lockRequest) string { return r.ConditionExpression })
}

func (c *Call) expression(of func(lockRequest) string) string {
	var r lockRequest
	if json.Unmarshal(c.Body, &r) != nil {
		return ""
	}
	return placeholder.ReplaceAllStringFunc(of(r), func(name string) string {
		if attribute, ok := r.ExpressionAttributeNames[name]; ok {
			return attribute
		}
		return name
	})
}

// Consistent reports whether a read asks for the latest state.
func (c *Call) Consistent() bool {
	var r lockRequest
	return json.Unmarshal(c.Body, &r) == nil && r.ConsistentRead
}

// Kinds counts the requests since the start or the last Reset by Kind.
func (w *Wire) Kinds() map[Kind]int {
	kinds := map[Kind]int{}
	for _, call := range w.Calls() {
		kinds[call.Kind()]++
	}
	return kinds
}

// On returns a Hook that gives the requests of one kind the fault that next chooses, and none to
// others. n counts the requests of that kind from 1.
func On(kind Kind, next func(n int, c *Call) Fault) Hook {
	var count counter
	return func(c *Call) Fault {
		if c.Kind() != kind {
			return nil
		}
		return next(count.next(), c)
	}
}

// Nth gives fault to the n-th request of a kind, from 1, and to no other.
func Nth(kind Kind, n int, fault Fault) Hook {
	return On(kind, func(i int, _ *Call) Fault {
		if i == n {
			return fault
		}
		return nil
	})
}

// Every gives fault to every request of a kind.
func Every(kind Kind, fault Fault) Hook {
	return On(kind, func(int, *Call) Fault { return fault })
}
