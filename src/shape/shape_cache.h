/*-------------------------------------------------------------------------
 *
 * shape_cache.h
 *		The shape that counts for a message of an integration.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SHAPE_CACHE_H
#define WEBHOOK_SHAPE_CACHE_H

#include "shape/shape.h"

typedef struct ShapeSet ShapeSet;

/*
 * SQL for the mapping of an entity type in a column of webhook.shape that has one for each type, {"guest": [...]}.
 * What version 0.1.0 has stored, an array, is that of guests.
 */
#define SHAPES_DEFAULT_TYPE		"guest"
#define SHAPES_MAPPING(value, entity_type) \
	"CASE WHEN jsonb_typeof(" value ") = 'object' THEN " value "->" entity_type \
	" WHEN " entity_type " = '" SHAPES_DEFAULT_TYPE "' THEN " value " END"

/*
 * What is set for this entity type, profile and event, which may be NULL.
 * NULL: nothing, the payload stays as it is.  With SPI connected and the
 * rights of the extension's owner; stays valid until the end of the
 * transaction.
 */
extern const ShapeSet *shape_cache_get(const char *integration, const char *entity_type,
								  const char *profile, const char *event_uid);

/*
 * The payload in this shape, in the current memory context.  An error when it
 * is not JSON that jsonb can hold.  Without mapping only the form counts.
 * faults, unless NULL, is all zeros and gets what does not fit the form.
 */
extern char *shape_cache_apply(const ShapeSet *set, const char *payload, bool mapping, ShapeFaults *faults, int *len);

#endif							/* WEBHOOK_SHAPE_CACHE_H */
