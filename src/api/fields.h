/*-------------------------------------------------------------------------
 *
 * fields.h
 *		Properties of a webhook that can be set.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_FIELDS_H
#define WEBHOOK_FIELDS_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* In the order of the arguments of create_webhook(). */
typedef enum FieldId
{
	FIELD_APP,
	FIELD_EVENT,
	FIELD_URL,
	FIELD_NAME,
	FIELD_METHOD,
	FIELD_HEADERS,
	FIELD_FORMAT,
	FIELD_EVENT_UIDS,
	FIELD_INTEGRATION,
	FIELD_COLUMNS,
	FIELD_FILTER,
	FIELD_TRANSFORM,
	FIELD_ORDERING,
	FIELD_SECRET,
	FIELD_RETRY_SCHEDULE,
	FIELD_TIMEOUT,
	FIELD_RATE_LIMIT,
	FIELD_MAX_IN_FLIGHT,
	FIELD_CLIENT_CERT,
	FIELD_CLIENT_KEY,
	FIELD_CA_CERT,
	FIELD_ACTIVE,
	FIELD_HANDSHAKE,
	FIELD_PREVIOUS,
	FIELD_CONDITION,
	FIELD_BATCH_SIZE,
	FIELD_BATCH_WAIT,
	FIELD_OAUTH,
	FIELD_SIGNATURE,
	FIELD_NO_RETRY,
	FIELD_CHALLENGE,
	FIELD_TEMPLATE
} FieldId;

#define FIELD_COUNT		(FIELD_TEMPLATE + 1)

/* A value to store. */
typedef struct FieldValue
{
	Datum		value;
	bool		isnull;
} FieldValue;

/* Name of the argument, of the column and of the key in update_webhook()'s changes. */
extern const char *field_name(FieldId id);

/* The field with this name, or -1. */
extern int	field_find(const char *name, size_t len);

/* Type of the column, and of the argument unless that is text. */
extern Oid	field_column_type(FieldId id);

/* Append the members of a JSON object that webhook_fields() has for this field. */
extern void field_describe(FieldId id, StringInfo buf);

/*
 * Check a value of the argument's type, and convert it to the value to store.  Null
 * is accepted if it is the default.  Errors name the argument and have a hint what
 * is allowed.  Must run as the caller.
 */
extern FieldValue field_check(FieldId id, Datum value, bool isnull);

/* The same for a value in a JSON document; JSON null means the default. */
extern FieldValue field_check_json(FieldId id, JsonbValue *json);

#endif							/* WEBHOOK_FIELDS_H */
