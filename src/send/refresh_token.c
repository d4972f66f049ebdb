/*-------------------------------------------------------------------------
 *
 * refresh_token.c
 *		The refresh tokens that have replaced configured ones, as they are saved.
 *
 * There is a row for each webhook that is configured with the replaced token, since any
 * of them may be the last to be deleted.  The rows are found only for webhooks of the same owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/spi_statement.h"
#include "base/webhook_lock.h"
#include "send/refresh_token.h"

static SpiStatement refresh_token_load_statement = {
	"SELECT t.token FROM webhook.refresh_token AS t JOIN webhook.webhook AS w ON w.id = t.webhook_id"
	" WHERE t.configured = $1 AND w.owner = $2 ORDER BY t.saved_at DESC LIMIT 1",
	2, {TEXTOID, OIDOID}
};

static SpiStatement refresh_token_users_statement = {
	"SELECT id FROM webhook.webhook WHERE oauth ->> 'refresh_token' = ANY ($1) AND oauth ->> 'token_url' = $2"
	" AND oauth ->> 'client_id' = $3 AND owner = $4",
	4, {TEXTARRAYOID, TEXTOID, TEXTOID, OIDOID}
};

static SpiStatement refresh_token_delete_statement = {
	"DELETE FROM webhook.refresh_token WHERE webhook_id = $1",
	1, {INT8OID}
};

static SpiStatement refresh_token_insert_statement = {
	"INSERT INTO webhook.refresh_token (webhook_id, configured, token, saved_at)"
	" VALUES ($1, $2, $3, pg_catalog.clock_timestamp())",
	3, {INT8OID, TEXTOID, TEXTOID}
};

static SpiStatement refresh_token_clean_statement = {
	"DELETE FROM webhook.refresh_token AS t WHERE NOT EXISTS (SELECT FROM webhook.webhook AS w WHERE w.id = t.webhook_id)"
};


const char *
refresh_token_load(const RefreshTokenOrigin *origin)
{
	Datum		values[] = {CStringGetTextDatum(origin->configured), ObjectIdGetDatum(origin->owner)};

	return spi_statement_execute(&refresh_token_load_statement, values, NULL) > 0 ? spi_statement_text(0, 1) : NULL;
}

void
refresh_token_save(const RefreshTokenOrigin *origin, Datum *references, int nreferences, const char *token)
{
	Datum		like[] = {
		PointerGetDatum(construct_array(references, nreferences, TEXTOID, -1, false, TYPALIGN_INT)),
		CStringGetTextDatum(origin->token_url),
		CStringGetTextDatum(origin->client_id),
		ObjectIdGetDatum(origin->owner)
	};
	Datum		values[] = {0, CStringGetTextDatum(origin->configured), CStringGetTextDatum(token)};
	int			n = (int) spi_statement_execute(&refresh_token_users_statement, like, NULL);
	int64	   *ids = palloc(Max(n, 1) * sizeof(int64));
	bool		isnull;

	for (int i = 0; i < n; i++)
		ids[i] = DatumGetInt64(spi_statement_value(i, 1, &isnull));
	for (int i = 0; i < n; i++)
	{
		values[0] = Int64GetDatum(ids[i]);

		/* A session that holds the lock may have deleted the rows. */
		if (webhook_lock_try(ids[i]))
			spi_statement_execute(&refresh_token_delete_statement, values, NULL);
		spi_statement_execute(&refresh_token_insert_statement, values, NULL);
	}
	pfree(ids);
}

void
refresh_token_clean(void)
{
	spi_statement_execute(&refresh_token_clean_statement, NULL, NULL);
}
