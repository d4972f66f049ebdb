/*-------------------------------------------------------------------------
 *
 * expression.c
 *		Fields of a watched table that are SQL expressions.
 *
 * An expression is parsed as part of a query over one row, with the privileges
 * and the search_path that it is evaluated with.  What it consists of decides how:
 *
 * A pure one depends on the columns of the row and on nothing else.  It has no
 * sub-select and calls only functions that are immutable, written in C and without
 * settings of their own; other functions may run SQL, depend on the role or on
 * settings of the session.  Pure expressions are evaluated in place, as CHECK
 * constraints are, by whatever role changes the row.  The privilege to execute the
 * functions is checked for the table's owner, when they are looked up.
 *
 * Any other expression is evaluated by a query, see row_query.c.  It is called closed if
 * the query consists of nothing but columns of tables and what pure expressions may
 * contain: no setting affects its result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/pinned_settings.h"
#include "base/run_as.h"
#include "compat.h"
#include "watch/expression.h"

struct Expression
{
	MemoryContext context;		/* contains everything below */
	SPIPlanPtr	plan;			/* the parsed expression */
	const CachedPlanSource *source; /* of the plan; shows when it is out of
									 * date */
	Expr	   *planned;		/* after planning; NULL if it was known before
								 * not to be pure */
	uint64		functions;		/* expression_functions when it was planned */
	Oid			type;
	Bitmapset  *columns;		/* of the row that it uses */
	bool		pure;
	bool		closed;
	int			settings;		/* that a pure one depends on, see
								 * pinned_settings.h */
	MemoryContext state_context;
	ExprState  *state;			/* of a pure one */
};

/*
 * Changes whenever a function may have changed, or the privilege to execute it may
 * have been revoked.
 */
static uint64 expression_functions = 0;


static void
expression_function_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	expression_functions++;
}

void
expression_init(void)
{
	CacheRegisterSyscacheCallback(PROCOID, expression_function_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, expression_function_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, expression_function_callback, (Datum) 0);
}

EphemeralNamedRelation
expression_row(TupleDesc desc, Tuplestorestate *store)
{
	EphemeralNamedRelation row = palloc0(sizeof(EphemeralNamedRelationData));

	row->md.name = pstrdup(EXPRESSION_ROW_NAME);
	row->md.reliddesc = InvalidOid;
	row->md.tupdesc = desc;
	row->md.enrtype = ENR_NAMED_TUPLESTORE;
	row->md.enrtuples = 1;
	row->reldata = store;
	return row;
}

/* Must a call of this function be left to a query? */
static bool
expression_function_is_impure(Oid function, void *arg)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	bool		pure;

	if (!HeapTupleIsValid(tuple))
		return true;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	pure = proc->provolatile == PROVOLATILE_IMMUTABLE && !proc->prosecdef && !proc->proretset &&
		(proc->prolang == INTERNALlanguageId || proc->prolang == ClanguageId) &&
		heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL);
	ReleaseSysCache(tuple);
	return !pure;
}

/* Does this node, apart from those below it, make an expression impure? */
static bool
expression_is_impure_node(Node *node, int *settings)
{
	switch (nodeTag(node))
	{
		case T_Var:
			if (((Var *) node)->varattno <= 0 || type_is_rowtype(((Var *) node)->vartype))
				return true;
			break;
		case T_NullTest:
			if (((NullTest *) node)->argisrow)
				return true;
			break;
		case T_CoerceViaIO:
			*settings |= pinned_for_type(exprType((Node *) ((CoerceViaIO *) node)->arg));
			break;
		case T_Const:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_RelabelType:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CaseTestExpr:
		case T_CoalesceExpr:
		case T_BooleanTest:
		case T_List:
			break;
		default:
			return true;
	}
	return check_functions_in_node(node, expression_function_is_impure, NULL);
}

/*
 * Is there anything in it that makes an expression impure?  *settings collects the
 * settings that it depends on although its functions are marked as immutable.
 */
static bool
expression_is_impure(Node *node, int *settings)
{
	return node != NULL && (expression_is_impure_node(node, settings) ||
							expression_tree_walker(node, expression_is_impure, settings));
}

