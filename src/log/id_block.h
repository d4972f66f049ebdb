/*-------------------------------------------------------------------------
 *
 * id_block.h
 *		Draw message ids, which are reserved in blocks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_ID_BLOCK_H
#define WEBHOOK_ID_BLOCK_H

/*
 * The next message id of this database: greater than all that have been drawn before,
 * by whatever session.  Raises an error if the extension does not exist.
 */
extern int64 id_block_draw(void);

/* Must be called at the end of every transaction, and when a subtransaction has been aborted. */
extern void id_block_at_eoxact(void);

#endif							/* WEBHOOK_ID_BLOCK_H */
