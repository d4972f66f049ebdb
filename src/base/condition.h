/*-------------------------------------------------------------------------
 *
 * condition.h
 *		Which columns the condition of a webhook reads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CONDITION_H
#define WEBHOOK_CONDITION_H

#include "nodes/pg_list.h"
#include "utils/jsonpath.h"

/*
 * The columns that a condition reads, as a list of palloc'd names, of which some
 * may be equal.  False if it may look at the rows in another way than by the name of
 * a column.
 */
extern bool condition_columns(JsonPath *condition, List **columns);

#endif							/* WEBHOOK_CONDITION_H */
