//go:build !race

package bench

// raced: the race detector is on, which makes everything ten times as slow.
const raced = false
