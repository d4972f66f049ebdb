/*-------------------------------------------------------------------------
 *
 * condition.c
 *		Which columns the condition of a webhook reads.
 *
 * Most conditions compare a few columns, as in $.new.state != $.old.state.  To
 * evaluate them, only these columns of the two rows must be converted.
 *
 * Only items of a jsonpath that exist in every supported release of PostgreSQL
 * are recognized.  For others, and for those that depend on the whole
 * document, all columns are assumed to be read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/condition.h"

static bool condition_walk(JsonPathItem *item, List **columns);


/* Does $ begin a path such as $.new.column?  Records the column, and sets *item to it. */
static bool
condition_walk_root(JsonPathItem *item, List **columns)
{
	JsonPathItem row;
	char	   *name;
	int32		len;

	if (!jspGetNext(item, &row) || row.type != jpiKey)
		return false;
	name = jspGetString(&row, &len);
	if (len != 3 || (memcmp(name, "new", 3) != 0 && memcmp(name, "old", 3) != 0))
		return false;
	if (!jspGetNext(&row, item) || item->type != jpiKey)
		return false;
	name = jspGetString(item, &len);
	*columns = lappend(*columns, pnstrdup(name, len));
	return true;
}

static bool
condition_walk_operands(JsonPathItem *item, List **columns)
{
	JsonPathItem operand;

	jspGetLeftArg(item, &operand);
	if (!condition_walk(&operand, columns))
		return false;
	jspGetRightArg(item, &operand);
	return condition_walk(&operand, columns);
}

static bool
condition_walk_argument(JsonPathItem *item, List **columns)
{
	JsonPathItem argument;

	jspGetArg(item, &argument);
	return condition_walk(&argument, columns);
}

static bool
condition_walk_subscripts(JsonPathItem *item, List **columns)
{
	for (int i = 0; i < item->content.array.nelems; i++)
	{
		JsonPathItem from;
		JsonPathItem to;
		bool		range = jspGetArraySubscript(item, &from, &to, i);

		if (!condition_walk(&from, columns) || (range && !condition_walk(&to, columns)))
			return false;
	}
	return true;
}

/* Walk through one item, but not those that follow it in its path. */
static bool
condition_walk_item(JsonPathItem *item, List **columns)
{
	JsonPathItem string;

	switch (item->type)
	{
		case jpiRoot:
			return condition_walk_root(item, columns);
		case jpiAnd:
		case jpiOr:
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiAdd:
		case jpiSub:
		case jpiMul:
		case jpiDiv:
		case jpiMod:
		case jpiStartsWith:
			return condition_walk_operands(item, columns);
		case jpiNot:
		case jpiIsUnknown:
		case jpiPlus:
		case jpiMinus:
		case jpiFilter:
		case jpiExists:
			return condition_walk_argument(item, columns);
		case jpiLikeRegex:
			jspInitByBuffer(&string, item->base, item->content.like_regex.expr);
			return condition_walk(&string, columns);
		case jpiIndexArray:
			return condition_walk_subscripts(item, columns);
		case jpiNull:
		case jpiString:
		case jpiNumeric:
		case jpiBool:
		case jpiAnyArray:
		case jpiAnyKey:
		case jpiAny:
		case jpiKey:
		case jpiCurrent:		/* something within the value of a column */
		case jpiLast:
		case jpiType:
		case jpiSize:
		case jpiAbs:
		case jpiFloor:
		case jpiCeiling:
		case jpiDouble:
		case jpiDatetime:
			return true;
		default:
			return false;
	}
}

static bool
condition_walk(JsonPathItem *item, List **columns)
{
	JsonPathItem next;

	check_stack_depth();
	for (;;)
	{
		if (!condition_walk_item(item, columns))
			return false;
		if (!jspGetNext(item, &next))
			return true;
		*item = next;
	}
}

bool
condition_columns(JsonPath *condition, List **columns)
{
	JsonPathItem first;

	*columns = NIL;
	jspInit(&first, condition);
	return condition_walk(&first, columns);
}
