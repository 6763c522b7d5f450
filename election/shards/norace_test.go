//go:build !race

package shards

// raced: the race detector is on, which makes everything ten times as slow.
const raced = false
