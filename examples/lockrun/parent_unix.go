//go:build unix && !linux

package main

import (
	"os"
	"syscall"
)

// Elsewhere than on Linux nothing tells the command that lockrun is gone, but the warden.
func endWithParent(*syscall.SysProcAttr) {}

func ownProgram() (string, error) { return os.Executable() }

func adoptOrphans() {}
