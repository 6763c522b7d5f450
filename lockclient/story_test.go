package lockclient

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

var update = flag.Bool("update", false, "rewrite the decisions in testdata/stories")

// TestStories plays the scenarios of testdata/stories to the pure types: contender,
// tenure and ledger. A line is a comment (#), an event, or ("-> ") the decision that
// follows from the event above it. Run with -update to rewrite the decisions, and
// read what has changed.
//
// An event begins with the time since the story's start on the monotonic clock. Pauses
// have the middle of their jitter.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/stories/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			told, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var retold strings.Builder
			s := &story{}
			for i, line := range strings.Split(strings.TrimRight(string(told), "\n"), "\n") {
				if strings.HasPrefix(line, "-> ") {
					continue
				}
				retold.WriteString(line + "\n")
				if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
					continue
				}
				decision, err := s.play(line)
				if err != nil {
					t.Fatalf("line %d, %q: %v", i+1, line, err)
				}
				if decision != "" {
					retold.WriteString("-> " + decision + "\n")
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(retold.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if retold.String() != string(told) {
				t.Errorf("the decisions have changed; the story goes now:\n%s", retold.String())
			}
		})
	}
}

// story is one client in one scenario.
type story struct {
	rules      rules
	contender  contender
	ledger     ledger
	tenure     *tenure
	bid        *bid
	wallAhead  time.Duration // of the monotonic clock
	sent       lease.Instant // when the request under way left
	version    string        // that an acquire under way writes
	heartbeats []*heartbeat
}

const (
	storyWall    = int64(1_700_000_000_000_000_000)
	storyTravel  = 10 * time.Millisecond // there and back
	storyTimeout = 5 * time.Second
)

func middle(upTo time.Duration) time.Duration { return upTo / 2 }

var eventLine = regexp.MustCompile(`^(\S+)\s+(.*)$`)

func (s *story) play(line string) (string, error) {
	if rest, ok := strings.CutPrefix(line, "we are "); ok {
		return "", s.introduce(rest)
	}
	parts := eventLine.FindStringSubmatch(line)
	if parts == nil {
		return "", errors.New("not an event")
	}
	mono, err := time.ParseDuration(parts[1])
	if err != nil {
		return "", err
	}
	now := lease.Instant{Mono: mono, Wall: storyWall + int64(mono+s.wallAhead)}
	for _, e := range events {
		if rest, ok := strings.CutPrefix(parts[2], e.says); ok {
			return e.play(s, now, strings.TrimSpace(rest))
		}
	}
	return "", errors.New("unknown event")
}

// introduce reads "NAME, lease D, heartbeat D[, skew D][, reclaim]".
func (s *story) introduce(text string) error {
	fields := strings.Split(text, ", ")
	var leaseDuration, heartbeat time.Duration
	for _, field := range fields[1:] {
		name, value, _ := strings.Cut(field, " ")
		d, err := time.ParseDuration(value)
		if err != nil && name != "reclaim" {
			return err
		}
		switch name {
		case "lease":
			leaseDuration = d
		case "heartbeat":
			heartbeat = d
		case "skew":
			s.rules.skew = d
		case "reclaim":
			s.rules.reclaim = true
		default:
			return fmt.Errorf("unknown: %s", field)
		}
	}
	s.rules.name, s.rules.identity = "the lock", fields[0]
	s.rules.Timing, s.rules.poll = lease.NewTiming(leaseDuration, heartbeat), heartbeat
	s.contender.rules = &s.rules
	return nil
}

