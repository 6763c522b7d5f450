/* The names in lock.pml: see canonical.h. */

#ifdef PLAIN
enum { Alike = Clients - 1 }; /* the last one is of another make */
#else
enum { Alike = Clients };
#endif

struct World {
	struct Record rec;
	struct Memory client[Clients];
	struct Message net[Messages];
	int doubts[Clients], claimed[Messages];
	unsigned char fence, last_writer, dead, polled, top;
};

#include "canonical.h"

static void nothing(struct Message *it) {
	memset(it, 0, sizeof *it);
	now.under_way--;
}

static void forget(void) {
	int c, m, n, alive = 1 << now.rec.version;

	/* Only these versions can be in the record now or later. */
	for EACH(m, Messages)
		if (now.net[m].what && !now.net[m].reply) alive |= 1 << now.net[m].version;
	for EACH(c, Clients) {
		struct Memory *it = &now.client[c];
		now.doubts[c] &= alive;
		/* A watched record that has changed never comes back: its count doesn't. */
		if (it->seen_version && (it->seen_version != now.rec.version || it->seen_count != now.rec.count))
			it->seen_version = it->seen_count = it->watched = 0;
#ifdef PLAIN
		if (it->version != now.rec.version) it->version = 0;
#endif
#if !defined DELETE && !defined CLIENT_TOKEN
		it->highest = 0; /* the table raises the token, and never loses it */
#endif
#ifndef DELETE
		/* A token below the record's can't be given out any more. */
		if (it->highest < now.rec.token) it->highest = 0;
		/* Nor does a tenure whose token is not the record's. */
		if (it->token != now.rec.token) it->token = it->tenure = 0;
#ifdef FENCE
		if (it->pen < now.fence) it->pen = it->pen_tenure = 0;
#endif
#endif
	}
	for EACH(m, Messages) {
		struct Message *it = &now.net[m];
		now.claimed[m] &= alive;
		if (!(alive >> it->version & 1)) it->version = 0;
		if (it->seen_version != now.rec.version || it->seen_count != now.rec.count) it->seen_version = it->seen_count = 0;
#ifndef DELETE
		if (it->token != now.rec.token) it->token = it->tenure = 0;
#ifdef CLIENT_TOKEN
		if (it->highest < now.rec.token) it->highest = 0;
#else
		if (it->reply) it->highest = 0;
#endif
		/* A heartbeat of a tenure that its sender does not believe in any more tells it nothing. */
		if (it->what == Heartbeat && it->awaited && !it->seen_version && !(now.client[it->sender].believes && now.client[it->sender].tenure == it->tenure))
			it->awaited = it->age = 0;
		/* A request that can only be refused, and whose reply nobody reads. */
		if (it->what && it->what != Acquire && !it->awaited && (it->reply || !it->token && !it->seen_version && !now.claimed[m])) nothing(it);
#endif
	}
}

static void sort_messages(struct World *w) {
	int i, j;

	for (i = 1; i < Messages; i++)
		for (j = i; j > 0 && memcmp(&w->net[j], &w->net[j - 1], sizeof w->net[j]) > 0; j--) {
			struct Message message = w->net[j];
			int claimed = w->claimed[j];
			w->net[j] = w->net[j - 1], w->claimed[j] = w->claimed[j - 1];
			w->net[j - 1] = message, w->claimed[j - 1] = claimed;
		}
}

static void arrange(struct World *w, const unsigned char *to) {
	int c, m;

	w->rec = now.rec;
#ifndef PLAIN
	if (now.rec.version) w->rec.owner = to[now.rec.owner];
#endif
	for EACH(c, Clients) w->client[to[c]] = now.client[c], w->doubts[to[c]] = now.doubts[c];
	for EACH(m, Messages) {
		w->net[m] = now.net[m], w->claimed[m] = now.claimed[m];
		if (w->net[m].what) w->net[m].sender = to[w->net[m].sender];
	}
	sort_messages(w);
#ifdef FENCE
	w->fence = now.fence, w->last_writer = now.last_writer;
#endif
#ifdef CALM
	for EACH(c, Clients) w->dead |= (now.dead >> c & 1) << to[c], w->polled |= (now.polled >> c & 1) << to[c];
#endif

	name_at(&w->rec.token);
#ifdef FENCE
	name_at(&w->fence);
#endif
	for EACH(c, Clients) name_at(&w->client[c].token);
#ifdef FENCE
	for EACH(c, Clients) name_at(&w->client[c].pen);
#endif
	for EACH(c, Clients) name_at(&w->client[c].highest);
	for EACH(m, Messages) { name_at(&w->net[m].token); name_at(&w->net[m].highest); }
	w->top = renumber('t');
	name_at(&w->rec.tenure);
	name_at(&w->last_writer);
	for EACH(c, Clients) name_at(&w->client[c].tenure);
#ifdef FENCE
	for EACH(c, Clients) name_at(&w->client[c].pen_tenure);
#endif
	for EACH(m, Messages) name_at(&w->net[m].tenure);
	renumber('k');

	name_at(&w->rec.count);
	for EACH(c, Clients) name_at(&w->client[c].seen_count);
	for EACH(m, Messages) name_at(&w->net[m].seen_count);
	renumber('n');

	name_at(&w->rec.version);
	for EACH(c, Clients) name_at(&w->client[c].seen_version);
#ifdef PLAIN
	for EACH(c, Clients) name_at(&w->client[c].version);
#endif
#ifdef SAME_VERSION
	for EACH(c, Clients) name_at(&w->client[c].again);
#endif
	for EACH(m, Messages) { name_at(&w->net[m].version); name_at(&w->net[m].seen_version); }
	rename_all('v');
	for EACH(c, Clients) w->doubts[c] = rename_set(w->doubts[c]);
	for EACH(m, Messages) w->claimed[m] = rename_set(w->claimed[m]);
}

static void become(const struct World *w) {
	now.rec = w->rec;
	now.top = w->top;
	memcpy(now.client, w->client, sizeof w->client);
	memcpy(now.net, w->net, sizeof w->net);
	memcpy(now.doubts, w->doubts, sizeof w->doubts);
	memcpy(now.claimed, w->claimed, sizeof w->claimed);
#ifdef FENCE
	now.fence = w->fence, now.last_writer = w->last_writer;
#endif
#ifdef CALM
	now.dead = w->dead, now.polled = w->polled;
#endif
}
