/*-------------------------------------------------------------------------
 *
 * shape_server.c
 *		R5: whole forms, mappings and templates, and what they make of a payload.
 *
 * They are made of the server's own JSON, memory contexts and errors, so the
 * fuzzer runs inside of a server for a single user; see the script shape.
 * Input: a letter that says which of the three, the document up to the next
 * newline, and the payload.
 *
 * A document is refused with SQLSTATE 22023 and a hint, or it makes the same
 * JSON of a payload each time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/settings.h"
#include "fuzz.h"
#include "shape/form.h"
#include "shape/mapping.h"
#include "shape/template.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(shape_fuzz);

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback) (const uint8_t *data, size_t size));

int			webhook_max_payload_size = 64 * 1024;

static MemoryContext fuzz_context;

/* NULL when the text is no JSON. */
static Jsonb *
parse(char *text)
{
	Jsonb	   *volatile result = NULL;

	PG_TRY();
	{
		if (pg_verifymbstr(text, strlen(text), true))
			result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(fuzz_context);
		FlushErrorState();
	}
	PG_END_TRY();
	return result;
}

/* Compile and apply; NULL when the document is refused. */
static char *
make(char kind, Jsonb *document, Jsonb *payload)
{
	StringInfoData out;
	bool		refused = false;

	initStringInfo(&out);
	PG_TRY();
	{
		switch (kind)
		{
			case 'f':
				form_apply(form_compile(document), payload, &out, NULL);
				break;
			case 'm':
				{
					ShapeMapping *mapping = mapping_compile(document);

					mapping_apply(mapping_merge(mapping, mapping), payload, &out);
					break;
				}
			default:
				template_apply(template_compile(document), payload, &out);
		}
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(fuzz_context);
		error = CopyErrorData();
		FlushErrorState();
		MUST(error->sqlerrcode == ERRCODE_INVALID_PARAMETER_VALUE || error->sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX);
		MUST(error->hint != NULL && error->hint[0] != '\0');
		refused = true;
	}
	PG_END_TRY();
	return refused ? NULL : out.data;
}

static int
try_one(const uint8_t *data, size_t size)
{
	char		kind;
	char	   *document;
	char	   *payload;

	if (size == 0)
		return 0;
	kind = (char) *data++;
	size--;
	document = fuzz_line(&data, &size);
	payload = fuzz_text(data, size);
	MemoryContextSwitchTo(fuzz_context);
	{
		Jsonb	   *d = parse(document);
		Jsonb	   *p = parse(payload);

		if (d != NULL && p != NULL)
		{
			char	   *once = make(kind, d, p);
			char	   *twice = make(kind, d, p);

			MUST((once == NULL) == (twice == NULL));
			if (once != NULL)
			{
				MUST(strcmp(once, twice) == 0);
				MUST(parse(once) != NULL);
			}
		}
	}
	MemoryContextReset(fuzz_context);
	free(document);
	free(payload);
	return 0;
}

/* shape_fuzz(arguments text): runs the fuzzer with these arguments, separated by spaces.  The process ends with it. */
Datum
shape_fuzz(PG_FUNCTION_ARGS)
{
	char	   *arguments = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *argv[32] = {"shape"};
	char	  **args = argv;
	int			argc = 1;

	for (char *word = strtok(arguments, " "); word != NULL && argc < 31; word = strtok(NULL, " "))
		argv[argc++] = word;
	fuzz_context = AllocSetContextCreate(TopMemoryContext, "fuzzing", ALLOCSET_DEFAULT_SIZES);
	PG_RETURN_INT32(LLVMFuzzerRunDriver(&argc, &args, try_one));
}