/* May reading this table, or what else is in a FROM clause, run code that is not in the query? */
static bool
expression_source_is_open(const RangeTblEntry *rte)
{
	Relation	rel;
	bool		open;

	switch (rte->rtekind)
	{
		case RTE_NAMEDTUPLESTORE:
		case RTE_SUBQUERY:
		case RTE_JOIN:
		case RTE_RESULT:
			return false;
		case RTE_RELATION:
			rel = try_relation_open(rte->relid, AccessShareLock);
			if (rel == NULL)
				return true;
			open = rte->tablesample != NULL || rel->rd_rel->relhassubclass ||
				(rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_MATVIEW);
			for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
				open |= webhook_attribute_is_virtual(TupleDescAttr(RelationGetDescr(rel), i));
			relation_close(rel, AccessShareLock);
			return open;
		default:
			return true;
	}
}

/* Is there anything in a query, after rewriting, that makes its expressions open?  *settings as above. */
static bool
expression_is_open(Node *node, int *settings)
{
	const Query *query;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Query:
			query = (Query *) node;
			return query->commandType != CMD_SELECT || query->rowMarks != NIL || query->hasTargetSRFs ||
				query_tree_walker((Query *) node, expression_is_open, settings, QTW_EXAMINE_RTES_BEFORE);
		case T_RangeTblEntry:
			return expression_source_is_open((RangeTblEntry *) node);
		case T_SubLink:
		case T_TargetEntry:
		case T_FromExpr:
		case T_JoinExpr:
		case T_RangeTblRef:
		case T_List:
			return expression_tree_walker(node, expression_is_open, settings);
		default:
			return expression_is_impure_node(node, settings) ||
				expression_tree_walker(node, expression_is_open, settings);
	}
}

/* Does it use a column whose value is not in the row? */
static bool
expression_reads_virtual(const Expression *expression, TupleDesc desc)
{
	int			attnum = -1;

	while ((attnum = bms_next_member(expression->columns, attnum)) >= 0)
		if (webhook_attribute_is_virtual(TupleDescAttr(desc, attnum - 1)))
			return true;
	return false;
}

/* Set the columns of the row that the expression uses. */
static void
expression_set_columns(Expression *expression, Node *node, TupleDesc desc)
{
	ListCell   *lc;

	foreach(lc, pull_vars_of_level(node, 0))
	{
		const Var  *var = lfirst(lc);

		if (var->varattno > 0)
			expression->columns = bms_add_member(expression->columns, var->varattno);
		else
			expression->columns = bms_add_range(expression->columns, 1, desc->natts);
	}
}

static void
expression_free(void *arg)
{
	Expression *expression = arg;

	if (expression->plan != NULL)
		SPI_freeplan(expression->plan);
}

/* The expressions were valid when watch() was called, so a table must have changed since. */
static void
expression_hint_at_watch(void *arg)
{
	const WatchedTable *table = arg;

	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		(void) run_as_hint(table->owner);
	else
		errhint("A table has changed since webhook.watch() was called. Call it again with valid settings.");
}

/* Parse and classify the expression.  Requires a connection to SPI; must run as the table's owner. */
static void
expression_parse(Expression *expression, const WatchedTable *table, TupleDesc desc, WatchField field)
{
	SPIPlanPtr	plan;
	Query	   *query;
	Node	   *node;
	int			settings = 0;

	Assert(GetUserId() == table->owner);
	if (SPI_register_relation(expression_row(CreateTupleDescCopy(desc), NULL)) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");
	plan = SPI_prepare(psprintf("SELECT %s FROM \"%s\" AS %s", table->field_expression[field], EXPRESSION_ROW_NAME,
								table->row_alias), 0, NULL);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	expression->plan = plan;
	expression->source = linitial(SPI_plan_get_plan_sources(plan));
	query = linitial_node(Query, expression->source->query_list);
	node = (Node *) linitial_node(TargetEntry, query->targetList)->expr;

	expression->type = exprType(node);
	expression->closed = !expression_is_open((Node *) query, &settings) && settings == 0;
	MemoryContextSwitchTo(expression->context);
	expression_set_columns(expression, node, desc);
	if (query->hasSubLinks || query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs)
		return;

	/*
	 * GetCachedExpression is for expressions without columns: in PostgreSQL
	 * 19 it crashes if there are any.
	 */
	expression->planned = expression_planner(copyObject((Expr *) node));
	expression->pure = !expression_is_impure((Node *) expression->planned, &expression->settings) &&
		!expression_reads_virtual(expression, desc);
}

static Expression *
expression_create(WatchedTable *table, TupleDesc desc, WatchField field)
{
	MemoryContext context = AllocSetContextCreate(table->context, "webhook expression", ALLOCSET_SMALL_SIZES);
	Expression *expression = MemoryContextAllocZero(context, sizeof(Expression));
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof(MemoryContextCallback));
	ErrorContextCallback hint = {error_context_stack, expression_hint_at_watch, table};
	MemoryContext old = CurrentMemoryContext;
	RunAs		state;

	expression->context = context;
	expression->functions = expression_functions;
	callback->func = expression_free;
	callback->arg = expression;
	MemoryContextRegisterResetCallback(context, callback);

	run_as_table_owner(table->owner, table->search_path, &state);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	error_context_stack = &hint;
	PG_TRY();
	{
		expression_parse(expression, table, desc, field);
	}
	PG_CATCH();
	{
		MemoryContextDelete(context);
		PG_RE_THROW();
	}
	PG_END_TRY();
	error_context_stack = hint.previous;
	SPI_finish();
	run_as_end(&state);
	MemoryContextSwitchTo(old);
	return expression;
}

