/*-------------------------------------------------------------------------
 *
 * webhook.c
 *		Module load.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/proxy_settings.h"
#include "base/settings.h"
#include "capture/capture.h"
#include "capture/inline_capture.h"
#include "compat.h"
#include "server/database_ddl.h"
#include "server/launch.h"
#include "server/shmem.h"
#include "watch/column_rename.h"
#include "webhook.h"

WEBHOOK_MODULE_MAGIC("webhook", WEBHOOK_VERSION);

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	/* Before settings_init(), which reserves the prefix "webhook". */
	proxy_settings_init();
	settings_init();
	capture_init();

	/* Everything below needs shared memory, or hooks in all processes. */
	if (!process_shared_preload_libraries_in_progress)
		return;

	shmem_init();
	database_ddl_init();
	column_rename_init();
	inline_capture_init();
	launch_register();
}
