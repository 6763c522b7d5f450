package dynamotest

import (
	"slices"
	"strings"
)

// expressions reads the placeholders that a request defines for the expressions named.
func (r *request) expressions(members ...string) (*bindings, error) {
	b := &bindings{}
	if r.has("ExpressionAttributeNames") {
		if !slices.ContainsFunc(members, r.has) {
			return nil, invalid("ExpressionAttributeNames can only be specified when using expressions")
		}
		if err := r.readNames(b); err != nil {
			return nil, err
		}
	}
	if r.has("ExpressionAttributeValues") {
		users := slices.DeleteFunc(members, func(name string) bool { return name == "ProjectionExpression" })
		if !slices.ContainsFunc(users, r.has) {
			verb := " is null"
			if len(users) > 1 {
				verb = " are null"
			}
			return nil, invalidf("ExpressionAttributeValues can only be specified when using expressions: %s%s", strings.Join(users, " and "), verb)
		}
		if err := r.readValues(b); err != nil {
			return nil, err
		}
	}
	return b, r.err
}

func (r *request) readNames(b *bindings) error {
	given := r.object("ExpressionAttributeNames")
	if len(given) == 0 && r.err == nil {
		return invalid("ExpressionAttributeNames must not be empty")
	}
	b.names, b.usedNames = make(map[string]string, len(given)), make(map[string]bool, len(given))
	for _, placeholder := range sortedKeys(given) {
		if !isPlaceholder(placeholder, '#') {
			return invalidf("ExpressionAttributeNames contains invalid key: Syntax error; key: \"%s\"", placeholder)
		}
		name, ok := given[placeholder].(string)
		if !ok {
			r.fail("ExpressionAttributeNames", given[placeholder], "String")
		}
		b.names[placeholder] = name
	}
	return r.err
}

func (r *request) readValues(b *bindings) error {
	given := r.object("ExpressionAttributeValues")
	if len(given) == 0 && r.err == nil {
		return invalid("ExpressionAttributeValues must not be empty")
	}
	b.values, b.usedValues = make(item, len(given)), make(map[string]bool, len(given))
	for _, placeholder := range sortedKeys(given) {
		if !isPlaceholder(placeholder, ':') {
			return invalidf("ExpressionAttributeValues contains invalid key: Syntax error; key: \"%s\"", placeholder)
		}
		v, err := readValue(given[placeholder])
		if refused, ok := err.(invalid); ok {
			return invalidf("ExpressionAttributeValues contains invalid value: %s for key %s", refused, placeholder)
		}
		if err != nil {
			return err
		}
		b.values[placeholder] = v
	}
	return r.err
}

func isPlaceholder(s string, sign byte) bool {
	return len(s) > 1 && s[0] == sign && skipWord(s, 1) == len(s)
}

// optionalCondition is nil when the request has no such member.
func (r *request) optionalCondition(name string, b *bindings, t *table) (*node, error) {
	if !r.has(name) {
		return nil, nil
	}
	n, err := newCondition(r.text(name), b)
	if err != nil {
		return nil, inExpression(name, err)
	}
	return n, n.checkKeys(t)
}

// optionalProjection is nil when the request wants whole items.
func (r *request) optionalProjection(b *bindings, t *table) (projection, error) {
	const name = "ProjectionExpression"
	if !r.has(name) {
		return nil, nil
	}
	pr, err := newProjection(r.text(name), b)
	if err != nil {
		return nil, inExpression(name, err)
	}
	return pr, pr.checkKeys(t)
}

// enum refuses what is none of the values allowed; an absent member is the empty string.
func (r *request) enum(name string, allowed ...string) (string, error) {
	given := r.text(name)
	if r.has(name) && r.err == nil && !slices.Contains(allowed, given) {
		return "", invalidf("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]",
			given, strings.ToLower(name[:1])+name[1:], strings.Join(allowed, ", "))
	}
	return given, r.err
}
