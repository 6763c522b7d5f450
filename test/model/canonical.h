/*
 * The canonical form of a state, so that a model of runs without end has a finite number of states, and few of them.
 *
 * Versions, counts, tokens and names of sessions are never used twice, so a run uses ever more of them. But the protocol only
 * compares them. So after each step those that are in use are renamed to 1, 2, 3 and so on. Clients are alike, and so are places
 * in the network, so a state is also one and the same whichever of them is called the first.
 *
 * A model defines struct World, which is all of its state that holds a name, and the three functions that are declared below.
 */
#pragma GCC optimize "O2" // also where the rest is built fast
#include <string.h>

extern int readtrail; /* of pan: a trail is being replayed */

enum { Names = 32 };

static unsigned char *places[128]; /* where names of one kind stand */
static int count_of_places;
static unsigned char new_name[Names];
static int telling;

static void name_at(unsigned char *place) { places[count_of_places++] = place; }

/* tell lets the reader of a trace (trace.awk) know what becomes of a name in use. */
static void tell(char kind, int old, int new) {
	if (telling) printf("~ %c %d %d\n", kind, old, new);
}

/*
 * rename_all gives the names at the places that were given new ones, 1, 2, 3, in the order in which they come first. 0 stays 0.
 */
static void rename_all(char kind) {
	int n, next = 1;

	memset(new_name, 0, sizeof new_name);
	for (n = 0; n < count_of_places; n++) {
		unsigned char *name = places[n];
		if (*name && !new_name[*name]) new_name[*name] = next++;
		*name = new_name[*name];
	}
	for (n = 1; n < Names; n++) if (new_name[n]) tell(kind, n, new_name[n]);
	count_of_places = 0;
}

/* renumber does the same to numbers whose order matters, and leaves room for one between each two. It returns the highest. */
static int renumber(char kind) {
	int in_use[Names] = {0}, n, next = 0;

	for (n = 0; n < count_of_places; n++) in_use[*places[n]] = 1;
	memset(new_name, 0, sizeof new_name);
	for (n = 1; n < Names; n++) if (in_use[n]) new_name[n] = next += 2;
	for (n = 0; n < count_of_places; n++) *places[n] = new_name[*places[n]];
	for (n = 1; n < Names; n++) if (new_name[n]) tell(kind, n, new_name[n]);
	count_of_places = 0;
	return next;
}

/* rename_set does to a set what the last renaming did to single names. */
static int rename_set(int set) {
	int n, renamed = 0;

	for (n = 1; n < Names - 1; n++)
		if (set >> n & 1 && new_name[n]) renamed |= 1 << new_name[n];
	return renamed;
}

#define EACH(index, many) (index = 0; index < many; index++)

static void forget(void);                           /* drops what can make no difference any more */
static void arrange(struct World *w, const unsigned char *to); /* is the state with client c called to[c], and all names new */
static void become(const struct World *w);          /* makes it the state */

static void canonical(void) {
	static const unsigned char ways[][3] = {{0, 1, 2}, {1, 0, 2}, {0, 2, 1}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};
	enum { Ways = Alike == 3 ? 6 : Alike };
	struct World w, least;
	int n, best = 0;

	/* Some of what is forgotten may matter where a rule is dropped. */
#ifndef REMEMBER
	forget();
#endif
	telling = 0;
	for EACH(n, Ways) {
		memset(&w, 0, sizeof w);
		arrange(&w, ways[n]);
		if (n == 0 || memcmp(&w, &least, sizeof w) < 0) least = w, best = n;
	}
	if (readtrail) {
		telling = 1;
		arrange(&w, ways[best]);
		for EACH(n, Clients) tell('c', n, ways[best][n]);
		printf("~ .\n");
	}
	become(&least);
}
