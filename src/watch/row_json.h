/*-------------------------------------------------------------------------
 *
 * row_json.h
 *		Rows as JSON text, equal to row_to_json() to the byte.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ROW_JSON_H
#define WEBHOOK_ROW_JSON_H

#include "access/tupdesc.h"
#include "lib/stringinfo.h"

/* Chosen columns of one row type, with all type look-ups done. */
typedef struct RowJson RowJson;

/*
 * Prepare the columns attnums[0..n-1] of desc, in this order.  names[i], when
 * names is not NULL and names[i] is not NULL, replaces the column's name as key.
 * Lives in the current memory context; does not keep a pointer to desc.
 */
extern RowJson *row_json_create(TupleDesc desc, const AttrNumber *attnums,
							   const char *const *names, int n);

/*
 * Append "{...}" for a row given as arrays indexed by attnum - 1.  Garbage goes
 * to the current memory context, so call it in a short-lived one.  Returns a
 * column whose value is sent as text because its type's own cast to json
 * cannot express it; 0: there is none.
 */
extern AttrNumber row_json_append(RowJson *row, StringInfo buf, const Datum *values, const bool *nulls);

/* May a function that a user wrote be called, a cast of a type of his? */
extern bool row_json_calls_users(const RowJson *row);

#endif							/* WEBHOOK_ROW_JSON_H */
