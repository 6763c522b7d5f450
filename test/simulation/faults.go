package simulation

import (
	"math"
	"math/rand/v2"
	"time"
)

// fault is one kind of thing that goes wrong.
type fault int

// Those of single requests; fine is none.
const (
	fine fault = iota
	requestLost
	requestReset // lost, and the client is told
	replyLost
	replyReset
	replyCut
	requestLate
	replyLate
	deliveredTwice
	deliveredLateToo
	throttled
	internalError
	internalErrorAfterCommit
	unavailable
	balancerPage // a 503 that is no JSON
	expiredCredentials
	transactionConflict
	staleRead
	deaf // no answer, and the client's context is ignored
	pausedBeforeSend
	pausedAfterSend
	crashedBeforeSend
	crashedAfterSend
	requestFaults // how many there are
)

// Those of machines, and of operators.
const (
	paused fault = requestFaults + iota
	suspended
	crashed
	restartedSame // with the same Identifier
	restartedNew
	cutOutwards // its requests are lost
	cutInwards  // its replies are lost
	cutOff      // both
	wallForward
	wallBack
	rateChanged
	itemDeleted
	itemReleased // marked released
	itemReplaced // overwritten by another kind of client
	itemTouched  // an attribute of no meaning added
	sessionClosed
	sessionDeleted // its item
	faultKinds
)

var faultNames = [faultKinds]string{
	"", "request lost", "request reset", "reply lost", "reply reset", "reply cut", "request late", "reply late", "delivered twice", "delivered again late",
	"throttled", "status 500", "status 500 after commit", "status 503", "balancer's page", "credentials expired", "transaction conflict", "stale read",
	"deaf call", "paused before send", "paused after send", "crashed before send", "crashed after send",
	"paused", "suspended", "crashed", "restarted, same Identifier", "restarted, new Identifier", "cut outwards", "cut inwards", "cut off",
	"wall clock forward", "wall clock back", "clock rate changed",
	"item deleted", "item marked released", "item replaced", "item touched", "session closed", "session deleted",
}

func (f fault) String() string { return faultNames[f] }

// odds are how likely each fault of a request is.
type odds [requestFaults]float64

// mixedOdds choose which faults a run has, and how many.
func mixedOdds(d *rand.Rand) odds {
	var o odds
	total := [...]float64{0, 0.03, 0.1, 0.25, 0.5}[d.IntN(5)]
	sum := 0.0
	for f := requestLost; f < requestFaults; f++ {
		if d.Float64() < 0.45 {
			o[f] = math.Exp(-3 * d.Float64())
		}
		switch f {
		case pausedBeforeSend, pausedAfterSend:
			o[f] /= 3
		case crashedBeforeSend, crashedAfterSend:
			o[f] /= 15
		}
		sum += o[f]
	}
	for f := range o {
		if sum > 0 {
			o[f] *= total / sum
		}
	}
	return o
}

// choose rolls for one request.
func (o *odds) choose(d *rand.Rand) fault {
	x := d.Float64()
	for f, p := range o {
		if x -= p; x < 0 {
			return fault(f)
		}
	}
	return fine
}

// between is a duration from a to b, the short ones as likely as the long ones.
func between(d *rand.Rand, a, b time.Duration) time.Duration {
	return time.Duration(float64(a) * math.Exp(d.Float64()*math.Log(float64(b)/float64(a))))
}
