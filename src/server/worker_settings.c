/*-------------------------------------------------------------------------
 *
 * worker_settings.c
 *		Settings that the background processes work with, whatever others have set.
 *
 * A background worker gets the settings of its database, of the bootstrap superuser
 * and of the server like any session.  They are meant for the application: a default
 * role takes away the worker's rights, a short timeout ends its transactions, a
 * setting of the planner makes its look-ups scans.  So everything that could reach the
 * worker's own work is set beforehand, with a priority that none of those has.
 *
 * src/README.md says what each group is about.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "server/worker_settings.h"

static const struct
{
	const char *name;
	const char *value;
}			island_settings[] = {
	/* who we are, and which objects names mean */
	{"role", "none"},
	{"search_path", "pg_catalog, pg_temp"},
	{"row_security", "on"},
	{"restrict_nonsystem_relation_kind", ""},

	/* transactions */
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	{"statement_timeout", "0"},
	{"lock_timeout", "0"},
	{"transaction_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"exit_on_error", "off"},
	{"temp_file_limit", "-1"},

	/* triggers and storage */
	{"session_replication_role", "origin"},
	{"event_triggers", "off"},
	{"default_tablespace", ""},
	{"temp_tablespaces", ""},
	{"default_table_access_method", "heap"},

	/* how statements are read and values written */
	{"standard_conforming_strings", "on"},
	{"backslash_quote", "safe_encoding"},
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"client_encoding", "UTF8"},	/* see wire.c */
	{"quote_all_identifiers", "off"},
	{"DateStyle", "ISO, MDY"},
	{"TimeZone", "UTC"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"xmloption", "content"},
	{"lc_monetary", "C"},
	{"lc_numeric", "C"},
	{"lc_time", "C"},

	/* plans */
	{"jit", "off"},
	{"max_parallel_workers_per_gather", "0"},
	{"plan_cache_mode", "auto"},
	{"enable_indexscan", "on"},
	{"enable_indexonlyscan", "on"},
	{"enable_bitmapscan", "on"},
	{"enable_seqscan", "on"},
	{"enable_tidscan", "on"},
	{"enable_sort", "on"},
	{"enable_hashagg", "on"},
	{"enable_hashjoin", "on"},
	{"enable_mergejoin", "on"},
	{"enable_nestloop", "on"},
	{"enable_material", "on"},
	{"enable_partition_pruning", "on"},
};

void
worker_settings_before_connection(void)
{
	for (int i = 0; i < lengthof(island_settings); i++)
	{
		/* Not every release knows all of them. */
		if (GetConfigOption(island_settings[i].name, true, false) != NULL)
			SetConfigOption(island_settings[i].name, island_settings[i].value, PGC_SUSET, PGC_S_OVERRIDE);
	}
}

void
worker_settings_after_connection(void)
{
	/* A database can set session_authorization as well, which cannot be set beforehand. */
	SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	SetCurrentRoleId(InvalidOid, false);
}
