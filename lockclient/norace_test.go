//go:build !race

package lockclient_test

// raced: the race detector is on, which makes everything ten times as slow.
const raced = false
