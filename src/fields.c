/*-------------------------------------------------------------------------
 *
 * fields.c
 *		The properties of a webhook that its owner can set.
 *
 * One table describes them for create_webhook() and update_webhook() alike:
 * name, type, default, what is allowed and who checks it.  Everything that is
 * stored has passed through here, so the worker can rely on it.
 *
 * A checker gets a value of the field's type that is not NULL and returns it in
 * the form in which it is stored.  Values are not repeated in messages: they
 * may be secrets, and they may be very long.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "fields.h"
#include "payload.h"
#include "retry.h"
#include "secretfile.h"
#include "sign.h"
#include "url.h"

#define MAX_NAME_LENGTH		200 /* characters */
#define MAX_LIST_LENGTH		(256 * 1024)	/* bytes of "event" and "event_uids" */
#define MAX_HEADERS			100
#define MAX_FILTER_SIZE		(64 * 1024)
#define MAX_PEM_LENGTH		(256 * 1024)
#define MIN_TIMEOUT_MS		100
#define MAX_TIMEOUT_MS		(10 * 60 * 1000)
#define MAX_IN_FLIGHT		1000
#define MAX_RATE_LIMIT		1000000
#define SHOWN_LENGTH		100 /* bytes of bad input shown in a message */

typedef struct Field Field;

struct Field
{
	const char *name;
	Oid			type;			/* of the argument */
	bool		required;		/* there is no default */
	const char *default_text;	/* input of the type, or NULL for NULL */
	int			sqlstate;		/* of a refusal */
	Datum		(*check) (const Field *field, Datum value);
	const char *hint;			/* what is allowed */
};

/*
 * Report that a value is not accepted.  problem completes the message.
 */
static void
refuse(const Field *field, const char *problem)
{
	ereport(ERROR,
			(errcode(field->sqlstate),
			 errmsg("invalid value for argument \"%s\": %s", field->name, problem),
			 errhint("%s", field->hint)));
}

static bool
is_control_character(char c)
{
	return (unsigned char) c < 0x20 || c == 0x7f;
}

static bool
has_control_character(const char *s)
{
	for (; *s; s++)
		if (is_control_character(*s))
			return true;
	return false;
}

/* As much of what the user gave as fits into a message, on one line. */
static char *
shown(const char *s, size_t len)
{
	char	   *result = pnstrdup(s, pg_mbcliplen(s, len, SHOWN_LENGTH));

	for (char *p = result; *p; p++)
		if (is_control_character(*p))
			*p = '?';
	return result;
}

/*
 * A free name.
 */
static Datum
check_label(const Field *field, Datum value)
{
	char	   *s = text_to_cstring(DatumGetTextPP(value));

	if (s[strspn(s, " ")] == '\0')
		refuse(field, "it is empty");
	if (pg_mbstrlen(s) > MAX_NAME_LENGTH)
		refuse(field, "it is too long");
	if (has_control_character(s))
		refuse(field, "it contains a control character");
	return value;
}

/* An entry of a comma-separated list. */
typedef struct ListItem
{
	const char *start;
	size_t		len;
	bool		taken;			/* by normalize_list() */
} ListItem;

static int
compare_items(const void *a, const void *b)
{
	const ListItem *left = a;
	const ListItem *right = b;

	if (left->len != right->len)
		return left->len < right->len ? -1 : 1;
	return memcmp(left->start, right->start, left->len);
}

/*
 * Split s at its commas, strip blanks and check every entry; returns how many
 * there are.
 */
