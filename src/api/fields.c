/*-------------------------------------------------------------------------
 *
 * fields.c
 *		Properties of a webhook that can be set.
 *
 * One table describes them for both create_webhook() and update_webhook(): name,
 * type, default, hint, and the function in check.c that checks a value.  All values
 * pass through it, so the worker can rely on them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "api/check.h"
#include "api/fields.h"
#include "api/oauth.h"
#include "api/secret.h"
#include "base/argument.h"

#define INVALID		ERRCODE_INVALID_PARAMETER_VALUE

static const Field fields_table[FIELD_COUNT] =
{
	[FIELD_APP] = {
		"app", TEXTOID, true, NULL, INVALID, check_label,
		"Specify a name of 1 to 200 characters by which the webhook can be found."
	},
	[FIELD_EVENT] = {
		"event", TEXTOID, true, NULL, ERRCODE_INVALID_NAME, check_events,
		"Specify one or several trigger names, separated by commas, such as \"guest.create\", \"guest.*\" or \"*\"; "
		"names consist of letters, digits, dots and underscores."
	},
	[FIELD_URL] = {
		"url", TEXTOID, true, NULL, INVALID, check_url,
		"Specify an absolute http or https URL; the path and the query may contain {entity_id}, {event_uid} and {action}."
	},
	[FIELD_NAME] = {
		"name", TEXTOID, false, NULL, INVALID, check_label,
		"Specify a name of 1 to 200 characters, or none."
	},
	[FIELD_METHOD] = {
		"method", TEXTOID, false, "POST", INVALID, check_method,
		"Allowed methods are GET, POST, PUT, DELETE and PATCH."
	},
	[FIELD_HEADERS] = {
		"headers", JSONBOID, false, "{}", INVALID, check_headers,
		"Specify a JSON object of at most 100 request headers, such as {\"Authorization\": \"Bearer ...\"}, "
		"with strings of printable characters as values.", "*"
	},
	[FIELD_FORMAT] = {
		"format", TEXTOID, false, "entity", INVALID, check_format,
		"Allowed formats are entity, rest, standard, cloudevents, cloudevents-binary and thin."
	},
	[FIELD_EVENT_UIDS] = {
		"event_uids", TEXTOID, false, NULL, INVALID, check_uids,
		"Specify the UIDs of one or several events, separated by commas, or NULL for all events."
	},
	[FIELD_INTEGRATION] = {
		"integration", TEXTOID, false, NULL, INVALID, check_label,
		"Specify the name of an integration, or none."
	},
	[FIELD_COLUMNS] = {
		"columns", TEXTARRAYOID, false, NULL, INVALID, check_columns,
		"Specify the names of the columns whose change fires the webhook, or NULL for all columns."
	},
	[FIELD_FILTER] = {
		"filter", JSONBOID, false, NULL, INVALID, check_filter,
		"Specify a JSON object of at most 64 kB that the payload must contain."
	},
	[FIELD_TRANSFORM] = {
		"transform", TEXTOID, false, NULL, ERRCODE_INVALID_FUNCTION_DEFINITION, check_transform,
		"Specify a function with arguments (jsonb), (jsonb, text, text) or (jsonb, text, text, jsonb) that returns jsonb and that you may execute."
	},
	[FIELD_ORDERING] = {
		"ordering", TEXTOID, false, "entity", INVALID, check_ordering,
		"Allowed values are entity, strict and none."
	},
	[FIELD_SECRET] = {
		"secret", TEXTOID, false, NULL, INVALID, check_secret,
		SECRET_HINT, ""
	},
	[FIELD_RETRY_SCHEDULE] = {
		"retry_schedule", INTERVALARRAYOID, false, NULL, INVALID, check_retry_schedule,
		"Specify 1 to 32 intervals of 0 to 30 days, without months or years."
	},
	[FIELD_TIMEOUT] = {
		"timeout", INTERVALOID, false, NULL, INVALID, check_timeout,
		"Specify an interval between 100 milliseconds and 10 minutes."
	},
	[FIELD_RATE_LIMIT] = {
		"rate_limit", INT4OID, false, NULL, INVALID, check_rate_limit,
		"Specify a number of requests per second between 1 and 1000000, or NULL for no limit."
	},
	[FIELD_MAX_IN_FLIGHT] = {
		"max_in_flight", INT4OID, false, NULL, INVALID, check_max_in_flight,
		"Specify a number of simultaneous requests between 1 and 1000."
	},
	[FIELD_CLIENT_CERT] = {
		"client_cert", TEXTOID, false, NULL, INVALID, check_certificate,
		"Specify a certificate in PEM format (-----BEGIN CERTIFICATE-----), together with client_key."
	},
	[FIELD_CLIENT_KEY] = {
		"client_key", TEXTOID, false, NULL, INVALID, check_private_key,
		"Specify a private key in PEM format (-----BEGIN PRIVATE KEY-----), together with client_cert.", ""
	},
	[FIELD_CA_CERT] = {
		"ca_cert", TEXTOID, false, NULL, INVALID, check_certificate,
		"Specify one or several certificates in PEM format (-----BEGIN CERTIFICATE-----)."
	},
	[FIELD_ACTIVE] = {
		"active", BOOLOID, false, "true", INVALID, check_nothing,
		"Specify true or false."
	},
	[FIELD_HANDSHAKE] = {
		"handshake", BOOLOID, false, "false", INVALID, check_nothing,
		"Specify true to ask the receiver for permission before anything is sent to it, or false."
	},
	[FIELD_PREVIOUS] = {
		"previous", TEXTOID, false, NULL, INVALID, check_previous,
		"Specify \"changed\" for the former values of the columns that changed, \"row\" for the whole former row, or NULL."
	},
	[FIELD_CONDITION] = {
		"condition", JSONPATHOID, false, NULL, INVALID, check_condition,
		"Specify a jsonpath predicate over \"new\" and \"old\", such as '$.new.status == \"paid\" && $.old.status != \"paid\"', "
		"or NULL."
	},
	[FIELD_BATCH_SIZE] = {
		"batch_size", INT4OID, false, NULL, INVALID, check_batch_size,
		"Specify a number of messages in one request between 1 and 10000, or NULL for requests with a single message."
	},
	[FIELD_BATCH_WAIT] = {
		"batch_wait", INTERVALOID, false, NULL, INVALID, check_batch_wait,
		"Specify an interval between 0 and 1 hour, without months or years, or NULL."
	},
	[FIELD_OAUTH] = {
		"oauth", JSONBOID, false, NULL, INVALID, check_oauth,
		OAUTH_HINT, "client_secret,refresh_token"
	},
	[FIELD_SIGNATURE] = {
		"signature", TEXTOID, false, NULL, INVALID, check_signature,
		SIGNATURE_HINT
	},
	[FIELD_NO_RETRY] = {
		"no_retry", INT4ARRAYOID, false, NULL, INVALID, check_no_retry,
		"Specify HTTP statuses from 300 to 599, such as {400,422}, or NULL."
	},
	[FIELD_CHALLENGE] = {
		"challenge", BOOLOID, false, "false", INVALID, check_nothing,
		"Specify true to have the receiver repeat a random text before anything is sent to it, or false."
	},
	[FIELD_TEMPLATE] = {
		"template", JSONBOID, false, NULL, INVALID, check_template,
		"Specify any JSON of at most 64 kB in which {{field}} in a string is replaced by a value, or NULL."
	}
};

const char *
field_name(FieldId id)
{
	return fields_table[id].name;
}

Oid
field_column_type(FieldId id)
{
	return fields_table[id].type;
}

void
field_describe(FieldId id, StringInfo buf)
{
	const Field *field = &fields_table[id];

	if (field->required)
		appendStringInfoString(buf, "\"required\": true");
	else
		appendStringInfo(buf, field->type == TEXTOID && field->default_text ? "\"default\": \"%s\"" : "\"default\": %s",
						 field->default_text ? field->default_text : "null");
	if (field->secrets != NULL)
		appendStringInfo(buf, ", \"secrets\": \"%s\"", field->secrets);
}

int
field_find(const char *name, size_t len)
{
	for (int i = 0; i < FIELD_COUNT; i++)
		if (strlen(fields_table[i].name) == len && memcmp(fields_table[i].name, name, len) == 0)
			return i;
	return -1;
}

/*
 * Convert a text by the type's input function, replacing its errors by ours, which
 * name the argument.  As that is an error again, nothing has to be cleaned up.
 */
