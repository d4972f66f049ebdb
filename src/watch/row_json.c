/*-------------------------------------------------------------------------
 *
 * row_json.c
 *		Convert rows to JSON, byte for byte as row_to_json() does.
 *
 * row_to_json() looks up the category and the output function of every column for
 * every row, which costs more than the conversion itself.  Here this is done once,
 * in row_json_create(); per row there is just a switch for each column.  Common
 * types are written directly into the buffer.  Rare and nested ones (arrays,
 * composites) are converted by to_json(), so that there is only one
 * implementation.
 *
 * The rules for each type are those of json_categorize_type() and
 * datum_to_json() in the backend's json.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "base/pinned_settings.h"
#include "base/subtransaction.h"
#include "compat.h"
#include "watch/row_json.h"

/* Sign and digits of the longest bigint, and a NUL. */
#define INTEGER_SIZE	21

/* How to convert a value. */
typedef enum RowJsonKind
{
	KIND_BOOL,
	KIND_INT2,
	KIND_INT4,
	KIND_INT8,
	KIND_FLOAT4,
	KIND_FLOAT8,
	KIND_NUMBER,				/* output function; quoted if the result is
								 * not a number */
	KIND_TEXT,					/* the bytes of a varlena, escaped */
	KIND_DATETIME,				/* ISO 8601 in UTC */
	KIND_JSON,					/* the bytes of a varlena, as they are */
	KIND_JSONB,					/* like the output function, as it is */
	KIND_TO_JSON,				/* a function that returns json */
	KIND_OTHER					/* output function, escaped */
} RowJsonKind;

typedef struct RowJsonColumn
{
	int			index;			/* attnum - 1 */
	RowJsonKind kind;
	Oid			type;			/* base type */
	char	   *prefix;			/* {"name":  or  ,"name":  */
	int			prefix_len;
	FmgrInfo	function;		/* output function, to_json() or the cast */
	int			settings;		/* that function depends on, applied to the
								 * whole row if possible */
	int			own_settings;	/* those applied to this column only */
	bool		runs_user_code; /* may function be written by a user, or call
								 * such a function? */
	FmgrInfo	output;			/* if so: the type's output function */
} RowJsonColumn;

struct RowJson
{
	int			ncolumns;
	int			settings;		/* that the columns depend on, see
								 * pinned_settings.h */
	bool		runs_user_code; /* see row_json_runs_user_code() */
	RowJsonColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

/*
 * Make room for n bytes and a NUL.  Callers write there and advance buf->len.  The
 * NUL is written once, at the end of the row.
 */
static inline char *
row_json_reserve(StringInfo buf, size_t n)
{
	if (unlikely(buf->len + n >= (size_t) buf->maxlen))
		enlargeStringInfo(buf, (int) n);
	return buf->data + buf->len;
}

static inline void
row_json_append_bytes(StringInfo buf, const char *s, size_t len)
{
	memcpy(row_json_reserve(buf, len), s, len);
	buf->len += (int) len;
}

static inline void
row_json_append_byte(StringInfo buf, char c)
{
	*row_json_reserve(buf, 1) = c;
	buf->len++;
}

#define BYTES_OF(c)		(UINT64CONST(0x0101010101010101) * (c))
#define HIGH_BITS		BYTES_OF(0x80)

/*
 * Must any of the eight bytes be escaped in a JSON string?  Each term sets the high
 * bit of bytes that are below 0x20, a quote or a backslash.  A borrow may cause
 * false positives, but never false negatives.
 */
static inline bool
row_json_word_needs_escape(uint64 word)
{
	uint64		quote = word ^ BYTES_OF('"');
	uint64		backslash = word ^ BYTES_OF('\\');

	return ((((word - BYTES_OF(0x20)) & ~word) |
			 ((quote - BYTES_OF(1)) & ~quote) |
			 ((backslash - BYTES_OF(1)) & ~backslash)) & HIGH_BITS) != 0;
}

static inline bool
row_json_word_at_needs_escape(const char *s)
{
	uint64		word;

	memcpy(&word, s, sizeof(word));
	return row_json_word_needs_escape(word);
}

#ifdef __SSE2__
/* The same for sixteen bytes, without false positives. */
static inline bool
row_json_block_needs_escape(const char *s)
{
	__m128i		block = _mm_loadu_si128((const __m128i *) s);
	__m128i		control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
	__m128i		quote = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
	__m128i		backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));

	return _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash))) != 0;
}
#endif

