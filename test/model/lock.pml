/*
 * One lock: its record, the clients that want it, and the network between them.
 *
 * The model follows section "The argument" of test/SAFETY.md. Spin visits every state that it can reach.
 *
 * Time is counted in ticks. Between two ticks anything can happen in any order, or nothing at all: a client
 * that does nothing for many ticks is a paused or a very slow one, a message that nobody delivers is a late one.
 * A lease is LEASE ticks; a holder trusts it for one tick less, and one clock may lose a tick in every LEASE of them.
 *
 * The network holds MESSAGES messages. Each may be delivered at any time, in any order, be lost on its way
 * there or back, or be delivered again.
 *
 * Nothing else is bounded: runs are of any length, with any number of tenures, requests, crashes and faults.
 * The numbers in the state (versions, counts, tokens) are only compared, so canonical.h renames them.
 *
 * What is promised: see the calls of promise(). What each rule is for: define its switch, and the rule is dropped.
 *
 *   trust    TRUST_FROM_REPLY  NO_MARGIN  MONOTONIC_CLOCK_ONLY  WALL_CLOCK_ONLY  LATE_REPLY_REVIVES
 *   watch    WATCH_FROM_SEND  WATCH_TOO_SHORT  WATCH_GOES_ON  WATCH_STARTS_AGAIN
 *   acquire  TAKEOVER_UNCONDITIONAL  TAKEOVER_WITHOUT_VERSION  NO_COUNT  SAME_VERSION  OWN_ACQUIRE_UNKNOWN
 *   token    TOKEN_NOT_RAISED  TOKEN_SEEN_BEFORE  TOKEN_NOT_COMPARED  SENT_TOKEN_FORGOTTEN
 *   ours     OURS_WITHOUT_OWNER  OURS_WITHOUT_TOKEN  OURS_WITHOUT_OUR_VERSION  HEARTBEAT_UNCONDITIONAL
 *   release  RELEASE_UNCONDITIONAL  RELEASE_BEFORE_THE_END
 *   fence    STAMP_NOT_COMPARED  GUARD_WITHOUT_TOKEN  GUARD_OF_A_RELEASED_LOCK
 *
 * Variants: CLIENT_TOKEN (the client chooses the token, and only a lower one is replaced, as in the code; else the table adds
 * one to it and to the count, which has fewer states), FENCE (the holders
 * write to what a token guards), PLAIN (the last client is of another make), DELETE (a release deletes the item), CALM (the faults
 * end at some time, and then a live client must get the lock).
 */

#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef LEASE
#define LEASE 3
#endif

#define ACQUIRE 1
#define HEARTBEAT 2
#define RELEASE 3

/* The item. */
typedef Record {
  byte version; /* recordVersionNumber; 0: there is no item */
  byte count;   /* heartbeatCount */
  byte owner;   /* ownerName */
  byte token;   /* fencingToken */
  byte released;
  byte foreign; /* recordVersionNumber differs from ourVersion: the last write was by a client of another make */
  byte tenure   /* not in the item: the number of the tenure, for the promises */
}

/* What a client remembers. A crash clears all of it. */
typedef Memory {
  byte believes;
  byte age;     /* ticks since it sent the write that it trusts */
  byte token;   /* of the tenure that the record may still carry; 0: none */
  byte tenure;
  byte asks;    /* the acquire or release that it waits for */
  byte seen_version, seen_count, watched; /* the record that it watches, and for how many ticks it has */
#ifdef FENCE
  byte pen, pen_tenure; /* the token that its work writes with; it may be paused between its look and its write */
#endif
#ifdef PLAIN
  byte version; /* a client of another make knows its tenure by the version that it wrote last */
#endif
  byte highest; /* the highest token that it has seen */
#ifdef SAME_VERSION
  byte again;   /* the version of its last unanswered heartbeat */
#endif
}

/* A request, or the reply to it. */
typedef Message {
  byte what; /* 0: nothing */
  byte sender;
  byte reply;
  byte awaited; /* its sender still wants the reply */
  byte ok;      /* reply: carried out, not refused */
  byte age;     /* ticks since it was sent, on its sender's clocks */
  byte token, tenure; /* the tenure that a request names; the one that a reply brings */
  byte version; /* that it writes, if it is carried out */
  byte seen_version, seen_count; /* request: the record that it may replace; refusal: the record found instead */
  byte highest  /* acquire: the token that it gives out; its reply: the token in the record */
}

