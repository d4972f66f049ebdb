/*-------------------------------------------------------------------------
 *
 * prepare.c
 *		What is done to a payload before it can be sent.
 *
 * The payload for a webhook of an integration is shaped as the integration
 * says, and any webhook may have a template of its own, and a function that
 * transforms its payloads in the end.  All this happens in the worker's
 * transaction, before the delivery is queued for sending, with the settings of
 * that moment; a retry is prepared again.  So the result is never stored in the
 * delivery table, and the captured message remains unchanged.
 *
 * The function belongs to the webhook's owner and is not trusted: it runs with
 * the owner's privileges, as a security-restricted operation, in a read-only
 * subtransaction and within a time limit.  Any error in it is an error of this
 * delivery alone.  Since it is read-only, it cannot emit messages that the same
 * webhook would be sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/function.h"
#include "base/run_as.h"
#include "base/settings.h"
#include "base/subtransaction.h"
#include "compat.h"
#include "pure/json_members.h"
#include "send/format.h"
#include "send/notify.h"
#include "send/prepare.h"
#include "server/shmem.h"
#include "shape/json_field.h"
#include "shape/shape_cache.h"

/* A transform that swallows query cancel is killed after this multiple of its timeout. */
#define HARD_LIMIT_FACTOR	3

static TimeoutId prepare_hard_limit;
static DatabaseSlot *prepare_slot;	/* ours */
static int64 prepare_transforming;	/* webhook whose transform is running */


/*
 * The function can be stopped only by ending the process.  The next worker
 * deactivates the webhook, so that it does not happen again.
 */
static void
prepare_handle_hard_limit(void)
{
	pg_atomic_write_u64(&prepare_slot->faulty_transform, (uint64) prepare_transforming);
	webhook_die();
}

void
prepare_init(void)
{
	prepare_slot = shmem_my_slot(); /* looking for it takes a lock, which is
									 * not for signal handlers */
	prepare_hard_limit = RegisterTimeout(USER_TIMEOUT, prepare_handle_hard_limit);
}

static bool
prepare_converts(const Endpoint *endpoint)
{
	return endpoint->config.integration != NULL || endpoint->config.template != NULL || endpoint->config.transform != NULL;
}

bool
prepare_needed(const Endpoint *endpoint, const Message *message)
{
	return prepare_converts(endpoint) ||
		(endpoint->config.previous == PREVIOUS_CHANGED && message->former != NULL);
}

/* Look up the function.  Raises an error if it can no longer be used. */
static Oid
prepare_find_transform(const Endpoint *endpoint)
{
	Oid			function = DatumGetObjectId(DirectFunctionCall1(regprocedurein,
																CStringGetDatum(endpoint->config.transform)));

	/*
	 * It may have been replaced by another one of the same name since it was
	 * chosen.
	 */
	if (!function_is_transform(function))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s has other argument or result types", endpoint->config.transform),
				 errhint("A transform takes (jsonb), (jsonb, text, text) or (jsonb, text, text, jsonb) and returns jsonb.")));
	if (webhook_proc_aclcheck(function, endpoint->config.owner, ACL_EXECUTE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(function));
	return function;
}

static void
prepare_set_argument(FunctionCallInfo fcinfo, int n, bool isnull, Datum value)
{
	fcinfo->args[n].isnull = isnull;
	fcinfo->args[n].value = value;
}

static Datum
prepare_jsonb(const char *json)
{
	return JsonbPGetDatum(json_field_document(pstrdup(json ? json : "null")));
}

/* Call the function with as many arguments as it takes.  Returns NULL if it has dropped the payload. */
static char *
prepare_call_transform(const Endpoint *endpoint, const Message *message, const char *payload, const char *previous)
{
	LOCAL_FCINFO(fcinfo, 4);
	FmgrInfo	finfo;
	Datum		result;

	fmgr_info(prepare_find_transform(endpoint), &finfo);
	if (finfo.fn_nargs > 1 && finfo.fn_strict && message->entity_id == NULL)
		return NULL;
	InitFunctionCallInfoData(*fcinfo, &finfo, finfo.fn_nargs, InvalidOid, NULL, NULL);
	prepare_set_argument(fcinfo, 0, false, prepare_jsonb(payload));
	if (finfo.fn_nargs > 1)
	{
		prepare_set_argument(fcinfo, 1, false, CStringGetTextDatum(message->event));
		prepare_set_argument(fcinfo, 2, message->entity_id == NULL, CStringGetTextDatum(format_entity_id_text(message)));
	}

	/*
	 * Most messages have no former values; a strict function is called
	 * nevertheless.
	 */
	if (finfo.fn_nargs > 3)
		prepare_set_argument(fcinfo, 3, previous == NULL && !finfo.fn_strict, prepare_jsonb(previous));
	result = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		return NULL;
	return JsonbToCString(NULL, &DatumGetJsonbP(result)->root, VARSIZE(DatumGetPointer(result)));
}