static int
split_list(const Field *field, const char *s, ListItem **items,
		   void (*check_item) (const Field *field, const char *item, size_t len))
{
	int			count = 1;
	int			n = 0;

	for (const char *p = s; *p; p++)
		count += (*p == ',');
	*items = palloc(count * sizeof(ListItem));

	for (;;)
	{
		size_t		len;
		const char *next = s + strcspn(s, ",");

		while (*s == ' ' || *s == '\t')
			s++;
		for (len = Max(next - s, 0); len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'); len--)
			;
		if (len == 0)
			refuse(field, count == 1 ? "it is empty" : "an entry of the list is empty");
		check_item(field, s, len);
		(*items)[n++] = (ListItem) {s, len, false};
		if (*next == '\0')
			return n;
		s = next + 1;
	}
}

/*
 * Bring a comma-separated list into the form in which it is stored: no blanks,
 * nothing twice.  The order stays.
 */
static Datum
normalize_list(const Field *field, Datum value,
			   void (*check_item) (const Field *field, const char *item, size_t len))
{
	char	   *s = text_to_cstring(DatumGetTextPP(value));
	ListItem   *items;
	ListItem   *sorted;
	StringInfoData buf;
	int			n;
	int			distinct = 0;

	if (strlen(s) > MAX_LIST_LENGTH)
		refuse(field, "it is too long");
	n = split_list(field, s, &items, check_item);

	sorted = palloc(n * sizeof(ListItem));
	memcpy(sorted, items, n * sizeof(ListItem));
	qsort(sorted, n, sizeof(ListItem), compare_items);
	for (int i = 0; i < n; i++)
		if (i == 0 || compare_items(&sorted[i], &sorted[distinct - 1]) != 0)
			sorted[distinct++] = sorted[i];

	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
	{
		ListItem   *found = bsearch(&items[i], sorted, distinct, sizeof(ListItem), compare_items);

		if (found->taken)
			continue;
		found->taken = true;
		if (buf.len > 0)
			appendStringInfoChar(&buf, ',');
		appendBinaryStringInfo(&buf, items[i].start, items[i].len);
	}
	return PointerGetDatum(cstring_to_text_with_len(buf.data, buf.len));
}

/* "guest.create", "guest.*" or "*" */
static void
check_event_name(const Field *field, const char *item, size_t len)
{
	size_t		name_len = len;

	if (len == 1 && *item == '*')
		return;
	if (len > 2 && item[len - 2] == '.' && item[len - 1] == '*')
		name_len = len - 2;
	if (len > MAX_NAME_LENGTH)
		refuse(field, psprintf("\"%s...\" is too long for a trigger name", shown(item, len)));
	for (size_t i = 0; i < name_len; i++)
	{
		unsigned char c = item[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  c == '.' || c == '_'))
			refuse(field, psprintf("\"%s\" is not a trigger name", shown(item, len)));
	}
}

static Datum
check_events(const Field *field, Datum value)
{
	return normalize_list(field, value, check_event_name);
}

static void
check_uid(const Field *field, const char *item, size_t len)
{
	if (pg_mbstrlen_with_len(item, len) > MAX_NAME_LENGTH)
		refuse(field, "an event UID is longer than 200 characters");
	if (len >= CATALOG_NAME_SIZE)
		refuse(field, "an event UID is longer than 255 bytes");
	if (has_control_character(pnstrdup(item, len)))
		refuse(field, "it contains a control character");
}

static Datum
check_uids(const Field *field, Datum value)
{
	return normalize_list(field, value, check_uid);
}

static Datum
check_url(const Field *field, Datum value)
{
	const char *problem = url_check(text_to_cstring(DatumGetTextPP(value)));

	if (problem)
		refuse(field, problem);
	return value;
}

static bool
is_one_of(const char *s, const char *const *allowed)
{
	for (; *allowed; allowed++)
		if (strcmp(s, *allowed) == 0)
			return true;
	return false;
}

static Datum
check_method(const Field *field, Datum value)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH", NULL};
	char	   *s = text_to_cstring(DatumGetTextPP(value));

	for (char *p = s; *p; p++)
		*p = pg_ascii_toupper((unsigned char) *p);
	if (!is_one_of(s, methods))
		refuse(field, "unknown method");
	return CStringGetTextDatum(s);
}

static Datum
check_format(const Field *field, Datum value)
{
	if (!payload_format_known(text_to_cstring(DatumGetTextPP(value))))
		refuse(field, "unknown format");
	return value;
}

static Datum
check_ordering(const Field *field, Datum value)
{
	static const char *const orderings[] = {"entity", "strict", "none", NULL};

	if (!is_one_of(text_to_cstring(DatumGetTextPP(value)), orderings))
		refuse(field, "unknown ordering");
	return value;
}

/* Does the value name a file?  An error if the file may not be named. */
static bool
check_file_reference(const Field *field, const char *value, const char *what)
{
	const char *problem;

	if (!secretfile_is_reference(value))
		return false;
	problem = secretfile_problem(value, GetUserId());
	if (problem != NULL)
		refuse(field, psprintf("%s%s", what, problem));
	return true;
}

/*
 * One header.  names are the n headers before it; two that differ in case only would
 * both be sent.
 */