Record rec;
Memory client[CLIENTS];
Message net[MESSAGES];
int doubts[CLIENTS];    /* the versions of a client's acquires that it has no answer to, as a set of bits */
int claimed[MESSAGES];  /* the same, as a request names them */
byte under_way;         /* messages in the network */
byte agreed = LEASE;    /* ticks since a clock last lost one, up to LEASE */
#ifdef FENCE
byte fence, last_writer; /* the guarded register: the highest token seen; the tenure of the last write, for the promise */
#endif
byte top;               /* the highest token anywhere; set by canonical() */
byte m, i, passed;      /* scratch, 0 between two steps */

/* ---- the promises ---- */

/* ONLY=n has the search look at the n-th promise alone: at the worst that happens without a rule. */
#define ONE_BELIEVER 1
#define OWN_RECORD 2
#define OWN_ACQUIRE 3
#define REGISTER 4
#define TRANSACTION 5
#define LIVENESS 6
#ifndef ONLY
#define ONLY 0
#endif
#define promise(WHICH, CONDITION, TEXT) if :: (ONLY && ONLY != WHICH) || (CONDITION) :: else -> printf(TEXT); assert(false) fi

/* Where an item was deleted, a repeated acquire can bring its tenure back under the same token: its owner may free that. */
#ifdef DELETE
#define OF_ITS_TENURE (rec.owner == SENDER && rec.token == net[m].token)
#else
#define OF_ITS_TENURE (rec.tenure == net[m].tenure && !rec.foreign)
#endif

inline promise_one_believer(C) {
  i = 0;
  do
  :: i < CLIENTS -> promise(ONE_BELIEVER, i == C || !client[i].believes, "BROKEN: two clients believe that they hold the lock\n"); i++
  :: else -> break
  od
}

/* ---- names and numbers ---- */

