package cron

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	. "github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/election"
	"github.com/leaderkit/leaderkit/lockclient"
	"github.com/leaderkit/leaderkit/test/dynamotest"
)

// A term that has ended changes no record, even one that is as it was.
func TestATermThatIsOverBeginsAndAbandonsNothing(t *testing.T) {
	g := NewWithT(t)
	server := dynamotest.NewServer()
	defer server.Close()
	s := store{client: server.Client(), table: theTable, keyName: "key", prefix: "cron/"}
	g.Expect(lockclient.EnsureTable(t.Context(), s.client, s.table)).To(Succeed())
	read := func() *Record {
		r, err := s.read(t.Context(), "job")
		g.Expect(err).NotTo(HaveOccurred())
		return r
	}
	lead := func(identity string, work func(election.Term)) (term election.Term) {
		e, err := election.NewLeaderElector(election.LeaderElectionConfig{
			Lock: &lockclient.DynamoDBLockClient{LockName: "cron", Identifier: identity, LeaseDuration: 30 * time.Second,
				TableName: s.table, Client: s.client},
			OneTerm: true,
			Callbacks: election.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) { term, _ = election.TermFromContext(ctx); work(term) },
				OnStoppedLeading: func() {},
			},
		})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(e.Run(t.Context())).To(Succeed())
		return term
	}
	now := time.Now()
	next := func(term election.Term, run string) *Record {
		return &Record{Job: "job", Tick: now.Add(time.Minute), State: Running, Attempt: 1, run: run, FencingToken: term.FencingToken,
			Runner: term.Identity, Started: now}
	}
	stale := lead("a", func(term election.Term) {
		g.Expect(s.create(t.Context(), term, "job", now)).To(Succeed())
		g.Expect(s.create(t.Context(), term, "job", now)).To(MatchError(errChanged), "it is there already")
	})
	g.Expect(s.begin(t.Context(), stale, read(), next(stale, "1"))).To(MatchError(errFenced))
	g.Expect(read().State).To(Equal(Waiting))

	lead("b", func(term election.Term) {
		before := read()
		g.Expect(s.begin(t.Context(), stale, before, next(stale, "1"))).To(MatchError(errFenced))
		g.Expect(s.begin(t.Context(), term, before, next(term, "2"))).To(Succeed())
		g.Expect(s.begin(t.Context(), term, before, next(term, "3"))).To(MatchError(errChanged), "a tick is begun once")
		running := read()
		g.Expect(running.run).To(Equal("2"))
		g.Expect(running).To(And(HaveField("Runs", int64(1)), HaveField("Runner", "b")))
		g.Expect(s.abandon(t.Context(), stale, running, now)).To(MatchError(errFenced))
		g.Expect(s.end(t.Context(), next(stale, "1"), Done, now, "")).To(MatchError(errChanged), "the end of another run")
		g.Expect(s.end(t.Context(), running, Done, now, "")).To(Succeed())
		g.Expect(s.end(t.Context(), running, Failed, now, "late")).To(MatchError(errChanged), "a run ends once")
		g.Expect(read().State).To(Equal(Done))
	})

	// A term whose elector has not heard yet that the lock is another's: the transaction finds out.
	lead("c", func(term election.Term) {
		_, err := s.client.UpdateItem(&dynamodb.UpdateItemInput{TableName: &s.table, Key: map[string]*dynamodb.AttributeValue{"key": text("cron")},
			UpdateExpression: aws.String("SET ownerName = :other"), ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":other": text("d")}})
		g.Expect(err).NotTo(HaveOccurred())
		before := read()
		g.Expect(s.begin(t.Context(), term, before, next(term, "4"))).To(MatchError(errFenced))
		g.Expect(s.abandon(t.Context(), term, before, now)).To(MatchError(errFenced))
		g.Expect(read()).To(Equal(before))
	})
}
