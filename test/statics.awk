# The static functions and variables of C files, one a line: file, name.  A function's name begins the line after its type.

FNR == 1 { type = 0 }
/^static/ && /^[^=;(]*$/ { type = 1; next }
/^static/ {
	sub(/[=;].*/, "")
	gsub(/\[[^]]*\]/, "")
	if ($0 !~ /\(/)
	{
		n = split($0, words, /[ \t*]+/)
		print FILENAME, words[n] != "" ? words[n] : words[n - 1]
	}
}
type && /^[a-zA-Z_0-9]+\(/ { sub(/\(.*/, ""); print FILENAME, $0 }
{ type = 0 }
