/*-------------------------------------------------------------------------
 *
 * check.c
 *		Check values of the properties of a webhook.
 *
 * Messages do not contain the values, because they may be secret or very long.
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
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "api/check.h"
#include "base/argument.h"
#include "base/catalog.h"
#include "base/function.h"
#include "base/random.h"
#include "base/secret_file.h"
#include "capture/match.h"
#include "compat.h"
#include "http/http.h"
#include "pure/result.h"
#include "pure/retry.h"
#include "pure/sign.h"
#include "pure/url.h"
#include "send/format.h"

#define MAX_NAME_LENGTH		200 /* characters */
#define MAX_LIST_LENGTH		(256 * 1024)	/* bytes of "event" and
											 * "event_uids" */
#define MAX_HEADERS			100
#define MAX_FILTER_SIZE		(64 * 1024)
#define MAX_PEM_LENGTH		(256 * 1024)
#define MIN_TIMEOUT_MS		100
#define MAX_TIMEOUT_MS		(10 * 60 * 1000)
#define MAX_IN_FLIGHT		1000
#define MAX_RATE_LIMIT		1000000
#define MAX_BATCH_SIZE		10000
#define MAX_BATCH_WAIT_MS	(60 * 60 * 1000)


void
check_refuse(const Field *field, const char *problem)
{
	ereport(ERROR,
			(errcode(field->sqlstate),
			 errmsg("invalid value for argument \"%s\"", field->name),
			 argument_detail(problem),
			 errhint("%s", field->hint)));
}

static bool
check_is_control_character(char c)
{
	return (unsigned char) c < 0x20 || c == 0x7f;
}

bool
check_has_control_character(const char *s)
{
	for (; *s; s++)
		if (check_is_control_character(*s))
			return true;
	return false;
}

/* Any name. */
Datum
check_label(const Field *field, Datum value)
{
	char	   *s = text_to_cstring(DatumGetTextPP(value));

	if (s[strspn(s, " ")] == '\0')
		check_refuse(field, "it is empty");
	if (pg_mbstrlen(s) > MAX_NAME_LENGTH)
		check_refuse(field, "it is too long");
	if (check_has_control_character(s))
		check_refuse(field, "it contains a control character");
	return value;
}

/* An entry of a comma-separated list. */
typedef struct ListItem
{
	const char *start;
	size_t		len;
	bool		taken;			/* by check_normalize_list() */
} ListItem;

static int
check_compare_items(const void *a, const void *b)
{
	const ListItem *left = a;
	const ListItem *right = b;

	if (left->len != right->len)
		return left->len < right->len ? -1 : 1;
	return memcmp(left->start, right->start, left->len);
}

/* Split s at its commas, strip blanks and check each entry; returns their number. */
static int
check_split_list(const Field *field, const char *s, ListItem **items,
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
			check_refuse(field, count == 1 ? "it is empty" : "an entry of the list is empty");
		check_item(field, s, len);
		(*items)[n].start = s;
		(*items)[n].len = len;
		(*items)[n++].taken = false;
		if (*next == '\0')
			return n;
		s = next + 1;
	}
}

/* Normalize a comma-separated list: remove blanks and duplicates, keep the order. */
static Datum
check_normalize_list(const Field *field, Datum value,
					 void (*check_item) (const Field *field, const char *item, size_t len))
{
	char	   *s = text_to_cstring(DatumGetTextPP(value));
	ListItem   *items;
	ListItem   *sorted;
	StringInfoData buf;
	int			n;
	int			distinct = 0;

	if (strlen(s) > MAX_LIST_LENGTH)
		check_refuse(field, "it is too long");
	n = check_split_list(field, s, &items, check_item);

	sorted = palloc(n * sizeof(ListItem));
	memcpy(sorted, items, n * sizeof(ListItem));
	qsort(sorted, n, sizeof(ListItem), check_compare_items);
	for (int i = 0; i < n; i++)
		if (i == 0 || check_compare_items(&sorted[i], &sorted[distinct - 1]) != 0)
			sorted[distinct++] = sorted[i];

	initStringInfo(&buf);
	for (int i = 0; i < n; i++)
	{
		ListItem   *found = bsearch(&items[i], sorted, distinct, sizeof(ListItem), check_compare_items);

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
		check_refuse(field, psprintf("\"%s...\" is too long for a trigger name", argument_excerpt(item, len)));
	for (size_t i = 0; i < name_len; i++)
	{
		unsigned char c = item[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  c == '.' || c == '_'))
			check_refuse(field, psprintf("\"%s\" is not a trigger name", argument_excerpt(item, len)));
	}
}

