package simulation

import "math/rand/v2"

// A run rolls no common dice: whoever is first at them would change everybody's luck, and of
// goroutines that wake at the same instant nobody can say which is first. Each decision has dice of
// its own instead, made from the seed and from what is decided: which machine, which client, which
// kind of request, the how manieth.

// dice returns the random numbers that belong to one decision of one run.
func dice(seed uint64, decision ...uint64) *rand.Rand {
	a, b := scramble(seed), scramble(seed^0x9e3779b97f4a7c15)
	for _, d := range decision {
		a = scramble(a ^ d)
		b = scramble(b + d)
	}
	return rand.New(rand.NewPCG(a, b))
}

// What is decided; the first number of a decision.
const (
	forPlan uint64 = iota + 1
	forMachine
	forClient
	forRequest
	forJitter
	forWaking
	forWork
	forElector
	forOperator
	forIdentifier
	forExtras
	forCrowd
	forStranger
	forSDK
	forSessions
	forNotices
)

// scramble is the finalizer of splitmix64.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
