/*-------------------------------------------------------------------------
 *
 * template.c
 *		Templates: any JSON with placeholders {{field}}.
 *
 * A template is checked and compiled when it is set, and compiled again where it is
 * used, to a list of texts and placeholders.  Applying it accesses neither tables nor
 * catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/argument.h"
#include "base/container.h"
#include "pure/path.h"
#include "shape/document.h"
#include "shape/json_field.h"
#include "shape/template.h"

#define TEMPLATE_HINT \
	"Specify any JSON; {{field}} in a string is replaced by a value of the entity, as in {\"contact\": {\"mail\": \"{{email}}\"}}."

/* A piece of a template. */
typedef struct TemplatePiece
{
	char	   *text;			/* JSON text, or NULL */
	int			text_len;
	JsonField  *field;			/* when text is NULL */
	bool		inside;			/* the placeholder is inside a string */
} TemplatePiece;

struct ShapeTemplate
{
	int			npieces;
	int			space;
	TemplatePiece *pieces;
};


static TemplatePiece *
template_add_piece(ShapeTemplate *template)
{
	template->pieces = container_grow(template->pieces, template->npieces, &template->space, 16,
									  sizeof(TemplatePiece), CurrentMemoryContext);
	memset(&template->pieces[template->npieces], 0, sizeof(TemplatePiece));
	return &template->pieces[template->npieces++];
}

/* Add the collected text as a piece. */
static void
template_add_text(ShapeTemplate *template, StringInfo text)
{
	TemplatePiece *piece;

	if (text->len == 0)
		return;
	piece = template_add_piece(template);
	piece->text = pnstrdup(text->data, text->len);
	piece->text_len = text->len;

	resetStringInfo(text);
}

static JsonField *
template_parse_placeholder(const PathHole *hole)
{
	const char *problem = NULL;
	JsonField  *field = json_field_parse(pnstrdup(hole->name, hole->name_len), &problem);

	if (field == NULL)
		document_refuse("template", psprintf("placeholder \"%s\": %s",
											 argument_excerpt(hole->start, hole->end - hole->start), problem), TEMPLATE_HINT);
	return field;
}

/* Compile a string; text holds the JSON before it.  A string that is just one placeholder may become any value. */
static void
template_compile_string(ShapeTemplate *template, StringInfo text, const char *s)
{
	PathHole	hole;
	PathHoleFound found = path_next_hole(s, &hole);
	bool		whole = found == PATH_HOLE && hole.start == s && *hole.end == '\0';

	if (!whole)
		appendStringInfoChar(text, '"');
	for (; found == PATH_HOLE; found = path_next_hole(s, &hole))
	{
		JsonField  *field = template_parse_placeholder(&hole);
		TemplatePiece *piece;

		json_field_append_escaped(text, s, hole.start - s);
		template_add_text(template, text);
		piece = template_add_piece(template);
		piece->field = field;
		piece->inside = !whole;
		s = hole.end;
	}
	if (found == PATH_HOLE_OPEN)
		document_refuse("template", "a placeholder is not closed", TEMPLATE_HINT);
	if (!whole)
	{
		json_field_append_escaped(text, s, strlen(s));
		appendStringInfoChar(text, '"');
	}
}

static void
template_compile_container(ShapeTemplate *template, StringInfo text, JsonbContainer *container)
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
			char	   *key = document_value_string(&v);
			PathHole	hole;

			if (path_next_hole(key, &hole) != PATH_NO_HOLE)
				document_refuse("template", "a key holds a placeholder", TEMPLATE_HINT);
			appendStringInfoString(text, document_json_prefix(key));
		}
		else if (token == WJB_VALUE || token == WJB_ELEM)
		{
			if (v.type == jbvBinary)
				template_compile_container(template, text, v.val.binary.data);
			else if (v.type == jbvString)
				template_compile_string(template, text, document_value_string(&v));
			else
				json_field_append_json(text, &v);
		}
	}
	if (!scalar)
		appendStringInfoChar(text, object ? '}' : ']');
}

ShapeTemplate *
template_compile(Jsonb *document)
{
	ShapeTemplate *template = palloc0(sizeof(ShapeTemplate));
	StringInfoData text;

	initStringInfo(&text);
	template_compile_container(template, &text, &document->root);
	template_add_text(template, &text);
	return template;
}

const char *
template_unknown(const ShapeTemplate *template, bool (*known) (const char *name, void *arg), void *arg)
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
template_apply(const ShapeTemplate *template, Jsonb *payload, StringInfo out)
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
		json_field_check_size(out);
	}
}
