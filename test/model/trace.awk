# Makes a trace of "pan -r" readable. The model renames what is in use after each step (canonical.h) and says so in lines that begin
# with "~". Here everything keeps the name that it had first: clients A, B, C; the rest is numbered as it comes.
/^~ \.$/ {
	for (n in now) delete now[n]
	for (n in next_) { now[n] = next_[n]; delete next_[n] }
	next
}
/^~ / { next_[$2 $4] = name($2, $3); next }
/^(<|tick|table|network|BROKEN|from now|~|P[ :]|somebody|store)/ {
	line = ""
	while (match($0, /<[a-z][0-9]+>/)) {
		line = line substr($0, 1, RSTART - 1) name(substr($0, RSTART + 1, 1), substr($0, RSTART + 2, RLENGTH - 3))
		$0 = substr($0, RSTART + RLENGTH)
	}
	line = line $0
	if (line == last) { times++; next } # ticks in a row
	flush_last()
	last = line; times = 1
}
END { flush_last() }

function flush_last() {
	if (last != "") printf "%3d  %s%s\n", ++lines, last, (times > 1 ? " (" times " times)" : "")
}

function name(kind, number) {
	if (kind == "c" && !((kind number) in now)) now[kind number] = substr("ABC", number + 1, 1)
	if (kind != "c" && number == 0) return "none"
	if (!((kind number) in now)) now[kind number] = kind "" ++given[kind]
	return now[kind number]
}
