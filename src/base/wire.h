/*-------------------------------------------------------------------------
 *
 * wire.h
 *		Text on the wire is UTF-8, whatever the encoding of the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_WIRE_H
#define WEBHOOK_WIRE_H

#include "lib/stringinfo.h"

/*
 * Convert from the database's encoding to UTF-8.  Returns the argument itself or a
 * palloc'd copy.  A character without equivalent in UTF-8 is an error; bytes in a
 * SQL_ASCII database that are not valid UTF-8 become U+FFFD.  In the worker this
 * requires no transaction.  The second function converts a buffer in place, from
 * this offset on.
 */
extern const char *wire_from_server(const char *text);
extern void wire_buffer_from_server(StringInfo buf, int from);

/*
 * Append data from a receiver, which may be anything, as text that is valid in the
 * database's encoding and has no NULs.  What cannot be converted becomes "?".
 * Requires a transaction, unless the database's encoding is UTF-8.
 */
extern void wire_to_server(StringInfo out, const char *text, int len);

#endif							/* WEBHOOK_WIRE_H */
