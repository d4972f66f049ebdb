/*-------------------------------------------------------------------------
 *
 * packed_row.h
 *		A run of messages: several in one row of the outbox.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_PACKED_ROW_H
#define WEBHOOK_PACKED_ROW_H

#include "access/transam.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/uuid.h"

/* data NULL: NULL.  Not terminated. */
typedef struct RunText
{
	const char *data;
	int			len;
} RunText;

/* A message but for what a run has in common. */
typedef struct PackedMessage
{
	int64		id;
	pg_uuid_t	message_id;
	TimestampTz created_at;
	FullTransactionId fence;	/* or invalid */
	RunText		entity_id;
	RunText		event_uid;
	RunText		profile;
	RunText		payload;
} PackedMessage;

/* Reads the messages behind the first, whose event UID and profile they may have. */
typedef struct RunReader
{
	const char *at;				/* at == end: there are no more */
	const char *end;
	int			encoding;
	bool		convert;		/* check texts, and bring them into the database's encoding */
	RunText		event_uid;
	RunText		profile;
} RunReader;

/* How many bytes a message adds to a run, at most. */
extern Size packed_row_message_size(const PackedMessage *message);

/* Add a message behind the first; run is what column "more" is to hold, empty to begin with. */
extern void packed_row_add(StringInfo run, const PackedMessage *first, const PackedMessage *message);

/* data: the contents of column "more".  What is read points into it, unless it is converted: then it is palloc'd. */
extern void packed_row_begin(RunReader *reader, RunText event_uid, RunText profile, const char *data, int len);
extern bool packed_row_next(RunReader *reader, PackedMessage *message);

#endif							/* WEBHOOK_PACKED_ROW_H */
