/*-------------------------------------------------------------------------
 *
 * shape.c
 *		Conversion of payloads by an integration: form, mapping, template.
 *
 * Each of them is a JSON document, which is checked and compiled when it is set, and
 * compiled again where it is used.  Applying one accesses neither tables nor
 * catalogs.
 *
 * A form defines the fields of a payload, their order and their types.  A mapping
 * selects and renames fields.  A template is any JSON with placeholders {{field}};
 * it is compiled to a list of texts and placeholders.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "base/argument.h"
#include "base/container.h"
#include "pure/path.h"
#include "shape/json_field.h"
#include "shape/shape.h"

#define MAX_FIELDS		1600
#define MAX_NAME		200		/* bytes of a name */
#define MAX_FAULTS		500		/* bytes after which no more faults are listed */

/* One line of a mapping. */
typedef struct MapEntry
{
	char	   *name;
	char	   *prefix;			/* "name": as JSON */
	char	   *constant;		/* JSON text, or NULL */
	JsonField  *source;
} MapEntry;

struct ShapeMapping
{
	int			nentries;
	MapEntry   *entries;
};

/* A piece of a template. */
typedef struct TemplatePiece
{
	char	   *text;			/* JSON text, or NULL */
	int			text_len;
	JsonField  *field;			/* when text is NULL */
	bool		inside;			/* the hole is inside of a string */
} TemplatePiece;

struct ShapeTemplate
{
	int			npieces;
	int			space;
	TemplatePiece *pieces;
};

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


static void
shape_refuse(const char *argument, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for argument \"%s\"", argument),
			 argument_detail(problem),
			 errhint("%s", hint)));
}

const char *
shape_type_name(ShapeType type)
{
	return types[type].name;
}

const char *
shape_sql_type(ShapeType type)
{
	return types[type].sql;
}

static char *
shape_json_prefix(const char *name)
{
	StringInfoData buf;

	initStringInfo(&buf);
	escape_json(&buf, name);
	appendStringInfoChar(&buf, ':');
	return buf.data;
}

static char *
shape_value_json(JsonbValue *value)
{
	StringInfoData buf;

	initStringInfo(&buf);
	json_field_append_json(&buf, value);
	return buf.data;
}

static char *
shape_value_string(const JsonbValue *value)
{
	return value->type == jbvString ? pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

/* Iterate over the objects of an array; raises an error for anything else. */
static List *
shape_array_objects(Jsonb *document, const char *argument, const char *hint)
{
	List	   *result = NIL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;

	if (!JB_ROOT_IS_ARRAY(document) || JB_ROOT_IS_SCALAR(document))
		shape_refuse(argument, "it is not an array", hint);
	if (JB_ROOT_COUNT(document) > MAX_FIELDS)
		shape_refuse(argument, "there are too many fields", hint);
	it = JsonbIteratorInit(&document->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (v.type != jbvBinary || !JsonContainerIsObject(v.val.binary.data))
			shape_refuse(argument, "an element is not an object", hint);
		result = lappend(result, JsonbValueToJsonb(&v));
	}
	return result;
}

static bool
shape_object_get(Jsonb *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(&object->root, key, strlen(key), value) != NULL;
}

/* Raise an error for keys that are not in this NULL-terminated list, which may be typos. */
static void
shape_check_keys(Jsonb *object, const char *const *allowed, const char *argument, const char *hint)
{
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	v;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		bool		known = false;
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = shape_value_string(&v);
		for (int i = 0; allowed[i] != NULL; i++)
			known |= strcmp(allowed[i], key) == 0;
		if (!known)
			shape_refuse(argument, psprintf("unknown key \"%.*s\"", MAX_NAME, key), hint);
	}
}

/* The name of an element, which must be unique. */
static char *
shape_element_name(Jsonb *object, List **names, const char *argument, const char *hint)
{
	JsonbValue	v;
	char	   *name = shape_object_get(object, "name", &v) ? shape_value_string(&v) : NULL;
	ListCell   *lc;

	if (name == NULL || *name == '\0' || strlen(name) > MAX_NAME)
		shape_refuse(argument, "an element has no name of 1 to 200 bytes", hint);
	foreach(lc, *names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			shape_refuse(argument, psprintf("the name \"%s\" occurs twice", name), hint);
	}
	*names = lappend(*names, name);
	return name;
}

/* ---------- mappings ---------- */

#define MAPPING_HINT \
	"Specify an array such as [{\"name\": \"source\", \"value\": \"web\"}, {\"name\": \"city\", \"mapped_to\": \"cpy_city\"}]."

