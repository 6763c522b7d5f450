/*
 * The handover: what electors do on top of a lock that keeps its promises (lock.pml). So the lock is one record here, requests are
 * carried out at once or not at all, and clocks agree.
 *
 * Rules, and the switches that drop them:
 *
 *   the leading context ends at RenewDeadline, before the lease does      NO_RENEW_DEADLINE
 *   the lock is released after the work has returned                      RELEASE_BEFORE_THE_WORK_RETURNED
 *   an elector whose work outlived its lease does not campaign            CAMPAIGN_WHILE_WORKING
 *   the lease is renewed while the work drains                            NOT_RENEWED_WHILE_DRAINING
 *   who is told to stop announces it, and leads on until the candidates
 *   have had their next poll                                              NO_NOTICE
 *   after a transfer all but the heir hold back for one heartbeat         NO_HOLDING_BACK
 *   and no longer                                                         HEIR_FOR_EVER
 *
 * CALM: every request is answered, nobody crashes, and each does what is due in each tick. Only then there is something to promise of
 * leaderless time, of heirs, and of leases that are not lost. Without it anything can be late, lost or dead.
 */

#ifndef ELECTORS
#define ELECTORS 3
#endif
#define LEASE 4    /* ticks; a holder trusts it for one less */
#define DEADLINE 2 /* RenewDeadline */
#define PERIOD 2   /* a heartbeat is due, and a candidate polls, every so many ticks */
#define NOBODY ELECTORS

byte holder = NOBODY;  /* of the record; NOBODY: free */
bit announced;
byte heir = NOBODY;    /* for whom it was released */
byte free_for;         /* ticks since it was released, up to PERIOD */
byte unrenewed;        /* ticks since the record was written, up to LEASE: then anybody may take it over */

typedef Elector {
  bit holds;    /* believes in the lock */
  byte age;     /* ticks since its last renewal */
  bit leads;    /* the leading context is alive */
  bit works;    /* OnStartedLeading has not returned */
  bit overran;  /* the work has outlived its lease */
  bit told;     /* to stop: it transfers, or resigns */
  byte notice;  /* ticks since it announced that */
  bit knows;    /* candidate: it has seen the announcement, and polls closely */
  byte rested;  /* candidate: ticks since its last poll */
  bit gone      /* never acts again */
}
Elector e[ELECTORS];
byte i, leaderless;
bit began;    /* there has been a leader */
bit transfer; /* the release names an heir: elector 1 */

#define clean i = 0
#define promise(CONDITION, TEXT) if :: (CONDITION) :: else -> printf(TEXT); assert(false) fi

#ifdef CALM
#define FAULTS false
#else
#define FAULTS true
#endif
#ifdef NO_RENEW_DEADLINE
#define LEADING_ENDS_AT (LEASE + 1)
#else
#define LEADING_ENDS_AT DEADLINE
#endif
#ifdef CAMPAIGN_WHILE_WORKING
#define MAY_CAMPAIGN(C) (!e[C].holds && !e[C].told && !e[C].gone)
#else
#define MAY_CAMPAIGN(C) (!e[C].holds && !e[C].told && !e[C].gone && !e[C].works)
#endif
#ifdef RELEASE_BEFORE_THE_WORK_RETURNED
#define MAY_RELEASE(C) (!e[C].leads)
#else
#define MAY_RELEASE(C) (!e[C].leads && !e[C].works)
#endif
#ifdef NOT_RENEWED_WHILE_DRAINING
#define RENEWS(C) (e[C].holds && e[C].leads)
#else
#define RENEWS(C) (e[C].holds)
#endif
#ifdef NO_NOTICE
#define NOTICE_GIVEN(C) true
#else
#define NOTICE_GIVEN(C) (announced && e[C].notice >= PERIOD)
#endif
#ifdef NO_HOLDING_BACK
#define HOLDS_BACK(C) false
#else
#ifdef HEIR_FOR_EVER
#define HOLDS_BACK(C) (heir != NOBODY && heir != C)
#else
#define HOLDS_BACK(C) (heir != NOBODY && heir != C && free_for < PERIOD)
#endif
#endif
/* A candidate polls when its time has come. One that knows of an announcement polls closely. */
#define POLLS(C) (FAULTS || e[C].knows || e[C].rested >= PERIOD || holder == NOBODY && e[C].rested >= PERIOD)
#define CAN_TAKE(C) (holder == NOBODY && !HOLDS_BACK(C) || holder != NOBODY && holder != C && unrenewed >= LEASE)

