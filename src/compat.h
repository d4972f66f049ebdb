/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Everything that depends on the version of PostgreSQL or libcurl.
 *
 * No other file tests PG_VERSION_NUM or LIBCURL_VERSION_NUM.  PostgreSQL 13
 * to 19 are supported.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_COMPAT_H
#define WEBHOOK_COMPAT_H

#if defined(PG_VERSION_NUM) && PG_VERSION_NUM < 130000
#error "webhook needs PostgreSQL 13 or newer"
#endif

/*
 * The library may compile with an unknown release and still misinterpret the
 * server's structures.  inline_capture.c does not touch those of the executor then.
 */
#if defined(PG_VERSION_NUM) && PG_VERSION_NUM >= 200000 && !defined(WEBHOOK_UNTESTED_POSTGRESQL)
#error "webhook is tested with PostgreSQL 13 to 19; build with COPT=-DWEBHOOK_UNTESTED_POSTGRESQL to try it with another, without inline capture"
#endif
#if defined(PG_VERSION_NUM) && PG_VERSION_NUM < 200000
#define WEBHOOK_HAS_INLINE_CAPTURE 1
#endif

/* The varlena macros have a header of their own since 16. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* pg_get_loaded_modules() shows the library's name and version since 18. */
#if PG_VERSION_NUM >= 180000
#define WEBHOOK_MODULE_MAGIC(module, number) PG_MODULE_MAGIC_EXT(.name = (module), .version = (number))
#else
#define WEBHOOK_MODULE_MAGIC(module, number) PG_MODULE_MAGIC
#endif

/* Signal handlers get information about the sender since 19.  die() uses it, so it must be passed. */
#if PG_VERSION_NUM >= 190000
#define WEBHOOK_SIGNAL_ARGS_TO_PASS postgres_signal_arg, pg_siginfo
#define webhook_die() die(SIGTERM, &(const pg_signal_info) {0})
#else
#define WEBHOOK_SIGNAL_ARGS_TO_PASS postgres_signal_arg
#define webhook_die() die(SIGTERM)
#endif

/* The lexer can be initialized in place since 17.  To be used with "common/jsonapi.h". */
#if PG_VERSION_NUM >= 170000
#define webhook_json_lexer(json) \
	makeJsonLexContextCstringLen(NULL, (json), strlen(json), GetDatabaseEncoding(), false)
#else
#define webhook_json_lexer(json) \
	makeJsonLexContextCstringLen((json), strlen(json), GetDatabaseEncoding(), false)
#endif

/* WaitEventSets can belong to a resource owner since 17; ours live as long as the process. */
#if PG_VERSION_NUM >= 170000
#define webhook_create_wait_event_set(nevents) CreateWaitEventSet(NULL, (nevents))
#else
#define webhook_create_wait_event_set(nevents) CreateWaitEventSet(TopMemoryContext, (nevents))
#endif

/* Since 17, LockHeldByMe() can look for stronger modes, too. */
#if PG_VERSION_NUM >= 170000
#define webhook_lock_held_by_me(tag, mode) LockHeldByMe((tag), (mode), false)
#else
#define webhook_lock_held_by_me(tag, mode) LockHeldByMe((tag), (mode))
#endif

/* A new tuple descriptor must be finalized since 19. */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(desc) ((void) (desc))
#endif

/* Extensions can name their wait events since 17. */
#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"

#define webhook_wait_event(name) WaitEventExtensionNew(name)
#else
#define webhook_wait_event(name) PG_WAIT_EXTENSION
#endif

/* Unknown settings below our prefix are removed since 15, and warned about before. */
#if PG_VERSION_NUM >= 150000
#define webhook_reserve_setting_prefix(prefix) MarkGUCPrefixReserved(prefix)
#else
#define webhook_reserve_setting_prefix(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* Data passed from a check hook to its assign hook is allocated by guc_malloc() since 16. */
#if PG_VERSION_NUM >= 160000
#define webhook_guc_malloc(size) guc_malloc(LOG, (size))
#else
#define webhook_guc_malloc(size) malloc(size)
#endif

/* Scans have flags since 19; index scans carry an instrumentation pointer since 18. */
#if PG_VERSION_NUM >= 190000
#define webhook_table_beginscan(rel, snapshot) table_beginscan((rel), (snapshot), 0, NULL, SO_NONE)
#else
#define webhook_table_beginscan(rel, snapshot) table_beginscan((rel), (snapshot), 0, NULL)
#endif

#if PG_VERSION_NUM >= 190000
#define webhook_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan((heap), (index), (snapshot), NULL, (nkeys), 0, SO_NONE)
#elif PG_VERSION_NUM >= 180000
#define webhook_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan((heap), (index), (snapshot), NULL, (nkeys), 0)
#else
#define webhook_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan((heap), (index), (snapshot), (nkeys), 0)
#endif