/* Length of the leading part of s that needs no escapes in a JSON string. */
static inline size_t
row_json_plain_length(const char *s, size_t len)
{
	size_t		i = 0;

#ifdef __SSE2__
	while (i + sizeof(__m128i) <= len && !row_json_block_needs_escape(s + i))
		i += sizeof(__m128i);
#endif
	while (i + sizeof(uint64) <= len && !row_json_word_at_needs_escape(s + i))
		i += sizeof(uint64);

	/*
	 * What is left of a longer string is tested together with bytes before
	 * it.
	 */
	if (len >= sizeof(uint64) && i + sizeof(uint64) > len &&
		!row_json_word_at_needs_escape(s + len - sizeof(uint64)))
		return len;
	while (i < len && (unsigned char) s[i] >= 0x20 && s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

static void
row_json_append_escaped_byte(StringInfo buf, char c)
{
	static const char hex[] = "0123456789abcdef";
	char		escape[] = {'\\', 'u', '0', '0', hex[(unsigned char) c >> 4], hex[c & 0x0f]};
	size_t		len = 2;

	switch (c)
	{
		case '\b':
			escape[1] = 'b';
			break;
		case '\f':
			escape[1] = 'f';
			break;
		case '\n':
			escape[1] = 'n';
			break;
		case '\r':
			escape[1] = 'r';
			break;
		case '\t':
			escape[1] = 't';
			break;
		case '"':
		case '\\':
			escape[1] = c;
			break;
		default:
			len = sizeof(escape);
			break;
	}
	row_json_append_bytes(buf, escape, len);
}

/* Like escape_json(), but with a length, and copying whole runs of bytes. */
static void
row_json_append_string(StringInfo buf, const char *s, size_t len)
{
	row_json_append_byte(buf, '"');
	for (;;)
	{
		size_t		plain = row_json_plain_length(s, len);

		row_json_append_bytes(buf, s, plain);
		if (plain == len)
			break;
		row_json_append_escaped_byte(buf, s[plain]);
		s += plain + 1;
		len -= plain + 1;
	}
	row_json_append_byte(buf, '"');
}

/* Append a number; NaN, Infinity and -Infinity must be quoted in JSON. */
static void
row_json_append_number(StringInfo buf, const char *s)
{
	const char *digits = (*s == '-') ? s + 1 : s;

	if (*digits >= '0' && *digits <= '9')
		row_json_append_bytes(buf, s, strlen(s));
	else
		row_json_append_string(buf, s, strlen(s));
}

static void
row_json_append_varlena(StringInfo buf, Datum value, bool escape)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(value);

	if (escape)
		row_json_append_string(buf, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
	else
		row_json_append_bytes(buf, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
}

/* A scalar, or the key of an object. */
static void
row_json_append_jsonb_scalar(StringInfo buf, const JsonbValue *value)
{
	const char *s;

	switch (value->type)
	{
		case jbvString:
			row_json_append_string(buf, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			s = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			row_json_append_bytes(buf, s, strlen(s));
			break;
		case jbvBool:
			row_json_append_bytes(buf, value->val.boolean ? "true" : "false", value->val.boolean ? 4 : 5);
			break;
		case jbvNull:
			row_json_append_bytes(buf, "null", 4);
			break;
		default:
			elog(ERROR, "unexpected type of a jsonb value: %d", (int) value->type);
	}
}

/* What jsonb_out() returns, which takes twice the time. */
static void
row_json_append_jsonb(StringInfo buf, Jsonb *jsonb)
{
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		is_scalar = false;	/* stored as an array of one */
	bool		follows = false;	/* an element, or a member? */

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (follows && token != WJB_END_ARRAY && token != WJB_END_OBJECT)
			row_json_append_bytes(buf, ", ", 2);
		follows = false;
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
				is_scalar = value.val.array.rawScalar;
				if (!is_scalar)
					row_json_append_byte(buf, '[');
				break;
			case WJB_BEGIN_OBJECT:
				row_json_append_byte(buf, '{');
				break;
			case WJB_KEY:
				row_json_append_jsonb_scalar(buf, &value);
				row_json_append_bytes(buf, ": ", 2);
				break;
			case WJB_ELEM:
			case WJB_VALUE:
				row_json_append_jsonb_scalar(buf, &value);
				follows = true;
				break;
			case WJB_END_ARRAY:
				if (!is_scalar)
					row_json_append_byte(buf, ']');
				follows = true;
				break;
			case WJB_END_OBJECT:
				row_json_append_byte(buf, '}');
				follows = true;
				break;
			default:
				elog(ERROR, "unexpected token of a jsonb value: %d", (int) token);
		}
	}
}

static void
row_json_append_datetime(StringInfo buf, Datum value, Oid type)
{
	static const int utc = 0;
	char	   *s = row_json_reserve(buf, MAXDATELEN + 3);

	*s++ = '"';
	JsonEncodeDateTime(s, value, type, &utc);
	s += strlen(s);
	*s++ = '"';
	buf->len = (int) (s - buf->data);
}

static void
row_json_append_text(StringInfo buf, RowJsonColumn *column, Datum value)
{
	int			nest_level = pinned_begin(column->own_settings);
	char	   *s = OutputFunctionCall(&column->function, value);

	pinned_end(nest_level);
	row_json_append_string(buf, s, strlen(s));
}

/* Does this error code mean that a function cannot convert a value, rather than some general failure? */
static bool
row_json_is_about_value(int code)
{
	switch (ERRCODE_TO_CATEGORY(code))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_FEATURE_NOT_SUPPORTED:
		case ERRCODE_EXTERNAL_ROUTINE_EXCEPTION:
		case ERRCODE_PLPGSQL_ERROR:
			return true;
		default:
			/* elog() in a C function. */
			return code == ERRCODE_INTERNAL_ERROR;
	}
}

/*
 * Append the result of a user's cast to json or, if it fails, the value's text: not
 * every value of a type needs to have an equivalent in JSON, and the application's
 * statement should not fail because of that.  Returns false for the text.
 */
static bool
row_json_append_by_user(StringInfo buf, RowJsonColumn *column, Datum value)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile Datum json = (Datum) 0;
	volatile bool success = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		json = FunctionCall1(&column->function, value);
		ReleaseCurrentSubTransaction();
		success = true;
	}
	PG_CATCH();
	{
		ErrorData  *error = subtransaction_abort(context, owner);

		if (!row_json_is_about_value(error->sqlerrcode))
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (success)
		row_json_append_varlena(buf, json, false);
	else
	{
		char	   *s = OutputFunctionCall(&column->output, value);

		row_json_append_string(buf, s, strlen(s));
	}
	return success;
}

