/*-------------------------------------------------------------------------
 *
 * document.h
 *		The JSON documents that forms, mappings and templates are written as.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_DOCUMENT_H
#define WEBHOOK_DOCUMENT_H

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#define DOCUMENT_MAX_NAME	200 /* bytes of a name */

/* Raise an error for the argument that the document was passed as. */
extern void document_refuse(const char *argument, const char *problem, const char *hint);

/* The objects of an array, as Jsonb; raises an error for anything else. */
extern List *document_array_objects(Jsonb *document, const char *argument, const char *hint);

extern bool document_object_get(Jsonb *object, const char *key, JsonbValue *value);

/* Raise an error for keys that are not in this NULL-terminated list, which may be typos. */
extern void document_check_keys(Jsonb *object, const char *const *allowed, const char *argument, const char *hint);

/* The name of an element, which must be unique; it is added to names. */
extern char *document_element_name(Jsonb *object, List **names, const char *argument, const char *hint);

/* NULL if it is not a string. */
extern char *document_value_string(const JsonbValue *value);

/* "name": as JSON */
extern char *document_json_prefix(const char *name);

#endif							/* WEBHOOK_DOCUMENT_H */
