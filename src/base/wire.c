/*-------------------------------------------------------------------------
 *
 * wire.c
 *		Text on the wire is UTF-8, whatever the encoding of the database.
 *
 * JSON, URLs and CloudEvents headers are UTF-8 by definition.  Inside the worker
 * all text is in the database's encoding; it is converted when a request is built,
 * before it is signed, and back when the log is written.
 *
 * Requests are built outside of transactions, where conversion functions cannot be
 * looked up.  Since the worker's client_encoding is UTF-8 (worker_settings.c), the
 * function that converts to UTF-8 was looked up when the worker connected.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#include "base/wire.h"
#include "compat.h"

#define REPLACEMENT		"\xef\xbf\xbd"

/* Append text, replacing each byte that is not valid in the encoding. */
static void
wire_append_valid(StringInfo out, int encoding, const char *text, int len, const char *instead)
{
	while (len > 0)
	{
		int			good = webhook_valid_prefix(encoding, text, len);

		appendBinaryStringInfo(out, text, good);
		text += good;

		len -= good;
		if (len > 0)
		{
			appendStringInfoString(out, instead);
			text++;

			len--;
		}
	}
}

/* Return the converted text, or the argument if it needs no conversion. */
static const char *
wire_convert(const char *text, int len)
{
	StringInfoData valid;

	if (GetDatabaseEncoding() == PG_UTF8)
		return text;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		return pg_server_to_any(text, len, PG_UTF8);
	if (webhook_valid_prefix(PG_UTF8, text, len) == len)
		return text;

	initStringInfo(&valid);
	wire_append_valid(&valid, PG_UTF8, text, len, REPLACEMENT);
	return valid.data;
}

const char *
wire_from_server(const char *text)
{
	return text != NULL ? wire_convert(text, strlen(text)) : NULL;
}

void
wire_buffer_from_server(StringInfo buf, int from)
{
	const char *converted = wire_convert(buf->data + from, buf->len - from);

	if (converted == buf->data + from)
		return;
	buf->len = from;
	appendStringInfoString(buf, converted);
}

/*
 * Length without an incomplete character at the end.  A body that is too long for
 * the log may have been cut there, which needs no replacement character.
 */
static int
wire_whole_characters(const char *text, int len)
{
	int			cut = 0;

	while (cut < 3 && cut < len && (text[len - 1 - cut] & 0xC0) == 0x80)
		cut++;
	if (cut < len && pg_encoding_mblen(PG_UTF8, text + len - 1 - cut) > cut + 1)
		return len - 1 - cut;
	return len;
}

void
wire_to_server(StringInfo out, const char *text, int len)
{
	int			encoding = GetDatabaseEncoding();
	int			whole = wire_whole_characters(text, len);
	Oid			conversion = InvalidOid;

	Assert(encoding == PG_UTF8 || encoding == PG_SQL_ASCII || IsTransactionState());
	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII && webhook_valid_prefix(PG_UTF8, text, whole) == whole)
		conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
	{
		wire_append_valid(out, encoding, text, len, "?");
		return;
	}
	while (whole > 0)
	{
		int			room = whole * MAX_CONVERSION_GROWTH + 1;
		char	   *converted = palloc(room);
		int			done = webhook_convert_prefix(conversion, PG_UTF8, encoding, text, whole, converted, room);

		appendStringInfoString(out, converted);
		pfree(converted);
		text += done;

		whole -= done;
		if (whole > 0)
		{
			int			unknown = Min(pg_encoding_mblen(PG_UTF8, text), whole);

			appendStringInfoChar(out, '?');
			text += unknown;

			whole -= unknown;
		}
	}
}
