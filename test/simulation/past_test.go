package simulation

// pastSeeds have each found a mistake that is fixed now:
//
//	15   a waiter that knew of a coming release panicked if the answer was slower than the next poll
//	606  TransactWrite returned ErrLockLost, which says that nothing was written, after a try that had been carried out
//	890  a heartbeat that was refused without the item looked at the record before it ended the tenure; another client may have
//	     created a deleted item again meanwhile
//	120637  (and 129689) TransactWrite returned ErrLockLost while an earlier delivery of its request was being carried out
//	118839  the checker wanted warnings on time although the wall clock had been set forward by less than the lock looks at
//	126996  the checker wanted a renewal in time although it had met a transaction of the term
//	305539  (and 342981, 335812) the checker did not know the rhythm of sessions, nor that a lost one announces no release
//	337817  the checker took the end of an earlier lease, which is a time, for a token that is the same number
//	349493  a machine that had closed its session restarted after the run
//	4927  a session that was closed freed a member's lock by itself while its elector's work went on
var pastSeeds = []uint64{15, 606, 890, 4927, 118839, 120637, 126996, 129689, 305539, 335812, 337817, 342981, 349493}