inline lead(C) {
  promise(!e[C].works, "BROKEN: OnStartedLeading runs twice at once\n");
  i = 0;
  do
  :: i < ELECTORS ->
       promise(i == C || !e[i].leads, "BROKEN: two leading contexts are alive\n");
       promise(i == C || !e[i].works || e[i].overran || e[i].gone, "BROKEN: another leads while the work of one that was let stop in time still runs\n");
       i++
  :: else -> break
  od;
  e[C].leads = 1; e[C].works = 1; e[C].overran = 0
}

#define me _pid

active [ELECTORS] proctype Candidate() {
  do
  /* It polls, and acquires what is free or has run out. */
  :: d_step { MAY_CAMPAIGN(me) && POLLS(me) && CAN_TAKE(me) ->
       if
       :: holder == NOBODY && heir != NOBODY && !e[heir].gone && !e[heir].told ->
            printf("<c%d> acquires; the lock was transferred to <c%d>\n", me, heir);
#ifdef CALM
            promise(heir == me, "BROKEN: another than the heir, who is well, takes over\n")
#endif
       :: holder == NOBODY && heir == NOBODY -> printf("<c%d> acquires the free lock\n", me)
       :: holder != NOBODY -> printf("<c%d> takes over: the lease has run out\n", me)
       :: else -> printf("<c%d> acquires; the heir is gone\n", me)
       fi;
       holder = me; announced = 0; heir = NOBODY; free_for = 0; unrenewed = 0; leaderless = 0;
       began = 1; e[me].holds = 1; e[me].age = 0; e[me].knows = 0; e[me].rested = 0;
       lead(me);
       clean }
  :: d_step { MAY_CAMPAIGN(me) && POLLS(me) && !CAN_TAKE(me) && (e[me].rested || announced && !e[me].knows) && holder != me ->
       e[me].rested = 0;
       if
       :: announced && !e[me].knows -> e[me].knows = 1; printf("<c%d> sees that the leader is about to stop\n", me)
       :: else
       fi;
       clean }

  /* It renews. */
  :: d_step { RENEWS(me) && holder == me && e[me].age && !e[me].gone ->
       e[me].age = 0; unrenewed = 0;
       printf("<c%d> renews\n", me);
       clean }
  :: d_step { e[me].holds && holder != me -> /* its heartbeat is refused */
       e[me].holds = 0; e[me].age = 0; e[me].leads = 0; e[me].overran = e[me].works; e[me].told = 0; e[me].notice = 0;
       clean }

  /* It is told to stop: announces, leads on, ends the leading context, waits for the work, releases. */
  :: d_step { e[me].leads && !e[me].told && !e[me].gone -> e[me].told = 1; printf("<c%d> is told to stop\n", me); clean }
  :: d_step { e[me].told && holder == me && e[me].holds && !announced && !e[me].gone ->
       announced = 1;
       printf("<c%d> announces it\n", me);
       clean }
  :: d_step { e[me].leads && e[me].told && !e[me].gone && (FAULTS || NOTICE_GIVEN(me)) -> e[me].leads = 0; printf("<c%d> ends its leading context\n", me); clean }
  :: d_step { e[me].works && !e[me].leads && !e[me].gone -> e[me].works = 0; e[me].overran = 0; printf("the work of <c%d> returns\n", me); clean }
  :: d_step { e[me].holds && holder == me && MAY_RELEASE(me) && !e[me].gone ->
       holder = NOBODY; free_for = 0; unrenewed = 0; announced = 0; heir = (transfer && me != 1 -> 1 : NOBODY);
       e[me].holds = 0; e[me].age = 0; e[me].notice = 0;
       printf("<c%d> releases the lock\n", me);
       clean }
  :: d_step { e[me].told && !e[me].holds && !e[me].works && !e[me].gone -> e[me].told = 0; e[me].notice = 0; printf("<c%d> is a candidate again\n", me); clean }

  /* Its process dies. In calm times that is a candidate, long before the handover. */
  :: d_step { !e[me].gone && (FAULTS || !e[me].holds && !e[me].works && holder == NOBODY && heir == NOBODY && me == 1) ->
       e[me].gone = 1; e[me].leads = 0; e[me].works = 0; e[me].holds = 0; e[me].age = 0; e[me].told = 0; e[me].notice = 0; e[me].knows = 0; e[me].rested = 0;
       printf("<c%d> dies\n", me);
       clean }
  od
}

