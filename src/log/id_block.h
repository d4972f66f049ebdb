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
 * Must be called before a transaction draws its first id.  Raises an error if the
 * extension does not exist.
 */
extern void id_block_begin_transaction(void);

/* The next message id of this database: greater than all that have been drawn before, by whatever session. */
extern int64 id_block_draw(void);

#endif							/* WEBHOOK_ID_BLOCK_H */
