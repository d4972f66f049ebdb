/*-------------------------------------------------------------------------
 *
 * document.c
 *		The JSON documents that forms, mappings and templates are written as.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"

#include "base/argument.h"
#include "shape/document.h"

#define MAX_FIELDS		1600


void
document_refuse(const char *argument, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for argument \"%s\"", argument),
			 argument_detail(problem),
			 errhint("%s", hint)));
}

char *
document_json_prefix(const char *name)
{
	StringInfoData buf;

	initStringInfo(&buf);
	escape_json(&buf, name);
	appendStringInfoChar(&buf, ':');
	return buf.data;
}

char *
document_value_string(const JsonbValue *value)
{
	return value->type == jbvString ? pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

List *
document_array_objects(Jsonb *document, const char *argument, const char *hint)
{
	List	   *result = NIL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	v;

	if (!JB_ROOT_IS_ARRAY(document) || JB_ROOT_IS_SCALAR(document))
		document_refuse(argument, "it is not an array", hint);
	if (JB_ROOT_COUNT(document) > MAX_FIELDS)
		document_refuse(argument, "there are too many fields", hint);
	it = JsonbIteratorInit(&document->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (v.type != jbvBinary || !JsonContainerIsObject(v.val.binary.data))
			document_refuse(argument, "an element is not an object", hint);
		result = lappend(result, JsonbValueToJsonb(&v));
	}
	return result;
}

bool
document_object_get(Jsonb *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(&object->root, key, strlen(key), value) != NULL;
}

void
document_check_keys(Jsonb *object, const char *const *allowed, const char *argument, const char *hint)
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
		key = document_value_string(&v);
		for (int i = 0; allowed[i] != NULL; i++)
			known |= strcmp(allowed[i], key) == 0;
		if (!known)
			document_refuse(argument, psprintf("unknown key \"%s\"", argument_excerpt(key, strlen(key))), hint);
	}
}

char *
document_element_name(Jsonb *object, List **names, const char *argument, const char *hint)
{
	JsonbValue	v;
	char	   *name = document_object_get(object, "name", &v) ? document_value_string(&v) : NULL;
	ListCell   *lc;

	if (name == NULL || *name == '\0' || strlen(name) > DOCUMENT_MAX_NAME)
		document_refuse(argument, "an element has no name of 1 to 200 bytes", hint);
	Assert(name != NULL);
	foreach(lc, *names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			document_refuse(argument, psprintf("the name \"%s\" occurs twice", name), hint);
	}
	*names = lappend(*names, name);
	return name;
}
