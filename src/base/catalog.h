/*-------------------------------------------------------------------------
 *
 * catalog.h
 *		The extension's own tables: their OIDs, and when they have changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CATALOG_H
#define WEBHOOK_CATALOG_H

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "webhook.h"

/*
 * Columns are accessed by number.  New versions only add columns, at the end;
 * see "Versions" in src/README.md.
 */

/* Columns of webhook.webhook */
#define Anum_webhook_id						1
#define Anum_webhook_owner					2
#define Anum_webhook_url					7
#define Anum_webhook_uids					12
#define Anum_webhook_integration			13
#define Anum_webhook_columns				14
#define Anum_webhook_filter					15
#define Anum_webhook_transform				16
#define Anum_webhook_active					28
#define Anum_webhook_buffering				29
#define Anum_webhook_deactivated_at			30
#define Anum_webhook_deactivation_reason	31
#define Anum_webhook_created_at				32
#define Anum_webhook_previous				36
#define Anum_webhook_condition				37
#define Anum_webhook_template				46

/* Columns of webhook.watch */
#define Anum_watch_relation					1
#define Anum_watch_entity_type				2
#define Anum_watch_id						3
#define Anum_watch_event_uid				4
#define Anum_watch_profile					5
#define Anum_watch_paid						6
#define Anum_watch_deleted					7
#define Anum_watch_columns					8
#define Anum_watch_exclude					9
#define Anum_watch_payload					10
#define Anum_watch_search_path				11
#define Anum_watch_numbers					12

/* Columns of webhook.active_integration and of webhook.event_override; the key comes first */
#define Anum_active_integration				2
#define Anum_override_integration			2
#define Anum_override_send_on_payment		3
#define Anum_override_only_paid				4

/* Columns of webhook.outbox_N, and of its index */
#define Anum_outbox_id						1
#define Anum_outbox_xid						2
#define Anum_outbox_fence					3
#define Anum_outbox_message_id				4
#define Anum_outbox_event					5
#define Anum_outbox_entity_type				6
#define Anum_outbox_entity_id				7
#define Anum_outbox_event_uid				8
#define Anum_outbox_profile					9
#define Anum_outbox_webhook_ids				10
#define Anum_outbox_payload					11
#define Anum_outbox_created_at				12
#define Anum_outbox_relation				13
#define Anum_outbox_more					14
#define Anum_outbox_changed					15
#define Anum_outbox_former					16
#define Anum_outbox_context					17
#define Natts_outbox						17
#define Anum_outbox_index_xid				1
#define Anum_outbox_index_id				2

/* Columns of webhook.ring */
#define Anum_ring_current					1

/* Columns of webhook.cursor */
#define Anum_cursor_seq						1
#define Anum_cursor_system_identifier		2
#define Anum_cursor_database				3
#define Anum_cursor_written_by				4
#define Anum_cursor_done					5
#define Anum_cursor_through					6
#define Anum_cursor_through_id				7
#define Anum_cursor_written_at				8
#define Natts_cursor						8

/*
 * Size of a trigger name, event UID, profile or integration, including the NUL.
 * Hash tables have keys of this size, so longer names are rejected.
 */
#define CATALOG_NAME_SIZE	256

/* Size of the version of the extension, including the NUL. */
#define CATALOG_VERSION_SIZE	64

typedef struct CatalogOids
{
	char		version[CATALOG_VERSION_SIZE];	/* of the extension, see
												 * version.c */
	Oid			extension_owner;
	Oid			webhook;
	Oid			webhook_pkey;
	Oid			watch;
	Oid			watch_pkey;
	Oid			outbox[WEBHOOK_PARTITIONS];
	Oid			outbox_index[WEBHOOK_PARTITIONS];
	Oid			outbox_id_seq;
	Oid			ring;
	Oid			cursor;
	Oid			active_integration;
	Oid			active_integration_pkey;
	Oid			event_override;
	Oid			event_override_pkey;
	Oid			shape;
	Oid			backfill;		/* InvalidOid before version 0.2.0 */
} CatalogOids;

/*
 * A column of one of the extension's tables, for capture.  Null if the table was
 * created by an earlier version that lacks the column.
 */
static inline Datum
catalog_column(HeapTuple tuple, TupleDesc desc, int attnum, bool *isnull)
{
	*isnull = true;
	return attnum <= desc->natts ? heap_getattr(tuple, attnum, desc, isnull) : (Datum) 0;
}

extern void catalog_init(void);

/*
 * Oids of the extension's relations; NULL if the extension does not exist.
 * Requires a transaction.
 */
extern const CatalogOids *catalog_oids(void);

/* The same, but raises an error if the extension does not exist. */
extern const CatalogOids *catalog_require(void);

/* The last known Oid of webhook.watch; for cache callbacks, which must not access the catalogs. */
extern Oid	catalog_watch_relid(void);

/*
 * Changes whenever results of catalog_event() may be out of date.  Even then,
 * pointers into the cache stay valid until the end of the transaction.
 */
extern uint64 catalog_generation(void);

/* The same for active integrations and the shapes of payloads. */
extern uint64 catalog_integration_generation(void);

/* Changes whenever the columns of the outbox may have changed. */
extern uint64 catalog_outbox_generation(void);

/* Changes whenever a process other than the worker may have written to webhook.cursor. */
extern uint64 catalog_cursor_generation(void);

/* Changes whenever there may be a new backfill. */
extern uint64 catalog_backfill_generation(void);

/* Size of a table and of its TOAST table, in bytes. */
extern uint64 catalog_table_size(Oid relid);

/* Convert a text[] to palloc'd C strings, omitting nulls; returns their number. */
extern int	catalog_strings(Datum array, bool isnull, char ***result);

/*
 * Discard a cache that a caller further up the stack may still be using: it is
 * deleted at the end of the transaction.
 */
extern void catalog_retire(MemoryContext context);

/* Must be called at the end of every transaction. */
extern void catalog_at_eoxact(void);

#endif							/* WEBHOOK_CATALOG_H */
