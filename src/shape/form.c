/*-------------------------------------------------------------------------
 *
 * form.c
 *		Forms: the fields of a payload, their order and their types.
 *
 * A form is checked and compiled when it is set, and compiled again where it is used.
 * Applying it accesses neither tables nor catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "nodes/pg_list.h"
#include "utils/datetime.h"
#include "utils/json.h"

#include "shape/document.h"
#include "shape/form.h"
#include "shape/json_field.h"

#define FORM_HINT \
	"Specify an array such as [{\"name\": \"firstname\", \"type\": \"text\", \"required\": true, \"default\": null, \"on_missing\": \"send\"}]; " \
	"types are text, integer, number, boolean, date, timestamp and json, or SQL's names for these; on_missing is send or hold."

#define MAX_FAULTS		500		/* bytes after which no more faults are listed */

static const struct
{
	const char *name;
	const char *sql;
}			types[] = {
	[SHAPE_TEXT] = {"text", "text"},
	[SHAPE_INTEGER] = {"integer", "int8"},
	[SHAPE_NUMBER] = {"number", "numeric"},
	[SHAPE_BOOLEAN] = {"boolean", "bool"},
	[SHAPE_DATE] = {"date", "date"},
	[SHAPE_TIMESTAMP] = {"timestamp", "timestamptz"},
	[SHAPE_JSON] = {"json", "jsonb"}
};

/* SQL's names for them. */
static const struct
{
	const char *name;
	ShapeType	type;
}			synonyms[] = {
	{"varchar", SHAPE_TEXT}, {"character varying", SHAPE_TEXT},
	{"smallint", SHAPE_INTEGER}, {"int", SHAPE_INTEGER}, {"bigint", SHAPE_INTEGER},
	{"int2", SHAPE_INTEGER}, {"int4", SHAPE_INTEGER}, {"int8", SHAPE_INTEGER},
	{"numeric", SHAPE_NUMBER}, {"decimal", SHAPE_NUMBER}, {"real", SHAPE_NUMBER},
	{"double precision", SHAPE_NUMBER}, {"float4", SHAPE_NUMBER}, {"float8", SHAPE_NUMBER},
	{"bool", SHAPE_BOOLEAN}, {"timestamptz", SHAPE_TIMESTAMP}, {"timestamp with time zone", SHAPE_TIMESTAMP},
	{"jsonb", SHAPE_JSON}
};


const char *
form_type_name(ShapeType type)
{
	return types[type].name;
}

const char *
form_sql_type(ShapeType type)
{
	return types[type].sql;
}


static ShapeType
form_field_type(Jsonb *object, const char *name)
{
	JsonbValue	v;
	char	   *type = document_object_get(object, "type", &v) ? document_value_string(&v) : NULL;

	for (int i = 0; type != NULL && i < lengthof(types); i++)
		if (strcmp(types[i].name, type) == 0)
			return i;
	for (int i = 0; type != NULL && i < lengthof(synonyms); i++)
		if (strcmp(synonyms[i].name, type) == 0)
			return synonyms[i].type;
	document_refuse("fields", psprintf("the type of \"%s\" is unknown", name), FORM_HINT);
	return SHAPE_TEXT;			/* not reached */
}

static bool form_append_typed(StringInfo out, ShapeType type, JsonbValue *value);

static void
form_compile_field(ShapeField *field, Jsonb *object, List **names)
{
	static const char *const keys[] = {"name", "type", "required", "default", "on_missing", NULL};
	JsonbValue	v;

	document_check_keys(object, keys, "fields", FORM_HINT);
	field->name = document_element_name(object, names, "fields", FORM_HINT);
	if (strlen(field->name) >= NAMEDATALEN)
		document_refuse("fields", psprintf("the name \"%s\" is too long for a column", field->name), FORM_HINT);
	field->prefix = document_json_prefix(field->name);
	field->type = form_field_type(object, field->name);
	if (document_object_get(object, "required", &v))
	{
		if (v.type != jbvBool)
			document_refuse("fields", psprintf("\"required\" of \"%s\" is not a boolean", field->name), FORM_HINT);
		field->required = v.val.boolean;
	}
	if (document_object_get(object, "on_missing", &v))
	{
		const char *choice = document_value_string(&v);

		field->hold = choice != NULL && strcmp(choice, "hold") == 0;
		if (!field->hold && (choice == NULL || strcmp(choice, "send") != 0))
			document_refuse("fields", psprintf("\"on_missing\" of \"%s\" is neither \"send\" nor \"hold\"", field->name), FORM_HINT);
	}
	field->default_json = "null";
	if (document_object_get(object, "default", &v) && v.type != jbvNull)
	{
		StringInfoData buf;

		initStringInfo(&buf);
		if (!form_append_typed(&buf, field->type, &v))
			document_refuse("fields", psprintf("\"default\" of \"%s\" is not of its type", field->name), FORM_HINT);
		field->default_json = buf.data;
		field->default_text = v.type == jbvString ? document_value_string(&v) : buf.data;
	}
}

ShapeForm *
form_compile(Jsonb *document)
{
	List	   *objects = document_array_objects(document, "fields", FORM_HINT);
	ShapeForm  *form = palloc0(sizeof(ShapeForm));
	List	   *names = NIL;
	ListCell   *lc;

	if (objects == NIL)
		document_refuse("fields", "it is empty", FORM_HINT);
	form->fields = palloc0(list_length(objects) * sizeof(ShapeField));
	foreach(lc, objects)
		form_compile_field(&form->fields[form->nfields++], lfirst(lc), &names);
	return form;
}