static void
check_header(const Field *field, const char *name, const JsonbValue *value,
			 char *const *names, int n)
{
	const char *problem;

	if (value->type != jbvString)
		problem = "the value is not a string";
	else if (value->val.string.len == 3 && memcmp(value->val.string.val, "***", 3) == 0)
		problem = "*** stands for a value that is not shown";
	else
		problem = url_check_header(name, pnstrdup(value->val.string.val, value->val.string.len));
	for (int i = 0; i < n && problem == NULL; i++)
		if (pg_strcasecmp(name, names[i]) == 0)
			problem = "it is given twice";
	if (problem)
		refuse(field, psprintf("header \"%s\": %s", shown(name, strlen(name)), problem));
	(void) check_file_reference(field, pnstrdup(value->val.string.val, value->val.string.len),
								psprintf("header \"%s\": ", shown(name, strlen(name))));
}

static Datum
check_headers(const Field *field, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	char	   *names[MAX_HEADERS];
	int			n = 0;
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		refuse(field, "it is not a JSON object");
	if (JB_ROOT_COUNT(jsonb) > MAX_HEADERS)
		refuse(field, "there are too many headers");

	it = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			names[n] = pnstrdup(v.val.string.val, v.val.string.len);
		else if (token == WJB_VALUE)
		{
			check_header(field, names[n], &v, names, n);
			n++;
		}
	}
	return value;
}

static Datum
check_columns(const Field *field, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	int			n;

	if (ARR_NDIM(array) != 1 || array_contains_nulls(array))
		refuse(field, "it is not a plain list of names");
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	if (n > MaxHeapAttributeNumber)
		refuse(field, "there are too many names");
	for (int i = 0; i < n; i++)
	{
		int			len = VARSIZE_ANY_EXHDR(DatumGetTextPP(elements[i]));

		if (len == 0)
			refuse(field, "a name is empty");
		if (len >= NAMEDATALEN)
			refuse(field, "a name is too long for a column");
	}
	return value;
}

static Datum
check_filter(const Field *field, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);

	if (!JB_ROOT_IS_OBJECT(jsonb))
		refuse(field, "it is not a JSON object");
	if (VARSIZE(jsonb) > MAX_FILTER_SIZE)
		refuse(field, "it is too large");
	return value;
}

bool
field_is_transform(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	Oid		   *args;
	bool		fits;

	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	args = proc->proargtypes.values;
	fits = proc->prokind == PROKIND_FUNCTION &&
		!proc->proretset &&
		proc->prorettype == JSONBOID &&
		(proc->pronargs == 1 || proc->pronargs == 3) &&
		args[0] == JSONBOID &&
		(proc->pronargs == 1 || (args[1] == TEXTOID && args[2] == TEXTOID));
	ReleaseSysCache(tuple);
	return fits;
}

/*
 * Stored as text with the schema, which survives a dump; an oid would not.
 */
static Datum
check_transform(const Field *field, Datum value)
{
	Oid			function = DatumGetObjectId(value);

	if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function)))
		refuse(field, "the function does not exist");
	if (!field_is_transform(function))
		refuse(field, psprintf("%s has other argument or result types", format_procedure(function)));
	if (webhook_proc_aclcheck(function, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", get_func_name(function)),
				 errhint("%s", field->hint)));
	return CStringGetTextDatum(format_procedure_qualified(function));
}

/* A fresh key for this version of signatures, or NULL if there is none of this name. */
static char *
generate_key(const char *version)
{
	unsigned char bytes[Max(SIGN_SECRET_BYTES, SIGN_SEED_BYTES)];
	char		key[SIGN_MAX_TEXT];
	bool		ok = pg_strong_random(bytes, sizeof(bytes));

	if (strcmp(version, "v1") == 0)
		sign_format_secret(bytes, SIGN_SECRET_BYTES, key);
	else if (strcmp(version, "v1a") == 0)
		ok = ok && sign_format_private_key(bytes, key);
	else
		return NULL;
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes")));
	explicit_bzero(bytes, sizeof(bytes));
	return pstrdup(key);
}

/*
 * One key or several, with single spaces between.  "v1" and "v1a" stand for
 * keys to be made.  Everything is signed with a shared secret, whatever else:
 * there is always one.
 */
