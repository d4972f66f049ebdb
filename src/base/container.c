/*-------------------------------------------------------------------------
 *
 * container.c
 *		Arrays that grow, and hash tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/container.h"
#include "compat.h"

void *
container_grow(void *items, int count, int *space, int first, Size item_size, MemoryContext context)
{
	Assert(count >= 0 && count <= *space);
	Assert((items == NULL) == (*space == 0));
	if (count < *space)
		return items;
	*space = Max(first, 2 * *space);
	return items == NULL ? MemoryContextAlloc(context, *space * item_size) :
		repalloc(items, *space * item_size);
}

static HTAB *
container_create_hash(const char *name, long nelem, Size key_size, Size entry_size, MemoryContext context, int flags)
{
	HASHCTL		ctl = {0};

	Assert(entry_size >= key_size);
	ctl.keysize = key_size;
	ctl.entrysize = entry_size;
	ctl.hcxt = context;
	return hash_create(name, nelem, &ctl, flags | HASH_ELEM | HASH_CONTEXT);
}

HTAB *
container_hash(const char *name, long nelem, Size key_size, Size entry_size, MemoryContext context)
{
	return container_create_hash(name, nelem, key_size, entry_size, context, HASH_BLOBS);
}

HTAB *
container_name_hash(const char *name, long nelem, Size key_size, Size entry_size, MemoryContext context)
{
	return container_create_hash(name, nelem, key_size, entry_size, context, HASH_STRINGS);
}
