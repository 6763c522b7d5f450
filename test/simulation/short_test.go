package simulation

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/leaderkit/leaderkit/test/wire"
)

// TestShortCutsChangeNothing: a run is the same whether the SDK writes its requests and reads its
// answers or the short cut does.
func TestShortCutsChangeNothing(t *testing.T) {
	if *shardFlag != "" {
		t.Skip("the shards are for TestSeeds")
	}
	for seed, compared := uint64(1), 0; compared < 12; seed++ {
		if p := planOf(seed); p.isCrowded() {
			continue // such a run may differ from one time to the next
		}
		compared++
		tell := func(wholeSDK bool) string {
			p := planOf(seed)
			p.wholeSDK, p.otherSDK = wholeSDK, false
			var b strings.Builder
			runPlan(t, seed, p).Write(&b, 0)
			return b.String()
		}
		if whole, short := tell(true), tell(false); whole != short {
			t.Fatalf("seed %d: %s", seed, firstDifference(whole, short))
		}
	}
}

// TestRefusalsAreTheSDKs: what the short cut makes of a refusal is what the SDK makes of it.
func TestRefusalsAreTheSDKs(t *testing.T) {
	refused := func(item string) answer {
		return answer{status: http.StatusBadRequest, body: []byte("{" + item + refusedSuffix)}
	}
	for name, a := range map[string]answer{
		"with the item": refused(`"Item":{"key":{"S":"lock-0"},"fencingToken":{"N":"7"}},`),
		"without":       refused(""),
	} {
		got := &arrived{answer: a}
		sdk := wire.NewClient(&transport{}, func(c *aws.Config) { c.Credentials = credentials.AnonymousCredentials })
		in := &dynamodb.UpdateItemInput{TableName: aws.String(lockTable), Key: map[string]*dynamodb.AttributeValue{"key": {S: aws.String("lock-0")}}}
		_, want := sdk.UpdateItemWithContext(got.again(t.Context()), in, once)
		if short := got.refusal(); !reflect.DeepEqual(short, want) {
			t.Errorf("%s: %#v, and the SDK's is %#v", name, short, want)
		}
	}
	// Everything else is the SDK's to read.
	throttled := answer{status: http.StatusBadRequest, body: []byte(`{"__type":"ThrottlingException"}`)}
	broken := refused("")
	broken.cut = true
	for _, a := range []answer{throttled, broken, {err: errReset}} {
		if err := (&arrived{answer: a}).refusal(); err != nil {
			t.Errorf("%+v is read as %v", a, err)
		}
	}
}