/* Append a value.  Returns false if its cast to json failed and text was used. */
static bool
row_json_append_value(StringInfo buf, RowJsonColumn *column, Datum value)
{
	char		number[DOUBLE_SHORTEST_DECIMAL_LEN];

	switch (column->kind)
	{
		case KIND_BOOL:
			if (DatumGetBool(value))
				row_json_append_bytes(buf, "true", 4);
			else
				row_json_append_bytes(buf, "false", 5);
			break;
		case KIND_INT2:
			buf->len += webhook_int32_to_text(DatumGetInt16(value), row_json_reserve(buf, INTEGER_SIZE));
			break;
		case KIND_INT4:
			buf->len += webhook_int32_to_text(DatumGetInt32(value), row_json_reserve(buf, INTEGER_SIZE));
			break;
		case KIND_INT8:
			buf->len += webhook_int64_to_text(DatumGetInt64(value), row_json_reserve(buf, INTEGER_SIZE));
			break;
		case KIND_FLOAT4:
			float_to_shortest_decimal_buf(DatumGetFloat4(value), number);
			row_json_append_number(buf, number);
			break;
		case KIND_FLOAT8:
			double_to_shortest_decimal_buf(DatumGetFloat8(value), number);
			row_json_append_number(buf, number);
			break;
		case KIND_NUMBER:
			row_json_append_number(buf, OutputFunctionCall(&column->function, value));
			break;
		case KIND_TEXT:
			row_json_append_varlena(buf, value, true);
			break;
		case KIND_DATETIME:
			row_json_append_datetime(buf, value, column->type);
			break;
		case KIND_JSON:
			row_json_append_varlena(buf, value, false);
			break;
		case KIND_JSONB:
			row_json_append_jsonb(buf, DatumGetJsonbP(value));
			break;
		case KIND_TO_JSON:
			if (column->runs_user_code)
				return row_json_append_by_user(buf, column, value);
			row_json_append_varlena(buf, FunctionCall1(&column->function, value), false);
			break;
		case KIND_OTHER:
			row_json_append_text(buf, column, value);
			break;
	}
	return true;
}

/* Convert the column by its type's output function. */
static void
row_json_use_output_function(RowJsonColumn *column, RowJsonKind kind)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(column->type, &output, &is_varlena);
	fmgr_info(output, &column->function);
	column->kind = kind;
}

/* Convert the column by to_json(), which gets the type of its argument from the call expression. */
static void
row_json_use_to_json(RowJsonColumn *column)
{
	Const	   *argument = makeNullConst(column->type, -1, InvalidOid);

	fmgr_info(F_TO_JSON, &column->function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSON, JSONOID, list_make1(argument),
											 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &column->function);
	column->kind = KIND_TO_JSON;
}

/* Like row_to_json(), look for a cast to json only for types that are not built in. */
static void
row_json_resolve_other_type(RowJsonColumn *column)
{
	Oid			cast;

	if (OidIsValid(get_element_type(column->type)) || column->type == RECORDARRAYOID ||
		type_is_rowtype(column->type))
		row_json_use_to_json(column);
	else if (column->type >= FirstNormalObjectId &&
			 find_coercion_pathway(JSONOID, column->type, COERCION_EXPLICIT, &cast) == COERCION_PATH_FUNC &&
			 OidIsValid(cast))
	{
		fmgr_info(cast, &column->function);
		column->kind = KIND_TO_JSON;
	}
	else
		row_json_use_output_function(column, KIND_OTHER);
}

