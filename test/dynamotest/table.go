package dynamotest

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

const (
	maxHashKeySize  = 2048
	maxRangeKeySize = 1024
)

// keyAttribute is a part of a table's primary key.
type keyAttribute struct {
	name string
	kind kind
}

// table holds its items by partition, partitions in the order in which Scan visits them.
type table struct {
	name       string
	number     uint64 // a global table's; all its replicas have the same
	hash       keyAttribute
	sort       *keyAttribute  // nil: the table has no range key
	defined    []keyAttribute // AttributeDefinitions, in the order given
	created    time.Time
	throughput *throughput // nil: on-demand billing
	protected  bool
	ttl        string // the attribute that holds an item's expiry; "": off
	partitions []*partition
	byHash     map[string]*partition
}

// throughput is what CreateTable was told to provision. It is shown, not enforced.
type throughput struct{ read, write int }

// partition holds the items of one hash key, by range key.
type partition struct {
	place uint64 // among the partitions: a hash, as DynamoDB scans in no order of keys
	hash  string
	rows  []row
}

// row is a stored item with what would be costly to work out anew.
type row struct {
	sort *value // nil: the table has no range key
	item item
	size int
}

// key finds an item.
type key struct {
	hash string
	sort *value
}

func (p *partition) find(sort *value) (index int, found bool) {
	if sort == nil {
		return 0, len(p.rows) > 0
	}
	return slices.BinarySearchFunc(p.rows, sort, func(r row, v *value) int {
		order, _ := r.sort.compare(v)
		return order
	})
}

// get returns nil when there is no such item.
func (t *table) get(k key) item {
	p := t.byHash[k.hash]
	if p == nil {
		return nil
	}
	if i, found := p.find(k.sort); found {
		return p.rows[i].item
	}
	return nil
}

func (t *table) put(k key, it item) {
	p := t.byHash[k.hash]
	if p == nil {
		p = &partition{place: place(k.hash), hash: k.hash}
		t.byHash[k.hash] = p
		i, _ := slices.BinarySearchFunc(t.partitions, p, comparePartitions)
		t.partitions = slices.Insert(t.partitions, i, p)
	}
	r := row{sort: k.sort, item: it, size: it.size()}
	if i, found := p.find(k.sort); found {
		p.rows[i] = r
	} else {
		p.rows = slices.Insert(p.rows, i, r)
	}
}

func (t *table) delete(k key) {
	p := t.byHash[k.hash]
	if p == nil {
		return
	}
	i, found := p.find(k.sort)
	if !found {
		return
	}
	if p.rows = slices.Delete(p.rows, i, i+1); len(p.rows) == 0 {
		delete(t.byHash, k.hash)
		i, _ := slices.BinarySearchFunc(t.partitions, p, comparePartitions)
		t.partitions = slices.Delete(t.partitions, i, i+1)
	}
}

func place(hash string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(hash)) // never fails
	mixed := h.Sum64()           // FNV leaves the high bits of similar keys alike; what follows spreads them
	mixed = (mixed ^ mixed>>30) * 0xbf58476d1ce4e5b9
	mixed = (mixed ^ mixed>>27) * 0x94d049bb133111eb
	return mixed ^ mixed>>31
}

func comparePartitions(p, q *partition) int {
	return cmp.Or(cmp.Compare(p.place, q.place), strings.Compare(p.hash, q.hash))
}

// keyAttributes are the hash key and, if the table has one, the range key.
func (t *table) keyAttributes() []keyAttribute {
	if t.sort == nil {
		return []keyAttribute{t.hash}
	}
	return []keyAttribute{t.hash, *t.sort}
}

// exactKey reads a Key member: the key's attributes and no others.
func (t *table) exactKey(attributes item) (key, error) {
	if len(attributes) != len(t.keyAttributes()) {
		return key{}, invalid("The number of conditions on the keys is invalid")
	}
	return t.keyOf(attributes)
}

// keyOf reads the key out of an item.
func (t *table) keyOf(it item) (key, error) {
	for _, a := range t.keyAttributes() {
		switch v := it[a.name]; {
		case v == nil:
			return key{}, invalid("One of the required keys was not given a value")
		case v.kind != a.kind:
			return key{}, refused("One or more parameter values were invalid: Type mismatch for key")
		}
		if err := a.checkNotEmpty(it[a.name]); err != nil {
			return key{}, err
		}
	}
	k := key{hash: keyText(it[t.hash.name])}
	if t.sort != nil {
		k.sort = it[t.sort.name]
	}
	if len(k.hash) > maxHashKeySize || k.sort != nil && len(k.sort.text) > maxRangeKeySize {
		return key{}, invalid("Hash primary key values must be under 2048 bytes, and range primary key values must be under 1024 bytes")
	}
	return k, nil
}

func (a keyAttribute) checkNotEmpty(v *value) error {
	if v.text != "" || v.kind == kindNumber {
		return nil
	}
	kindOf := "string"
	if v.kind == kindBinary {
		kindOf = "binary"
	}
	return invalidf("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", kindOf, a.name)
}

// keyText is one text for each key value; the attribute's type is the table's.
func keyText(v *value) string {
	if v.kind == kindNumber {
		return v.num.String()
	}
	return v.text
}

func (t *table) isKey(name string) bool {
	return name == t.hash.name || t.sort != nil && name == t.sort.name
}

// keyItem is the key's attributes alone.
func (t *table) keyItem(it item) item {
	k := item{t.hash.name: it[t.hash.name]}
	if t.sort != nil {
		k[t.sort.name] = it[t.sort.name]
	}
	return k
}