Datum
check_events(const Field *field, Datum value)
{
	return check_normalize_list(field, value, check_event_name);
}

static void
check_uid(const Field *field, const char *item, size_t len)
{
	if (pg_mbstrlen_with_len(item, len) > MAX_NAME_LENGTH)
		check_refuse(field, "an event UID is longer than 200 characters");
	if (len >= CATALOG_NAME_SIZE)
		check_refuse(field, "an event UID is longer than 255 bytes");
	if (check_has_control_character(pnstrdup(item, len)))
		check_refuse(field, "it contains a control character");
}

Datum
check_uids(const Field *field, Datum value)
{
	return check_normalize_list(field, value, check_uid);
}

Datum
check_url(const Field *field, Datum value)
{
	const char *problem = url_check(text_to_cstring(DatumGetTextPP(value)));

	if (problem)
		check_refuse(field, problem);
	return value;
}

static bool
check_is_one_of(const char *s, const char *const *allowed)
{
	for (; *allowed; allowed++)
		if (strcmp(s, *allowed) == 0)
			return true;
	return false;
}

Datum
check_method(const Field *field, Datum value)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH", NULL};
	char	   *s = text_to_cstring(DatumGetTextPP(value));

	for (char *p = s; *p; p++)
		*p = pg_ascii_toupper((unsigned char) *p);
	if (!check_is_one_of(s, methods))
		check_refuse(field, "unknown method");
	return CStringGetTextDatum(s);
}

Datum
check_format(const Field *field, Datum value)
{
	if (!format_exists(text_to_cstring(DatumGetTextPP(value))))
		check_refuse(field, "unknown format");
	return value;
}

Datum
check_ordering(const Field *field, Datum value)
{
	static const char *const orderings[] = {"entity", "strict", "none", NULL};

	if (!check_is_one_of(text_to_cstring(DatumGetTextPP(value)), orderings))
		check_refuse(field, "unknown ordering");
	return value;
}

bool
check_file_reference(const Field *field, const char *value, const char *what)
{
	const char *problem;

	if (!secret_file_is_reference(value))
		return false;
	problem = secret_file_problem(value, GetUserId());
	if (problem != NULL)
		check_refuse(field, psprintf("%s%s", what, problem));
	return true;
}