/* In calm times a tick waits for what is due. */
#define DUE(C) (!e[C].gone && (e[C].told && e[C].holds && !announced && holder == C || RENEWS(C) && holder == C && e[C].age >= PERIOD - 1 || \
  MAY_CAMPAIGN(C) && POLLS(C) && (CAN_TAKE(C) || e[C].rested || announced && !e[C].knows) && holder != C || \
  e[C].told && !e[C].holds && !e[C].works || e[C].told && e[C].leads && NOTICE_GIVEN(C) || e[C].holds && MAY_RELEASE(C)))
#define ANY_DUE (DUE(0) || DUE(1) || ELECTORS > 2 && DUE(2))
#define WELL(C) (!e[C].gone && !e[C].told && !e[C].works)
#define SOMEBODY_WELL (WELL(0) || WELL(1) || ELECTORS > 2 && WELL(2))

active proctype Time() {
  do
#ifndef NO_TRANSFER
  :: d_step { holder == NOBODY && !leaderless && free_for == 0 -> transfer = !transfer; clean } /* either kind of release */
#endif
  :: d_step { FAULTS || !ANY_DUE ->
       printf("tick\n");
       i = 0;
       do
       :: i < ELECTORS ->
            if
            :: e[i].holds ->
                 e[i].age++;
                 if
                 :: e[i].leads && e[i].age >= LEADING_ENDS_AT -> e[i].leads = 0; e[i].told = 1; printf("<c%d>: RenewDeadline ends its leading context\n", i)
                 :: else
                 fi;
                 if
                 :: e[i].age >= LEASE - 1 ->
                      e[i].holds = 0; e[i].age = 0; e[i].overran = e[i].works; e[i].told = 0; e[i].notice = 0;
#ifndef NO_RENEW_DEADLINE
                      e[i].leads = 0;
#endif
                      printf("<c%d>: its lease has run out\n", i);
#ifdef CALM
                      promise(false, "BROKEN: a lease is lost though all requests are answered\n")
#endif
                 :: else
                 fi
            :: else
            fi;
            if
            :: e[i].told && announced && holder == i && e[i].notice < PERIOD -> e[i].notice++
            :: else
            fi;
            if
            :: !e[i].holds && !e[i].gone && !e[i].told && e[i].rested < PERIOD -> e[i].rested++
            :: else
            fi;
            i++
       :: else -> break
       od;
       if
       :: holder == NOBODY ->
            free_for = (free_for < PERIOD -> free_for + 1 : PERIOD);
#ifdef CALM
            promise(!began || !(SOMEBODY_WELL) || heir != NOBODY, "BROKEN: nobody leads between a leader that stops in order and the next\n");
            leaderless = (SOMEBODY_WELL -> leaderless + 1 : 0);
            promise(leaderless <= 2 * PERIOD, "BROKEN: nobody leads for longer than two polls\n")
#endif
       :: else -> unrenewed = (unrenewed < LEASE -> unrenewed + 1 : LEASE); leaderless = 0
       fi;
       clean }
  od
}
