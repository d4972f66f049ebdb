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
 * Text of the database as UTF-8: itself, or a copy.  A character that UTF-8 does not have is an error; bytes of a
 * database in SQL_ASCII that are not UTF-8 become U+FFFD.  Needs no transaction in the worker.
 */
extern const char *wire_from_server(const char *text);
extern void wire_buffer_from_server(StringInfo buf, int from);

/*
 * Text that may hold anything a receiver sends, valid in the database's encoding and without NULs: what cannot be
 * converted becomes "?".  Needs a transaction, unless the database is in UTF-8.
 */
extern void wire_to_server(StringInfo out, const char *text, int len);

#endif							/* WEBHOOK_WIRE_H */
