/*
 * Sessions: one heartbeat for any number of locks. Here it is one lock, and a client has SESSIONS sessions in its life, one after
 * another.
 *
 * Time, messages and faults are as in lock.pml. What is shown there of one record is taken for granted here of the lock's own: a look
 * at a record is one step, an acquire is recognised by its sender, clocks have equal rates. So no version and no count is needed. Who
 * remembers a version has one bit instead, which says that nothing was written since.
 *
 * Rules, and the switches that drop them:
 *
 *   1  a holder believes while its acquire was confirmed under its present session, and that is inside its window
 *                                             CONFIRMED_UNDER_ANY_SESSION  TRUST_FROM_REPLY  MONOTONIC_CLOCK_ONLY
 *   2  a waiter watches the session's item    WATCH_TOO_SHORT  WATCH_GOES_ON
 *   3  what looks dead is marked first, if it is still as it was watched; the mark is final; only then is a lock taken, if it is
 *      still as it was seen                   NO_MARK  MARK_UNCONDITIONAL  TAKE_UNCONDITIONAL  SESSION_REVIVED
 *   4  a missing item is watched for a lease  MISSING_IS_DEAD
 *   5  Close ends belief before it marks      CLOSE_BEFORE_THE_END
 *   6  a lock of an ended session of one's own needs no mark
 *   7  a lock is released after the end of belief              FREE_BEFORE_THE_END
 *   a pointer counts only while the record's version is ours   POINTER_NOT_BOUND (with PLAIN)
 *   the lease of a member is endless for plain clients         MEMBER_LEASE_ENDS (with PLAIN)
 *
 * MARK_NOT_FINAL (a late heartbeat undoes a mark) breaks nothing here: that no late answer revives an ended session is enough. The mark is
 * final all the same, for those who have read it.
 *
 * Variant: PLAIN (a client that knows no sessions takes part, and updates the record in place).
 */

#ifndef CLIENTS
#define CLIENTS 2
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef LEASE
#define LEASE 2
#endif
#ifndef SESSIONS
#define SESSIONS 2
#endif
#ifdef ALL_OPEN_MORE
#define MAY_HAVE(C) SESSIONS
#else
#define MAY_HAVE(C) (C == 0 -> SESSIONS : 1) /* the others have one */
#endif

/* Sessions are numbered from 1: those of client 0 first. */
#define NAMES (CLIENTS * SESSIONS + 1)
#define SESSION(C, N) (C * SESSIONS + N + 1)
#define OWNER(NAME) ((NAME - 1) / SESSIONS)

#define BEAT 1  /* renews the session's item */
#define CLOSE 2 /* marks one's own as over */
#define MARK 3  /* marks another's as over */
#define TAKE 4  /* acquires the lock */
#define FREE 5  /* releases it */

#define NEVER 0
#define PRESENT 1
#define OVER 2 /* marked, for good */
#define MISSING 3
byte item[NAMES]; /* the session's items */

typedef Lock { bit held; byte name; bit foreign } /* name: the pointer. foreign: a plain client has written since, and left it there */
Lock lock;

typedef Client {
  byte opened;   /* how many sessions it has opened, in all its lives */
  byte session;  /* the present one; 0: none */
  byte age;      /* ticks since it sent the heartbeat that it trusts */
  bit member;    /* the acquire of the lock was confirmed under it: it believes */
  byte first;    /* sessions from here on are of its present life */
  bit asks;      /* it waits for the answer to an acquire */
  bit knows;     /* it has looked at the lock, and that was not written since */
  byte target;   /* the session to which it points; 0: none, and the record itself is watched */
  byte seen;     /* what that session's item was: PRESENT, OVER or MISSING; 0: not looked at */
  bit as_seen;   /* which is what it still is: not written since. The client does not know that */
  byte watched   /* for how many ticks it has looked so */
}
Client client[CLIENTS];

typedef Message { byte what, name; bit fresh, reply, ok, awaited; byte age } /* fresh: its condition still holds */
Message net[MESSAGES];
#define SENDER OWNER(net[m].name)
byte under_way, m, i, mono, wall;

#ifdef PLAIN
bit plain_believes, plain_holds; byte plain_age;
#ifdef MEMBER_LEASE_ENDS
byte plain_watched;
#endif
#else
#define plain_believes false
#endif

