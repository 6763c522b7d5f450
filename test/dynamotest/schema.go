package dynamotest

import "slices"

const maxKeyNameLength = 255

// readSchema reads KeySchema and AttributeDefinitions into the table's key attributes.
func (t *table) readSchema(r *request) error {
	definitions, err := t.readDefinitions(r)
	if err != nil {
		return err
	}
	schema := r.objects("KeySchema")
	switch {
	case r.err != nil:
		return r.err
	case len(schema) == 0:
		return invalid("No defined key schema.  A key schema containing at least a hash key must be defined for all tables")
	case len(schema) > 2:
		return invalid("Key Schema too big.  Key Schema must at most consist of the hash and range key of a table")
	}
	hashKeys := 0
	for _, part := range schema {
		name, keyType := part.text("AttributeName"), part.text("KeyType")
		switch {
		case part.err != nil:
			return part.err
		case !part.has("AttributeName"):
			return invalid("Attribute name must be specified.")
		case !part.has("KeyType"):
			return invalid("One or more keys is not specified as being hash or range.")
		}
		if keyType == "HASH" {
			hashKeys++
			t.hash.name = name
		} else {
			t.sort = &keyAttribute{name: name}
		}
	}
	switch {
	case len(schema) == 2 && schema[0].text("AttributeName") == schema[1].text("AttributeName"):
		return invalid("Two keys can not have the same name")
	case hashKeys == 0:
		return invalid("No Hash Key specified in schema.  All Dynamo DB tables must have exactly one hash key")
	case hashKeys > 1:
		return invalid("Too many hash keys specified.  All Dynamo DB tables must have exactly one hash key")
	}
	return t.readKinds(schema, definitions)
}

func (t *table) readKinds(schema []*request, definitions map[string]kind) error {
	if keyType := schema[len(schema)-1].text("KeyType"); t.sort != nil && keyType != "RANGE" && schema[0].text("KeyType") != "RANGE" {
		return invalidf("1 validation error detected: Value '%s' at 'keySchema' failed to satisfy constraint: Member must satisfy enum value set: [HASH, RANGE]", keyType)
	}
	var known bool
	if t.hash.kind, known = definitions[t.hash.name]; !known {
		return invalid("Hash Key not specified in Attribute Definitions.  Type unknown.")
	}
	if t.sort != nil {
		if t.sort.kind, known = definitions[t.sort.name]; !known {
			return invalid("Range Key not specified in Attribute Definitions.  Type unknown.")
		}
	}
	if len(definitions) != len(schema) {
		return invalid("The number of attributes in key schema must match the number of attributes defined in attribute definitions.")
	}
	return nil
}

func (t *table) readDefinitions(r *request) (map[string]kind, error) {
	given := r.objects("AttributeDefinitions")
	if r.err != nil {
		return nil, r.err
	}
	if len(given) == 0 {
		return nil, invalid("No Attribute Schema Defined")
	}
	definitions := make(map[string]kind, len(given))
	for _, d := range given {
		name, k := d.text("AttributeName"), kind(d.text("AttributeType"))
		switch {
		case d.err != nil:
			return nil, d.err
		case !d.has("AttributeName"):
			return nil, invalid("Attribute name must be specified.")
		case !d.has("AttributeType"):
			return nil, invalid("Invalid Attribute value. Must contain exactly one of the supported datatypes.")
		case !slices.Contains([]kind{kindString, kindNumber, kindBinary}, k):
			return nil, invalid("Member must satisfy enum value set: [B, N, S]")
		}
		if err := checkKeyName(name); err != nil {
			return nil, err
		}
		if _, seen := definitions[name]; seen {
			return nil, invalid("Cannot have two attributes with the same name")
		}
		definitions[name] = k
		t.defined = append(t.defined, keyAttribute{name, k})
	}
	return definitions, nil
}

func checkKeyName(name string) error {
	if name == "" || len(name) > maxKeyNameLength {
		return invalid("Names of key attributes and attributes projected into an index must be between 1 and 255 characters, inclusive")
	}
	return nil
}
