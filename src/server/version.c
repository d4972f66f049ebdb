/*-------------------------------------------------------------------------
 *
 * version.c
 *		The version of the library and that of the extension's SQL.
 *
 * They differ between a restart that loads a new library and ALTER EXTENSION UPDATE,
 * after pg_upgrade, and after an update before the restart.  They fit only if they
 * are equal.  Otherwise capture goes on, treating columns that a table lacks as null
 * (see catalog.h) and ignoring unknown ones.  The worker waits, and functions that
 * manage webhooks fail with a hint.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "base/catalog.h"
#include "compat.h"
#include "server/shmem.h"
#include "server/version.h"

bool
version_fits(void)
{
	const CatalogOids *oids = catalog_oids();

	Assert(oids != NULL);
	return strcmp(oids->version, WEBHOOK_VERSION) == 0;
}

/* Is this version, numbers separated by dots, newer than the library's? */
static bool
version_is_newer(const char *version)
{
	const char *ours = WEBHOOK_VERSION;

	while (*version != '\0' || *ours != '\0')
	{
		char	   *end;
		char	   *our_end;
		long		number = strtol(version, &end, 10);
		long		our_number = strtol(ours, &our_end, 10);

		if (number != our_number)
			return number > our_number;
		version = *end == '.' ? end + 1 : "";
		ours = *our_end == '.' ? our_end + 1 : "";
	}
	return false;
}

/* For ereport(): detail and hint. */
static int
version_explain(void)
{
	const char *version = catalog_oids()->version;

	errdetail("The extension in this database has version %s, the loaded library has version %s.",
			  version, WEBHOOK_VERSION);
	return version_is_newer(version) ?
		errhint("Restart the server to load the library of version %s.", version) :
		errhint("Run ALTER EXTENSION webhook UPDATE.");
}

void
version_require(void)
{
	shmem_require();
	if (catalog_oids() != NULL && !version_fits())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" and its library have different versions", "webhook"),
				 version_explain()));
}

void
version_warn(void)
{
	ereport(WARNING,
			(errmsg("webhook is not sending from database \"%s\"", get_database_name(MyDatabaseId)),
			 version_explain()));
}
