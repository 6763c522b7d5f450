// Package demo is what the examples share and no program of yours needs: it finds or starts a DynamoDB, runs replicas of the
// example as processes of their own, ends them whatever happens, and prints a log in relative time. What the examples are
// about, taking part in an election, is in their own main.go.
package demo
