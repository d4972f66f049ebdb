/*-------------------------------------------------------------------------
 *
 * container.h
 *		Arrays that grow, and hash tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_CONTAINER_H
#define WEBHOOK_CONTAINER_H

#include "utils/hsearch.h"

/*
 * Make room for one more item in an array that has count items and room for *space.
 * The array may move, so the result replaces it.  NULL is an empty array; it is
 * allocated in the given context, with room for "first" items.
 */
extern void *container_grow(void *items, int count, int *space, int first, Size item_size, MemoryContext context);

/* Hash tables in a memory context: with keys of fixed size, and with names as keys. */
extern HTAB *container_hash(const char *name, long nelem, Size key_size, Size entry_size, MemoryContext context);
extern HTAB *container_name_hash(const char *name, long nelem, Size key_size, Size entry_size, MemoryContext context);

#endif							/* WEBHOOK_CONTAINER_H */
