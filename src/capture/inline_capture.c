/*-------------------------------------------------------------------------
 *
 * inline_capture.c
 *		Rows captured while the statement runs, without a trigger event.
 *
 * For every row with an AFTER trigger the executor queues an event, and at the
 * end of the statement it reads the row again to call the trigger.  That costs
 * more than finding out that no webhook subscribes to the row.  Before it queues
 * an event, the executor evaluates the trigger's WHEN condition, if there is one,
 * with the rows at hand.  So when a statement starts, our trigger is given a
 * condition, which captures the row and says that nothing is left for the trigger
 * to do.
 *
 * The condition is put into the statement's own copy of the table's triggers.
 * Other sessions and statements see no difference, and everything that decides whether a
 * trigger is fired, like ALTER TABLE ... DISABLE TRIGGER or
 * session_replication_role, is checked before the condition.  By then the row
 * is in the table and its unique indexes, under its lock; an error later in the
 * statement drops the message together with the row.
 *
 * The trigger itself captures what does not pass through here: partitions, where an
 * UPDATE can be two halves; COPY and logical replication, which do not start the
 * executor; rows with user-defined expressions and functions, which must see the
 * completed statement.
 *
 * This depends on how the executor keeps the compiled conditions of triggers,
 * so it is left out of a build for a release of PostgreSQL that it was not tested
 * with (compat.h), and webhook.inline_capture disables it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"

#include "base/settings.h"
#include "capture/capture.h"
#include "capture/inline_capture.h"
#include "compat.h"
#include "watch/watch.h"

#ifdef WEBHOOK_HAS_INLINE_CAPTURE

/* A condition for our trigger on one table of one statement. */
typedef struct InlineCondition
{
	ExprState	state;			/* must be first */
	Relation	rel;
} InlineCondition;

static ExecutorStart_hook_type inline_capture_prev_executor_start = NULL;


/* The condition: is there something left for the trigger to do? */
static Datum
inline_capture_evaluate(ExprState *state, ExprContext *context, bool *isnull)
{
	InlineCondition *condition = (InlineCondition *) state;

	*isnull = false;
	return BoolGetDatum(!capture_inline(condition->rel, context->ecxt_innertuple, context->ecxt_outertuple));
}

/* Is this the trigger that watch() creates, unchanged? */
static bool
inline_capture_is_ours(const Trigger *trigger)
{
	FmgrInfo	function;

	if (strcmp(trigger->tgname, WATCH_TRIGGER_NAME) != 0 || trigger->tgqual != NULL || trigger->tgdeferrable ||
		!TRIGGER_FOR_ROW(trigger->tgtype) || !TRIGGER_FOR_AFTER(trigger->tgtype))
		return false;
	fmgr_info(trigger->tgfoid, &function);
	return function.fn_addr == webhook_capture;
}

/* Give our trigger on the table of a statement the condition. */
static void
inline_capture_add(ResultRelInfo *target, MemoryContext context)
{
	Relation	rel = target->ri_RelationDesc;
	TriggerDesc *triggers = target->ri_TrigDesc;

	if (triggers == NULL || rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relispartition)
		return;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		InlineCondition *condition;

		if (!inline_capture_is_ours(&triggers->triggers[i]))
			continue;
		condition = MemoryContextAllocZero(context, sizeof(InlineCondition));
		NodeSetTag(&condition->state, T_ExprState);
		condition->state.flags = EEO_FLAG_IS_QUAL;
		condition->state.evalfunc = inline_capture_evaluate;
		condition->rel = rel;

		/*
		 * Not NULL says that there is a condition.  Its text is not read,
		 * since the compiled form exists.
		 */
		Assert(target->ri_TrigWhenExprs[i] == NULL);
		triggers->triggers[i].tgqual = "";
		target->ri_TrigWhenExprs[i] = &condition->state;
	}
}

static void
inline_capture_executor_start(QueryDesc *query, int eflags)
{
	if (inline_capture_prev_executor_start)
		inline_capture_prev_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);

	if (webhook_inline_capture && !(eflags & EXEC_FLAG_EXPLAIN_ONLY))
		webhook_foreach_target(query->estate, inline_capture_add);
}

void
inline_capture_init(void)
{
	inline_capture_prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = inline_capture_executor_start;
}

#else

/* The trigger captures all rows. */
void
inline_capture_init(void)
{
}

#endif							/* WEBHOOK_HAS_INLINE_CAPTURE */