/* The executor always allows a query to be continued since 18. */
#if PG_VERSION_NUM >= 180000
#define webhook_executor_run(query, count) ExecutorRun((query), ForwardScanDirection, (count))
#else
#define webhook_executor_run(query, count) ExecutorRun((query), ForwardScanDirection, (count), false)
#endif

/* Cached plans belong to a given resource owner since 14, and to the current one before. */
#if PG_VERSION_NUM >= 140000
#define webhook_release_cached_plan(plan) ReleaseCachedPlan((plan), CurrentResourceOwner)
#else
#define webhook_release_cached_plan(plan) ReleaseCachedPlan((plan), true)
#endif

/* index_insert() has a parameter indexUnchanged since 14. */
#if PG_VERSION_NUM >= 140000
#define webhook_index_insert(index, values, isnull, tid, heap, info) \
	index_insert((index), (values), (isnull), (tid), (heap), UNIQUE_CHECK_NO, false, (info))
#else
#define webhook_index_insert(index, values, isnull, tid, heap, info) \
	index_insert((index), (values), (isnull), (tid), (heap), UNIQUE_CHECK_NO, (info))
#endif

/* One function checks the ownership of databases, too, since 16. */
#if PG_VERSION_NUM >= 160000
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"

#define webhook_owns_database(database, role) \
	object_ownercheck(DatabaseRelationId, (database), (role))
#define webhook_owns_extension(extension, role) \
	object_ownercheck(ExtensionRelationId, (extension), (role))
#else
#define webhook_owns_database(database, role) \
	pg_database_ownercheck((database), (role))
#define webhook_owns_extension(extension, role) \
	pg_extension_ownercheck((extension), (role))
#endif

/* Likewise for privileges on functions. */
#if PG_VERSION_NUM >= 160000
#define webhook_proc_aclcheck(proc, role, mode) \
	object_aclcheck(ProcedureRelationId, (proc), (role), (mode))
#else
#define webhook_proc_aclcheck(proc, role, mode) pg_proc_aclcheck((proc), (role), (mode))
#endif

/* Likewise for privileges on schemas. */
#if PG_VERSION_NUM >= 160000
#define webhook_namespace_aclcheck(nsp, role, mode) \
	object_aclcheck(NamespaceRelationId, (nsp), (role), (mode))
#else
#define webhook_namespace_aclcheck(nsp, role, mode) pg_namespace_aclcheck((nsp), (role), (mode))
#endif

/* Shared memory must be requested in a hook of its own since 15. */
#if PG_VERSION_NUM >= 150000
#define WEBHOOK_HAS_SHMEM_REQUEST_HOOK 1
#endif

/* ProcessUtility_hook has a parameter readOnlyTree since 14. */
#if PG_VERSION_NUM >= 140000
#define WEBHOOK_UTILITY_PARAMS \
	PlannedStmt *pstmt, const char *query_string, bool read_only_tree, \
	ProcessUtilityContext context, ParamListInfo params, \
	QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc
#define WEBHOOK_UTILITY_ARGS \
	pstmt, query_string, read_only_tree, context, params, query_env, dest, qc
#else
#define WEBHOOK_UTILITY_PARAMS \
	PlannedStmt *pstmt, const char *query_string, \
	ProcessUtilityContext context, ParamListInfo params, \
	QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc
#define WEBHOOK_UTILITY_ARGS \
	pstmt, query_string, context, params, query_env, dest, qc
#endif

/*
 * libcurl: for the files that include curl/curl.h (before this file).
 */
#ifdef LIBCURL_VERSION_NUM
#if LIBCURL_VERSION_NUM < 0x075000
#error "webhook needs libcurl 7.80 or newer"
#endif

/* The list of protocols is a string since 7.85. */
#if LIBCURL_VERSION_NUM >= 0x075500
#define WEBHOOK_CURLOPT_PROTOCOLS CURLOPT_PROTOCOLS_STR
#define WEBHOOK_CURL_HTTP_HTTPS "http,https"
#else
#define WEBHOOK_CURLOPT_PROTOCOLS CURLOPT_PROTOCOLS
#define WEBHOOK_CURL_HTTP_HTTPS ((long) (CURLPROTO_HTTP | CURLPROTO_HTTPS))
#endif

/* Since 7.87, a transfer that times out need not wait for its resolver thread. */
#if LIBCURL_VERSION_NUM >= 0x075700
#define WEBHOOK_CURL_QUICK_EXIT 1
#endif

/*
 * Transfers share resolver threads since 8.20, two for each name.  By default there
 * are 20, so ten names whose servers do not respond would block all others, and
 * curl_multi_cleanup() would wait for them.
 */
#if LIBCURL_VERSION_NUM >= 0x081400
#define webhook_curl_set_resolver(multi, transfers) \
	(curl_multi_setopt((multi), CURLMOPT_RESOLVE_THREADS_MAX, 2L * (transfers)) == CURLM_OK && \
	 curl_multi_setopt((multi), CURLMOPT_QUICK_EXIT, 1L) == CURLM_OK)
