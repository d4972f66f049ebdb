# Prints the functions that comments of C files mention, "name()", and that the code of none of the files has.

function words(text)
{
	while (match(text, /[A-Za-z_][A-Za-z_0-9]*/))
	{
		code[substr(text, RSTART, RLENGTH)] = 1
		text = substr(text, RSTART + RLENGTH)
	}
}

function mentions(text)
{
	while (match(text, /[A-Za-z_][A-Za-z_0-9]*\(\)/))
	{
		mentioned[FILENAME ": " substr(text, RSTART, RLENGTH)] = substr(text, RSTART, RLENGTH - 2)
		text = substr(text, RSTART + RLENGTH)
	}
}

FNR == 1 { comment = 0 }
FILENAME ~ /\.md$/ { mentions($0); next }
FILENAME ~ /\.sql$/ { words($0); next }
{
	rest = $0
	while (rest != "")
	{
		at = index(rest, comment ? "*/" : "/*")
		part = at ? substr(rest, 1, at - 1) : rest
		if (comment)
			mentions(part)
		else
			words(part)
		rest = at ? substr(rest, at + 2) : ""
		if (at)
			comment = !comment
	}
}

END {
	# Functions of PostgreSQL and of C that comments compare ours with.
	split("datum_to_json json_categorize_type longjmp pg_advisory_lock pg_get_loaded_modules row_to_json to_json " known, others, " ")
	for (i in others)
		code[others[i]] = 1
	for (m in mentioned)
		if (!(mentioned[m] in code))
			print m
}
