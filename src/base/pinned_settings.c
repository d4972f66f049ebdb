/*-------------------------------------------------------------------------
 *
 * pinned_settings.c
 *		Settings that affect the text form of values, the same in every session.
 *
 * What is sent about a row must depend on the row only, not on the session that
 * wrote it: a connection pool passes one client's settings on to the next.  So
 * values are converted to text, and expressions evaluated, with the settings
 * below.
 *
 * Changing a setting costs about a microsecond.  Callers therefore specify the
 * settings that their types depend on, and those that already have the right
 * value are not touched.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/xml.h"

#include "base/pinned_settings.h"

#define ZONE			"UTC"

static void
pinned_set(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Not via the variables of these settings: utils/pg_locale.h requires the headers of ICU. */
static void
pinned_set_locale_c(const char *name)
{
	if (strcmp(GetConfigOption(name, false, false), "C") != 0)
		pinned_set(name, "C");
}

/* Settings that no type's output function uses, but other functions do. */
static void
pinned_apply_formats(void)
{
	pinned_set_locale_c("lc_numeric");
	pinned_set_locale_c("lc_time");
	if (xmlbinary != XMLBINARY_BASE64)
		pinned_set("xmlbinary", "base64");
	if (xmloption != XMLOPTION_CONTENT)
		pinned_set("xmloption", "content");
	if (!Array_nulls)
		pinned_set("array_nulls", "on");
}

void
pinned_apply(int settings)
{
	if ((settings & PINNED_DATES) && (DateStyle != USE_ISO_DATES || DateOrder != DATEORDER_MDY))
		pinned_set("datestyle", "ISO, MDY");
	if ((settings & PINNED_ZONE) && strcmp(pg_get_timezone_name(session_timezone), ZONE) != 0)
		pinned_set("timezone", ZONE);
	if ((settings & PINNED_INTERVALS) && IntervalStyle != INTSTYLE_POSTGRES)
		pinned_set("intervalstyle", "postgres");
	if ((settings & PINNED_FLOATS) && extra_float_digits <= 0)
		pinned_set("extra_float_digits", "1");
	if ((settings & PINNED_BYTEA) && bytea_output != BYTEA_OUTPUT_HEX)
		pinned_set("bytea_output", "hex");
	if (settings & PINNED_MONEY)
		pinned_set_locale_c("lc_monetary");
	if ((settings & PINNED_NAMES) && strcmp(namespace_search_path, PINNED_SEARCH_PATH) != 0)
		pinned_set("search_path", PINNED_SEARCH_PATH);
	if ((settings & (PINNED_NAMES | PINNED_FORMATS)) && quote_all_identifiers)
		pinned_set("quote_all_identifiers", "off");
	if (settings & PINNED_FORMATS)
		pinned_apply_formats();
}

int
pinned_begin(int settings)
{
	int			nest_level;

	Assert((settings & ~PINNED_ALL) == 0);
	if (settings == 0)
		return 0;
	nest_level = NewGUCNestLevel();
	pinned_apply(settings);
	return nest_level;
}

void
pinned_end(int nest_level)
{
	if (nest_level > 0)
		AtEOXact_GUC(false, nest_level);
}

/* Decide by the output function, so that domains and citext qualify, too. */
static int
pinned_for_output(PGFunction output)
{
	static const struct
	{
		PGFunction	function;
		int			settings;
	}			known[] = {
		{boolout, 0}, {charout, 0}, {nameout, 0}, {int2out, 0}, {int4out, 0}, {int8out, 0}, {oidout, 0},
		{numeric_out, 0}, {textout, 0}, {varcharout, 0}, {bpcharout, 0}, {enum_out, 0}, {uuid_out, 0},
		{inet_out, 0}, {cidr_out, 0}, {macaddr_out, 0}, {macaddr8_out, 0}, {bit_out, 0}, {varbit_out, 0},
		{time_out, 0}, {json_out, 0}, {jsonb_out, 0}, {xml_out, 0}, {tsvectorout, 0}, {pg_lsn_out, 0},
		{float4out, PINNED_FLOATS}, {float8out, PINNED_FLOATS}, {point_out, PINNED_FLOATS},
		{byteaout, PINNED_BYTEA}, {interval_out, PINNED_INTERVALS}, {cash_out, PINNED_MONEY},
		{date_out, PINNED_DATES}, {timestamp_out, PINNED_DATES}, {timetz_out, PINNED_DATES},
		{timestamptz_out, PINNED_DATES | PINNED_ZONE}
	};

	for (int i = 0; i < lengthof(known); i++)
		if (known[i].function == output)
			return known[i].settings;
	return PINNED_ALL;
}

int
pinned_for_type(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			part = get_element_type(base);
	Oid			output;
	bool		is_varlena;
	FmgrInfo	function;

	/* Arrays and ranges depend on the same settings as their elements. */
	if (!OidIsValid(part))
		part = get_range_subtype(base);
	if (OidIsValid(part))
		return pinned_for_type(part);
	getTypeOutputInfo(base, &output, &is_varlena);
	fmgr_info(output, &function);
	return pinned_for_output(function.fn_addr);
}