#define clean forget(); m = 0; i = 0; mono = 0; wall = 0
#define promise(CONDITION, TEXT) if :: (CONDITION) :: else -> printf(TEXT); assert(false) fi

inline promise_one_believer(C) {
  i = 0;
  do
  :: i < CLIENTS -> promise(i == C || !client[i].member, "BROKEN: two clients believe that they hold the lock\n"); i++
  :: else -> break
  od;
  promise(C == CLIENTS || !plain_believes, "BROKEN: two clients believe that they hold the lock\n")
}

/* ---- the rules ---- */

#ifdef TRUST_FROM_REPLY
#define AGE_OF_REPLY 0
#else
#define AGE_OF_REPLY net[m].age
#endif
#ifdef MONOTONIC_CLOCK_ONLY
#define TIME_PASSED mono
#else
#define TIME_PASSED (mono > wall -> mono : wall)
#endif
#ifdef WATCH_TOO_SHORT
#define WATCH (LEASE - 1)
#else
#define WATCH LEASE
#endif
#ifdef CONFIRMED_UNDER_ANY_SESSION
#define CONFIRMED client[SENDER].session
#else
#define CONFIRMED (net[m].name == client[SENDER].session)
#endif
#ifdef POINTER_NOT_BOUND
#define POINTER lock.name
#else
#define POINTER (lock.foreign -> 0 : lock.name)
#endif
#ifdef MARK_UNCONDITIONAL
#define MAY_MARK (item[net[m].name] == PRESENT)
#else
#define MAY_MARK (item[net[m].name] == PRESENT && net[m].fresh)
#endif
#ifdef MARK_NOT_FINAL
#define MAY_BEAT (item[net[m].name] == PRESENT || item[net[m].name] == OVER)
#else
#define MAY_BEAT (item[net[m].name] == PRESENT)
#endif
#ifdef TAKE_UNCONDITIONAL
#define MAY_TAKE (!lock.held || net[m].ok)
#else
#define MAY_TAKE (!lock.held || net[m].fresh)
#endif

#define UNCHANGED_FOR_A_LEASE(C) (client[C].watched >= WATCH)
#define MAY_SEND_MARK(C) (client[C].knows && client[C].target && client[C].seen == PRESENT && UNCHANGED_FOR_A_LEASE(C))
#ifdef MISSING_IS_DEAD
#define GONE(C) (client[C].seen == MISSING)
#else
#define GONE(C) (client[C].seen == MISSING && UNCHANGED_FOR_A_LEASE(C))
#endif
#define OF_THIS_LIFE(C) (client[C].target >= client[C].first)
#ifdef FREE_BEFORE_THE_END
#define OWN(C) (client[C].target && OWNER(client[C].target) == C && OF_THIS_LIFE(C))
#else
#define OWN(C) (client[C].target && OWNER(client[C].target) == C && OF_THIS_LIFE(C) && !client[C].member)
#endif
#ifdef NO_MARK
#define DEAD(C) (client[C].target && client[C].seen && UNCHANGED_FOR_A_LEASE(C))
#else
#define DEAD(C) (client[C].target && (client[C].seen == OVER || GONE(C)))
#endif
/* The record that it knows may be replaced. */
#define MAY_CLAIM(C) (client[C].knows && (DEAD(C) || OWN(C) || !client[C].target && UNCHANGED_FOR_A_LEASE(C)))

/* ---- small steps ---- */

/* Whoever remembers the record as it was, remembers something old from now on. */
inline lock_written() {
  i = 0;
  do
  :: i < CLIENTS -> client[i].knows = 0; client[i].target = 0; client[i].seen = 0; client[i].as_seen = 0; client[i].watched = 0; i++
  :: else -> break
  od;
  i = 0;
  do
  :: i < MESSAGES -> net[i].fresh = (net[i].what == MARK && net[i].fresh); i++
  :: else -> break
  od;
#ifdef MEMBER_LEASE_ENDS
  plain_watched = 0;
#endif
  i = 0
}

inline item_written(NAME) {
  i = 0;
  do
  :: i < CLIENTS ->
       if
       :: client[i].target == NAME -> client[i].as_seen = 0
       :: else
       fi;
       i++
  :: else -> break
  od;
  i = 0;
  do
  :: i < MESSAGES -> net[i].fresh = (net[i].fresh && !(net[i].what == MARK && net[i].name == NAME)); i++
  :: else -> break
  od;
  i = 0
}

