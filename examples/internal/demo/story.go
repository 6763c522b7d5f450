package demo

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Story is a live log: one line an event, each with the time since the story began, in colours if
// it goes to a terminal.
type Story struct {
	start   time.Time
	colours bool

	mu    sync.Mutex // guards all below
	w     io.Writer
	known []string // the names heard of, in order: each has a colour of its own
}

// NewStory begins a story now.
func NewStory(w io.Writer) *Story {
	return &Story{start: time.Now(), w: w, colours: isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const (
	bold = "1"
	dim  = "2"
)

var nameColours = []string{"36", "33", "35", "32", "34"}

// Say is the narrator: what the demo itself does.
func (s *Story) Say(format string, args ...any) { s.line("", bold, format, args...) }

// Tell is an event of one replica.
func (s *Story) Tell(name, format string, args ...any) { s.line(name, "", format, args...) }

// Note is an event of one replica that matters less.
func (s *Story) Note(name, format string, args ...any) { s.line(name, dim, format, args...) }

// Print writes a line as it is, without a time.
func (s *Story) Print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, format+"\n", args...)
}

func (s *Story) line(name, style, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Since(s.start).Seconds()
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(s.w, "%7.3fs  %s  %s\n", at, s.paint(s.colour(name), fmt.Sprintf("%-2s", name)), s.paint(style, text))
}

func (s *Story) paint(style, text string) string {
	if !s.colours || style == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (s *Story) colour(name string) string {
	if name == "" {
		return ""
	}
	for i, known := range s.known {
		if known == name {
			return nameColours[i%len(nameColours)]
		}
	}
	s.known = append(s.known, name)
	return nameColours[(len(s.known)-1)%len(nameColours)]
}

// Span writes a duration as a reader wants it: milliseconds below a second, else hundredths of
// seconds.
func Span(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
