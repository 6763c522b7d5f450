package simulation

// pastSeeds have each found a mistake that is mended now:
//
//	15   a waiter that was told of a coming release panicked where the answer was slower than the next poll
//	606  TransactWrite returned ErrLockLost, which says that nothing was written, after a try that had been carried out
//	890  a heartbeat that was refused without the item looked at the record before it ended the tenure; of a deleted item another may
//	     have made his own meanwhile
var pastSeeds = []uint64{15, 606, 890}