static Datum
fields_input(const Field *field, char *s)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			function;
	Oid			io_param;
	Datum volatile result = 0;

	getTypeInputInfo(field->type, &function, &io_param);
	PG_TRY();
	{
		result = OidInputFunctionCall(function, s, io_param, -1);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("invalid value for argument \"%s\": %s", field->name,
						argument_excerpt(error->message, strlen(error->message))),
				 errhint("%s", field->hint)));
	}
	PG_END_TRY();
	return result;
}

static FieldValue
fields_default_value(FieldId id)
{
	FieldValue	result = {(Datum) 0, true};

	if (fields_table[id].default_text)
	{
		result.value = fields_input(&fields_table[id], pstrdup(fields_table[id].default_text));
		result.isnull = false;
	}
	else if (id == FIELD_SECRET)
	{
		result.value = CStringGetTextDatum(check_generate_key("v1"));
		result.isnull = false;
	}
	return result;
}

static void
fields_refuse_null(const Field *field)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", field->name),
			 errhint("%s", field->hint)));
}

FieldValue
field_check(FieldId id, Datum value, bool isnull)
{
	const Field *field = &fields_table[id];
	FieldValue	result;

	if (isnull)
	{
		if (field->required || field->default_text)
			fields_refuse_null(field);
		return fields_default_value(id);
	}
	if (field->type == JSONPATHOID)
		value = fields_input(field, TextDatumGetCString(value));
	result.value = field->check(field, value);
	result.isnull = false;
	return result;
}