inline remove(M) {
  net[M].what = 0; net[M].name = 0; net[M].fresh = 0; net[M].reply = 0; net[M].ok = 0; net[M].awaited = 0; net[M].age = 0;
  under_way--
}

inline free_place(M) {
  M = 0;
  do
  :: M < MESSAGES - 1 && net[M].what -> M++
  :: else -> break
  od
}

inline send(WHAT, NAME) {
  free_place(m);
  under_way++;
  net[m].what = WHAT; net[m].name = NAME
}

#define NUMBER(M) (((((((net[M].what * 16 + net[M].name) * 2 + net[M].fresh) * 2 + net[M].reply) * 2 + net[M].ok) * 2 + net[M].awaited) * 8) + net[M].age)
#define swap(FIELD) mono = net[m].FIELD; net[m].FIELD = net[m + 1].FIELD; net[m + 1].FIELD = mono

/* Drops what can make no difference any more: fewer states. Where a rule is dropped it may, so there REMEMBER keeps it. */
inline forget() {
#ifndef REMEMBER
  m = 0;
  do
  :: m < MESSAGES ->
       if
       :: net[m].what == BEAT && (net[m].reply || net[m].awaited) && client[SENDER].session != net[m].name && (net[m].reply || item[net[m].name] != PRESENT) -> remove(m)
       :: net[m].what == BEAT && net[m].awaited && client[SENDER].session != net[m].name && !net[m].reply && item[net[m].name] == PRESENT ->
            net[m].awaited = 0; net[m].age = 0
       :: net[m].what == BEAT && !net[m].awaited && item[net[m].name] != PRESENT -> remove(m)
       :: net[m].what == CLOSE && item[net[m].name] != PRESENT -> remove(m)
       :: net[m].what == MARK && !(item[net[m].name] == PRESENT && net[m].fresh) -> remove(m)
       :: net[m].what == FREE && !net[m].fresh -> remove(m)
       :: net[m].what == TAKE -> net[m].ok = (net[m].reply && net[m].ok)
       :: else
       fi;
       m++
  :: else -> break
  od;
  i = 0;
  do
  :: i < CLIENTS ->
       if
       :: !client[i].as_seen && client[i].target -> /* it can do nothing with it but look again */
            client[i].seen = 0;
#ifndef WATCH_GOES_ON
            client[i].watched = 0
#endif
       :: else
       fi;
       i++
  :: else -> break
  od;
#endif
  /* A client that has had its last session does nothing more. */
  i = 0;
  do
  :: i < CLIENTS ->
       if
       :: !client[i].session && client[i].opened == MAY_HAVE(i) && !client[i].asks ->
            client[i].knows = 0; client[i].target = 0; client[i].seen = 0; client[i].as_seen = 0; client[i].watched = 0; client[i].first = 0
#ifndef FREE_BEFORE_THE_END
       :: client[i].member -> client[i].knows = 0; client[i].target = 0; client[i].seen = 0; client[i].as_seen = 0; client[i].watched = 0
#endif
       :: else
       fi;
       i++
  :: else -> break
  od;
  /* Nobody looks at the item of a session that has ended, and that no lock has or will have. */
  i = 1;
  do
  :: i < NAMES ->
       if
       :: item[i] != NEVER && lock.name != i && client[OWNER(i)].session != i ->
            mono = 0; m = 0;
            do
            :: m < MESSAGES -> mono = (mono || net[m].what == TAKE && net[m].name == i); m++
            :: else -> break
            od;
            if
            :: !mono ->
                 item[i] = NEVER;
                 m = 0;
                 do
                 :: m < MESSAGES ->
                      if
                      :: net[m].what && net[m].name == i -> remove(m)
                      :: else
                      fi;
                      m++
                 :: else -> break
                 od
            :: else
            fi
       :: else
       fi;
       i++
  :: else -> break
  od;
  /* Places in the network are alike. */
  m = 0;
  do
  :: m < MESSAGES - 1 ->
       if
       :: NUMBER(m) < NUMBER(m + 1) ->
            swap(what); swap(name); swap(fresh); swap(reply); swap(ok); swap(awaited); swap(age);
            m = 0
       :: else -> m++
       fi
  :: else -> break
  od
}


inline session_ends(C) { client[C].session = 0; client[C].age = 0; client[C].member = 0 }

