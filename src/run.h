/*-------------------------------------------------------------------------
 *
 * run.h
 *		A run of messages: several in one row of the outbox.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_RUN_H
#define WEBHOOK_RUN_H

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
typedef struct RunMessage
{
	int64		id;
	pg_uuid_t	message_id;
	TimestampTz created_at;
	FullTransactionId fence;	/* or invalid */
	RunText		entity_id;
	RunText		event_uid;
	RunText		profile;
	RunText		payload;
} RunMessage;

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
extern Size run_message_size(const RunMessage *message);

/* Add a message behind the first; run is what column "more" is to hold, empty to begin with. */
extern void run_add(StringInfo run, const RunMessage *first, const RunMessage *message);

/* data: the contents of column "more".  What is read points into it, unless it is converted: then it is palloc'd. */
extern void run_begin(RunReader *reader, RunText event_uid, RunText profile, const char *data, int len);
extern bool run_next(RunReader *reader, RunMessage *message);

#endif							/* WEBHOOK_RUN_H */