/* The text of a JSON string. */
static char *
fields_string_from_json(const Field *field, const JsonbValue *json)
{
	if (json->type != jbvString)
		check_refuse(field, "it is not a string");
	return pnstrdup(json->val.string.val, json->val.string.len);
}

static Datum
fields_integer_from_json(const Field *field, const JsonbValue *json)
{
	char	   *digits;
	char	   *end;
	long		number;

	if (json->type != jbvNumeric)
		check_refuse(field, "it is not a number");
	digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(json->val.numeric)));
	errno = 0;
	number = strtol(digits, &end, 10);
	if (*end != '\0' || errno != 0 || number < PG_INT32_MIN || number > PG_INT32_MAX)
		check_refuse(field, "it is not an integer, or out of range");
	return Int32GetDatum((int32) number);
}

static Datum
fields_integers_from_json(const Field *field, const JsonbValue *json)
{
	ArrayBuildState *state = initArrayResult(INT4OID, CurrentMemoryContext, false);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;

	if (json->type != jbvBinary || !JsonContainerIsArray(json->val.binary.data) ||
		JsonContainerIsScalar(json->val.binary.data))
		check_refuse(field, "it is not an array");
	it = JsonbIteratorInit(json->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			state = accumArrayResult(state, fields_integer_from_json(field, &v), false, INT4OID, CurrentMemoryContext);
	return makeArrayResult(state, CurrentMemoryContext);
}

/* Convert a JSON array by the array type's input function. */
static Datum
fields_array_from_json(const Field *field, const JsonbValue *json)
{
	ArrayBuildState *state = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	Datum		strings;

	if (json->type != jbvBinary || !JsonContainerIsArray(json->val.binary.data) ||
		JsonContainerIsScalar(json->val.binary.data))
		check_refuse(field, "it is not an array");
	it = JsonbIteratorInit(json->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			state = accumArrayResult(state, CStringGetTextDatum(fields_string_from_json(field, &v)), false,
									 TEXTOID, CurrentMemoryContext);
	strings = makeArrayResult(state, CurrentMemoryContext);
	return fields_input(field, OidOutputFunctionCall(F_ARRAY_OUT, strings));
}

static Datum
fields_datum_from_json(const Field *field, JsonbValue *json)
{
	switch (field->type)
	{
		case JSONBOID:
			return JsonbPGetDatum(JsonbValueToJsonb(json));
		case JSONPATHOID:
			return CStringGetTextDatum(fields_string_from_json(field, json));
		case BOOLOID:
			if (json->type != jbvBool)
				check_refuse(field, "it is not a boolean");
			return BoolGetDatum(json->val.boolean);
		case INT4OID:
			return fields_integer_from_json(field, json);
		case INT4ARRAYOID:
			return fields_integers_from_json(field, json);
		case TEXTARRAYOID:
		case INTERVALARRAYOID:
			return fields_array_from_json(field, json);
		default:
			return fields_input(field, fields_string_from_json(field, json));
	}
}

FieldValue
field_check_json(FieldId id, JsonbValue *json)
{
	if (json->type == jbvNull)
	{
		if (fields_table[id].required)
			fields_refuse_null(&fields_table[id]);
		return fields_default_value(id);
	}
	return field_check(id, fields_datum_from_json(&fields_table[id], json), false);
}
