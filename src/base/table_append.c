/*-------------------------------------------------------------------------
 *
 * table_append.c
 *		Append rows to a table of the extension, without SQL.
 *
 * Triggers and constraints are not considered.  Rows are entered in all indexes
 * that are ready for inserts: while REINDEX CONCURRENTLY is running, the table
 * has two of each, and the new one must contain what is written meanwhile.  The
 * extension has no indexes on expressions or with a predicate, and if somebody
 * has added one, it is not maintained.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"

#include "base/table_append.h"
#include "compat.h"

static void
table_append_to_index(Relation rel, Relation index, TupleTableSlot **slots, int n)
{
	IndexInfo  *info = BuildIndexInfo(index);

	if (!info->ii_ReadyForInserts || info->ii_Expressions != NIL || info->ii_Predicate != NIL)
		return;
	for (int i = 0; i < n; i++)
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		FormIndexDatum(info, slots[i], NULL, values, isnull);
		webhook_index_insert(index, values, isnull, &slots[i]->tts_tid, rel, info);
	}
}

void
table_append(Relation rel, TupleTableSlot **slots, int n)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	table_multi_insert(rel, slots, n, GetCurrentCommandId(true), 0, NULL);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), RowExclusiveLock);

		table_append_to_index(rel, index, slots, n);
		index_close(index, NoLock);
	}
	list_free(indexes);
}