static Datum
check_secret(const Field *field, Datum value)
{
	char	   *list = text_to_cstring(DatumGetTextPP(value));
	const char *problem;
	StringInfoData buf;
	SignKey    *key;
	char	   *next;

	if (check_file_reference(field, list, ""))
		return value;
	initStringInfo(&buf);
	for (char *token = list; token != NULL; token = next)
	{
		char	   *made;

		next = strchr(token, ' ');
		if (next != NULL)
			*next++ = '\0';
		made = generate_key(token);
		appendStringInfo(&buf, "%s%s", token == list ? "" : " ", made ? made : token);
	}

	key = sign_key_create(buf.data, &problem);
	if (key == NULL)
		refuse(field, problem);
	if (!sign_key_has(key, SIGN_HMAC_SHA256))
	{
		char	   *rest = buf.data;

		initStringInfo(&buf);
		appendStringInfo(&buf, "%s %s", generate_key("v1"), rest);
	}
	sign_key_free(key);
	return CStringGetTextDatum(buf.data);
}

int64
field_interval_us(const char *argument, Interval *interval, int64 min_ms, int64 max_ms, const char *hint)
{
	const char *problem = NULL;
	int64		us;

	if (interval->month != 0)
		problem = "months and years have no fixed length";
	else if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &us) ||
			 pg_add_s64_overflow(us, interval->time, &us) ||
			 us < min_ms * 1000 || us > max_ms * 1000)
		problem = "it is out of range";
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\": %s", argument, problem),
				 errhint("%s", hint)));
	return us;
}

static Datum
check_retry_schedule(const Field *field, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	int			n;

	if (ARR_NDIM(array) != 1 || array_contains_nulls(array))
		refuse(field, "it is not a plain list of intervals");
	deconstruct_array(array, INTERVALOID, sizeof(Interval), false, TYPALIGN_DOUBLE,
					  &elements, NULL, &n);
	if (n > RETRY_MAX_STEPS)
		refuse(field, "there are too many steps");
	for (int i = 0; i < n; i++)
		(void) field_interval_us(field->name, DatumGetIntervalP(elements[i]),
								 0, RETRY_MAX_STEP_SECONDS * INT64CONST(1000), field->hint);
	return value;
}

static Datum
check_timeout(const Field *field, Datum value)
{
	(void) field_interval_us(field->name, DatumGetIntervalP(value),
							 MIN_TIMEOUT_MS, MAX_TIMEOUT_MS, field->hint);
	return value;
}

static Datum
check_rate_limit(const Field *field, Datum value)
{
	if (DatumGetInt32(value) < 1 || DatumGetInt32(value) > MAX_RATE_LIMIT)
		refuse(field, "it is out of range");
	return value;
}

static Datum
check_max_in_flight(const Field *field, Datum value)
{
	if (DatumGetInt32(value) < 1 || DatumGetInt32(value) > MAX_IN_FLIGHT)
		refuse(field, "it is out of range");
	return value;
}

/*
 * Text that holds a PEM block of this kind.  What is inside of it shows when it
 * is used.
 */
static char *
check_pem(const Field *field, Datum value, const char *kind)
{
	char	   *s = text_to_cstring(DatumGetTextPP(value));

	if (check_file_reference(field, s, ""))
		return s;
	if (strlen(s) > MAX_PEM_LENGTH)
		refuse(field, "it is too long");
	if (strstr(s, "-----BEGIN ") == NULL || strstr(s, "-----END ") == NULL)
		refuse(field, "it is not in PEM format");
	if (strstr(s, kind) == NULL)
		refuse(field, "it is in PEM format, but holds something else");
	return s;
}

static Datum
check_certificate(const Field *field, Datum value)
{
	(void) check_pem(field, value, "CERTIFICATE-----");
	return value;
}

static Datum
check_private_key(const Field *field, Datum value)
{
	char	   *s = check_pem(field, value, "PRIVATE KEY-----");

	if (strstr(s, "ENCRYPTED"))
		refuse(field, "the key is protected by a passphrase");
	return value;
}

static Datum
check_nothing(const Field *field, Datum value)
{
	return value;
}

#define INVALID		ERRCODE_INVALID_PARAMETER_VALUE

