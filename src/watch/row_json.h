/*-------------------------------------------------------------------------
 *
 * row_json.h
 *		Convert rows to JSON, byte for byte as row_to_json() does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ROW_JSON_H
#define WEBHOOK_ROW_JSON_H

#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"

/* Columns of a row type, with all catalog lookups done. */
typedef struct RowJson RowJson;

/* Prepare to convert columns attnums[0..n-1] of desc, in this order.  Palloc'd; does not refer to desc. */
extern RowJson *row_json_create(TupleDesc desc, const AttrNumber *attnums, int n);

/*
 * Append "{...}" for a row given as arrays indexed by attnum - 1, with all columns or,
 * if columns is not NULL, those in this set.  Leaks into the current memory context,
 * so it should be a short-lived one.  Returns a column whose value was converted to
 * text because the type's cast to json failed, or InvalidAttrNumber.
 */
extern AttrNumber row_json_append(RowJson *row, StringInfo buf, const Datum *values, const bool *nulls,
								  const Bitmapset *columns);

/* May this call functions written by users, such as casts to json? */
extern bool row_json_runs_user_code(const RowJson *row);

#endif							/* WEBHOOK_ROW_JSON_H */