/*
 * Check one header.  names are the n headers before it; of two names that differ
 * only in case, both would be sent.
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
			problem = "it is specified twice";
	if (problem)
		check_refuse(field, psprintf("header \"%s\": %s", argument_excerpt(name, strlen(name)), problem));
	(void) check_file_reference(field, pnstrdup(value->val.string.val, value->val.string.len),
								psprintf("header \"%s\": ", argument_excerpt(name, strlen(name))));
}

Datum
check_headers(const Field *field, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	char	   *names[MAX_HEADERS];
	int			n = 0;
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		check_refuse(field, "it is not a JSON object");
	if (JB_ROOT_COUNT(jsonb) > MAX_HEADERS)
		check_refuse(field, "there are too many headers");

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

Datum
check_columns(const Field *field, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	int			n;

	if (ARR_NDIM(array) != 1 || array_contains_nulls(array))
		check_refuse(field, "it is not a plain list of names");
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	if (n > MaxHeapAttributeNumber)
		check_refuse(field, "there are too many names");
	for (int i = 0; i < n; i++)
	{
		int			len = VARSIZE_ANY_EXHDR(DatumGetTextPP(elements[i]));

		if (len == 0)
			check_refuse(field, "a name is empty");
		if (len >= NAMEDATALEN)
			check_refuse(field, "a name is too long for a column");
	}
	return value;
}

Datum
check_filter(const Field *field, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);

	if (!JB_ROOT_IS_OBJECT(jsonb))
		check_refuse(field, "it is not a JSON object");
	if (VARSIZE(jsonb) > MAX_FILTER_SIZE)
		check_refuse(field, "it is too large");
	return value;
}

Datum
check_previous(const Field *field, Datum value)
{
	char	   *s = TextDatumGetCString(value);

	if (strcmp(s, "changed") != 0 && strcmp(s, "row") != 0)
		check_refuse(field, "it is neither \"changed\" nor \"row\"");
	return value;
}

/* Does a jsonpath refer to a variable?  In its text form those are quoted, $"name", and strings have no other dollar before a quote. */
static bool
check_has_variable(const char *path)
{
	bool		quoted = false;

	for (; *path != '\0'; path++)
	{
		if (quoted && *path == '\\')
			path++;
		else if (*path == '"')
			quoted = !quoted;
		else if (!quoted && path[0] == '$' && path[1] == '"')
			return true;
	}
	return false;
}

Datum
check_condition(const Field *field, Datum value)
{
	if (VARSIZE(DatumGetJsonPathP(value)) > MAX_FILTER_SIZE)
		check_refuse(field, "it is too large");
	if (check_has_variable(DatumGetCString(DirectFunctionCall1(jsonpath_out, value))))
		check_refuse(field, "it uses a variable, but there are none");
	if (!match_is_predicate(DatumGetJsonPathP(value)))
		check_refuse(field, "it is not a predicate, which is true or false");
	return value;
}

static bool
check_transform_fits(Oid function, Oid unused)
{
	return function_is_transform(function);
}

/* The function is stored as text with its schema, since an Oid would not survive dump and restore. */
Datum
check_transform(const Field *field, Datum value)
{
	Oid			function = function_find(field->name, TextDatumGetCString(value), check_transform_fits, InvalidOid, field->hint);

	if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function)))
		check_refuse(field, "the function does not exist");
	if (!function_is_transform(function))
		check_refuse(field, psprintf("%s has wrong argument or result types", format_procedure(function)));
	if (webhook_proc_aclcheck(function, GetUserId(), ACL_EXECUTE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", get_func_name(function)),
				 errhint("%s", field->hint)));
	return CStringGetTextDatum(format_procedure_qualified(function));
}

char *
check_generate_key(const char *version)
{
	unsigned char bytes[Max(SIGN_SECRET_BYTES, SIGN_SEED_BYTES)];
	char		key[SIGN_MAX_TEXT];

	random_bytes(bytes, sizeof(bytes));
	if (strcmp(version, "v1") == 0)
		sign_format_secret(bytes, SIGN_SECRET_BYTES, key);
	else if (strcmp(version, "v1a") != 0)
		return NULL;
	else if (!sign_format_private_key(bytes, key))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a signing key")));
	explicit_bzero(bytes, sizeof(bytes));
	return pstrdup(key);
}

int64
check_interval_us(const char *argument, Interval *interval, int64 min_ms, int64 max_ms, const char *hint)
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
				 errmsg("invalid value for argument \"%s\"", argument),
				 argument_detail(problem),
				 errhint("%s", hint)));
	return us;
}