/* A timeout may have fired just before it was disabled: discard its query cancel. */
static void
prepare_end_limits(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	disable_timeout(prepare_hard_limit, false);
	QueryCancelPending = false;
}

/*
 * Call it as the owner, within the time limit.  The end of the caller's
 * subtransaction makes the transaction writable again.
 */
static char *
prepare_run_transform(const Endpoint *endpoint, const Message *message, const char *payload, const char *previous)
{
	RunAs		state;
	char	   *result;

	run_as_webhook_owner(endpoint->config.owner, &state);
	XactReadOnly = true;
	prepare_transforming = endpoint->id;
	enable_timeout_after(STATEMENT_TIMEOUT, webhook_transform_timeout);
	enable_timeout_after(prepare_hard_limit, HARD_LIMIT_FACTOR * webhook_transform_timeout);
	result = prepare_call_transform(endpoint, message, payload, previous);
	prepare_end_limits();
	run_as_end(&state);
	return result;
}

/* The payload of a deletion need not have the fields that a form requires. */
static bool
prepare_is_deletion(const Message *message)
{
	const char *dot = strrchr(message->event, '.');

	return dot != NULL && strcmp(dot, ".delete") == 0;
}

/* Append the members of "former" that payload has with other values, or does not have. */
static void
prepare_append_changed(StringInfo out, const char *payload, const char *former)
{
	JsonMembers members = json_members(former);
	JsonMembers others = json_members(payload);
	JsonMember	member;
	char		separator = '{';

	while (json_members_next(&members, &member))
	{
		JsonMember	other;

		if (json_members_find(&others, &member, &other) && other.value_len == member.value_len &&
			memcmp(other.value, member.value, member.value_len) == 0)
			continue;
		appendStringInfoChar(out, separator);
		appendBinaryStringInfo(out, member.key, (int) (member.value + member.value_len - member.key));
		separator = ',';
	}
	appendStringInfoString(out, separator == '{' ? "{}" : "}");
}

/* A payload in the shape of the endpoint's integration, and in its own. */
static char *
prepare_shape(const Endpoint *endpoint, const Message *message, char *payload, ShapeFaults *faults)
{
	const ShapeSet *set = NULL;
	int			len;

	if (payload == NULL)
		return NULL;
	if (endpoint->config.integration != NULL)
		set = shape_cache_get(endpoint->config.integration, message->entity_type, message->profile, message->event_uid);
	if (set != NULL)
		payload = shape_cache_apply(set, payload, true, faults, &len);
	if (endpoint->config.template != NULL)
	{
		StringInfoData out;

		initStringInfo(&out);
		template_apply(endpoint->config.template, json_field_document(pstrdup(payload)), &out);
		payload = out.data;
	}
	return payload;
}

/* What is sent of the payload before the change; NULL: nothing. */
static char *
prepare_choose_previous(const Endpoint *endpoint, const Message *message, const char *payload, char *former)
{
	StringInfoData changed;

	if (endpoint->config.previous == PREVIOUS_ROW)
		return former;
	if (endpoint->config.previous == PREVIOUS_NONE || prepare_is_deletion(message))
		return NULL;

	/*
	 * Values of single columns cannot be converted.  There are some if the
	 * webhook has been given an integration, a template or a transform since.
	 */
	if (former == NULL)
		return message->changed != NULL && strcmp(message->changed, "{}") == 0 ? message->changed : NULL;
	if (payload == NULL || *former != '{' || *payload != '{')
		return former;
	initStringInfo(&changed);
	prepare_append_changed(&changed, payload, former);
	return changed.data;
}

/* The payload to be sent, and what is sent of the one before; NULL: none.  Errors are raised. */
static char *
prepare_make_payload(const Endpoint *endpoint, const Message *message, ShapeFaults *faults, char **previous)
{
	bool		both = endpoint->config.previous != PREVIOUS_NONE && message->former != NULL;
	char	   *payload = prepare_shape(endpoint, message, message->payload, prepare_is_deletion(message) ? NULL : faults);
	char	   *former = both ? prepare_shape(endpoint, message, message->former, NULL) : NULL;

	*previous = prepare_choose_previous(endpoint, message, payload, former);
	if (endpoint->config.transform == NULL)
		return payload;
	payload = prepare_run_transform(endpoint, message, payload, *previous);
	if (both && payload != NULL)
		former = prepare_run_transform(endpoint, message, former, NULL);
	*previous = prepare_choose_previous(endpoint, message, payload, former);
	return payload;
}

