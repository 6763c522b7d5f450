//go:build race

package election_test

const raced = true
