/*-------------------------------------------------------------------------
 *
 * report.c
 *		The messages that a change makes, for each audience of its table.
 *
 * Webhooks whose owners may read the same columns share a message.  If a
 * payment makes the change another action for an integration, there is one
 * message for its webhooks and one for the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/context.h"
#include "capture/deferred.h"
#include "capture/match.h"
#include "capture/payment.h"
#include "capture/report.h"
#include "log/outbox.h"
#include "watch/audience.h"
#include "watch/expression.h"


/* The payload before a change, or of what was deleted. */
static char *
report_former(Change *change, const WatchAudience *audience, int *len)
{
	const WatchValues *values;

	Assert(change->old != NULL);
	if (change->new != NULL)
		values = change_before(change, watch_has_field(change->table, WATCH_PAYLOAD) ? WATCH_BIT(WATCH_PAYLOAD) : 0);
	else
		values = change_values(change, 0);
	return evaluate_payload(change->table, audience, change->old, values, len);
}

static void
report_set_payload(Change *change, const WatchAudience *audience, OutboxRow *message)
{
	if (message->payload == NULL)
		message->payload = evaluate_payload(change->table, audience, change->new ? change->new : change->old,
											change_values(change, 0), &message->payload_len);
}

/*
 * The document that conditions are evaluated on.  Payloads that it contains are set
 * in the message.
 *
 * Usually conditions read a few columns, and are true for few of the changes, so that
 * most rows need not be converted as a whole.
 */
static Jsonb *
report_rows(Change *change, const WatchAudience *audience, WatchAction action, OutboxRow *message)
{
	const Bitmapset *columns = audience->condition_columns[action];
	TupleTableSlot *new = action == WATCH_DELETE ? NULL : change->new;
	TupleTableSlot *old = action == WATCH_CREATE ? NULL : change->old;
	StringInfoData buf;

	if (change->table->json == NULL || audience->events[action]->condition_reads_all)
	{
		report_set_payload(change, audience, message);
		if (old != NULL)
			message->former = report_former(change, audience, &message->former_len);
		return match_condition_document(action == WATCH_DELETE ? NULL : message->payload, message->former);
	}
	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"new\":");
	if (new != NULL)
		evaluate_append_columns(change->table, audience, new, columns, &buf);
	else
		appendStringInfoString(&buf, "null");
	appendStringInfoString(&buf, ",\"old\":");
	if (old != NULL)
		evaluate_append_columns(change->table, audience, old, columns, &buf);
	else
		appendStringInfoString(&buf, "null");
	appendStringInfoChar(&buf, '}');
	return match_parse_payload(buf.data);
}

/* Add what webhooks need of the row before, and remove what was only needed for matching. */
static void
report_set_previous(Change *change, const WatchAudience *audience, WatchAction action, int previous,
					OutboxRow *message)
{
	const char *former = message->former;

	message->former = NULL;
	if (action == WATCH_CREATE || (action == WATCH_DELETE && !(previous & CATALOG_FORMER)) || previous == 0)
		return;
	if (change->old == NULL)
	{
		/* Nothing has changed but the payment. */
		message->changed = "{}";
		message->changed_len = 2;
	}
	else if ((previous & CATALOG_FORMER) || change->table->json == NULL)
	{
		/* The worker derives what has changed from it. */
		message->former = former ? former : report_former(change, audience, &message->former_len);
	}
	else
		message->changed = evaluate_changed(change->table, audience, change->old, change->new, &message->changed_len);
}

/* Append the message for one audience, or for that part of it, restricted to columns that its owners may read. */
static void
report_append(Change *change, const WatchAudience *audience, WatchAction action, MatchPart part)
{
	WatchedTable *table = change->table;
	const WatchValues *values = change_values(change, WATCH_BIT(WATCH_ID));
	const CatalogEvent *event = audience->events[action];
	const CatalogWebhookList *lists[MATCH_LISTS];
	Match		match = {part, change->integration.integration, change->only, audience->columns};
	OutboxRow	message = {0};
	pg_uuid_t	message_id;

	Assert(action < WATCH_NACTIONS);
	Assert(change->ruled || !(part & MATCH_INTEGRATED));
	if (audience_sees(table, audience, WATCH_EVENT_UID))
		message.event_uid = values->text[WATCH_EVENT_UID];
	match.event_uid = message.event_uid;

	/* Without a subscription to this event, no payload is needed. */
	if (!event->plain && match_lists(event, &match, lists) == 0)
		return;

	if (event->asks_filter)
		report_set_payload(change, audience, &message);
	if (event->asks_condition)
		match.rows = report_rows(change, audience, action, &message);
	match.payload = message.payload;
	match.old = action == WATCH_UPDATE ? change->old : NULL;
	match.new = change->new;
	message.webhook_ids = match_webhooks(event, &match);
	if (message.webhook_ids == NULL)
		return;
	report_set_payload(change, audience, &message);
	report_set_previous(change, audience, action, match.previous, &message);
	message.relation = table->root;
	message.event = table->event_names[action];
	message.entity_type = table->entity_type;
	message.entity_id = values->text[WATCH_ID];
	if (audience_sees(table, audience, WATCH_PROFILE))
		message.profile = values->text[WATCH_PROFILE];
	message.id = deferred_next_id(change->deferred);
	if (change->only != 0)
		message.context = CONTEXT_OF_BACKFILL;
	else
		message.context = change->deferred ? deferred_context(change->deferred) : context_current();
	outbox_append(&message, &message_id);
	change->nmessages++;
}

