//go:build !unix

package main

// Process groups and signals are those of Unix. The sub-commands work everywhere.

func runMain(args []string, t *terminal) int {
	if _, err := t.parseRun(args); err != nil {
		return t.verdict(err)
	}
	return t.verdict(usageError("lockrun can run a command on Unix only; its sub-commands work here"))
}

const wardenCommand = "warden"

func wardenMain([]string, *terminal) int { return exitUsage }
