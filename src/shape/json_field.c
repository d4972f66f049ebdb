/*-------------------------------------------------------------------------
 *
 * json_field.c
 *		A place in a JSON document, such as category.name or options[0].
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "base/settings.h"
#include "pure/path.h"
#include "shape/json_field.h"

struct JsonField
{
	char	   *text;
	int			text_len;
	Path		path;			/* points into the text */
};


JsonField *
json_field_parse(const char *text, const char **problem)
{
	JsonField  *field = palloc0(sizeof(JsonField));

	field->text = pstrdup(text);
	field->text_len = strlen(text);
	*problem = path_parse(field->text, &field->path);
	return *problem == NULL ? field : NULL;
}

const char *
json_field_first_key(const JsonField *field)
{
	const PathStep *first = &field->path.steps[0];

	return first->key ? pnstrdup(first->key, first->key_len) : NULL;
}

bool
json_field_get(const JsonField *field, Jsonb *document, JsonbValue *value)
{
	JsonbContainer *container = &document->root;

	/* A key may contain dots and brackets itself. */
	if (field->path.nsteps > 1 && JsonContainerIsObject(container) &&
		getKeyJsonValueFromContainer(container, field->text, field->text_len, value) != NULL)
		return true;

	for (int i = 0; i < field->path.nsteps; i++)
	{
		const PathStep *step = &field->path.steps[i];

		if (i > 0)
		{
			if (value->type != jbvBinary)
				return false;
			container = value->val.binary.data;
		}
		if (step->key != NULL)
		{
			if (!JsonContainerIsObject(container) ||
				getKeyJsonValueFromContainer(container, step->key, step->key_len, value) == NULL)
				return false;
		}
		else
		{
			JsonbValue *element = NULL;

			if (JsonContainerIsArray(container) && !JsonContainerIsScalar(container))
				element = getIthJsonbValueFromContainer(container, step->index);
			if (element == NULL)
				return false;
			*value = *element;
		}
	}
	return true;
}

static char *
json_field_numeric_text(const JsonbValue *value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
}

void
json_field_append_json(StringInfo buf, JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			appendStringInfoChar(buf, '"');
			json_field_append_escaped(buf, value->val.string.val, value->val.string.len);
			appendStringInfoChar(buf, '"');
			break;
		case jbvNumeric:
			appendStringInfoString(buf, json_field_numeric_text(value));
			break;
		case jbvBool:
			appendStringInfoString(buf, value->val.boolean ? "true" : "false");
			break;
		case jbvBinary:
			(void) JsonbToCString(buf, value->val.binary.data, value->val.binary.len);
			break;
		default:
			appendStringInfoString(buf, "null");
			break;
	}
}

void
json_field_append_inside(StringInfo buf, JsonbValue *value)
{
	if (value->type == jbvString)
		json_field_append_escaped(buf, value->val.string.val, value->val.string.len);
	else if (value->type != jbvNull)
	{
		StringInfoData text;

		initStringInfo(&text);
		json_field_append_json(&text, value);
		json_field_append_escaped(buf, text.data, text.len);
	}
}

void
json_field_append_escaped(StringInfo buf, const char *text, int len)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	escape_json(&quoted, pnstrdup(text, len));
	appendBinaryStringInfo(buf, quoted.data + 1, quoted.len - 2);
}

/* The code of the escape \uXXXX that the text begins with; -1: it does not. */
static int
json_field_unicode_escape(const char *text)
{
	int			code = 0;

	if (text[0] != '\\' || text[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		char		c = text[i];

		if (!isxdigit((unsigned char) c))
			return -1;
		code = 16 * code + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return code;
}

#define IS_HIGH_SURROGATE(code)	((code) >= 0xd800 && (code) < 0xdc00)
#define IS_LOW_SURROGATE(code)	((code) >= 0xdc00 && (code) < 0xe000)

void
json_field_replace_impossible(char *text)
{
	for (char *p = strchr(text, '\\'); p != NULL; p = strchr(p, '\\'))
	{
		int			code = json_field_unicode_escape(p);

		if (code < 0)
		{
			p += p[1] != '\0' ? 2 : 1;
			continue;
		}
		if (IS_HIGH_SURROGATE(code) && IS_LOW_SURROGATE(json_field_unicode_escape(p + 6)))
			p += 6;
		else if (code == 0 || IS_HIGH_SURROGATE(code) || IS_LOW_SURROGATE(code))
			memcpy(p + 2, "fffd", 4);
		p += 6;
	}
}

Jsonb *
json_field_document(char *text)
{
	json_field_replace_impossible(text);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/*
 * A field may be used any number of times, so a small template and a large
 * field could fill the worker's memory.
 */
void
json_field_check_size(const StringInfoData *buf)
{
	if (buf->len <= (int64) webhook_max_payload_size * 1024)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the template or mapping makes too large a payload"),
			 errdetail("\"%s\" is %d kB.", "webhook.max_payload_size", webhook_max_payload_size)));
}