static void
shape_compile_entry(MapEntry *entry, Jsonb *object, List **names)
{
	static const char *const keys[] = {"name", "value", "mapped_to", NULL};
	JsonbValue	value;
	JsonbValue	source;
	bool		has_value = shape_object_get(object, "value", &value);
	bool		has_source = shape_object_get(object, "mapped_to", &source);

	shape_check_keys(object, keys, "mapping", MAPPING_HINT);
	entry->name = shape_element_name(object, names, "mapping", MAPPING_HINT);
	entry->prefix = shape_json_prefix(entry->name);
	if (has_value == has_source)
		shape_refuse("mapping", psprintf("\"%s\" has %s of \"value\" and \"mapped_to\"", entry->name,
										 has_value ? "both" : "neither"), MAPPING_HINT);
	if (has_value)
		entry->constant = shape_value_json(&value);
	else
	{
		char	   *text = shape_value_string(&source);
		const char *problem = "it is not a string";

		entry->source = text ? json_field_parse(text, &problem) : NULL;

		if (entry->source == NULL)
			shape_refuse("mapping", psprintf("\"mapped_to\" of \"%s\": %s", entry->name, problem), MAPPING_HINT);
	}
}

ShapeMapping *
shape_compile_mapping(Jsonb *document)
{
	List	   *objects = shape_array_objects(document, "mapping", MAPPING_HINT);
	ShapeMapping *mapping = palloc0(sizeof(ShapeMapping));
	List	   *names = NIL;
	ListCell   *lc;

	mapping->entries = palloc0(Max(1, list_length(objects)) * sizeof(MapEntry));
	foreach(lc, objects)
		shape_compile_entry(&mapping->entries[mapping->nentries++], lfirst(lc), &names);
	return mapping;
}

ShapeMapping *
shape_merge_mappings(ShapeMapping *first, ShapeMapping *second)
{
	ShapeMapping *merged;

	if (first == NULL || second == NULL)
		return first ? first : second;
	merged = palloc0(sizeof(ShapeMapping));
	merged->entries = palloc((first->nentries + second->nentries + 1) * sizeof(MapEntry));
	memcpy(merged->entries, first->entries, first->nentries * sizeof(MapEntry));
	merged->nentries = first->nentries;
	for (int i = 0; i < second->nentries; i++)
	{
		int			at = 0;

		while (at < first->nentries && strcmp(first->entries[at].name, second->entries[i].name) != 0)
			at++;
		merged->entries[at < first->nentries ? at : merged->nentries++] = second->entries[i];
	}
	return merged;
}

void
shape_apply_mapping(const ShapeMapping *mapping, Jsonb *payload, StringInfo out)
{
	appendStringInfoChar(out, '{');
	for (int i = 0; i < mapping->nentries; i++)
	{
		const MapEntry *entry = &mapping->entries[i];
		JsonbValue	value;

		if (i > 0)
			appendStringInfoChar(out, ',');
		appendStringInfoString(out, entry->prefix);
		if (entry->constant != NULL)
			appendStringInfoString(out, entry->constant);
		else if (json_field_get(entry->source, payload, &value))
			json_field_append_json(out, &value);
		else
			appendStringInfoString(out, "null");
	}
	appendStringInfoChar(out, '}');
}

/* ---------- templates ---------- */

#define TEMPLATE_HINT \
	"Specify any JSON; {{field}} in a string is replaced by a value of the entity, as in {\"contact\": {\"mail\": \"{{email}}\"}}."

static TemplatePiece *
shape_add_piece(ShapeTemplate *template)
{
	template->pieces = container_grow(template->pieces, template->npieces, &template->space, 16,
									  sizeof(TemplatePiece), CurrentMemoryContext);
	memset(&template->pieces[template->npieces], 0, sizeof(TemplatePiece));
	return &template->pieces[template->npieces++];
}

/* Add the collected text as a piece. */
static void
shape_add_text(ShapeTemplate *template, StringInfo text)
{
	TemplatePiece *piece;

	if (text->len == 0)
		return;
	piece = shape_add_piece(template);
	piece->text = pnstrdup(text->data, text->len);
	piece->text_len = text->len;

	resetStringInfo(text);
}

static JsonField *
shape_parse_placeholder(const PathHole *hole)
{
	const char *problem = NULL;
	JsonField  *field = json_field_parse(pnstrdup(hole->name, hole->name_len), &problem);

	if (field == NULL)
		shape_refuse("template", psprintf("placeholder \"%s\": %s",
										  pnstrdup(hole->start, Min(hole->end - hole->start, MAX_NAME)), problem), TEMPLATE_HINT);
	return field;
}

