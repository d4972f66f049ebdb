/*-------------------------------------------------------------------------
 *
 * packed_row.h
 *		Runs: several messages in one row of the outbox.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PACKED_ROW_H
#define WEBHOOK_PACKED_ROW_H

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

#include "log/message.h"

/* The fields of a message that can differ from the other messages of its row. */
typedef struct PackedMessage
{
	int64		id;
	pg_uuid_t	message_id;
	TimestampTz created_at;
	FullTransactionId fence;	/* or invalid */
	TextSpan	entity_id;
	TextSpan	event_uid;
	TextSpan	profile;
	TextSpan	payload;
	TextSpan	changed;
	TextSpan	former;
} PackedMessage;

/* Reads the messages after the first one of a row. */
typedef struct RunReader
{
	const char *at;				/* equal to end if there are no more */
	const char *end;
	int			encoding;
	bool		convert;		/* verify texts, and convert them to the
								 * database's encoding */
	TextSpan	event_uid;		/* of the first message */
	TextSpan	profile;
} RunReader;

/* Upper bound of the bytes that a message adds to a run. */
extern Size packed_row_message_size(const PackedMessage *message);

/*
 * Append a message to run, the future value of column "more", which is empty before the
 * first one.  "first" is the message in the columns of the row.
 */
extern void packed_row_add(StringInfo run, const PackedMessage *first, const PackedMessage *message);

/*
 * Read a run; data is the value of column "more".  Texts point into it, or are
 * palloc'd if they had to be converted.  packed_row_next() returns false at the end.
 * Both raise an error if the data is invalid.
 */
extern void packed_row_begin(RunReader *reader, TextSpan event_uid, TextSpan profile, const char *data, int len);
extern bool packed_row_next(RunReader *reader, PackedMessage *message);

#endif							/* WEBHOOK_PACKED_ROW_H */