static const Field fields[FIELD_COUNT] =
{
	[FIELD_APP] = {
		"app", TEXTOID, true, NULL, INVALID, check_label,
		"Give a name of 1 to 200 characters by which the webhook can be found."
	},
	[FIELD_EVENT] = {
		"event", TEXTOID, true, NULL, ERRCODE_INVALID_NAME, check_events,
		"Give one or several trigger names, separated by commas, such as \"guest.create\", \"guest.*\" or \"*\"; "
		"names consist of letters, digits, dots and underscores."
	},
	[FIELD_URL] = {
		"url", TEXTOID, true, NULL, INVALID, check_url,
		"Give an absolute http or https URL; the path and the query may contain {entity_id}, {event_uid} and {action}."
	},
	[FIELD_NAME] = {
		"name", TEXTOID, false, NULL, INVALID, check_label,
		"Give a name of 1 to 200 characters, or none."
	},
	[FIELD_METHOD] = {
		"method", TEXTOID, false, "POST", INVALID, check_method,
		"Allowed methods are GET, POST, PUT, DELETE and PATCH."
	},
	[FIELD_HEADERS] = {
		"headers", JSONBOID, false, "{}", INVALID, check_headers,
		"Give a JSON object of at most 100 request headers, such as {\"Authorization\": \"Bearer ...\"}, "
		"with strings of printable characters as values."
	},
	[FIELD_FORMAT] = {
		"format", TEXTOID, false, "entity", INVALID, check_format,
		"Allowed formats are entity, rest, standard, cloudevents and cloudevents-binary."
	},
	[FIELD_EVENT_UIDS] = {
		"event_uids", TEXTOID, false, NULL, INVALID, check_uids,
		"Give the UIDs of one or several events, separated by commas, or NULL for all events."
	},
	[FIELD_INTEGRATION] = {
		"integration", TEXTOID, false, NULL, INVALID, check_label,
		"Give the name of an integration, or none."
	},
	[FIELD_COLUMNS] = {
		"columns", TEXTARRAYOID, false, NULL, INVALID, check_columns,
		"Give the names of the columns whose change fires the webhook, or NULL for all columns."
	},
	[FIELD_FILTER] = {
		"filter", JSONBOID, false, NULL, INVALID, check_filter,
		"Give a JSON object of at most 64 kB that the payload must contain."
	},
	[FIELD_TRANSFORM] = {
		"transform", REGPROCEDUREOID, false, NULL, ERRCODE_INVALID_FUNCTION_DEFINITION, check_transform,
		"Give a function that you may execute, takes (jsonb) or (jsonb, text, text) and returns jsonb."
	},
	[FIELD_ORDERING] = {
		"ordering", TEXTOID, false, "entity", INVALID, check_ordering,
		"Allowed are entity, strict and none."
	},
	[FIELD_SECRET] = {
		"secret", TEXTOID, false, NULL, INVALID, check_secret,
		"Give \"whsec_\" and 24 to 64 bytes in base64, \"whsk_\" and an ed25519 key in base64, or up to 4 of these "
		"with single spaces between; \"v1\" and \"v1a\" stand for one of each kind that is generated."
	},
	[FIELD_RETRY_SCHEDULE] = {
		"retry_schedule", INTERVALARRAYOID, false, NULL, INVALID, check_retry_schedule,
		"Give 1 to 32 intervals of 0 to 30 days, without months or years."
	},
	[FIELD_TIMEOUT] = {
		"timeout", INTERVALOID, false, NULL, INVALID, check_timeout,
		"Give an interval between 100 milliseconds and 10 minutes."
	},
	[FIELD_RATE_LIMIT] = {
		"rate_limit", INT4OID, false, NULL, INVALID, check_rate_limit,
		"Give a number of requests per second between 1 and 1000000, or NULL for no limit."
	},
	[FIELD_MAX_IN_FLIGHT] = {
		"max_in_flight", INT4OID, false, NULL, INVALID, check_max_in_flight,
		"Give a number of simultaneous requests between 1 and 1000."
	},
	[FIELD_CLIENT_CERT] = {
		"client_cert", TEXTOID, false, NULL, INVALID, check_certificate,
		"Give a certificate in PEM format (-----BEGIN CERTIFICATE-----), together with client_key."
	},
	[FIELD_CLIENT_KEY] = {
		"client_key", TEXTOID, false, NULL, INVALID, check_private_key,
		"Give a private key in PEM format (-----BEGIN PRIVATE KEY-----), together with client_cert."
	},
	[FIELD_CA_CERT] = {
		"ca_cert", TEXTOID, false, NULL, INVALID, check_certificate,
		"Give one or several certificates in PEM format (-----BEGIN CERTIFICATE-----)."
	},
	[FIELD_ACTIVE] = {
		"active", BOOLOID, false, "true", INVALID, check_nothing,
		"Give true or false."
	},
	[FIELD_HANDSHAKE] = {
		"handshake", BOOLOID, false, "false", INVALID, check_nothing,
		"Give true to have the receiver asked before anything is sent there, or false."
	}
};

