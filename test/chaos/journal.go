package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Kind says what an entry tells.
type Kind string

const (
	Start  Kind = "start"  // a worker begins; Text is its configuration
	Belief Kind = "belief" // a sample: between From and To the process believed, by one or more of Held, Leads, Alive
	Yield  Kind = "yield"  // from From on the process may give the tenure up
	Loss   Kind = "loss"   // before From, and before it gave the tenure up, the process found that it had lost it
	Call   Kind = "call"   // an increment begins at From
	Return Kind = "return" // it has ended by To, with Outcome; none follows a Call whose process died
	Read   Kind = "read"   // a counter had Value at some moment between From and To
	Record Kind = "record" // the lock's record had Token, and Text for its owner, at some moment between From and To
	Slow   Kind = "slow"   // between From and To the engine, or the machine, left the test without an answer
	Fault  Kind = "fault"  // the test did Text to Process between From and To
	Note   Kind = "note"   // for the human reader
)

// Outcome is what a process knows of an increment that it tried.
type Outcome string

const (
	Done    Outcome = "done"    // acknowledged
	Refused Outcome = "refused" // certainly not carried out, now or later
	Unknown Outcome = "unknown" // no answer that says
)

// The two counters of each lock.
const (
	Fenced   = "fenced"
	Unfenced = "unfenced"
)

// What the test does to a process.
const (
	Killed    = "SIGKILL"
	Stopped   = "SIGSTOP"
	Continued = "SIGCONT"
)

// Entry is one line of a journal. Times are readings of Monotonic, before and after.
type Entry struct {
	Kind    Kind          `json:"kind"`
	Process string        `json:"process"`
	From    time.Duration `json:"from,omitempty"`
	To      time.Duration `json:"to,omitempty"`
	Lock    string        `json:"lock,omitempty"`
	Token   int64         `json:"token,omitempty"`
	Session string        `json:"session,omitempty"` // that keeps the lock, of a Belief

	Held  bool          `json:"held,omitempty"`  // HasLock said yes
	Leads bool          `json:"leads,omitempty"` // IsLeader said yes
	Alive bool          `json:"alive,omitempty"` // the leading context was alive
	Until time.Duration `json:"until,omitempty"` // the claim: when Deadline will have come

	Counter string  `json:"counter,omitempty"`
	Op      string  `json:"op,omitempty"`
	Value   int64   `json:"value,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"`

	Reclaims bool   `json:"reclaims,omitempty"` // a Start of a worker that takes over at once what it finds under its Identifier
	Text     string `json:"text,omitempty"`
}

// Journal is a file to which one process appends. Each entry is one write to the system, so that
// what was written before a SIGKILL stays. It is safe for concurrent use.
type Journal struct {
	file    *os.File
	process string
}

// OpenJournal opens the file for a process.
func OpenJournal(path, process string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Journal{file: file, process: process}, nil
}

// Write appends an entry. A journal that can't be written proves nothing, so that is a panic.
func (j *Journal) Write(e Entry) {
	if e.Process == "" {
		e.Process = j.process
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("chaos: journal of %s: %v", j.process, err))
	}
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// ReadJournal reads what was written. A last line without an end was cut short by a SIGKILL and is
// left out.
func ReadJournal(path string) ([]Entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for n := 1; ; n++ {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return entries, nil
		}
		text = rest
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("chaos: %s:%d: %w", path, n, err)
		}
		entries = append(entries, e)
	}
}
