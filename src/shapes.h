/*-------------------------------------------------------------------------
 *
 * shapes.h
 *		The shape that counts for a message of an integration.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SHAPES_H
#define WEBHOOK_SHAPES_H

typedef struct ShapeSet ShapeSet;

/*
 * What is set for this entity type, profile and event, which may be NULL.
 * NULL: nothing, the payload stays as it is.  With SPI connected and the
 * rights of the extension's owner; stays valid until the end of the
 * transaction.
 */
extern const ShapeSet *shapes_get(const char *integration, const char *entity_type,
								  const char *profile, const char *event_uid);

/*
 * The payload in this shape, in the current memory context.  An error when it
 * is not JSON that jsonb can hold.  Without mapping only the form counts.
 */
extern char *shapes_apply(const ShapeSet *set, const char *payload, bool mapping, int *len);

#endif							/* WEBHOOK_SHAPES_H */