/* Is it the text of a JSON number, with digits only if integral? */
static bool
form_is_number(const char *s, bool integral)
{
	size_t		len = strlen(s);

	return (!integral || strspn(s, "0123456789-") == len) && IsValidJsonNumber(s, (int) len);
}

/* Does it begin with a date, and is that followed by a time? */
static bool
form_is_date(const char *s, bool *time)
{
	static const char pattern[] = "dddd-dd-dd";

	for (int i = 0; pattern[i]; i++)
		if (pattern[i] == 'd' ? !isdigit((unsigned char) s[i]) : s[i] != pattern[i])
			return false;
	*time = s[10] == 'T' || s[10] == ' ';
	return s[10] == '\0' || *time;
}

/*
 * Convert a timestamp that form_is_date() accepts to a date in UTC.  Without an
 * offset, it remains unchanged.
 */
static void
form_date_to_utc(char *s)
{
	char	   *offset = strpbrk(s + 11, "+-");
	int			year,
				month,
				day,
				hour,
				minute,
				hours,
				minutes = 0;

	if (offset == NULL || sscanf(s, "%4d-%2d-%2d%*c%2d:%2d", &year, &month, &day, &hour, &minute) != 5 ||
		sscanf(offset + 1, strchr(offset, ':') ? "%2d:%2d" : "%2d%2d", &hours, &minutes) < 1)
		return;
	minutes = hour * MINS_PER_HOUR + minute - (*offset == '-' ? -1 : 1) * (hours * MINS_PER_HOUR + minutes);
	day += minutes < 0 ? -1 : minutes / (HOURS_PER_DAY * MINS_PER_HOUR);
	j2date(date2j(year, month, day), &year, &month, &day);
	snprintf(s, strlen(s) + 1, "%04d-%02d-%02d", year, month, day);
}

static bool
form_append_boolean(StringInfo out, const char *s)
{
	static const char *const words[][2] = {
		{"true", "false"}, {"t", "f"}, {"yes", "no"}, {"y", "n"}, {"on", "off"}, {"1", "0"}
	};

	for (int i = 0; i < lengthof(words); i++)
		for (int j = 0; j < 2; j++)
			if (pg_strcasecmp(s, words[i][j]) == 0)
			{
				appendStringInfoString(out, j == 0 ? "true" : "false");
				return true;
			}
	return false;
}

/* Append a value converted to the type; false if it cannot be converted. */
static bool
form_append_typed(StringInfo out, ShapeType type, JsonbValue *value)
{
	StringInfoData plain;
	bool		time;

	if (type == SHAPE_JSON)
	{
		json_field_append_json(out, value);
		return true;
	}
	initStringInfo(&plain);
	if (value->type == jbvString)
		appendBinaryStringInfo(&plain, value->val.string.val, value->val.string.len);
	else
		json_field_append_json(&plain, value);
	switch (type)
	{
		case SHAPE_INTEGER:
		case SHAPE_NUMBER:
			if (!form_is_number(plain.data, type == SHAPE_INTEGER))
				return false;
			appendStringInfoString(out, plain.data);
			return true;
		case SHAPE_BOOLEAN:
			return form_append_boolean(out, plain.data);
		case SHAPE_DATE:
		case SHAPE_TIMESTAMP:
			if (!form_is_date(plain.data, &time))
				return false;
			if (type == SHAPE_DATE && time)
				form_date_to_utc(plain.data);
			if (type == SHAPE_DATE)
				plain.data[10] = '\0';
			break;
		default:
			break;
	}
	escape_json(out, plain.data);
	return true;
}

/* Record that a field has no value, or one (found) of a wrong type. */
static void
form_note_fault(const ShapeField *field, bool found, ShapeFaults *faults)
{
	faults->hold |= field->hold;
	if (faults->text.len > MAX_FAULTS)
		return;
	if (faults->text.len > 0)
		appendStringInfoString(&faults->text, ", ");
	if (found)
		appendStringInfo(&faults->text, "field \"%s\" is not of type %s", field->name, types[field->type].name);
	else
		appendStringInfo(&faults->text, "required field \"%s\" is missing", field->name);
}

void
form_apply(const ShapeForm *form, Jsonb *payload, StringInfo out, ShapeFaults *faults)
{
	bool		object = JB_ROOT_IS_OBJECT(payload);

	if (faults != NULL)
	{
		initStringInfo(&faults->text);
		faults->hold = false;
	}

	appendStringInfoChar(out, '{');
	for (int i = 0; i < form->nfields; i++)
	{
		const ShapeField *field = &form->fields[i];
		JsonbValue	v;
		bool		found = object && document_object_get(payload, field->name, &v) && v.type != jbvNull;

		if (i > 0)
			appendStringInfoChar(out, ',');
		appendStringInfoString(out, field->prefix);
		if (found && form_append_typed(out, field->type, &v))
			continue;
		appendStringInfoString(out, field->default_json);
		if (faults != NULL && (found || (field->required && strcmp(field->default_json, "null") == 0)))
			form_note_fault(field, found, faults);
	}
	appendStringInfoChar(out, '}');
}