#define NEW_VERSION 14
c_decl { enum { Clients = CLIENTS, Messages = MESSAGES, Acquire = ACQUIRE, Heartbeat = HEARTBEAT }; }
c_code { \#include "lock.h" }
#define step_ends m = 0; i = 0; passed = 0; c_code { canonical(); }

#ifdef PLAIN
#define NAME(C) 0 /* all have one and the same Identifier */
#define IS_PLAIN(C) ((C) == CLIENTS - 1)
#undef NO_REPEATS
#undef NO_SLOW_CLOCKS
#define NO_REPEATS
#define NO_SLOW_CLOCKS
#else
#define NAME(C) (C)
#define IS_PLAIN(C) false
#endif

#ifdef DELETE
#define NO_CRASHES /* a process that starts anew has another Identifier */
#define NO_SLOW_CLOCKS
#define NO_SLEEP
#define NO_SET_BACK
#endif

#define IN(VERSION, SET) ((VERSION) && ((SET) & (1 << (VERSION))))

/* ---- the rules of trust and watch ---- */

#ifdef NO_MARGIN
#define TRUST(C) LEASE
#else
#define TRUST(C) (IS_PLAIN(C) -> LEASE : LEASE - 1) /* other makes trust their lease to the end */
#endif

#ifdef TRUST_FROM_REPLY
#define AGE_OF_REPLY 0
#else
#define AGE_OF_REPLY net[m].age
#endif

#ifdef WATCH_FROM_SEND
#define WATCHED_AT_FIRST net[m].age
#else
#define WATCHED_AT_FIRST 0
#endif

#ifdef WATCH_TOO_SHORT
#define WATCH (LEASE - 1)
#else
#define WATCH LEASE
#endif

#ifdef MONOTONIC_CLOCK_ONLY
#define TIME_PASSED(MONOTONIC, WALL) MONOTONIC
#else
#ifdef WALL_CLOCK_ONLY
#define TIME_PASSED(MONOTONIC, WALL) WALL
#else
#define TIME_PASSED(MONOTONIC, WALL) (MONOTONIC > WALL -> MONOTONIC : WALL) /* whichever says more */
#endif
#endif

/* An item that is deleted and made anew must not have a token that its client has had before. */
#ifdef TOKEN_SEEN_BEFORE
#define ABOVE(TOKEN) 0
#else
#define ABOVE(TOKEN) TOKEN
#endif

/* CLIENT_TOKEN: a client chooses the token itself, and only a lower one is replaced. */
#if defined CLIENT_TOKEN && !defined TOKEN_NOT_COMPARED
#define TOKEN_RISES (rec.token < net[m].highest)
#else
#define TOKEN_RISES true
#endif
#if defined CLIENT_TOKEN || defined DELETE
#define ANY_TOKEN /* its clock can be late, or ahead of others' by anything */
#endif

/* ---- the conditions of requests: m is the message ---- */

#define SENDER net[m].sender

#ifdef NO_COUNT
#define SAME_COUNT true
#define COUNT_IS true
#else
#define SAME_COUNT (client[SENDER].seen_count == net[m].seen_count)
#define COUNT_IS (rec.count == net[m].seen_count)
#endif
#ifdef TAKEOVER_UNCONDITIONAL
#define UNCHANGED net[m].seen_version
#else
#ifdef TAKEOVER_WITHOUT_VERSION
#define UNCHANGED (net[m].seen_version && COUNT_IS)
#else
#define UNCHANGED (net[m].seen_version && rec.version == net[m].seen_version && (COUNT_IS || IS_PLAIN(SENDER)))
#endif
#endif

#define WRITTEN_BY_US IN(rec.version, claimed[m])

#ifdef OURS_WITHOUT_OWNER
#define OWNER_IS(C) true
#else
#define OWNER_IS(C) (rec.owner == NAME(C))
#endif
#ifdef OURS_WITHOUT_TOKEN
#define TOKEN_IS(T) (T)
#else
#define TOKEN_IS(T) ((T) && rec.token == (T))
#endif
#ifdef OURS_WITHOUT_OUR_VERSION
#define NOT_FOREIGN true
#else
#define NOT_FOREIGN (!rec.foreign)
#endif
#define OURS(C, T) (rec.version && OWNER_IS(C) && TOKEN_IS(T) && NOT_FOREIGN && !rec.released)

#ifdef HEARTBEAT_UNCONDITIONAL
#define MAY_RENEW rec.version
#else
#define MAY_RENEW (IS_PLAIN(SENDER) -> rec.version && rec.version == net[m].seen_version && !rec.released : OURS(SENDER, net[m].token))
#endif

#ifdef RELEASE_UNCONDITIONAL
#define MAY_RELEASE rec.version
#else
#define MAY_RELEASE (IS_PLAIN(SENDER) -> rec.version && rec.version == net[m].seen_version && !rec.released : OURS(SENDER, net[m].token) || WRITTEN_BY_US && !rec.released)
#endif

#ifdef OWN_ACQUIRE_UNKNOWN
#define UNANSWERED false
#else
#define UNANSWERED WRITTEN_BY_US
#endif
#define ENDED OURS(SENDER, net[m].token)
#define MAY_ACQUIRE ((!rec.version || rec.released || UNCHANGED || ENDED || UNANSWERED) && (IS_PLAIN(SENDER) || TOKEN_RISES))

#ifdef RELEASE_BEFORE_THE_END
#define HAS_ENDED(C) true
#else
#define HAS_ENDED(C) (!client[C].believes)
#endif

#ifdef STAMP_NOT_COMPARED
#define REGISTER_TAKES(TOKEN) true
#else
#define REGISTER_TAKES(TOKEN) (fence <= TOKEN)
#endif

#ifdef GUARD_WITHOUT_TOKEN
#define GUARD_PASSES(C, TOKEN) (rec.owner == NAME(C) && NOT_FOREIGN && !rec.released)
#else
#ifdef GUARD_OF_A_RELEASED_LOCK
#define GUARD_PASSES(C, TOKEN) (rec.version && OWNER_IS(C) && TOKEN_IS(TOKEN) && NOT_FOREIGN)
#else
#define GUARD_PASSES(C, TOKEN) OURS(C, TOKEN)
#endif
#endif

/* ---- the faults end ---- */

#ifdef CALM
byte calm;          /* 0: anything can happen. Else nothing is late, lost or slow any more; ticks since then, plus 1 */
byte dead, polled;  /* sets of clients: those that never act again, those that have sent their request of this tick */
#define FAULTS (!calm)
#define MAY_SEND(C) (!calm || !IN_SET(C, dead | polled))
#define IN_SET(C, SET) ((SET) & (1 << (C)))
#else
#define FAULTS true
#define MAY_SEND(C) true
#endif

/* ---- small steps ---- */

inline end_belief(C) { client[C].believes = 0; client[C].age = 0 }

inline unwatch(C) { client[C].seen_version = 0; client[C].seen_count = 0; client[C].watched = 0 }

inline disown(C) { client[C].token = 0; client[C].tenure = 0 }

inline remove(M) {
  net[M].what = 0; net[M].sender = 0; net[M].reply = 0; net[M].awaited = 0; net[M].ok = 0; net[M].age = 0;
  net[M].token = 0; net[M].tenure = 0; net[M].version = 0; net[M].seen_version = 0; net[M].seen_count = 0; claimed[M] = 0;
  net[M].highest = 0;
  under_way--
}

inline free_place(M) {
  M = 0;
  do
  :: M < MESSAGES - 1 && net[M].what -> M++
  :: else -> break
  od
}

inline send(C, WHAT) {
  free_place(m);
  under_way++;
  net[m].what = WHAT; net[m].sender = C; net[m].awaited = 1;
  net[m].version = NEW_VERSION; /* a new one in every attempt */
  net[m].token = client[C].token; net[m].tenure = client[C].tenure;
#ifdef PLAIN
  if
  :: IS_PLAIN(C) -> net[m].seen_version = client[C].version
  :: else
  fi;
#endif
#ifdef CALM
  if
  :: calm -> polled = polled | (1 << C)
  :: else
  fi;
#endif
}

/* ---- time ---- */

inline time_passes(C, MONOTONIC, WALL) {
  passed = TIME_PASSED(MONOTONIC, WALL);
  if
  :: client[C].believes ->
       client[C].age = client[C].age + passed;
       if
       :: client[C].age >= TRUST(C) ->
            end_belief(C);
            printf("<c%d>: its window closes, it believes no longer\n", C);
#ifdef CALM
            promise(LIVENESS, !calm || IN_SET(C, dead), "BROKEN: a holder whose requests are answered lost the lock\n")
#endif
       :: else
       fi
  :: else
  fi;
  m = 0;
  do
  :: m < MESSAGES ->
       if
       :: net[m].awaited && net[m].sender == C && net[m].what != RELEASE && net[m].age < LEASE -> net[m].age = net[m].age + passed
       :: else
       fi;
       m++
  :: else -> break
  od;
  if
  :: client[C].seen_version && client[C].watched < LEASE -> client[C].watched = client[C].watched + MONOTONIC
  :: else
  fi
}

#define ALL_WELL 0
#define SLEEPS 1    /* its machine is suspended: the monotonic clock stands still */
#define SET_BACK 2  /* its wall clock is set back by a tick */
#define LOSES_ONE 3 /* its clocks run slow */

inline tick(WHO, HOW) {
  if
  :: HOW == ALL_WELL -> printf("tick\n")
  :: HOW == SLEEPS -> printf("tick; the machine of <c%d> sleeps through it\n", WHO)
  :: HOW == SET_BACK -> printf("tick; the wall clock of <c%d> is set back by one\n", WHO)
  :: HOW == LOSES_ONE -> printf("tick; the clocks of <c%d> lose it\n", WHO)
  fi;
  agreed = (agreed < LEASE -> agreed + 1 : LEASE);
  i = 0;
  do
  :: i < CLIENTS ->
       if
       :: i == WHO && HOW == SLEEPS -> time_passes(i, 0, 1)
       :: i == WHO && HOW == SET_BACK -> time_passes(i, 1, 0)
       :: i == WHO && HOW == LOSES_ONE -> time_passes(i, 0, 0); agreed = 0
       :: else -> time_passes(i, 1, 1)
       fi;
       i++
  :: else -> break
  od
}

/* ---- a client ---- */

#define MAY_ASK(C, MORE) (MAY_SEND(C) && !client[C].believes && !client[C].asks && under_way < MESSAGES && (MORE == 1 || !IS_PLAIN(C) && FAULTS && ABOVE(client[C].highest) + MORE <= top + 1))

/* MORE is by how much its clock is above the highest token that it has seen. */
inline ask(C, MORE) {
  i = ABOVE(client[C].highest) + MORE;
  send(C, ACQUIRE);
  client[C].asks = ACQUIRE;
  claimed[m] = doubts[C];
  net[m].highest = (IS_PLAIN(C) -> 0 : i);
#if defined CLIENT_TOKEN && !defined SENT_TOKEN_FORGOTTEN
  client[C].highest = i; /* it may be in the record already when the next attempt is sent */
#endif
  if
  :: client[C].seen_version && client[C].watched >= WATCH ->
       net[m].seen_version = client[C].seen_version; net[m].seen_count = client[C].seen_count;
       printf("<c%d> sends acquire <v%d> with token <t%d>, for it has watched <v%d>, count <n%d>, for a lease\n", C, net[m].version, net[m].highest, net[m].seen_version, net[m].seen_count)
  :: else ->
       net[m].seen_version = 0; net[m].seen_count = 0;
       printf("<c%d> sends acquire <v%d> with token <t%d>\n", C, net[m].version, net[m].highest)
  fi;
  step_ends
}

#define me _pid

active [CLIENTS] proctype Client() {
  do
  /* It asks for the lock. */
  :: d_step { MAY_ASK(me, 1) -> ask(me, 1) }
#ifdef ANY_TOKEN
  :: d_step { MAY_ASK(me, 2) -> ask(me, 2) }
  :: d_step { MAY_ASK(me, 3) -> ask(me, 3) }
  :: d_step { MAY_ASK(me, 4) -> ask(me, 4) }
  :: d_step { MAY_ASK(me, 5) -> ask(me, 5) }
  :: d_step { MAY_ASK(me, 6) -> ask(me, 6) }
#endif

  :: d_step { MAY_SEND(me) && client[me].believes && !(IS_PLAIN(me) && client[me].asks) && under_way < MESSAGES ->
       send(me, HEARTBEAT);
       if
       :: IS_PLAIN(me) -> client[me].asks = HEARTBEAT
       :: else
       fi;
#ifdef SAME_VERSION
       if
       :: client[me].again -> net[m].version = client[me].again
       :: else -> client[me].again = net[m].version
       fi;
#endif
       printf("<c%d> sends heartbeat <v%d>\n", me, net[m].version);
       step_ends }

  :: d_step { FAULTS && client[me].believes -> /* its work is done */
       end_belief(me);
       printf("<c%d>: its work has ended, it believes no longer\n", me);
       step_ends }

  :: d_step { FAULTS && HAS_ENDED(me) && !client[me].asks && (client[me].token || doubts[me]) && under_way < MESSAGES ->
       send(me, RELEASE);
       client[me].asks = RELEASE;
       claimed[m] = doubts[me];
       printf("<c%d> sends release <v%d>\n", me, net[m].version);
       step_ends }

#ifndef NO_CRASHES
  :: d_step { FAULTS -> /* it crashes, and starts anew */
       end_belief(me); unwatch(me); disown(me);
       client[me].asks = 0; client[me].highest = 0; doubts[me] = 0;
#ifdef FENCE
       client[me].pen = 0; client[me].pen_tenure = 0;
#endif
#ifdef PLAIN
       client[me].version = 0;
#endif
#ifdef SAME_VERSION
       client[me].again = 0;
#endif
       m = 0;
       do
       :: m < MESSAGES ->
            if
            :: net[m].what && net[m].sender == me && net[m].reply -> remove(m)
            :: net[m].what && net[m].sender == me -> net[m].awaited = 0; net[m].age = 0
            :: else
            fi;
            m++
       :: else -> break
       od;
       printf("<c%d> crashes and starts anew\n", me);
       step_ends }
#endif

#ifdef FENCE
  /* Its work: it looks whether it holds the lock, is paused perhaps, and writes. */
  :: d_step { FAULTS && client[me].believes && client[me].pen_tenure != client[me].tenure && !IS_PLAIN(me) ->
       client[me].pen = client[me].token; client[me].pen_tenure = client[me].tenure;
       step_ends }

  /* It writes to a register that refuses tokens lower than the highest that it has seen. */
  :: d_step { FAULTS && client[me].pen && REGISTER_TAKES(client[me].pen) ->
       printf("<c%d> writes to the register with token <t%d>\n", me, client[me].pen);
       promise(REGISTER, client[me].pen_tenure >= last_writer, "BROKEN: the register took the write of an older tenure after one of a newer tenure\n");
       fence = client[me].pen; last_writer = client[me].pen_tenure;
       step_ends }

  /* It writes in a transaction that checks the record. */
  :: d_step { FAULTS && client[me].pen && GUARD_PASSES(me, client[me].pen) ->
       promise(TRANSACTION, rec.tenure == client[me].pen_tenure && !rec.foreign && !rec.released, "BROKEN: a transaction was committed for a tenure that is over\n");
       step_ends }
#endif

#ifndef NO_SLEEP
  :: d_step { FAULTS -> tick(me, SLEEPS); step_ends }
#endif
#ifndef NO_SET_BACK
  :: d_step { FAULTS -> tick(me, SET_BACK); step_ends }
#endif
#ifndef NO_SLOW_CLOCKS
  :: d_step { FAULTS && agreed == LEASE -> tick(me, LOSES_ONE); step_ends }
#endif

#ifdef CALM
  :: d_step { !calm ->
       calm = 1; dead = 1 << me; end_belief(me);
       printf("<c%d> crashes for good; from now on nothing is late, lost or slow\n", me);
       step_ends }
#endif
  od
}

/* ---- the table, and the network ---- */

inline answer(YES) {
  claimed[m] = 0;
  if
  :: !net[m].awaited -> remove(m)
  :: else ->
       net[m].reply = 1; net[m].ok = YES; net[m].highest = 0;
       if
       :: net[m].what == ACQUIRE && YES ->
            net[m].token = rec.token; net[m].tenure = rec.tenure; net[m].highest = rec.token; net[m].seen_version = 0; net[m].seen_count = 0
       :: net[m].what == ACQUIRE && !YES -> /* a refusal brings the record */
            net[m].token = 0; net[m].tenure = 0; net[m].highest = rec.token; net[m].seen_version = rec.version; net[m].seen_count = rec.count
       :: else
       fi
  fi
}

/* Nobody waits for the reply any more. What was asked may have been done, or may yet be done. */
inline give_up() {
  if
  :: net[m].awaited && net[m].what == ACQUIRE ->
       client[SENDER].asks = 0;
       if
       :: !IS_PLAIN(SENDER) -> doubts[SENDER] = doubts[SENDER] | (1 << net[m].version)
       :: else
       fi
  :: net[m].awaited && (net[m].what == RELEASE || IS_PLAIN(SENDER)) -> client[SENDER].asks = 0
  :: else
  fi
}

inline take() {
  rec.version = net[m].version; rec.owner = NAME(SENDER); rec.released = 0;
  if
  :: IS_PLAIN(SENDER) -> rec.foreign = 1 /* it updates the record in place, and leaves what it doesn't know */
  :: else ->
       rec.foreign = 0;
       rec.tenure++;
#ifndef CLIENT_TOKEN
       rec.count++; /* else its token tells a repeated acquire from the first */
#endif
#ifdef TOKEN_NOT_RAISED
       rec.token = 1
#else
#ifdef CLIENT_TOKEN
       rec.token = net[m].highest
#else
       rec.token = (rec.token -> rec.token + 1 : net[m].highest)
#endif
#endif
  fi
}

#undef me
#define me (_pid - CLIENTS)

active [MESSAGES] proctype Network() {
  do
  /* A request reaches the table. */
  :: d_step { net[me].what == ACQUIRE && !net[me].reply ->
       m = me;
       if
       :: MAY_ACQUIRE ->
            take();
            printf("table: acquire <v%d> of <c%d> is carried out: count <n%d>, token <t%d>\n", net[m].version, SENDER, rec.count, rec.token);
            answer(1)
       :: !(MAY_ACQUIRE) && rec.version == net[m].version ->
            printf("table: acquire <v%d> of <c%d> has been carried out before\n", net[m].version, SENDER);
            answer(1)
       :: else ->
            printf("table: acquire <v%d> of <c%d> is refused: the record is <v%d>, count <n%d>\n", net[m].version, SENDER, rec.version, rec.count);
            promise(OWN_ACQUIRE, !net[m].awaited || !(WRITTEN_BY_US), "BROKEN: a client was refused by its own unanswered acquire\n");
            answer(0)
       fi;
       step_ends }

  :: d_step { net[me].what == HEARTBEAT && !net[me].reply ->
       m = me;
       if
       :: MAY_RENEW ->
            if
            :: IS_PLAIN(SENDER)
            :: else ->
                 promise(OWN_RECORD, OF_ITS_TENURE, "BROKEN: a heartbeat changed the record of another tenure\n");
                 rec.count++
            fi;
            rec.version = net[m].version;
            printf("table: heartbeat <v%d> of <c%d> is carried out: count <n%d>\n", net[m].version, SENDER, rec.count);
            answer(1)
       :: else ->
            printf("table: heartbeat <v%d> of <c%d> is refused\n", net[m].version, SENDER);
            answer(0)
       fi;
       step_ends }

  :: d_step { net[me].what == RELEASE && !net[me].reply ->
       m = me;
       if
       :: MAY_RELEASE ->
            if
            :: IS_PLAIN(SENDER) || WRITTEN_BY_US
            :: else -> promise(OWN_RECORD, OF_ITS_TENURE, "BROKEN: a release freed the record of another tenure\n")
            fi;
#ifdef DELETE
            rec.version = 0; rec.count = 0; rec.owner = 0; rec.token = 0;
#else
            rec.released = 1;
            if
            :: IS_PLAIN(SENDER)
            :: else -> rec.version = net[m].version
            fi;
#endif
            printf("table: release <v%d> of <c%d> is carried out\n", net[m].version, SENDER);
            answer(1)
       :: else ->
            printf("table: release <v%d> of <c%d> is refused\n", net[m].version, SENDER);
            answer(0)
       fi;
       step_ends }

  /* A request or a reply is lost. */
  :: d_step { FAULTS && net[me].what ->
       m = me;
       if
       :: net[m].reply -> printf("network: the reply to <v%d> of <c%d> is lost\n", net[m].version, SENDER)
       :: else -> printf("network: <v%d> of <c%d> is lost\n", net[m].version, SENDER)
       fi;
       give_up(); remove(m);
       step_ends }

  /* Its sender waits no longer; the request is still under way. A confirmed heartbeat is as good late. */
  :: d_step { FAULTS && net[me].awaited && !net[me].reply && net[me].what != HEARTBEAT ->
       m = me;
       printf("<c%d> waits no longer for the reply to <v%d>, which is still under way\n", SENDER, net[m].version);
       give_up(); net[m].awaited = 0; net[m].age = 0;
       step_ends }

#ifndef NO_REPEATS
  /* The network repeats a request. */
  :: d_step { FAULTS && net[me].what && !net[me].reply && under_way < MESSAGES ->
       m = me; free_place(i); under_way++;
       net[i].what = net[m].what; net[i].sender = SENDER;
       net[i].token = net[m].token; net[i].tenure = net[m].tenure; net[i].version = net[m].version;
       net[i].seen_version = net[m].seen_version; net[i].seen_count = net[m].seen_count; claimed[i] = claimed[m];
       net[i].highest = net[m].highest;
       printf("network: <v%d> of <c%d> will be delivered twice\n", net[m].version, SENDER);
       step_ends }
#endif

  /* A reply reaches its client. */
  :: d_step { net[me].what == ACQUIRE && net[me].reply ->
       m = me;
       client[SENDER].asks = 0;
       if
       :: net[m].ok ->
            unwatch(SENDER);
            client[SENDER].token = net[m].token; client[SENDER].tenure = net[m].tenure;
#ifdef PLAIN
            client[SENDER].version = net[m].version;
#endif
            if
            :: AGE_OF_REPLY < TRUST(SENDER) ->
                 client[SENDER].believes = 1; client[SENDER].age = AGE_OF_REPLY;
                 printf("<c%d> hears that its acquire <v%d> was carried out, and believes\n", SENDER, net[m].version);
                 promise_one_believer(SENDER)
            :: else -> printf("<c%d> hears too late that its acquire <v%d> was carried out\n", SENDER, net[m].version)
            fi
       :: else ->
            disown(SENDER);
            if
            :: client[SENDER].seen_version == net[m].seen_version && (SAME_COUNT || IS_PLAIN(SENDER))
#ifdef WATCH_STARTS_AGAIN
                 -> client[SENDER].watched = 0
#endif
            :: else ->
                 client[SENDER].seen_version = net[m].seen_version; client[SENDER].seen_count = net[m].seen_count;
#ifndef WATCH_GOES_ON
                 client[SENDER].watched = WATCHED_AT_FIRST
#endif
            fi;
            printf("<c%d> hears of the refusal, and watches <v%d>, count <n%d>\n", SENDER, net[m].seen_version, net[m].seen_count)
       fi;
       if
       :: net[m].highest > client[SENDER].highest -> client[SENDER].highest = net[m].highest
       :: else
       fi;
       remove(m);
       step_ends }

  :: d_step { net[me].what == HEARTBEAT && net[me].reply ->
       m = me;
       if
       :: IS_PLAIN(SENDER) -> client[SENDER].asks = 0
       :: else
       fi;
       if
       :: client[SENDER].believes && client[SENDER].tenure == net[m].tenure && net[m].ok ->
            if
            :: AGE_OF_REPLY < client[SENDER].age -> client[SENDER].age = AGE_OF_REPLY
            :: else
            fi;
#ifdef PLAIN
            client[SENDER].version = net[m].version;
#endif
#ifdef SAME_VERSION
            client[SENDER].again = 0;
#endif
            printf("<c%d> hears that its heartbeat <v%d> was carried out\n", SENDER, net[m].version)
       :: client[SENDER].believes && client[SENDER].tenure == net[m].tenure && !net[m].ok ->
            end_belief(SENDER); disown(SENDER);
            printf("<c%d> hears that its heartbeat <v%d> was refused, and believes no longer\n", SENDER, net[m].version)
#ifdef LATE_REPLY_REVIVES
       :: !client[SENDER].believes && client[SENDER].token && client[SENDER].tenure == net[m].tenure && net[m].ok && AGE_OF_REPLY < TRUST(SENDER) ->
            client[SENDER].believes = 1; client[SENDER].age = AGE_OF_REPLY;
            printf("<c%d> hears that its heartbeat <v%d> was carried out, and believes again\n", SENDER, net[m].version);
            promise_one_believer(SENDER)
#endif
       :: else -> skip /* a late reply revives nothing */
       fi;
       remove(m);
       step_ends }

  :: d_step { net[me].what == RELEASE && net[me].reply ->
       m = me;
       client[SENDER].asks = 0; disown(SENDER); end_belief(SENDER);
       printf("<c%d> hears the answer to its release <v%d>\n", SENDER, net[m].version);
       remove(m);
       step_ends }
  od
}

active proctype Time() {
  do
  :: d_step { FAULTS -> tick(CLIENTS, ALL_WELL); step_ends }
#ifdef CALM
  :: d_step { !calm ->
       calm = 1;
       printf("from now on nothing is late, lost or slow\n");
       step_ends }
  /* Each live client asks, or renews, once in each tick, and has its answer in the same tick. */
  :: d_step { calm && !under_way && (dead | polled) == (1 << CLIENTS) - 1 ->
       passed = 0; i = 0;
       do
       :: i < CLIENTS ->
            if
            :: client[i].believes && !IN_SET(i, dead) -> passed = 1
            :: else
            fi;
            i++
       :: else -> break
       od;
       promise(LIVENESS, passed || calm <= LEASE + 1, "BROKEN: nobody holds the lock though live clients have asked for longer than a lease\n");
       tick(CLIENTS, ALL_WELL);
       polled = 0; calm = (calm < LEASE + 3 -> calm + 1 : calm);
       step_ends }
#endif
  od
}
