/*-------------------------------------------------------------------------
 *
 * template.h
 *		Templates: any JSON with placeholders {{field}}.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_TEMPLATE_H
#define WEBHOOK_TEMPLATE_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct ShapeTemplate ShapeTemplate;

/*
 * Compile a document, in the current memory context.  If it is not valid, raises an
 * error that names the argument "template".
 */
extern ShapeTemplate *template_compile(Jsonb *document);

/* The first name, of those that the paths in a template begin with, for which known() returns false; else NULL. */
extern const char *template_unknown(const ShapeTemplate *template,
									bool (*known) (const char *name, void *arg), void *arg);

/* Append the converted payload, as JSON text. */
extern void template_apply(const ShapeTemplate *template, Jsonb *payload, StringInfo out);

#endif							/* WEBHOOK_TEMPLATE_H */
