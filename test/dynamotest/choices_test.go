package dynamotest_test

// choices turns bytes into decisions, so that a fuzzer that changes a byte changes a decision. When
// the bytes are used up every decision is the first alternative.
type choices struct{ bytes []byte }

func (c *choices) below(n int) int {
	if len(c.bytes) == 0 {
		return 0
	}
	b := c.bytes[0]
	c.bytes = c.bytes[1:]
	return int(b) % n
}

func (c *choices) chance(oneIn int) bool { return c.below(oneIn) == oneIn-1 }

func (c *choices) done() bool { return len(c.bytes) == 0 }

func pick[T any](c *choices, from ...T) T { return from[c.below(len(from))] }
