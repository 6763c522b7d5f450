package simulation

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// sizeOfBlocks is how many seeds one process runs: enough that its start costs nothing, and few
// enough that all processes have some, and that little is lost when a long batch is interrupted.
func sizeOfBlocks(seeds, workers int) int { return min(max(seeds/(4*workers), 10), 500) }

// blocks hands out the seeds of a batch, and keeps a journal of what is done, so that an
// interrupted batch can go on later.
type blocks struct {
	from  uint64
	seeds int
	size  int // of a block
	began time.Time

	mu      sync.Mutex // guards what follows
	given   int        // blocks
	skip    map[uint64]bool
	earlier int // seeds that the journal has
	ran     int // seeds since then
	sum     Figures
	failed  int
	journal *os.File // nil: none is kept
	told    time.Time
}

// journalLine is one line of a journal: the first names the code, each other a block without a
// violation.
type journalLine struct {
	Code    string `json:",omitempty"` // a checksum of the test binary
	From    uint64
	Seeds   int
	Figures Figures
}

func newBlocks(binary, journal string, from uint64, seeds, size int) (*blocks, error) {
	b := &blocks{from: from, seeds: seeds, size: size, began: time.Now(), skip: map[uint64]bool{}}
	if journal == "" {
		return b, nil
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	code := fmt.Sprintf("%.16x", sha256.Sum256(program))
	kept, err := os.ReadFile(journal)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := b.resume(kept, code); err != nil {
			return nil, fmt.Errorf("-journal %s: %w", journal, err)
		}
	}
	if b.journal, err = os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	switch {
	case len(kept) == 0:
		err = b.write(journalLine{Code: code})
	case kept[len(kept)-1] != '\n':
		_, err = b.journal.WriteString("\n")
	}
	return b, err
}

// resume takes in what was done before. The last line may have been cut short.
func (b *blocks) resume(kept []byte, code string) error {
	lines := bufio.NewScanner(bytes.NewReader(kept))
	lines.Buffer(nil, 1<<20)
	for first := true; lines.Scan(); first = false {
		var l journalLine
		err := json.Unmarshal(lines.Bytes(), &l)
		switch {
		case first && (err != nil || l.Code != code):
			return errors.New("it was kept for other code: give another file, or remove it")
		case first, err != nil, l.From < b.from, (l.From-b.from)%uint64(b.size) != 0, l.From-b.from+uint64(l.Seeds) > uint64(b.seeds), b.skip[l.From]:
		default:
			b.skip[l.From] = true
			b.earlier += l.Seeds
			b.sum.Add(&l.Figures)
		}
	}
	return lines.Err()
}

func (b *blocks) write(l journalLine) error {
	line, err := json.Marshal(l)
	if err == nil && b.journal != nil {
		_, err = b.journal.Write(append(line, '\n'))
	}
	return err
}

// next gives a block to run; n is 0 when there is none left, or when so many have failed that more
// would say nothing new.
func (b *blocks) next() (from uint64, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.failed < 5 && b.given*b.size < b.seeds {
		begins := b.given * b.size
		b.given++
		if from := b.from + uint64(begins); !b.skip[from] {
			return from, min(b.size, b.seeds-begins)
		}
	}
	return 0, 0
}

// done takes in a block that was run.
func (b *blocks) done(from uint64, n int, f *Figures, passed bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Add(f)
	b.ran += n
	if !passed {
		b.failed++
		return nil // it is run again the next time
	}
	b.tell()
	return b.write(journalLine{From: from, Seeds: n, Figures: *f})
}

// tell shows how far the batch is. Called with mu held.
func (b *blocks) tell() {
	if done := b.earlier + b.ran; time.Since(b.told) >= time.Second && b.seeds >= 1000 {
		b.told = time.Now()
		took := time.Since(b.began)
		left := time.Duration(float64(took) / float64(b.ran) * float64(b.seeds-done))
		const width = 30
		full := width * done / b.seeds
		fmt.Fprintf(os.Stderr, "\r[%s%s] %d of %d seeds, %.1f a second, %v left  ", strings.Repeat("#", full), strings.Repeat(".", width-full),
			done, b.seeds, float64(b.ran)/took.Seconds(), left.Round(time.Second))
		if done == b.seeds {
			fmt.Fprintln(os.Stderr)
		}
	}
}

func (b *blocks) close() {
	if b.journal != nil {
		_ = b.journal.Close()
	}
}

// TestABatchGoesOnWhereItWasInterrupted: each seed is run once, whatever was done before.
func TestABatchGoesOnWhereItWasInterrupted(t *testing.T) {
	binary, journal := filepath.Join(t.TempDir(), "binary"), filepath.Join(t.TempDir(), "journal")
	compile := func(code string) {
		if err := os.WriteFile(binary, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const size, seeds = 500, 3*500 + 7
	run := func(steps int) *blocks {
		b, err := newBlocks(binary, journal, 1, seeds, size)
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		for range steps {
			if from, n := b.next(); n > 0 {
				if err := b.done(from, n, &Figures{Runs: n}, true); err != nil {
					t.Fatal(err)
				}
			}
		}
		return b
	}
	compile("one")
	if b := run(2); b.sum.Runs != 2*size {
		t.Fatalf("two blocks are %d runs", b.sum.Runs)
	}
	kept, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journal, append(kept, `{"From":1001,"Se`...), 0o600); err != nil { // it was cut short in the middle of a line
		t.Fatal(err)
	}
	b := run(100)
	if b.sum.Runs != seeds || b.earlier != 2*size {
		t.Errorf("%d runs of %d, %d of them from the journal", b.sum.Runs, seeds, b.earlier)
	}
	compile("another")
	if _, err := newBlocks(binary, journal, 1, seeds, size); err == nil {
		t.Error("what other code has done is taken for its own")
	}
}
