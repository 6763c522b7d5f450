// Package demo is what the examples share, and what no program of yours needs. It finds or starts a
// DynamoDB, runs replicas of the example as processes, ends them in any case, and prints a log in
// relative time. What an example is about is in files that do not import this package.
package demo
