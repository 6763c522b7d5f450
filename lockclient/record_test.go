package lockclient

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/onsi/gomega"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

func TestALeaseIsReadInBothNotationsAndGarbageIsNone(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5000": 5 * time.Second, "1": time.Millisecond, "5s": 5 * time.Second, "1m30s": 90 * time.Second,
		"0": 0, "-5": 0, "-5s": 0, "": 0, "soon": 0, "5 s": 0, "1.5": 0, "99999999999999999999": 0,
		"9223372036854775807": maxLease, "1000000h": maxLease, // endless, and not garbage: their holder may be alive
		"-9223372036854775808": 0, "-1000000h": 0,
	} {
		if got := parseLease(text); got != want {
			t.Errorf("parseLease(%q) = %v, want %v", text, got, want)
		}
	}
}

// FuzzDecodeRecord feeds the decoder any map of attribute values, as JSON.
func FuzzDecodeRecord(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`,
		`{"ownerName":{"S":"a"},"leaseDuration":{"S":"5000"},"recordVersionNumber":{"S":"v"},"fencingToken":{"N":"7"},"heartbeatCount":{"N":"3"},"expiresAt":{"N":"1"}}`,
		`{"recordVersionNumber":{"S":"v"},"leaseDuration":{"S":"-1"},"isReleased":{"S":"1"}}`,
		`{"identifier":{"S":"seed"},"expiry":{"N":"1700000000000000000"}}`,
		`{"recordVersionNumber":{"N":"1"},"isReleased":{"BOOL":true},"fencingToken":{"S":"x"},"heartbeatPeriod":{"N":"1e400"},"data":{"S":"no"}}`,
		`{"recordVersionNumber":{"S":""},"fencingToken":{"N":"1e3"},"heartbeatCount":{"N":"-9e18"},"ownerName":{"L":[{"S":"x"}]}}`,
		`{"recordVersionNumber":null,"identifier":{"S":"x"},"expiry":{"N":""}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var attributes map[string]*dynamodb.AttributeValue
		if json.Unmarshal(in, &attributes) != nil {
			return
		}
		r := decodeRecord(attributes)
		if d := r.item.LeaseDuration; d < 0 || d > maxLease {
			t.Fatalf("lease %v", d)
		}
		if d := r.item.HeartbeatPeriod; d < 0 || d > maxLease {
			t.Fatalf("heartbeat period %v", d)
		}
		if r.item.Released && r.version.dialect != dialectAWS && r.version.dialect != dialectEmpty {
			t.Fatal("released, and yet no lock")
		}
		if r.version.dialect == dialectNone && (r.item.Owner != "" || r.version != version{}) {
			t.Fatalf("not a lock, and yet %+v", r)
		}
		// Whatever was found is watched for a positive time.
		c := contender{rules: &rules{Timing: lease.NewTiming(time.Second, time.Second/3), poll: time.Second / 3}}
		c.saw(r, sighting{consistent: true})
		if c.watch.lease <= 0 {
			t.Fatalf("watched for %v", c.watch.lease)
		}
	})
}

func TestALockWithoutAnItemIsFree(t *testing.T) {
	g := gomega.NewWithT(t)
	g.Expect(decodeRecord(nil).item.Released).To(gomega.BeTrue())
	g.Expect(decodeRecord(nil).version.dialect).To(gomega.Equal(dialectEmpty))
}

// TestWhatJavaWroteNamesNoSession: Java and dynamolock leave the attributes that they do not know
// when they write a record. Its holder is then theirs, and not the session that it once was of.
func TestWhatJavaWroteNamesNoSession(t *testing.T) {
	g := gomega.NewWithT(t)
	text := func(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }
	item := map[string]*dynamodb.AttributeValue{
		attrOwner: text("us"), attrLease: text("5000"), attrVersion: text("v1"), attrOurVersion: text("v1"), attrSession: text("s"),
	}
	g.Expect(decodeRecord(item).session).To(gomega.Equal("s"))
	item[attrOwner], item[attrVersion] = text("java"), text("v2")
	r := decodeRecord(item)
	g.Expect(r.session).To(gomega.BeEmpty())
	g.Expect(r.item.Session).To(gomega.BeEmpty())
}