inline answer(YES) {
  if
  :: net[m].awaited -> net[m].reply = 1; net[m].ok = YES; net[m].fresh = 0
  :: else -> remove(m)
  fi
}

/* ---- time ---- */

#define ALL_WELL CLIENTS

inline tick(SLEEPER) {
  if
  :: SLEEPER == ALL_WELL -> printf("tick\n")
  :: else -> printf("tick; the machine of <c%d> sleeps through it\n", SLEEPER)
  fi;
  i = 0;
  do
  :: i < CLIENTS ->
       wall = 1; mono = (SLEEPER == i -> 0 : 1);
       if
       :: client[i].session ->
            client[i].age = client[i].age + TIME_PASSED;
            if
            :: client[i].age >= LEASE ->
                 printf("<c%d>: the window of its session S%d closes\n", i, client[i].session);
                 session_ends(i)
            :: else
            fi
       :: else
       fi;
       m = 0;
       do
       :: m < MESSAGES ->
            if
            :: net[m].what == BEAT && net[m].awaited && SENDER == i && net[m].age < LEASE -> net[m].age = net[m].age + TIME_PASSED
            :: else
            fi;
            m++
       :: else -> break
       od;
       if
       :: client[i].knows && (!client[i].target || client[i].seen) && client[i].watched < LEASE -> client[i].watched = client[i].watched + mono
       :: else
       fi;
       i++
  :: else -> break
  od;
#ifdef PLAIN
  if
  :: plain_believes ->
       plain_age++;
       if
       :: plain_age >= LEASE -> plain_believes = 0; plain_age = 0; printf("P: its window closes\n")
       :: else
       fi
  :: else
  fi;
#ifdef MEMBER_LEASE_ENDS
  plain_watched = (plain_watched < LEASE -> plain_watched + 1 : LEASE);
#endif
#endif
  skip
}

/* ---- a client ---- */

#define me _pid
#define ACTS(C) (client[C].session || client[C].opened < MAY_HAVE(C))
#define MAY_OPEN (!client[me].session && client[me].opened < MAY_HAVE(me))

