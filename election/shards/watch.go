package shards

import (
	"context"
	"errors"
	"time"

	"github.com/leaderkit/leaderkit/lockclient/lease"
)

// watch waits for the lock that another member holds while it runs. The replica that gets it knows
// that the member's session is over, and removes the member from the group. Others that watch see
// that the lock has another holder.
func (r *run) watch(ctx context.Context, id string, m member) {
	l := r.source.lock(r.group.memberLock(id), true)
	w := watch{r: r, id: id, identity: m.identity, lock: l, late: m.period + m.period/2}
	if m.period == 0 {
		w.late = r.Lease / 2
	}
	for ctx.Err() == nil {
		pause, over := w.poll(ctx)
		if over {
			break
		}
		lease.Sleep(ctx, r.clock, pause)
	}
	if w.unsure || w.dead {
		// An attempt without an answer may have won, and one that did win has served its purpose.
		ctx, cancel := lease.WithTimeout(r.ctx, r.clock, r.Heartbeat, errNoAnswer)
		defer cancel()
		if err := l.RemoveLockWithContext(ctx); err != nil {
			r.log(1, msgFailed, "error", textOf(err))
		}
	}
}

// watch is what is known of one member.
type watch struct {
	r        *run
	id       string
	identity string // of the member's session; "": not known
	lock     lock
	late     time.Duration // a heartbeat that takes longer is suspicious
	token    int64         // of the member's tenure; 0: not known yet
	said     bool          // that it is suspected
	dead     bool          // this replica has got its lock
	unsure   bool          // an attempt had no answer
	failed   int           // attempts in a row
}

// poll looks at the member's lock once. over: the member is dead.
func (w *watch) poll(ctx context.Context) (pause time.Duration, over bool) {
	r := w.r
	attempt, cancel := lease.WithTimeout(ctx, r.clock, r.renewDeadline, errNoAnswer)
	held, err := w.lock.PollLock(attempt)
	cancel()
	var refusal heldError
	switch {
	case held:
		w.dead, w.unsure = true, false
		r.bury(w.id)
		w.remove(ctx, 0)
		return 0, true
	case errors.As(err, &refusal):
		w.failed = 0
		owner, token := refusal.HeldBy()
		if owner == "" || w.token != 0 && token != w.token || w.identity != "" && owner != w.identity {
			r.bury(w.id)
			w.remove(ctx, r.Heartbeat) // unless the replica that got the lock did
			return 0, true
		}
		w.token = token
		w.suspect(ctx, refusal)
		return max(refusal.NextPoll(), 5*time.Millisecond), false
	default:
		w.unsure = true
		w.failed++
		return min(r.backoff(w.failed), r.Heartbeat), false
	}
}

// suspect says in the group's item that the member's heartbeat is late, or not any more.
func (w *watch) suspect(ctx context.Context, refusal heldError) {
	watched, tells := refusal.(watchedError)
	if !tells {
		return
	}
	unchanged, _ := watched.Watched()
	var err error
	switch late := unchanged > w.late; {
	case late && !w.said:
		w.r.log(0, msgSuspected, "member", w.id, "unchangedFor", short(unchanged))
		err = w.r.group.suspect(ctx, w.id, w.r.ownID())
	case !late && w.said:
		err = w.r.group.trust(ctx, w.id)
	default:
		return
	}
	if err == nil {
		w.said = !w.said
	}
}

// remove deletes a dead member from the group's item, after a pause, unless another has done so by
// then.
func (w *watch) remove(ctx context.Context, pause time.Duration) {
	r := w.r
	for failures := 1; lease.Sleep(ctx, r.clock, pause); failures++ {
		if !r.lists(w.id) {
			return
		}
		err := errors.Join(r.group.remove(ctx, w.id), r.group.forget(ctx, w.id))
		if err == nil {
			nudge(r.nudged)
			return
		}
		r.log(1, msgFailed, "error", textOf(err))
		pause = r.backoff(failures)
	}
}

// graves are the members that count as dead although they are listed, and since when.
type graves map[string]time.Duration

func (g graves) has(id string) bool {
	_, dead := g[id]
	return dead
}

// bury makes this replica count a member as dead, whatever the group's item says.
func (r *run) bury(id string) {
	r.mu.Lock()
	_, listed := r.roster.members[id]
	if listed {
		r.buried[id] = r.uptime()
		r.log(0, msgDead, "member", id, "of", r.roster.members[id].identity)
	}
	r.mu.Unlock()
	r.review()
}

func (r *run) lists(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, listed := r.roster.members[id]
	return listed
}

func (r *run) ownID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.id
}
