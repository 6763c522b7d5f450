//go:build unix

package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient"
)

func TestStatusShowsAllLocks(t *testing.T) {
	w := newWorld(t)
	p := w.start("status")
	w.Expect(p.code()).To(Equal(0))
	w.Expect(p.said()).To(ContainSubstring("no locks in table"))

	held, crashed := w.lock("held", 30*time.Second), w.lock("crashed", time.Second)
	w.Expect(held.WaitForLock(t.Context())).To(Succeed())
	w.Expect(crashed.WaitForLock(t.Context())).To(Succeed())
	crashed.StopHeartbeat()
	w.Expect(w.run("-name", "free", "-owner", "it\x1bme", "--", "true")).To(Equal(0))
	w.Eventually(crashed.Lost()).Should(BeClosed())
	w.Eventually(func() string {
		p := w.start("status")
		w.Expect(p.code()).To(Equal(0))
		return p.said()
	}).Should(MatchRegexp(`^NAME +STATE +OWNER +TOKEN +LEASE +RENEWED
crashed +overdue +the-test +\d+ +1s +[\d.]+s ago
free +free +it\x{FFFD}me +\d+ +30s +-
held +held +the-test +\d+ +30s +[\d.]+s ago
$`))

	p = w.start("status", "held", "never-taken")
	w.Expect(p.code()).To(Equal(0))
	w.Expect(p.said()).To(MatchRegexp(`(?m)^never-taken +free +- +- +- +-$`))
	p = w.start("status", "-json", "held", "free")
	w.Expect(p.code()).To(Equal(0))
	var rows []row
	w.Expect(json.Unmarshal([]byte(p.said()), &rows)).To(Succeed())
	token, _ := held.FencingToken()
	w.Expect(rows).To(HaveLen(2))
	w.Expect(rows[0].State).To(Equal(stateFree))
	w.Expect(rows[0].RenewedAt).To(BeNil())
	w.Expect(rows[1]).To(And(HaveField("Name", "held"), HaveField("State", stateHeld), HaveField("Owner", "the-test"),
		HaveField("FencingToken", token), HaveField("LeaseMillis", int64(30000))))
	w.Expect(*rows[1].RenewedAt).To(BeTemporally("~", time.Now(), 30*time.Second))
}

func TestStatusWatchShowsWhatChanges(t *testing.T) {
	w := newWorld(t)
	crashed, other := w.lock("crashed", time.Second), w.lock("other", 30*time.Second)
	w.Expect(crashed.WaitForLock(t.Context())).To(Succeed())
	p := w.start("status", "-watch", "-every", "200ms")
	w.Eventually(p.said).Should(MatchRegexp(`crashed +held`))
	w.Expect(other.WaitForLock(t.Context())).To(Succeed())
	w.Eventually(p.said).Should(MatchRegexp(`other  new: the-test\n`))
	crashed.StopHeartbeat()
	w.Eventually(p.said).Should(MatchRegexp(`crashed +expired`))
	w.Expect(other.RemoveLock()).To(Succeed())
	w.Eventually(p.said).Should(MatchRegexp(`other  the-test → free\n`))
	p.signal(syscall.SIGINT)
	w.Expect(p.code()).To(Equal(0))
}

func TestReleaseAsksFirst(t *testing.T) {
	w := newWorld(t)
	holder := w.lock("job", time.Minute)
	w.Expect(holder.WaitForLock(t.Context())).To(Succeed())
	lost := holder.Lost()
	answer := func(text string, args ...string) (string, int) {
		cmd := w.program(append([]string{"release", "-name", "job"}, args...)...)
		cmd.Stdin = strings.NewReader(text)
		said, err := cmd.CombinedOutput()
		if err != nil {
			w.Expect(err).To(BeAssignableToTypeOf(&exec.ExitError{}))
		}
		return string(said), cmd.ProcessState.ExitCode()
	}
	said, code := answer("yes\n")
	w.Expect(code).To(Equal(exitUsage))
	w.Expect(said).To(ContainSubstring("give -force"))
	for _, no := range []string{"", "\n", "no\n", "job\n"} {
		said, code = answer(no, "-force")
		w.Expect(code).To(Equal(exitDeclined), no)
		w.Expect(said).To(And(ContainSubstring("the-test"), ContainSubstring("nothing was changed")), no)
	}
	w.Expect(w.peek("job").Released).To(BeFalse())

	before := w.peek("job")
	said, code = answer("yes\n", "-force")
	w.Expect(code).To(Equal(0), said)
	after := w.peek("job")
	w.Expect(after.Released).To(BeTrue())
	w.Expect(after.FencingToken).To(Equal(before.FencingToken), "the token must never go back")
	next := w.lock("job", time.Minute)
	w.Expect(next.GetLock()).To(BeTrue())
	token, _ := next.FencingToken()
	w.Expect(token).To(BeNumerically(">", before.FencingToken))
	w.Eventually(lost).Should(BeClosed(), "the holder learns of it with its next heartbeat")

	w.Expect(next.RemoveLock()).To(Succeed())
	said, code = answer("", "-force")
	w.Expect(code).To(Equal(0))
	w.Expect(said).To(ContainSubstring("is free; nothing was changed"))
}

