/*-------------------------------------------------------------------------
 *
 * context.c
 *		The context that a session gives its changes: who makes them, and their trace.
 *
 * Any role can set these settings, also for a transaction or a function.  A message
 * contains the values at the time of its change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/jsonapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "base/context.h"
#include "compat.h"
#include "pure/trace.h"

static char *context_value = NULL;
static char *context_traceparent = NULL;
static char *context_tracestate = NULL;

/* The result of context_current(), or NULL if it must be formed again. */
static char *context_text = NULL;


static bool
context_is_json(char *text)
{
	return pg_parse_json(webhook_json_lexer(text), &nullSemAction) == JSON_SUCCESS;
}

static bool
context_check_value(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0')
		return true;
	if (strlen(*newval) > CONTEXT_MAX_LENGTH)
		GUC_check_errdetail("The value has more than %d bytes.", CONTEXT_MAX_LENGTH);
	else if (context_is_json(*newval))
		return true;
	else
		GUC_check_errdetail("The value is not valid JSON.");
	GUC_check_errhint("Specify JSON such as '{\"user\": 7}'.");
	return false;
}

static bool
context_check_traceparent(char **newval, void **extra, GucSource source)
{
	const char *problem = **newval == '\0' ? NULL : trace_parent_problem(*newval);

	if (problem == NULL)
		return true;
	GUC_check_errdetail("The value is not a traceparent: %s.", problem);
	GUC_check_errhint("Specify version, trace id, parent id and flags in lower-case hexadecimal digits, such as "
					  "\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\".");
	return false;
}

static bool
context_check_tracestate(char **newval, void **extra, GucSource source)
{
	const char *problem = trace_state_problem(*newval);

	if (problem == NULL)
		return true;
	GUC_check_errdetail("The value is not a tracestate: %s.", problem);
	GUC_check_errhint("Specify a list such as \"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE\".");
	return false;
}

static void
context_assign(const char *newval, void *extra)
{
	if (context_text != NULL)
		pfree(context_text);
	context_text = NULL;
}

static void
context_define(const char *name, const char *description, char **variable, GucStringCheckHook check)
{
	DefineCustomStringVariable(name, description, NULL, variable, "", PGC_USERSET, 0, check, context_assign, NULL);
}

void
context_define_settings(void)
{
	context_define("webhook.context", "Sets what requests about this session's changes say of them, as JSON.",
				   &context_value, context_check_value);
	context_define("webhook.traceparent", "Sets the trace that this session's changes belong to.",
				   &context_traceparent, context_check_traceparent);
	context_define("webhook.tracestate", "Sets the state of that trace in tracing systems.",
				   &context_tracestate, context_check_tracestate);
}

static void
context_append_string(StringInfo out, const char *key, const char *value)
{
	appendStringInfo(out, "%s\"%s\":", out->len == 0 ? "{" : ",", key);
	escape_json(out, value);
}

/* A tracestate is meaningless without its traceparent. */
static void
context_form_text(StringInfo out)
{
	if (*context_traceparent != '\0')
	{
		context_append_string(out, "traceparent", context_traceparent);
		if (*context_tracestate != '\0')
			context_append_string(out, "tracestate", context_tracestate);
	}
	if (*context_value != '\0')
		appendStringInfo(out, "%s\"context\":%s", out->len == 0 ? "{" : ",", context_value);
	appendStringInfoChar(out, '}');
}

const char *
context_current(void)
{
	if (context_text == NULL && (*context_traceparent != '\0' || *context_value != '\0'))
	{
		StringInfoData text;
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&text);
		context_form_text(&text);
		context_text = text.data;
		MemoryContextSwitchTo(old);
	}
	return context_text;
}