const char *
field_name(FieldId id)
{
	return fields[id].name;
}

Oid
field_column_type(FieldId id)
{
	return fields[id].type == REGPROCEDUREOID ? TEXTOID : fields[id].type;
}

int
field_find(const char *name, size_t len)
{
	for (int i = 0; i < FIELD_COUNT; i++)
		if (strlen(fields[i].name) == len && memcmp(fields[i].name, name, len) == 0)
			return i;
	return -1;
}

/*
 * The value of a text, by the type's input function.  Its errors know nothing
 * of arguments, so they are replaced by ours; it ends in an error all the
 * same, so nothing has to be cleaned up here.
 */
static Datum
input(const Field *field, char *s)
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
						shown(error->message, strlen(error->message))),
				 errhint("%s", field->hint)));
	}
	PG_END_TRY();
	return result;
}

static FieldValue
default_value(FieldId id)
{
	FieldValue	result = {(Datum) 0, true};

	if (fields[id].default_text)
	{
		result.value = input(&fields[id], pstrdup(fields[id].default_text));
		result.isnull = false;
	}
	else if (id == FIELD_SECRET)
	{
		result.value = CStringGetTextDatum(generate_key("v1"));
		result.isnull = false;
	}
	return result;
}

static void
refuse_null(const Field *field)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", field->name),
			 errhint("%s", field->hint)));
}

FieldValue
field_check(FieldId id, Datum value, bool isnull)
{
	const Field *field = &fields[id];
	FieldValue	result;

	if (isnull)
	{
		if (field->required || field->default_text)
			refuse_null(field);
		return default_value(id);
	}
	result.value = field->check(field, value);
	result.isnull = false;
	return result;
}

/* The text of a JSON string. */
static char *
string_from_json(const Field *field, const JsonbValue *json)
{
	if (json->type != jbvString)
		refuse(field, "it is not a string");
	return pnstrdup(json->val.string.val, json->val.string.len);
}

static Datum
integer_from_json(const Field *field, const JsonbValue *json)
{
	char	   *digits;
	char	   *end;
	long		number;

	if (json->type != jbvNumeric)
		refuse(field, "it is not a number");
	digits = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(json->val.numeric)));
	errno = 0;
	number = strtol(digits, &end, 10);
	if (*end != '\0' || errno != 0 || number < PG_INT32_MIN || number > PG_INT32_MAX)
		refuse(field, "it is not an integer, or out of range");
	return Int32GetDatum((int32) number);
}

/*
 * Arrays go through the array type's input function, by way of its text form.
 */
static Datum
array_from_json(const Field *field, const JsonbValue *json)
{
	ArrayBuildState *state = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	Datum		strings;

	if (json->type != jbvBinary || !JsonContainerIsArray(json->val.binary.data) ||
		JsonContainerIsScalar(json->val.binary.data))
		refuse(field, "it is not an array");
	it = JsonbIteratorInit(json->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			state = accumArrayResult(state, CStringGetTextDatum(string_from_json(field, &v)), false,
									 TEXTOID, CurrentMemoryContext);
	strings = makeArrayResult(state, CurrentMemoryContext);
	return input(field, OidOutputFunctionCall(F_ARRAY_OUT, strings));
}

static Datum
datum_from_json(const Field *field, JsonbValue *json)
{
	switch (field->type)
	{
		case JSONBOID:
			return JsonbPGetDatum(JsonbValueToJsonb(json));
		case BOOLOID:
			if (json->type != jbvBool)
				refuse(field, "it is not a boolean");
			return BoolGetDatum(json->val.boolean);
		case INT4OID:
			return integer_from_json(field, json);
		case TEXTARRAYOID:
		case INTERVALARRAYOID:
			return array_from_json(field, json);
		default:
			return input(field, string_from_json(field, json));
	}
}

FieldValue
field_check_json(FieldId id, JsonbValue *json)
{
	if (json->type == jbvNull)
	{
		if (fields[id].required)
			refuse_null(&fields[id]);
		return default_value(id);
	}
	return field_check(id, datum_from_json(&fields[id], json), false);
}