#else
#define webhook_curl_set_resolver(multi, transfers) true
#endif

/*
 * CURLE_HTTP2 without a message means, up to 8.0, that the receiver closed the
 * connection without accepting the request (GOAWAY).  Newer releases send such a
 * request again, and have no message if the connection was just closed; then the
 * receiver may have accepted the request.
 */
#if LIBCURL_VERSION_NUM < 0x080100
#define WEBHOOK_CURL_SILENT_GOAWAY true
#else
#define WEBHOOK_CURL_SILENT_GOAWAY false
#endif

/* Exceeding one of libcurl's own limits has an error code since 8.6. */
#if LIBCURL_VERSION_NUM >= 0x080600
#define WEBHOOK_CURLE_TOO_LARGE CURLE_TOO_LARGE
#endif
#endif							/* LIBCURL_VERSION_NUM */

/* Generated columns may be virtual since 18: a trigger does not see their values. */
#if PG_VERSION_NUM >= 180000
#define webhook_attribute_is_virtual(att) ((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define webhook_attribute_is_virtual(att) false
#endif

/* One function checks the ownership of any object since 16. */
#if PG_VERSION_NUM >= 160000
#define webhook_owns_relation(relid) object_ownercheck(RelationRelationId, (relid), GetUserId())
#else
#define webhook_owns_relation(relid) pg_class_ownercheck((relid), GetUserId())
#endif

/* Integers as text; not all releases below 15 return the length. */
#if PG_VERSION_NUM >= 150000
#define webhook_int32_to_text(value, buffer) pg_ltoa((value), (buffer))
#define webhook_int64_to_text(value, buffer) pg_lltoa((value), (buffer))
#elif defined(PG_VERSION_NUM)
#include "utils/builtins.h"

static inline int
webhook_int32_to_text(int32 value, char *buffer)
{
	pg_ltoa(value, buffer);
	return strlen(buffer);
}

static inline int
webhook_int64_to_text(int64 value, char *buffer)
{
	pg_lltoa(value, buffer);
	return strlen(buffer);
}
#endif

/* How many bytes are valid text in an encoding, and how many can be converted: functions since 14. */
#if PG_VERSION_NUM >= 140000
#define webhook_valid_prefix(encoding, p, len) pg_encoding_verifymbstr((encoding), (p), (len))
#define webhook_convert_prefix(function, from, to, p, len, out, size) \
	pg_do_encoding_conversion_buf((function), (from), (to), (unsigned char *) unconstify(char *, (p)), (len), \
								  (unsigned char *) (out), (size), true)
#elif defined(PG_VERSION_NUM)
#include "mb/pg_wchar.h"

static inline int
webhook_valid_prefix(int encoding, const char *p, int len)
{
	int			valid = 0;

	while (valid < len)
	{
		int			n = pg_encoding_verifymb(encoding, p + valid, len - valid);

		if (n <= 0 || p[valid] == '\0')
			break;
		valid += n;
	}
	return valid;
}

/* There is no conversion that does not raise errors, so convert ASCII only. */
static inline int
webhook_convert_prefix(Oid function, int from, int to, const char *p, int len, char *out, int size)
{
	int			n = 0;

	while (n < len && !IS_HIGHBIT_SET(p[n]))
		n++;
	memcpy(out, p, n);
	out[n] = '\0';
	return n;
}
#endif

/* Hash tables with strings as keys need this flag since 14. */
#if defined(PG_VERSION_NUM) && PG_VERSION_NUM < 140000
#define HASH_STRINGS 0
#endif

/* The flush position of WAL; the function also returns the timeline since 15. */
#if PG_VERSION_NUM >= 150000
#define webhook_flushed_wal() GetFlushRecPtr(NULL)
#else
#define webhook_flushed_wal() GetFlushRecPtr()
#endif

/* The oldest transaction whose commit status can still be looked up. */
#if PG_VERSION_NUM >= 170000
#define webhook_oldest_known_xid() (TransamVariables->oldestClogXid)
#else
#define webhook_oldest_known_xid() (ShmemVariableCache->oldestClogXid)
#endif

/* The result relations of a statement; a list of those that have been opened since 14. */
#if PG_VERSION_NUM >= 140000
#define webhook_foreach_target(estate, function) \
	do { \
		ListCell   *lc_; \
		foreach(lc_, (estate)->es_opened_result_relations) \
			function((ResultRelInfo *) lfirst(lc_), (estate)->es_query_cxt); \
	} while (0)
#else
#define webhook_foreach_target(estate, function) \
	do { \
		for (int i_ = 0; i_ < (estate)->es_num_result_relations; i_++) \
			function(&(estate)->es_result_relations[i_], (estate)->es_query_cxt); \
	} while (0)
#endif

#endif							/* WEBHOOK_COMPAT_H */