active [CLIENTS] proctype Member() {
  do
  /* It opens a session. Nobody else knows of its item yet, so that is one step. */
  :: d_step { MAY_OPEN ->
#ifdef SESSION_REVIVED
       i = (client[me].opened > 0 && client[me].first <= SESSION(me, client[me].opened - 1) -> SESSION(me, client[me].opened - 1) : SESSION(me, client[me].opened));
       client[me].opened = i - SESSION(me, 0) + 1;
#else
       i = SESSION(me, client[me].opened);
       client[me].opened++;
#endif
       client[me].session = i; item[i] = PRESENT;
       if
       :: client[me].first == 0 -> client[me].first = i
       :: else
       fi;
       printf("<c%d> opens session S%d\n", me, i);
       m = i; item_written(m);
       clean }

  :: d_step { client[me].session && under_way < MESSAGES ->
       send(BEAT, client[me].session);
       net[m].awaited = 1;
       printf("<c%d> sends a heartbeat of session S%d\n", me, net[m].name);
       clean }

  /* It closes its session, and so frees its locks. */
  :: d_step { client[me].session && under_way < MESSAGES ->
       send(CLOSE, client[me].session);
       printf("<c%d> closes session S%d\n", me, net[m].name);
#ifndef CLOSE_BEFORE_THE_END
       session_ends(me);
#endif
       clean }

  /* It looks at the lock, and at the session that has it. */
  :: d_step { ACTS(me) && lock.held && !client[me].member && (!client[me].knows || client[me].target && !client[me].as_seen) ->
       client[me].knows = 1; client[me].target = POINTER;
       client[me].seen = (client[me].target -> item[client[me].target] : 0); client[me].as_seen = (client[me].target != 0);
#ifndef WATCH_GOES_ON
       client[me].watched = 0;
#endif
       if
       :: !client[me].target -> printf("<c%d> looks: a plain client has the lock\n", me)
       :: client[me].target && client[me].seen == PRESENT -> printf("<c%d> looks: session S%d has the lock\n", me, client[me].target)
       :: client[me].target && client[me].seen == OVER -> printf("<c%d> looks: session S%d, which is over, has the lock\n", me, client[me].target)
       :: else -> printf("<c%d> looks: session S%d, which is missing, has the lock\n", me, client[me].target)
       fi;
       clean }

  :: d_step { MAY_SEND_MARK(me) && under_way < MESSAGES ->
       send(MARK, client[me].target);
       net[m].fresh = client[me].as_seen;
       printf("<c%d> has watched session S%d for a lease, and marks it\n", me, net[m].name);
       clean }

  :: d_step { client[me].session && !client[me].member && !client[me].asks && (!lock.held || MAY_CLAIM(me)) && under_way < MESSAGES ->
       send(TAKE, client[me].session);
       net[m].fresh = MAY_CLAIM(me); net[m].ok = net[m].fresh; net[m].awaited = 1;
       client[me].asks = 1;
       printf("<c%d> sends an acquire under session S%d\n", me, net[m].name);
       clean }

  /* It releases the lock, which carries one of its sessions, and goes on. */
  :: d_step { client[me].member ->
       client[me].member = 0;
#ifdef FREE_BEFORE_THE_END
       client[me].member = 1;
#endif
       client[me].knows = 1; client[me].target = client[me].session; client[me].seen = 0; client[me].as_seen = 0;
       printf("<c%d>: its work is done\n", me);
       clean }
  :: d_step { lock.held && client[me].knows && OWN(me) && !client[me].asks && under_way < MESSAGES ->
       send(FREE, client[me].target);
       net[m].fresh = 1;
       printf("<c%d> sends a release of the lock that session S%d has\n", me, net[m].name);
       clean }

  :: d_step { client[me].opened < MAY_HAVE(me) && client[me].opened > 0 -> /* it crashes, and starts anew; after its last session that would change nothing */
       session_ends(me);
       client[me].asks = 0; client[me].knows = 0; client[me].target = 0; client[me].seen = 0; client[me].as_seen = 0; client[me].watched = 0;
       client[me].first = SESSION(me, client[me].opened);
       m = 0;
       do
       :: m < MESSAGES ->
            if
            :: net[m].what && net[m].awaited && SENDER == me && net[m].reply -> remove(m)
            :: net[m].what && net[m].awaited && SENDER == me && !net[m].reply -> net[m].awaited = 0; net[m].age = 0
            :: else
            fi;
            m++
       :: else -> break
       od;
       printf("<c%d> crashes, and starts anew\n", me);
       clean }

  :: d_step { client[me].session || client[me].knows -> tick(me); clean }
  od
}

/* ---- the table, and the network ---- */

#undef me
#define me (_pid - CLIENTS)

