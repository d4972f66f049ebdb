/*-------------------------------------------------------------------------
 *
 * jsonfield.c
 *		A place in a JSON document, such as category.name or options[0].
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "jsonfield.h"

#define MAX_STEPS	32
#define MAX_DIGITS	9			/* of an index */

typedef struct JsonStep
{
	char	   *key;			/* of an object; NULL: an index */
	int			key_len;
	uint32		index;
} JsonStep;

struct JsonField
{
	char	   *text;
	int			text_len;
	int			nsteps;
	JsonStep	steps[MAX_STEPS];
};


/* "[12]"; returns what is behind it, or NULL. */
static const char *
parse_index(const char *s, JsonStep *step)
{
	size_t		digits = strspn(s + 1, "0123456789");

	if (digits == 0 || digits > MAX_DIGITS || s[1 + digits] != ']')
		return NULL;
	step->key = NULL;
	step->index = (uint32) strtoul(s + 1, NULL, 10);
	return s + digits + 2;
}

JsonField *
jsonfield_parse(const char *text, const char **problem)
{
	JsonField  *field = palloc0(sizeof(JsonField));
	const char *s = text;

	field->text = pstrdup(text);
	field->text_len = strlen(text);
	while (*s != '\0')
	{
		JsonStep   *step = &field->steps[field->nsteps];

		if (field->nsteps++ == MAX_STEPS)
		{
			*problem = "the path has too many steps";
			return NULL;
		}
		if (*s == '[')
			s = parse_index(s, step);
		else
		{
			if (*s == '.' && field->nsteps > 1)
				s++;
			step->key_len = strcspn(s, ".[");
			step->key = pnstrdup(s, step->key_len);
			s = step->key_len > 0 ? s + step->key_len : NULL;
		}
		if (s == NULL)
		{
			*problem = "it is not a path of names and [numbers]";
			return NULL;
		}
	}
	if (field->nsteps == 0)
	{
		*problem = "the path is empty";
		return NULL;
	}
	return field;
}

const char *
jsonfield_first_key(const JsonField *field)
{
	return field->steps[0].key;
}

bool
jsonfield_get(const JsonField *field, Jsonb *document, JsonbValue *value)
{
	JsonbContainer *container = &document->root;

	/* A key may contain dots and brackets itself. */
	if (field->nsteps > 1 && JsonContainerIsObject(container) &&
		getKeyJsonValueFromContainer(container, field->text, field->text_len, value) != NULL)
		return true;

	for (int i = 0; i < field->nsteps; i++)
	{
		const JsonStep *step = &field->steps[i];

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
numeric_text(const JsonbValue *value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
}

void
jsonfield_append_json(StringInfo buf, JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			appendStringInfoChar(buf, '"');
			jsonfield_append_escaped(buf, value->val.string.val, value->val.string.len);
			appendStringInfoChar(buf, '"');
			break;
		case jbvNumeric:
			appendStringInfoString(buf, numeric_text(value));
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
jsonfield_append_inside(StringInfo buf, JsonbValue *value)
{
	if (value->type == jbvString)
		jsonfield_append_escaped(buf, value->val.string.val, value->val.string.len);
	else if (value->type != jbvNull)
	{
		StringInfoData text;

		initStringInfo(&text);
		jsonfield_append_json(&text, value);
		jsonfield_append_escaped(buf, text.data, text.len);
	}
}

void
jsonfield_append_escaped(StringInfo buf, const char *text, int len)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	escape_json(&quoted, pnstrdup(text, len));
	appendBinaryStringInfo(buf, quoted.data + 1, quoted.len - 2);
}
