/*-------------------------------------------------------------------------
 *
 * worker_settings.c
 *		Settings of the background processes, independent of the configuration.
 *
 * Like any session, a background worker gets the settings of the server, of its
 * database and of the bootstrap superuser.  These are meant for applications: a
 * default role would take away the worker's privileges, a short timeout would abort
 * its transactions, planner settings would turn index scans into sequential scans.
 * So all settings that could affect the worker are set beforehand, with a higher
 * priority.
 *
 * src/README.md explains the groups.
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
}			worker_settings_list[] = {

	/* identity and name lookup */
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

	/* statements and text form of values */
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

	/* context of messages about webhooks themselves */
	{"webhook.context", ""},
	{"webhook.traceparent", ""},
	{"webhook.tracestate", ""},

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
	for (int i = 0; i < lengthof(worker_settings_list); i++)
	{
		/* Not all of them exist in every release. */
		if (GetConfigOption(worker_settings_list[i].name, true, false) != NULL)
			SetConfigOption(worker_settings_list[i].name, worker_settings_list[i].value, PGC_SUSET, PGC_S_OVERRIDE);
	}
}

void
worker_settings_after_connection(void)
{
	/* This one can be set only after connecting. */
	SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	SetCurrentRoleId(InvalidOid, false);
}