active [MESSAGES] proctype Network() {
  do
  :: d_step { net[me].what == BEAT && !net[me].reply ->
       m = me;
       if
       :: MAY_BEAT ->
            item[net[m].name] = PRESENT;
            item_written(net[m].name);
            printf("table: the heartbeat of session S%d is carried out\n", net[m].name);
            answer(1)
       :: else ->
            printf("table: the heartbeat of session S%d is refused\n", net[m].name);
            answer(0)
       fi;
       clean }

  :: d_step { net[me].what == CLOSE || net[me].what == MARK ->
       m = me;
       if
       :: net[m].what == CLOSE && item[net[m].name] == PRESENT || net[m].what == MARK && MAY_MARK ->
            item[net[m].name] = OVER;
            item_written(net[m].name);
            printf("table: session S%d is marked as over\n", net[m].name)
       :: else -> printf("table: a mark of session S%d is refused\n", net[m].name)
       fi;
       remove(m);
       clean }

  :: d_step { net[me].what == TAKE && !net[me].reply ->
       m = me;
       if
       :: MAY_TAKE ->
            lock.held = 1; lock.name = net[m].name; lock.foreign = 0;
#ifdef PLAIN
            plain_holds = 0;
#endif
            lock_written();
            printf("table: the acquire under session S%d is carried out\n", net[m].name);
            answer(1)
       :: else ->
            printf("table: the acquire under session S%d is refused\n", net[m].name);
            answer(0)
       fi;
       clean }

  :: d_step { net[me].what == FREE ->
       m = me;
       if
       :: lock.held && net[m].fresh -> 
            lock.held = 0;
            lock_written();
            printf("table: the release of session S%d's lock is carried out\n", net[m].name)
       :: else -> printf("table: the release of session S%d's lock is refused\n", net[m].name)
       fi;
       remove(m);
       clean }

  :: d_step { net[me].what ->
       m = me;
       if
       :: net[m].reply -> printf("network: a reply to <c%d> is lost\n", SENDER)
       :: net[m].what == MARK -> printf("network: the mark of session S%d is lost\n", net[m].name)
       :: else -> printf("network: a request of <c%d> is lost\n", SENDER)
       fi;
       if
       :: net[m].what == TAKE && net[m].awaited -> client[SENDER].asks = 0
       :: else
       fi;
       remove(m);
       clean }

  :: d_step { net[me].what == TAKE && net[me].awaited && !net[me].reply ->
       m = me;
       client[SENDER].asks = 0; net[m].awaited = 0;
       printf("<c%d> waits no longer for the answer to its acquire, which is still under way\n", SENDER);
       clean }

  :: d_step { net[me].what && !net[me].reply && under_way < MESSAGES ->
       m = me; free_place(i); under_way++;
       net[i].what = net[m].what; net[i].name = net[m].name; net[i].fresh = net[m].fresh; net[i].ok = net[m].ok;
       printf("network: a request for session S%d will be delivered twice\n", net[m].name);
       clean }

  /* Somebody, or DynamoDB's TTL, deletes the item of the session that has the lock. */
  :: d_step { me == 0 && lock.held && !lock.foreign && (item[lock.name] == PRESENT || item[lock.name] == OVER) ->
       item[lock.name] = MISSING;
       printf("somebody deletes the item of session S%d\n", lock.name);
       m = lock.name; item_written(m);
       clean }

  /* A reply reaches its client. */
  :: d_step { net[me].what == BEAT && net[me].reply ->
       m = me;
       if
       :: client[SENDER].session == net[m].name && net[m].ok ->
            client[SENDER].age = (AGE_OF_REPLY < client[SENDER].age -> AGE_OF_REPLY : client[SENDER].age);
            printf("<c%d> hears that its heartbeat of session S%d was carried out\n", SENDER, net[m].name)
       :: client[SENDER].session == net[m].name && !net[m].ok ->
            session_ends(SENDER);
            printf("<c%d> hears that its heartbeat of session S%d was refused: that is over\n", SENDER, net[m].name)
       :: else
       fi;
       remove(m);
       clean }

  :: d_step { net[me].what == TAKE && net[me].reply ->
       m = me;
       client[SENDER].asks = 0;
       if
       :: net[m].ok && CONFIRMED ->
            client[SENDER].member = 1; client[SENDER].knows = 0; client[SENDER].target = 0; client[SENDER].seen = 0; client[SENDER].as_seen = 0; client[SENDER].watched = 0;
            printf("<c%d> hears that its acquire under session S%d was carried out, and believes\n", SENDER, net[m].name);
            promise_one_believer(SENDER)
       :: net[m].ok && !CONFIRMED -> printf("<c%d> hears that its acquire was carried out, but session S%d has ended\n", SENDER, net[m].name)
       :: else -> printf("<c%d> hears that its acquire was refused\n", SENDER)
       fi;
       remove(m);
       clean }
  od
}

#ifdef PLAIN
/* Its requests are answered at once. It leaves the pointer in the record. */
active proctype Plain() {
  do
  :: d_step { !plain_believes && !lock.held ->
       lock.held = 1; lock.foreign = 1; lock_written();
       plain_holds = 1; plain_believes = 1; plain_age = 0;
       printf("P takes the lock\n");
       promise_one_believer(CLIENTS);
       clean }
  :: d_step { plain_believes && plain_holds && lock.held ->
       lock_written(); plain_age = 0;
       printf("P renews the lock\n");
       clean }
  :: d_step { plain_believes -> plain_believes = 0; plain_age = 0; printf("P: its work is done\n"); clean }
  :: d_step { !plain_believes && plain_holds && lock.held -> lock.held = 0; plain_holds = 0; lock_written(); printf("P releases the lock\n"); clean }
#ifdef MEMBER_LEASE_ENDS
  :: d_step { !plain_believes && lock.held && plain_watched >= LEASE ->
       lock.foreign = 1; lock_written();
       plain_holds = 1; plain_believes = 1; plain_age = 0;
       printf("P has watched the lock's own record for a lease, and takes it\n");
       promise_one_believer(CLIENTS);
       clean }
#endif
  od
}
#endif

active proctype Time() {
  do
  :: d_step { tick(ALL_WELL); clean }
  od
}