// events are what can happen, by how a line begins after its time. They are tried in
// this order.
var events = []struct {
	says string
	play func(s *story, now lease.Instant, rest string) (string, error)
}{
	{"we poll", func(s *story, now lease.Instant, _ string) (string, error) {
		s.bid = &bid{}
		return s.next(now), nil
	}},
	{"we get", func(s *story, now lease.Instant, _ string) (string, error) {
		s.bid = &bid{eager: true}
		return s.next(now), nil
	}},
	{"the read leaves", func(s *story, now lease.Instant, _ string) (string, error) {
		s.sent = now
		return "", nil
	}},
	{"the read shows", (*story).readShows},
	{"the acquire leaves as", func(s *story, now lease.Instant, version string) (string, error) {
		s.version, s.sent = version, now
		s.contender.newToken(time.Unix(0, now.Wall))
		s.ledger.sent(version, now.Mono)
		s.bid.writes++
		return "", nil
	}},
	{"the acquire wins token", (*story).acquireWins},
	{"the acquire is refused by", (*story).acquireRefused},
	{"the acquire goes unanswered", func(s *story, _ lease.Instant, _ string) (string, error) {
		s.ledger.acquireUnanswered()
		return "", nil
	}},
	{"the acquire never left", func(s *story, _ lease.Instant, _ string) (string, error) {
		s.ledger.ruleOut(s.version)
		return "", nil
	}},
	{"we look at the clock", func(s *story, now lease.Instant, _ string) (string, error) { return s.act(now), nil }},
	{"a heartbeat leaves", (*story).heartbeatLeaves},
	{"heartbeat", (*story).heartbeatEnds},
	{"has the machine slept for", func(s *story, _ lease.Instant, rest string) (string, error) {
		d, err := time.ParseDuration(rest)
		s.wallAhead += d
		return "", err
	}},
	{"the wall clock is set back by", func(s *story, _ lease.Instant, rest string) (string, error) {
		d, err := time.ParseDuration(rest)
		s.wallAhead -= d
		return "", err
	}},
	{"we stop the heartbeats", func(s *story, _ lease.Instant, _ string) (string, error) {
		s.tenure.stopped = true
		return "", nil
	}},
	{"we end the tenure", func(s *story, _ lease.Instant, _ string) (string, error) {
		s.tenure.end(nil)
		s.ledger.ended(s.tenure.token)
		return "a release frees " + s.ownWrites(), nil
	}},
	{"we release", func(s *story, _ lease.Instant, _ string) (string, error) {
		return "a release frees " + s.ownWrites(), nil
	}},
	{"do we hold it", func(s *story, now lease.Instant, _ string) (string, error) {
		if age, held := s.tenure.age(now); held {
			return fmt.Sprintf("yes, the lease is %v old", age), nil
		}
		if s.tenure.ended && s.tenure.why != nil {
			return "no: " + s.tenure.why.Error(), nil
		}
		return "no", nil
	}},
}

// next says what the contender does.
func (s *story) next(now lease.Instant) string {
	switch s.contender.next(s.bid, &s.ledger, now.Mono) {
	case stepRead:
		return "read"
	case stepAcquire:
		c := s.contender.claims(&s.ledger, now.Mono)
		text := "acquire, if absent or released"
		if c.expired != nil {
			text += ", or still " + c.expired.number
			if c.expired.count != "" {
				text += " #" + c.expired.count
			}
		}
		if owed := ownWritesText(c.ownWrites); owed != "nothing" {
			text += ", or " + owed
		}
		if ours := s.contender.token(time.Unix(0, now.Wall)); ours != now.Wall/1e6 {
			text += fmt.Sprintf(", with token %d", ours)
		}
		return text
	default:
		who, w := "held by ", s.contender.watch
		if w.reserved {
			who = "left to " + w.record.item.Heir + " by "
		}
		return fmt.Sprintf("%s%s, look again in %v", who, w.record.item.Owner, s.contender.pause(now.Mono, middle).Round(time.Millisecond))
	}
}

func (s *story) ownWrites() string { return ownWritesText(s.ledger.ownWrites()) }

func ownWritesText(d ownWrites) string {
	var parts []string
	if len(d.versions) > 0 {
		parts = append(parts, "our "+strings.Join(d.versions, " or our "))
	}
	if d.token != 0 {
		parts = append(parts, "our token "+strconv.FormatInt(d.token, 10))
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, ", or ")
}

// act says what the holder does.
func (s *story) act(now lease.Instant) string {
	act, wake := s.tenure.next(now)
	switch act {
	case actRenew:
		return "send a heartbeat"
	case actEnd:
		s.tenure.end(s.tenure.expired())
		s.ledger.ended(s.tenure.token)
		return "end: " + s.tenure.why.Error()
	default:
		if wake == never {
			return "nothing more"
		}
		return fmt.Sprintf("nothing until %v", wake.Round(time.Millisecond))
	}
}

func (s *story) look(now lease.Instant, consistent bool) sighting {
	if s.sent.Mono == 0 && s.sent.Wall == 0 || now.Mono-s.sent.Mono > storyTimeout {
		s.sent = now.Add(-storyTravel)
	}
	return sighting{sent: s.sent.Mono, arrived: now, consistent: consistent}
}

func (s *story) readShows(now lease.Instant, rest string) (string, error) {
	found, err := parseStoryRecord(rest)
	if err != nil {
		return "", err
	}
	s.sent = now.Add(-storyTravel)
	s.ledger.readAnswered()
	s.contender.readShowed(s.bid, &s.ledger, found, s.look(now, s.bid.eager))
	return s.next(now), nil
}

func (s *story) acquireWins(now lease.Instant, rest string) (string, error) {
	token, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return "", err
	}
	s.ledger.writeAnswered()
	s.ledger.won(s.version, token)
	s.contender.hasWon()
	t := newTenure(&s.rules, token, s.sent, now, s.rules.Heartbeat)
	s.tenure, s.heartbeats = &t, nil
	if t.ended {
		s.ledger.ended(token)
		return "not believed: " + t.why.Error(), nil
	}
	return s.act(now), nil
}