Datum
check_retry_schedule(const Field *field, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	int			n;

	if (ARR_NDIM(array) != 1 || array_contains_nulls(array))
		check_refuse(field, "it is not a plain list of intervals");
	deconstruct_array(array, INTERVALOID, sizeof(Interval), false, TYPALIGN_DOUBLE,
					  &elements, NULL, &n);
	if (n > RETRY_MAX_STEPS)
		check_refuse(field, "there are too many steps");
	for (int i = 0; i < n; i++)
		(void) check_interval_us(field->name, DatumGetIntervalP(elements[i]),
								 0, RETRY_MAX_STEP_SECONDS * INT64CONST(1000), field->hint);
	return value;
}

Datum
check_no_retry(const Field *field, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *statuses;
	int			n;

	if (ARR_NDIM(array) != 1 || array_contains_nulls(array))
		check_refuse(field, "it is not a plain list of integers");
	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &statuses, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		int			status = DatumGetInt32(statuses[i]);

		if (status >= 200 && status <= 299)
			check_refuse(field, psprintf("%d means success", status));
		if (status < 300 || status > 599)
			check_refuse(field, psprintf("%d is not an error status", status));
	}
	if (n > RESULT_MAX_FINAL)
		check_refuse(field, "there are too many");
	return value;
}

Datum
check_timeout(const Field *field, Datum value)
{
	(void) check_interval_us(field->name, DatumGetIntervalP(value),
							 MIN_TIMEOUT_MS, MAX_TIMEOUT_MS, field->hint);
	return value;
}

Datum
check_rate_limit(const Field *field, Datum value)
{
	if (DatumGetInt32(value) < 1 || DatumGetInt32(value) > MAX_RATE_LIMIT)
		check_refuse(field, "it is out of range");
	return value;
}

Datum
check_max_in_flight(const Field *field, Datum value)
{
	if (DatumGetInt32(value) < 1 || DatumGetInt32(value) > MAX_IN_FLIGHT)
		check_refuse(field, "it is out of range");
	return value;
}

Datum
check_batch_size(const Field *field, Datum value)
{
	if (DatumGetInt32(value) < 1 || DatumGetInt32(value) > MAX_BATCH_SIZE)
		check_refuse(field, "it is out of range");
	return value;
}

Datum
check_batch_wait(const Field *field, Datum value)
{
	(void) check_interval_us(field->name, DatumGetIntervalP(value), 0, MAX_BATCH_WAIT_MS, field->hint);
	return value;
}

/* Without OpenSSL, libcurl can read certificates only from files. */
static void
check_has_certificates(const Field *field)
{
	HttpLibrary library;

	http_library(&library);
	if (!library.has_certificates)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("argument \"%s\" is not supported with this libcurl", field->name),
				 errdetail("libcurl %s uses %s.", library.version,
						   library.tls[0] != '\0' ? library.tls : "no TLS library"),
				 errhint("Build webhook with a libcurl that uses OpenSSL, such as the one in libcurl4-openssl-dev.")));
}

/* A text with a PEM block of this kind.  Its contents are not checked before it is used. */
static char *
check_pem(const Field *field, Datum value, const char *kind)
{
	char	   *s = text_to_cstring(DatumGetTextPP(value));

	check_has_certificates(field);
	if (check_file_reference(field, s, ""))
		return s;
	if (strlen(s) > MAX_PEM_LENGTH)
		check_refuse(field, "it is too long");
	if (strstr(s, "-----BEGIN ") == NULL || strstr(s, "-----END ") == NULL)
		check_refuse(field, "it is not in PEM format");
	if (strstr(s, kind) == NULL)
		check_refuse(field, "it contains another kind of PEM data");
	return s;
}

Datum
check_certificate(const Field *field, Datum value)
{
	(void) check_pem(field, value, "CERTIFICATE-----");
	return value;
}

Datum
check_private_key(const Field *field, Datum value)
{
	char	   *s = check_pem(field, value, "PRIVATE KEY-----");

	if (strstr(s, "ENCRYPTED"))
		check_refuse(field, "the key is protected by a passphrase");
	return value;
}

Datum
check_nothing(const Field *field, Datum value)
{
	return value;
}