/* Has a column that this audience sees changed, other than those that say what is paid? */
static bool
report_more_than_payment(const Change *change, const WatchAudience *audience)
{
	const WatchedTable *table = change->table;
	const Bitmapset *of_payment = NULL;

	if (watch_is_expression(table, WATCH_PAID))
		(void) expression_columns_known(table, WATCH_PAID, &of_payment);
	for (int i = 0; i < audience->ncompare; i++)
		if (audience->compare[i] != table->field_column[WATCH_PAID] &&
			!bms_is_member(audience->compare[i], of_payment) &&
			evaluate_column_changed(change->old, change->new, audience->compare[i]))
			return true;
	return false;
}

/* Does a webhook of any integration subscribe to what this change may be for it? */
static bool
report_concerns_integrations(const Change *change, const WatchAudience *audience)
{
	if (audience->events[change->action]->by_integration != NULL)
		return true;
	return change->action == WATCH_UPDATE && watch_has_field(change->table, WATCH_PAID) &&
		(audience->events[WATCH_CREATE]->by_integration != NULL ||
		 audience->events[WATCH_DELETE]->by_integration != NULL);
}

/* Append the messages for an audience; the ruling on payment is only needed if an integration subscribes. */
static void
report_to_audience(Change *change, const WatchAudience *audience)
{
	WatchAction action = change->action;
	WatchAction ruling;

	if (!report_concerns_integrations(change, audience))
	{
		report_append(change, audience, action, MATCH_FREE);
		return;
	}
	payment_decide(change);
	ruling = change->ruling;
	if (change->nothing_but_payment && !report_more_than_payment(change, audience))
		ruling = WATCH_NACTIONS;
	if (ruling == action)
	{
		report_append(change, audience, action, MATCH_ALL);
		return;
	}
	report_append(change, audience, action, MATCH_FREE);
	if (ruling != WATCH_NACTIONS)
		report_append(change, audience, ruling, MATCH_INTEGRATED);
}

void
report_change(Change *change)
{
	/*
	 * Use the audiences of this moment: a function that is called for a
	 * payload may cause them to be rebuilt.
	 */
	WatchAudience *audiences = change->table->audiences;
	int			naudiences = change->table->naudiences;

	if (!change_resolve_deletion(change))
		return;
	for (int i = 0; i < naudiences; i++)
	{
		/*
		 * The first audience sees everything.  What was changed may be hidden
		 * from another.
		 */
		if (i > 0 && change->action == WATCH_UPDATE &&
			!change_touches_columns(change, audiences[i].compare, audiences[i].ncompare))
			continue;
		report_to_audience(change, &audiences[i]);
	}
}

void
report_existing(Change *change, bool integrated)
{
	WatchAudience *audiences = change->table->audiences;
	int			naudiences = change->table->naudiences;

	Assert(change->action == WATCH_CREATE && change->only != 0);
	if (!change_resolve_deletion(change))
		return;

	/*
	 * Decide on payment only if an integration subscribes: the decision is
	 * recorded as what receivers know.
	 */
	if (integrated)
	{
		payment_decide(change);
		if (change->ruling == WATCH_NACTIONS)
			return;
	}
	for (int i = 0; i < naudiences; i++)
		report_append(change, &audiences[i], WATCH_CREATE, integrated ? MATCH_INTEGRATED : MATCH_FREE);
}

void
report_payment(Change *change)
{
	WatchAudience *audiences = change->table->audiences;
	int			naudiences = change->table->naudiences;

	Assert(change->action == WATCH_UPDATE && change->old == NULL);
	for (int i = 0; i < naudiences; i++)
	{
		report_append(change, &audiences[i], WATCH_UPDATE, MATCH_FREE);
		if (!report_concerns_integrations(change, &audiences[i]))
			continue;
		payment_decide(change);
		if (change->ruling != WATCH_NACTIONS)
			report_append(change, &audiences[i], change->ruling, MATCH_INTEGRATED);
	}
}
