/*-------------------------------------------------------------------------
 *
 * webhook.h
 *		Definitions shared by all modules.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_H
#define WEBHOOK_H

#define WEBHOOK_SCHEMA		"webhook"
#define WEBHOOK_PARTITIONS	4	/* webhook.outbox_0 ... outbox_3 */

/* WEBHOOK_VERSION comes from webhook.control by way of the Makefile. */
#ifndef WEBHOOK_VERSION
#error "WEBHOOK_VERSION is not defined"
#endif

/* Background worker entry points. */
extern PGDLLEXPORT void webhook_launcher_main(Datum arg);
extern PGDLLEXPORT void webhook_worker_main(Datum arg);
extern PGDLLEXPORT void webhook_backfill_main(Datum arg);

#endif							/* WEBHOOK_H */