static void
row_json_resolve_type(RowJsonColumn *column, Oid type)
{
	column->settings = 0;
	column->type = getBaseType(type);
	switch (column->type)
	{
		case BOOLOID:
			column->kind = KIND_BOOL;
			break;
		case INT2OID:
			column->kind = KIND_INT2;
			break;
		case INT4OID:
			column->kind = KIND_INT4;
			break;
		case INT8OID:
			column->kind = KIND_INT8;
			break;
		case FLOAT4OID:
			column->kind = KIND_FLOAT4;
			break;
		case FLOAT8OID:
			column->kind = KIND_FLOAT8;
			break;
		case NUMERICOID:
			row_json_use_output_function(column, KIND_NUMBER);
			break;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			column->kind = KIND_TEXT;
			break;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			column->kind = KIND_DATETIME;
			break;
		case JSONOID:
			column->kind = KIND_JSON;
			break;
		case JSONBOID:
			column->kind = KIND_JSONB;
			break;
		default:
			row_json_resolve_other_type(column);
			column->settings = pinned_for_type(column->type);
			break;
	}
}

/* Prepare the text before the column's value. */
static void
row_json_set_prefix(RowJsonColumn *column, const char *name, bool first)
{
	StringInfoData buf;

	initStringInfo(&buf);
	row_json_append_byte(&buf, first ? '{' : ',');
	row_json_append_string(&buf, name, strlen(name));
	row_json_append_byte(&buf, ':');
	column->prefix = buf.data;
	column->prefix_len = buf.len;
}

/*
 * A cast to json may be a function written by any user, and to_json() uses it for
 * elements of composite types and arrays, too.
 */
static bool
row_json_resolve_user_code(RowJsonColumn *column)
{
	Oid			element = get_element_type(column->type);
	Oid			output;
	bool		is_varlena;

	column->runs_user_code = column->kind == KIND_TO_JSON && (!OidIsValid(element) || element >= FirstNormalObjectId);
	if (column->runs_user_code)
	{
		getTypeOutputInfo(column->type, &output, &is_varlena);
		fmgr_info(output, &column->output);
	}
	return column->runs_user_code;
}

RowJson *
row_json_create(TupleDesc desc, const AttrNumber *attnums, int n)
{
	RowJson    *row = palloc0(offsetof(RowJson, columns) + n * sizeof(RowJsonColumn));

	row->ncolumns = n;
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, attnums[i] - 1);

		Assert(!att->attisdropped);
		row->columns[i].index = attnums[i] - 1;
		row_json_resolve_type(&row->columns[i], att->atttypid);
		row->settings |= row->columns[i].settings;
		row->runs_user_code |= row_json_resolve_user_code(&row->columns[i]);
		row_json_set_prefix(&row->columns[i], NameStr(att->attname), i == 0);
	}

	/*
	 * Functions of users run with the search_path that watch() was called
	 * with.
	 */
	if (row->runs_user_code)
	{
		row->settings &= ~PINNED_NAMES;
		for (int i = 0; i < n; i++)
			row->columns[i].own_settings = row->columns[i].settings & PINNED_NAMES;
	}
	return row;
}

AttrNumber
row_json_append(RowJson *row, StringInfo buf, const Datum *values, const bool *nulls, const Bitmapset *columns)
{
	int			nest_level = pinned_begin(row->settings);
	AttrNumber	as_text = InvalidAttrNumber;
	int			start = buf->len;

	/* Functions of users must run as the owner of the table. */
	Assert(!row->runs_user_code || InSecurityRestrictedOperation());
	for (int i = 0; i < row->ncolumns; i++)
	{
		RowJsonColumn *column = &row->columns[i];

		if (columns != NULL && !bms_is_member(column->index + 1, columns))
			continue;
		row_json_append_bytes(buf, column->prefix, column->prefix_len);
		if (nulls[column->index])
			row_json_append_bytes(buf, "null", 4);
		else if (!row_json_append_value(buf, column, values[column->index]))
			as_text = column->index + 1;
	}
	if (buf->len == start)
		row_json_append_byte(buf, '{');
	buf->data[start] = '{';		/* the first column may have been left out */
	row_json_append_byte(buf, '}');
	*row_json_reserve(buf, 0) = '\0';
	pinned_end(nest_level);
	return as_text;
}

bool
row_json_runs_user_code(const RowJson *row)
{
	return row->runs_user_code;
}
