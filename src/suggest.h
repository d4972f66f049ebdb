/*-------------------------------------------------------------------------
 *
 * suggest.h
 *		Notices about names of a webhook that are probably misspelt.
 *
 *-------------------------------------------------------------------------
 */
#ifndef WEBHOOK_SUGGEST_H
#define WEBHOOK_SUGGEST_H

/*
 * Within as_owner_begin(): look at the trigger names and columns of a webhook
 * that has just been stored.
 */
extern void suggest_names(int64 webhook_id);

#endif							/* WEBHOOK_SUGGEST_H */
