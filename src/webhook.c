/*-------------------------------------------------------------------------
 *
 * webhook.c
 *		The table of contents: what happens when the library is loaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "capture.h"
#include "compat.h"
#include "launcher.h"
#include "renamed.h"
#include "settings.h"
#include "shmem.h"
#include "shortcut.h"
#include "utility.h"
#include "webhook.h"

WEBHOOK_MODULE_MAGIC("webhook", WEBHOOK_VERSION);

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	settings_init();
	capture_init();

	if (!process_shared_preload_libraries_in_progress)
		return;

	shmem_init();
	utility_init();
	renamed_init();
	shortcut_init();
	launcher_init();
}
