package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// environment is where and when it was measured.
type environment struct {
	engine, effort        string
	loadBefore, loadAfter string
	cpu, system, language string
	memory                string
	cores                 int
	date                  time.Time
}

func (e *environment) look() {
	e.cpu = processor()
	e.cores = runtime.NumCPU()
	e.memory = memory()
	e.language = runtime.Version()
	e.system = runtime.GOOS + "/" + runtime.GOARCH
	e.date = time.Now().UTC()
}

// processor is the CPU's name, as far as the system tells.
func processor() string {
	if file, err := os.Open("/proc/cpuinfo"); err == nil {
		defer func() { _ = file.Close() }()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	if name, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
		return strings.TrimSpace(string(name))
	}
	return "unknown"
}

// memory is how much the machine has, as far as the system tells.
func memory() string {
	bytes := 0.0
	if file, err := os.Open("/proc/meminfo"); err == nil {
		defer func() { _ = file.Close() }()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == "MemTotal:" {
				bytes, _ = strconv.ParseFloat(fields[1], 64)
				bytes *= 1024
			}
		}
	} else if text, err := exec.Command("sysctl", "-n", "hw.memsize").Output(); err == nil {
		bytes, _ = strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	}
	if bytes == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", bytes/(1<<30))
}

// busy reports whether others were using the machine before the run began.
func (e *environment) busy() bool {
	first, _, _ := strings.Cut(e.loadBefore, " ")
	load, err := strconv.ParseFloat(first, 64)
	return err == nil && load > 0.5*float64(e.cores)
}
