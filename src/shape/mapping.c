/*-------------------------------------------------------------------------
 *
 * mapping.c
 *		Mappings: which fields of a payload are sent, and under which names.
 *
 * A mapping is checked and compiled when it is set, and compiled again where it is used.
 * Applying it accesses neither tables nor catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "shape/document.h"
#include "shape/json_field.h"
#include "shape/mapping.h"

#define MAPPING_HINT \
	"Specify an array such as [{\"name\": \"source\", \"value\": \"web\"}, {\"name\": \"city\", \"mapped_to\": \"cpy_city\"}]."

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


static char *
mapping_value_json(JsonbValue *value)
{
	StringInfoData buf;

	initStringInfo(&buf);
	json_field_append_json(&buf, value);
	return buf.data;
}

static void
mapping_compile_entry(MapEntry *entry, Jsonb *object, List **names)
{
	static const char *const keys[] = {"name", "value", "mapped_to", NULL};
	JsonbValue	value;
	JsonbValue	source;
	bool		has_value = document_object_get(object, "value", &value);
	bool		has_source = document_object_get(object, "mapped_to", &source);

	document_check_keys(object, keys, "mapping", MAPPING_HINT);
	entry->name = document_element_name(object, names, "mapping", MAPPING_HINT);
	entry->prefix = document_json_prefix(entry->name);
	if (has_value == has_source)
		document_refuse("mapping", psprintf("\"%s\" has %s of \"value\" and \"mapped_to\"", entry->name,
											has_value ? "both" : "neither"), MAPPING_HINT);
	if (has_value)
		entry->constant = mapping_value_json(&value);
	else
	{
		char	   *text = document_value_string(&source);
		const char *problem = "it is not a string";

		entry->source = text ? json_field_parse(text, &problem) : NULL;

		if (entry->source == NULL)
			document_refuse("mapping", psprintf("\"mapped_to\" of \"%s\": %s", entry->name, problem), MAPPING_HINT);
	}
}

ShapeMapping *
mapping_compile(Jsonb *document)
{
	List	   *objects = document_array_objects(document, "mapping", MAPPING_HINT);
	ShapeMapping *mapping = palloc0(sizeof(ShapeMapping));
	List	   *names = NIL;
	ListCell   *lc;

	mapping->entries = palloc0(Max(1, list_length(objects)) * sizeof(MapEntry));
	foreach(lc, objects)
		mapping_compile_entry(&mapping->entries[mapping->nentries++], lfirst(lc), &names);
	return mapping;
}

ShapeMapping *
mapping_merge(ShapeMapping *first, ShapeMapping *second)
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
mapping_apply(const ShapeMapping *mapping, Jsonb *payload, StringInfo out)
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
		json_field_check_size(out);
	}
	appendStringInfoChar(out, '}');
}