func TestLocksOfASessionAreShownAndTakenAway(t *testing.T) {
	w := newWorld(t)
	session := &lockclient.Session{Client: w.client, TableName: w.table, LeaseDuration: time.Minute, Identifier: "the-test"}
	defer func() { w.Expect(session.Close(context.Background())).To(Succeed()) }()
	holder := w.lock("job", time.Minute)
	holder.Session = session
	w.Expect(holder.WaitForLock(t.Context())).To(Succeed())
	p := w.start("status", "job")
	w.Expect(p.code()).To(Equal(0))
	w.Expect(p.said()).To(MatchRegexp(`(?m)^job +held +the-test +\d+ +session %s +\d.* ago$`, session.Name()))
	p = w.start("status", "-json", "job")
	w.Expect(p.code()).To(Equal(0))
	w.Expect(p.said()).To(ContainSubstring(`"session": "` + session.Name() + `"`))

	cmd := w.program("release", "-name", "job", "-force")
	cmd.Stdin = strings.NewReader("yes\n")
	said, err := cmd.CombinedOutput()
	w.Expect(err).NotTo(HaveOccurred(), string(said))
	w.Expect(string(said)).To(ContainSubstring("because the session's heartbeats don't tell it"))
	before, _ := holder.FencingToken()
	next := w.lock("job", time.Minute)
	w.Expect(next.GetLock()).To(BeTrue())
	token, _ := next.FencingToken()
	w.Expect(token).To(BeNumerically(">", before))
	w.Expect(holder.TransactWrite(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []*dynamodb.TransactWriteItem{{
		Put: &dynamodb.Put{TableName: &w.table, Item: map[string]*dynamodb.AttributeValue{"key": {S: aws.String("written")}}},
	}}})).Error().To(MatchError(lockclient.ErrLockLost))
	w.Expect(holder.HasLock()).Error().To(HaveOccurred(), "its fenced write has told it")
}

func TestReleaseTakesALockFromAJavaClient(t *testing.T) {
	w := newWorld(t)
	_, err := w.client.PutItem(&dynamodb.PutItemInput{TableName: &w.table, Item: map[string]*dynamodb.AttributeValue{
		"key": {S: aws.String("job")}, "ownerName": {S: aws.String("java")}, "leaseDuration": {S: aws.String("20000")},
		"recordVersionNumber": {S: aws.String(uuid.NewString())},
		// What we left when we had it. It says nothing any more.
		"fencingToken": {N: aws.String("7")}, "ourVersion": {S: aws.String(uuid.NewString())},
	}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.run("release", "-name", "job", "-force", "-yes")).To(Equal(0))
	w.Expect(w.peek("job").Released).To(BeTrue())
	w.Expect(w.peek("job").FencingToken).To(BeZero())
	w.Expect(w.run("-name", "job", "--", "true")).To(Equal(0))
}

func TestReleaseLeavesItemsThatAreNoLocks(t *testing.T) {
	w := newWorld(t)
	_, err := w.client.PutItem(&dynamodb.PutItemInput{TableName: &w.table, Item: map[string]*dynamodb.AttributeValue{"key": {S: aws.String("job")}}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.run("release", "-name", "job", "-force", "-yes")).To(Equal(exitStore))
	w.Expect(w.run("release", "-name", "never-taken", "-force", "-yes")).To(Equal(0))
}

func TestCreateTable(t *testing.T) {
	w := newWorld(t)
	table := "lockrun-" + uuid.NewString()
	t.Cleanup(func() { _, _ = w.client.DeleteTable(&dynamodb.DeleteTableInput{TableName: &table}) })
	for range 2 {
		p := w.start("create-table", "-table", table, "-partition-key", "id")
		w.Expect(p.code()).To(Equal(0))
		w.Expect(p.said()).To(ContainSubstring("is ready"))
	}
	w.Expect(w.run("-table", table, "-partition-key", "id", "-name", "job", "--", "true")).To(Equal(0))
	w.Expect(w.run("create-table", "-table", table)).To(Equal(exitStore))
}

func TestHelpNamesAllFlagsAndExitCodes(t *testing.T) {
	w := newWorld(t)
	for _, args := range [][]string{{"-h"}, {"help"}, {"status", "-h"}, {"release", "-h"}, {"create-table", "-h"}} {
		cmd := w.program(args...)
		said, err := cmd.Output()
		w.Expect(err).NotTo(HaveOccurred(), "%q", args)
		w.Expect(string(said)).To(And(ContainSubstring("usage:"), ContainSubstring("-table name")), "%q", args)
	}
	said, _ := w.program("-h").Output()
	for line := range strings.Lines(string(said)) {
		w.Expect(len(line)).To(BeNumerically("<=", 100), line)
	}
	for _, code := range regexp.MustCompile(`\d+`).FindAllString("64 69 75 76 126 127", -1) {
		w.Expect(string(said)).To(ContainSubstring(code))
	}
}
