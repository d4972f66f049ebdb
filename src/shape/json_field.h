/*-------------------------------------------------------------------------
 *
 * json_field.h
 *		A place in a JSON document, such as category.name or options[0].
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_JSON_FIELD_H
#define WEBHOOK_JSON_FIELD_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

typedef struct JsonField JsonField;

/*
 * Parse the text in the current memory context; NULL when it is not a field,
 * *problem then is a constant lower-case phrase.
 */
extern JsonField *json_field_parse(const char *text, const char **problem);

/* The first key of the path, palloc'd; NULL if it begins with an index. */
extern const char *json_field_first_key(const JsonField *field);

/* Look up the value in a document; false if there is none. */
extern bool json_field_get(const JsonField *field, Jsonb *document, JsonbValue *value);

/* Append a value as JSON. */
extern void json_field_append_json(StringInfo buf, JsonbValue *value);

/* Append a value for use inside a JSON string: a string without its quotes, nothing for null. */
extern void json_field_append_inside(StringInfo buf, JsonbValue *value);

/* Append text for use inside a JSON string. */
extern void json_field_append_escaped(StringInfo buf, const char *text, int len);

/* Raise an error if what has been appended exceeds webhook.max_payload_size. */
extern void json_field_check_size(const StringInfoData *buf);

/*
 * A JSON text as a document.  Escapes that json accepts and jsonb does not, of
 * the NUL character and of half a surrogate pair, become U+FFFD in the text.
 */
extern Jsonb *json_field_document(char *text);

/* The same replacement in a text. */
extern void json_field_replace_impossible(char *text);

#endif							/* WEBHOOK_JSON_FIELD_H */
