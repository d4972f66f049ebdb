/*-------------------------------------------------------------------------
 *
 * blocker.c
 *		Webhooks that have, or had, rows to be retried, which block their keys.
 *
 * Only the worker blocks keys, and a session that removes such rows changes the
 * webhook.  So after a change of the configuration it is enough to look at the
 * keys of webhooks that have been changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "base/container.h"
#include "send/blocker.h"
#include "send/endpoint.h"
#include "send/order_key.h"

typedef struct Blocker
{
	int64		webhook_id;		/* hash key */
	TimestampTz changed_at;		/* when it was last changed, as far as we know */
	uint64		check;			/* number of the check that it was last part
								 * of */
	bool		changed;		/* ... which found that it had been changed */
} Blocker;

static HTAB *blocker_table;		/* of Blocker */
static uint64 blocker_checks = 0;


void
blocker_init(MemoryContext context)
{
	blocker_table = container_hash("webhook blockers", 64, sizeof(int64), sizeof(Blocker), context);
}

void
blocker_watch(int64 webhook_id, TimestampTz changed_at)
{
	bool		found;
	Blocker    *blocker = hash_search(blocker_table, &webhook_id, HASH_ENTER, &found);

	if (found)
		return;
	blocker->changed_at = changed_at;
	blocker->check = blocker_checks;
	blocker->changed = false;
}

bool
blocker_watched(int64 webhook_id)
{
	return hash_search(blocker_table, &webhook_id, HASH_FIND, NULL) != NULL;
}

/* Has the webhook been changed since the last check?  Each is checked once, however many keys it blocks. */
static bool
blocker_changed(int64 webhook_id)
{
	bool		found;
	Blocker    *blocker = hash_search(blocker_table, &webhook_id, HASH_ENTER, &found);

	if (!found || blocker->check != blocker_checks)
	{
		TimestampTz changed_at = endpoint_changed_at(webhook_id);

		blocker->check = blocker_checks;
		blocker->changed = !found || blocker->changed_at != changed_at;
		blocker->changed_at = changed_at;
	}
	return blocker->changed;
}

static void
blocker_forget_others(void)
{
	HASH_SEQ_STATUS status;
	Blocker    *blocker;

	hash_seq_init(&status, blocker_table);
	while ((blocker = hash_seq_search(&status)) != NULL)
		if (blocker->check != blocker_checks)
			hash_search(blocker_table, &blocker->webhook_id, HASH_REMOVE, NULL);
}

void
blocker_follow_changed(void)
{
	blocker_checks++;
	order_key_follow_blocked(blocker_changed);
	blocker_forget_others();
}
