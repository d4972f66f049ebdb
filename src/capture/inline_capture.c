/*-------------------------------------------------------------------------
 *
 * inline_capture.c
 *		Rows captured while the statement runs, without a trigger event.
 *
 * For every row with an AFTER trigger the executor queues an event, and at the
 * end of the statement reads the row from the table again to call the trigger
 * with it.  That costs more than finding out that no webhook wants the row.
 * Before it queues an event, the executor evaluates the trigger's WHEN
 * condition, if there is one, with the rows at hand.  So when a statement
 * starts, our trigger is given a condition: it captures the row there and
 * then, and answers that there is nothing left for the trigger to do.
 *
 * It is put into the statement's own copy of the table's triggers; nothing
 * that others see changes, and everything that decides whether a trigger
 * is fired, like ALTER TABLE ... DISABLE TRIGGER or session_replication_role,
 * is judged before the condition.  By then the row stands in the table and its
 * unique indexes, under its lock; an error later in the statement takes the
 * message along with the row.
 *
 * The trigger itself does what does not pass here: partitions, where an
 * UPDATE can be two halves; COPY and logical replication, which do without
 * the executor's start; expressions and functions that others wrote.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"

#include "capture/capture.h"
#include "capture/inline_capture.h"
#include "compat.h"
#include "watch/watch.h"

/* A condition for our trigger on one table of one statement. */
typedef struct Shortcut
{
	ExprState	state;
	Relation	rel;
} Shortcut;

static ExecutorStart_hook_type prev_executor_start = NULL;


/* The condition: is there something left for the trigger to do? */
static Datum
needs_trigger(ExprState *state, ExprContext *context, bool *isnull)
{
	Shortcut   *shortcut = (Shortcut *) state;

	*isnull = false;
	return BoolGetDatum(!capture_inline(shortcut->rel, context->ecxt_innertuple, context->ecxt_outertuple));
}

/* Is this the trigger that watch() makes, as it made it? */
static bool
is_capture_trigger(const Trigger *trigger)
{
	FmgrInfo	function;

	if (strcmp(trigger->tgname, WATCH_TRIGGER_NAME) != 0 || trigger->tgqual != NULL || trigger->tgdeferrable ||
		!TRIGGER_FOR_ROW(trigger->tgtype) || !TRIGGER_FOR_AFTER(trigger->tgtype))
		return false;
	fmgr_info(trigger->tgfoid, &function);
	return function.fn_addr == webhook_capture;
}

static void
add_shortcut(ResultRelInfo *target, MemoryContext context)
{
	Relation	rel = target->ri_RelationDesc;
	TriggerDesc *triggers = target->ri_TrigDesc;

	if (triggers == NULL || rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relispartition)
		return;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Shortcut   *shortcut;

		if (!is_capture_trigger(&triggers->triggers[i]))
			continue;
		shortcut = MemoryContextAllocZero(context, sizeof(Shortcut));
		NodeSetTag(&shortcut->state, T_ExprState);
		shortcut->state.flags = EEO_FLAG_IS_QUAL;
		shortcut->state.evalfunc = needs_trigger;
		shortcut->rel = rel;

		/* Not NULL: there is a condition.  It is never read, since its compiled form is there. */
		triggers->triggers[i].tgqual = "";
		target->ri_TrigWhenExprs[i] = &shortcut->state;
	}
}

static void
executor_start(QueryDesc *query, int eflags)
{
	if (prev_executor_start)
		prev_executor_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);

	if (!(eflags & EXEC_FLAG_EXPLAIN_ONLY))
		webhook_foreach_target(query->estate, add_shortcut);
}

void
inline_capture_init(void)
{
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