func (s *story) acquireRefused(now lease.Instant, rest string) (string, error) {
	found, err := parseStoryRecord(rest)
	if err != nil {
		return "", err
	}
	s.ledger.writeAnswered()
	s.ledger.ruleOut(s.version)
	s.ledger.gone(s.ledger.ownWrites().token)
	s.contender.refusalShowed(s.bid, found, s.look(now, true))
	return s.next(now), nil
}

func (s *story) heartbeatLeaves(now lease.Instant, _ string) (string, error) {
	s.tenure.odometer.Fold(now)
	s.tenure.overdue(now)
	b, crowded := s.tenure.send(now)
	if b == nil {
		return "not needed any more", nil
	}
	s.heartbeats = append(s.heartbeats, b)
	text := fmt.Sprintf("heartbeat %d", len(s.heartbeats))
	if crowded != nil {
		text += fmt.Sprintf("; give up heartbeat %d", s.number(crowded))
	}
	return text, nil
}

func (s *story) number(b *heartbeat) int {
	for i, other := range s.heartbeats {
		if other == b {
			return i + 1
		}
	}
	return 0
}

var heartbeatEnd = regexp.MustCompile(`^(\d+) (is confirmed|fails: |meets a transaction|is refused by )(.*)$`)

func (s *story) heartbeatEnds(now lease.Instant, rest string) (string, error) {
	parts := heartbeatEnd.FindStringSubmatch(rest)
	if parts == nil {
		return "", errors.New("a heartbeat is confirmed, fails, meets a transaction, or is refused")
	}
	n, _ := strconv.Atoi(parts[1])
	if n < 1 || n > len(s.heartbeats) {
		return "", errors.New("no such heartbeat")
	}
	b := s.heartbeats[n-1]
	defer s.tenure.landed(b)
	switch parts[2] {
	case "is confirmed":
		if !s.tenure.confirmed(b, now) {
			return "too late", nil
		}
	case "fails: ":
		s.tenure.failed(b, now, errors.New(parts[3]), middle)
	case "meets a transaction":
		s.tenure.failed(b, now, awserr.New("TransactionConflictException", "the item is in a transaction", nil), middle)
	default:
		found, err := parseStoryRecord(parts[3])
		if err != nil {
			return "", err
		}
		if lost := s.tenure.refused(b, found, errors.New("the condition failed")); lost != nil {
			s.tenure.end(lost)
			s.ledger.gone(s.tenure.token)
			return "end: " + lost.Error(), nil
		}
		s.tenure.failed(b, now, errors.New("overtaken"), middle)
	}
	return s.act(now), nil
}

// parseStoryRecord reads "nothing", "released V", or "held by NAME as V" with any of
// token N, #COUNT, lease D, heartbeat D, expires D (after the story's start), java,
// v0.1.0, announced, heir NAME.
func parseStoryRecord(text string) (*record, error) {
	r := &record{bound: true}
	r.version.dialect, r.item.LeaseDuration, r.item.HeartbeatPeriod = dialectAWS, 15*time.Second, 5*time.Second
	words := strings.Fields(text)
	for i := 0; i < len(words); i++ {
		word := words[i]
		value := func() string {
			if i++; i < len(words) {
				return words[i]
			}
			return ""
		}
		var err error
		switch {
		case word == "nothing":
			return &record{version: version{dialect: dialectEmpty}, item: LockItem{Released: true}}, nil
		case word == "held", word == "by" && i == 0, word == "and":
		case word == "by":
			r.item.Owner = value()
		case word == "released":
			r.item.Released = true
		case word == "as":
			r.version.number = value()
		case word == "token":
			r.token, err = strconv.ParseInt(value(), 10, 64)
		case word[0] == '#':
			r.version.count = word[1:]
			r.count, err = strconv.ParseInt(word[1:], 10, 64)
		case word == "lease":
			r.item.LeaseDuration, err = time.ParseDuration(value())
		case word == "heartbeat":
			r.item.HeartbeatPeriod, err = time.ParseDuration(value())
		case word == "expires":
			var d time.Duration
			d, err = time.ParseDuration(value())
			r.expiresAt = time.Unix(0, storyWall+int64(d))
		case word == "java":
			r.bound = false
		case word == "v0.1.0":
			r.bound, r.version.dialect, r.item.LeaseDuration = false, dialectV010, 0
		case word == "heir":
			r.item.Heir = value()
		case word == "announced":
			r.releasing = true
		default:
			err = fmt.Errorf("unknown in a record: %q", word)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.bound {
		r.item.FencingToken = r.token
	} else {
		r.item.HeartbeatPeriod = 0
	}
	return r, nil
}
