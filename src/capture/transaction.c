/*-------------------------------------------------------------------------
 *
 * transaction.c
 *		What happens at the end of transactions and subtransactions.
 *
 * PostgreSQL calls the callbacks of a library in the reverse order of their
 * registration.  Several modules have something to do at these moments, and the
 * order matters, so there is one callback of each kind, and the order is the one
 * written here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/catalog.h"
#include "base/webhook_lock.h"
#include "capture/capture_row.h"
#include "capture/deferred.h"
#include "capture/row_copy.h"
#include "capture/row_movement.h"
#include "capture/transaction.h"
#include "log/outbox.h"
#include "server/database_ddl.h"
#include "server/wakeup.h"


static void
transaction_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			/* Commands have ended, and with them all row movements. */
			Assert(!row_movement_pending());

			/*
			 * Deferred rows become messages, so the outbox is written after
			 * that.
			 */
			deferred_at_pre_commit(capture_row_copy);
			outbox_at_pre_commit();
			break;

		case XACT_EVENT_COMMIT:
			/* The messages are visible to others from here on. */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:

			/*
			 * First whatever other processes are waiting for: a worker that
			 * is woken must find its database released.
			 */
			database_ddl_at_eoxact();
			wakeup_end_transaction(event == XACT_EVENT_COMMIT);

			/* Then our own state, whose memory goes with the transaction. */
			deferred_at_eoxact();
			row_movement_at_eoxact();
			row_copy_at_eoxact();
			outbox_at_eoxact();
			webhook_lock_at_eoxact();

			/*
			 * Last the caches that were invalidated during the transaction,
			 * when nothing can refer to them any more.
			 */
			catalog_at_eoxact();
			break;

		default:
			break;
	}
}

/* Deferred rows, moving rows and messages belong to a subtransaction, independently of each other. */
static void
transaction_subcallback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			outbox_at_pre_subcommit(subid);
			break;

		case SUBXACT_EVENT_COMMIT_SUB:
			Assert(parent < subid);
			deferred_at_eosubxact(true, subid, parent);
			outbox_at_eosubxact(true, subid, parent);
			break;

		case SUBXACT_EVENT_ABORT_SUB:
			row_movement_at_subabort(subid);
			deferred_at_eosubxact(false, subid, parent);
			outbox_at_eosubxact(false, subid, parent);
			break;

		default:
			break;
	}
}

void
transaction_init(void)
{
	RegisterXactCallback(transaction_callback, NULL);
	RegisterSubXactCallback(transaction_subcallback, NULL);
}