/* A string; text holds the JSON in front of it.  One that is a placeholder as a whole may become any value. */
static void
shape_compile_string(ShapeTemplate *template, StringInfo text, const char *s)
{
	PathHole	hole;
	PathHoleFound found = path_next_hole(s, &hole);
	bool		whole = found == PATH_HOLE && hole.start == s && *hole.end == '\0';

	if (!whole)
		appendStringInfoChar(text, '"');
	for (; found == PATH_HOLE; found = path_next_hole(s, &hole))
	{
		JsonField  *field = shape_parse_placeholder(&hole);
		TemplatePiece *piece;

		json_field_append_escaped(text, s, hole.start - s);
		shape_add_text(template, text);
		piece = shape_add_piece(template);
		piece->field = field;
		piece->inside = !whole;
		s = hole.end;
	}
	if (found == PATH_HOLE_OPEN)
		shape_refuse("template", "a placeholder is not closed", TEMPLATE_HINT);
	if (!whole)
	{
		json_field_append_escaped(text, s, strlen(s));
		appendStringInfoChar(text, '"');
	}
}

static void
shape_compile_container(ShapeTemplate *template, StringInfo text, JsonbContainer *container)
{
	bool		object = JsonContainerIsObject(container);
	bool		scalar = JsonContainerIsScalar(container);
	JsonbIterator *it = JsonbIteratorInit(container);
	bool		first = true;
	JsonbIteratorToken token;
	JsonbValue	v;

	check_stack_depth();
	if (!scalar)
		appendStringInfoChar(text, object ? '{' : '[');
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY || token == WJB_ELEM)
		{
			if (!first)
				appendStringInfoChar(text, ',');
			first = false;
		}
		if (token == WJB_KEY)
		{
			char	   *key = shape_value_string(&v);
			PathHole	hole;

			if (path_next_hole(key, &hole) != PATH_NO_HOLE)
				shape_refuse("template", "a key holds a placeholder", TEMPLATE_HINT);
			appendStringInfoString(text, shape_json_prefix(key));
		}
		else if (token == WJB_VALUE || token == WJB_ELEM)
		{
			if (v.type == jbvBinary)
				shape_compile_container(template, text, v.val.binary.data);
			else if (v.type == jbvString)
				shape_compile_string(template, text, shape_value_string(&v));
			else
				json_field_append_json(text, &v);
		}
	}
	if (!scalar)
		appendStringInfoChar(text, object ? '}' : ']');
}

ShapeTemplate *
shape_compile_template(Jsonb *document)
{
	ShapeTemplate *template = palloc0(sizeof(ShapeTemplate));
	StringInfoData text;

	initStringInfo(&text);
	shape_compile_container(template, &text, &document->root);
	shape_add_text(template, &text);
	return template;
}

const char *
shape_template_unknown(const ShapeTemplate *template, bool (*known) (const char *name, void *arg), void *arg)
{
	for (int i = 0; i < template->npieces; i++)
	{
		const JsonField *field = template->pieces[i].field;
		const char *name = field ? json_field_first_key(field) : NULL;

		if (name != NULL && !known(name, arg))
			return name;
	}
	return NULL;
}

void
shape_apply_template(const ShapeTemplate *template, Jsonb *payload, StringInfo out)
{
	for (int i = 0; i < template->npieces; i++)
	{
		const TemplatePiece *piece = &template->pieces[i];
		JsonbValue	value;

		if (piece->text != NULL)
			appendBinaryStringInfo(out, piece->text, piece->text_len);
		else
		{
			if (!json_field_get(piece->field, payload, &value))
				value.type = jbvNull;
			if (piece->inside)
				json_field_append_inside(out, &value);
			else
				json_field_append_json(out, &value);
		}
	}
}

/* ---------- forms ---------- */

#define FORM_HINT \
	"Specify an array such as [{\"name\": \"firstname\", \"type\": \"text\", \"required\": true, \"default\": null, \"on_missing\": \"send\"}]; " \
	"types are text, integer, number, boolean, date, timestamp and json, or SQL's names for these; on_missing is send or hold."

static ShapeType
shape_field_type(Jsonb *object, const char *name)
{
	JsonbValue	v;
	char	   *type = shape_object_get(object, "type", &v) ? shape_value_string(&v) : NULL;

	for (int i = 0; type != NULL && i < lengthof(types); i++)
		if (strcmp(types[i].name, type) == 0)
			return i;
	for (int i = 0; type != NULL && i < lengthof(synonyms); i++)
		if (strcmp(synonyms[i].name, type) == 0)
			return synonyms[i].type;
	shape_refuse("fields", psprintf("the type of \"%s\" is unknown", name), FORM_HINT);
	return SHAPE_TEXT;			/* not reached */
}