static void
prepare_take_payload(Delivery *delivery, const char *payload, const char *previous, MemoryContext context)
{
	delivery->prepared.result = PREPARATION_SEND;
	if (payload == NULL && delivery->endpoint->config.transform != NULL)
	{
		delivery->prepared.result = PREPARATION_DROP;
		return;
	}
	if (payload != NULL && payload != delivery->message->payload)
		delivery->prepared.payload = MemoryContextStrdup(context, payload);
	if (previous != NULL)
		delivery->prepared.previous = MemoryContextStrdup(context, previous);
}

/* Note what does not fit the form, to be logged with the attempt, and report it once. */
static void
prepare_take_faults(Delivery *delivery, const ShapeFaults *faults, MemoryContext context)
{
	Endpoint   *endpoint = delivery->endpoint;
	char	   *text;

	if (faults->text.len == 0)
		return;
	text = psprintf("%sthe payload does not fit the form: %s", faults->hold ? "withheld: " : "", faults->text.data);

	delivery->prepared.faults = MemoryContextStrdup(context, text);
	if (faults->hold)
		delivery->prepared.result = PREPARATION_HOLD;
	if ((endpoint->prepare.reported_faults == NULL || strcmp(endpoint->prepare.reported_faults, text) != 0) &&
		notify_possible())
	{
		notify_form(endpoint, text);
		if (endpoint->prepare.reported_faults != NULL)
			free(endpoint->prepare.reported_faults);
		endpoint->prepare.reported_faults = strdup(text);
	}
}

/*
 * A subtransaction is needed even without a transform: after an error, its
 * abort releases what SPI and the caches hold.
 */
void
prepare_delivery(Delivery *delivery, MemoryContext context)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext scratch = AllocSetContextCreate(old, "webhook preparation", ALLOCSET_DEFAULT_SIZES);
	ShapeFaults faults = {0};

	prepare_forget(delivery);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(scratch);
	PG_TRY();
	{
		char	   *previous;
		char	   *payload = prepare_make_payload(delivery->endpoint, delivery->message, &faults, &previous);

		prepare_take_payload(delivery, payload, previous, context);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		prepare_end_limits();
		edata = subtransaction_abort(scratch, owner);
		prepare_set_error(delivery, edata->message, context);
	}
	PG_END_TRY();
	CurrentResourceOwner = owner;
	if (delivery->prepared.result != PREPARATION_ERROR)
		prepare_take_faults(delivery, &faults, context);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);

	/*
	 * Otherwise the worker would hold what pg_advisory_lock() took until it
	 * exits.
	 */
	if (delivery->endpoint->config.transform != NULL)
		LockReleaseSession(USER_LOCKMETHOD);
	Assert(delivery->prepared.result != PREPARATION_NONE);
}

void
prepare_set_error(Delivery *delivery, const char *error, MemoryContext context)
{
	prepare_forget(delivery);
	delivery->prepared.error = MemoryContextStrdup(context, error);
	delivery->prepared.result = PREPARATION_ERROR;
}

/* What is sent of the values before the change. */
static const char *
prepare_previous(const Delivery *delivery)
{
	const Message *message = delivery->message;

	if (prepare_needed(delivery->endpoint, message))
		return delivery->prepared.previous;
	switch (delivery->endpoint->config.previous)
	{
		case PREVIOUS_CHANGED:
			return message->changed;
		case PREVIOUS_ROW:
			return message->former;
		default:
			return NULL;
	}
}

const Message *
prepare_message(const Delivery *delivery, Message *copy)
{
	const char *previous = prepare_previous(delivery);

	if (delivery->prepared.payload == NULL && previous == NULL)
		return delivery->message;
	*copy = *delivery->message;
	copy->previous = previous;
	if (delivery->prepared.payload != NULL)
	{
		copy->payload = delivery->prepared.payload;
		copy->payload_len = strlen(delivery->prepared.payload);
	}
	return copy;
}

void
prepare_forget(Delivery *delivery)
{
	if (delivery->prepared.payload != NULL)
		pfree(delivery->prepared.payload);
	if (delivery->prepared.previous != NULL)
		pfree(delivery->prepared.previous);
	if (delivery->prepared.error != NULL)
		pfree(delivery->prepared.error);
	if (delivery->prepared.faults != NULL)
		pfree(delivery->prepared.faults);
	memset(&delivery->prepared, 0, sizeof(delivery->prepared));
}