/* Called several times for every row, so the flags are read here. */
static inline bool
expression_is_current(const Expression *expression)
{
	return expression != NULL && expression->source->is_valid &&
		(expression->planned == NULL || expression->functions == expression_functions);
}

/* The parsed expression, parsed again if something has changed that it refers to. */
static inline Expression *
expression_get(WatchedTable *table, TupleDesc desc, WatchField field)
{
	Expression *expression = table->expression[field];
	Expression *new;

	Assert(watch_is_expression(table, field));
	if (likely(expression_is_current(expression)))
		return expression;
	new = expression_create(table, desc, field);

	/* Planning may call functions that lead back to this one. */
	if (table->expression[field] != NULL)
		MemoryContextDelete(table->expression[field]->context);
	table->expression[field] = new;
	return new;
}

bool
expression_is_pure(WatchedTable *table, TupleDesc desc, WatchField field)
{
	return expression_get(table, desc, field)->pure;
}

Oid
expression_type(WatchedTable *table, TupleDesc desc, WatchField field)
{
	return expression_get(table, desc, field)->type;
}

bool
expression_columns_known(const WatchedTable *table, WatchField field, const Bitmapset **columns)
{
	const Expression *expression = table->expression[field];

	if (!expression_is_current(expression))
		return false;
	*columns = expression->columns;
	return true;
}

bool
expression_is_closed(const WatchedTable *table, WatchField field)
{
	const Expression *expression = table->expression[field];

	return expression_is_current(expression) && expression->closed;
}

/* Prepare a pure expression for evaluation.  This is where the privilege to execute its functions is checked. */
static void
expression_compile(WatchedTable *table, Expression *expression)
{
	ErrorContextCallback hint = {error_context_stack, run_as_callback, &table->owner};
	MemoryContext old;
	RunAs		state;

	expression->state = NULL;
	if (expression->state_context != NULL)
		MemoryContextReset(expression->state_context);
	else
		expression->state_context = AllocSetContextCreate(expression->context, "webhook expression state",
														  ALLOCSET_SMALL_SIZES);
	run_as_table_owner(table->owner, table->search_path, &state);
	error_context_stack = &hint;
	old = MemoryContextSwitchTo(expression->state_context);
	expression->state = ExecInitExpr(expression->planned, NULL);
	MemoryContextSwitchTo(old);
	error_context_stack = hint.previous;
	run_as_end(&state);
}

static void
expression_context_callback(void *arg)
{
	errcontext("SQL expression \"%s\"", (const char *) arg);
}

bool
expression_evaluate(WatchedTable *table, WatchField field, TupleTableSlot *slot, Datum *value, Oid *type, bool *isnull)
{
	Expression *expression = expression_get(table, slot->tts_tupleDescriptor, field);
	ErrorContextCallback context = {error_context_stack, expression_context_callback, table->field_expression[field]};
	int			nest_level;

	if (!expression->pure)
		return false;
	if (expression->state == NULL)
		expression_compile(table, expression);
	if (table->expression_context == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(table->context);

		table->expression_context = CreateStandaloneExprContext();
		MemoryContextSwitchTo(old);
	}
	table->expression_context->ecxt_scantuple = slot;
	error_context_stack = &context;
	nest_level = pinned_begin(expression->settings);
	*value = ExecEvalExprSwitchContext(expression->state, table->expression_context, isnull);
	*type = expression->type;
	pinned_end(nest_level);
	error_context_stack = context.previous;
	return true;
}

void
expression_reset(WatchedTable *table)
{
	if (table->expression_context != NULL)
		ResetExprContext(table->expression_context);
}
