//go:build race

package lockclient_test

const raced = true
