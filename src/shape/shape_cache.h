/*-------------------------------------------------------------------------
 *
 * shape_cache.h
 *		The shapes of messages for integrations.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SHAPE_CACHE_H
#define WEBHOOK_SHAPE_CACHE_H

#include "shape/form.h"

typedef struct ShapeSet ShapeSet;

/*
 * SQL for the mapping of an entity type in a column of webhook.shape that has one for each type, {"guest": [...]}.
 * An array, as stored by version 0.1.0, is the mapping of guests.
 */
#define SHAPES_DEFAULT_TYPE		"guest"
#define SHAPES_MAPPING(value, entity_type) \
	"CASE WHEN jsonb_typeof(" value ") = 'object' THEN " value "->" entity_type \
	" WHEN " entity_type " = '" SHAPES_DEFAULT_TYPE "' THEN " value " END"

/*
 * The shape for this entity type, profile and event, which may be NULL.  Returns NULL
 * if none is set and payloads remain unchanged.  Requires a connection to SPI and the
 * privileges of the extension's owner.  Valid until the end of the transaction.
 */
extern const ShapeSet *shape_cache_get(const char *integration, const char *entity_type,
									   const char *profile, const char *event_uid);

/*
 * Convert a payload, palloc'd.  Raises an error if it cannot be represented as jsonb.
 * Without mapping only the form is applied.  faults must be zeroed, or NULL; it gets
 * the deviations from the form.
 */
extern char *shape_cache_apply(const ShapeSet *set, const char *payload, bool mapping, ShapeFaults *faults, int *len);

#endif							/* WEBHOOK_SHAPE_CACHE_H */
