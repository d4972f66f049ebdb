/*-------------------------------------------------------------------------
 *
 * mapping.h
 *		Mappings: which fields of a payload are sent, and under which names.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_MAPPING_H
#define WEBHOOK_MAPPING_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct ShapeMapping ShapeMapping;

/*
 * Compile a document, in the current memory context.  If it is not valid, raises an
 * error that names the argument "mapping".
 */
extern ShapeMapping *mapping_compile(Jsonb *document);

/* Merge two mappings: entries of the second replace those of the first with the same name.  Either may be NULL. */
extern ShapeMapping *mapping_merge(ShapeMapping *first, ShapeMapping *second);

/* Append the converted payload, as JSON text. */
extern void mapping_apply(const ShapeMapping *mapping, Jsonb *payload, StringInfo out);

#endif							/* WEBHOOK_MAPPING_H */
