/*-------------------------------------------------------------------------
 *
 * argument.c
 *		Arguments of the functions that SQL calls.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/argument.h"
#include "base/catalog.h"

#define MAX_LABEL_LENGTH	200 /* characters */
#define EXCERPT_LENGTH		100 /* bytes */


Datum
argument_required(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name),
				 errhint("Specify a value, or omit the argument if it has a default.")));
	return PG_GETARG_DATUM(n);
}

char *
argument_label(FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *s = TextDatumGetCString(argument_required(fcinfo, n, name));
	bool		good_length = pg_mbstrlen(s) <= MAX_LABEL_LENGTH;
	bool		good = good_length && s[strspn(s, " ")] != '\0' && strlen(s) < CATALOG_NAME_SIZE;

	for (char *p = s; *p && good; p++)
		good = (unsigned char) *p >= 0x20 && *p != 0x7f;
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for argument \"%s\"", name),
				 good_length && strlen(s) >= CATALOG_NAME_SIZE ?
				 errhint("Use at most %d bytes.", CATALOG_NAME_SIZE - 1) :
				 errhint("Use 1 to %d characters, none of them a control character.", MAX_LABEL_LENGTH)));
	return s;
}

char *
argument_excerpt(const char *s, size_t len)
{
	char	   *result = pnstrdup(s, pg_mbcliplen(s, len, EXCERPT_LENGTH));

	for (char *p = result; *p; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			*p = '?';
	return result;
}

int
argument_detail(const char *problem)
{
	if (strncmp(problem, "it ", 3) == 0)
		return errdetail("The value %s.", problem + 3);
	return errdetail("%c%s.", pg_toupper((unsigned char) problem[0]), problem + 1);
}