static bool shape_append_typed(StringInfo out, ShapeType type, JsonbValue *value);

static void
shape_compile_field(ShapeField *field, Jsonb *object, List **names)
{
	static const char *const keys[] = {"name", "type", "required", "default", "on_missing", NULL};
	JsonbValue	v;

	shape_check_keys(object, keys, "fields", FORM_HINT);
	field->name = shape_element_name(object, names, "fields", FORM_HINT);
	if (strlen(field->name) >= NAMEDATALEN)
		shape_refuse("fields", psprintf("the name \"%s\" is too long for a column", field->name), FORM_HINT);
	field->prefix = shape_json_prefix(field->name);
	field->type = shape_field_type(object, field->name);
	if (shape_object_get(object, "required", &v))
	{
		if (v.type != jbvBool)
			shape_refuse("fields", psprintf("\"required\" of \"%s\" is not a boolean", field->name), FORM_HINT);
		field->required = v.val.boolean;
	}
	if (shape_object_get(object, "on_missing", &v))
	{
		const char *choice = shape_value_string(&v);

		field->hold = choice != NULL && strcmp(choice, "hold") == 0;
		if (!field->hold && (choice == NULL || strcmp(choice, "send") != 0))
			shape_refuse("fields", psprintf("\"on_missing\" of \"%s\" is neither \"send\" nor \"hold\"", field->name), FORM_HINT);
	}
	field->default_json = "null";
	if (shape_object_get(object, "default", &v) && v.type != jbvNull)
	{
		StringInfoData buf;

		initStringInfo(&buf);
		if (!shape_append_typed(&buf, field->type, &v))
			shape_refuse("fields", psprintf("\"default\" of \"%s\" is not of its type", field->name), FORM_HINT);
		field->default_json = buf.data;
		field->default_text = v.type == jbvString ? shape_value_string(&v) : buf.data;
	}
}

ShapeForm *
shape_compile_form(Jsonb *document)
{
	List	   *objects = shape_array_objects(document, "fields", FORM_HINT);
	ShapeForm  *form = palloc0(sizeof(ShapeForm));
	List	   *names = NIL;
	ListCell   *lc;

	if (objects == NIL)
		shape_refuse("fields", "it is empty", FORM_HINT);
	form->fields = palloc0(list_length(objects) * sizeof(ShapeField));
	foreach(lc, objects)
		shape_compile_field(&form->fields[form->nfields++], lfirst(lc), &names);
	return form;
}

/* Is it the text of a JSON number, with digits only if integral? */
static bool
shape_is_number(const char *s, bool integral)
{
	size_t		len = strlen(s);

	return (!integral || strspn(s, "0123456789-") == len) && IsValidJsonNumber(s, (int) len);
}

/* Does it begin with a date, and is that followed by a time? */
static bool
shape_is_date(const char *s, bool *time)
{
	static const char pattern[] = "dddd-dd-dd";

	for (int i = 0; pattern[i]; i++)
		if (pattern[i] == 'd' ? !isdigit((unsigned char) s[i]) : s[i] != pattern[i])
			return false;
	*time = s[10] == 'T' || s[10] == ' ';
	return s[10] == '\0' || *time;
}

/*
 * The date and time of a moment, as shape_is_date() accepts it: replace the date by
 * that in UTC if an offset says how far away that is.
 */
static void
shape_date_to_utc(char *s)
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
shape_append_boolean(StringInfo out, const char *s)
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
shape_append_typed(StringInfo out, ShapeType type, JsonbValue *value)
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
			if (!shape_is_number(plain.data, type == SHAPE_INTEGER))
				return false;
			appendStringInfoString(out, plain.data);
			return true;
		case SHAPE_BOOLEAN:
			return shape_append_boolean(out, plain.data);
		case SHAPE_DATE:
		case SHAPE_TIMESTAMP:
			if (!shape_is_date(plain.data, &time))
				return false;
			if (type == SHAPE_DATE && time)
				shape_date_to_utc(plain.data);
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
shape_note_fault(const ShapeField *field, bool found, ShapeFaults *faults)
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
shape_apply_form(const ShapeForm *form, Jsonb *payload, StringInfo out, ShapeFaults *faults)
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
		bool		found = object && shape_object_get(payload, field->name, &v) && v.type != jbvNull;

		if (i > 0)
			appendStringInfoChar(out, ',');
		appendStringInfoString(out, field->prefix);
		if (found && shape_append_typed(out, field->type, &v))
			continue;
		appendStringInfoString(out, field->default_json);
		if (faults != NULL && (found || (field->required && strcmp(field->default_json, "null") == 0)))
			shape_note_fault(field, found, faults);
	}
	appendStringInfoChar(out, '}');
}
