/*-------------------------------------------------------------------------
 *
 * outcome_test.c
 *		What the end of a request means, where no receiver can bring it about.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include <curl/curl.h>

#include "unit.h"

#include "compat.h"
#include "http/outcome.h"

static Transfer transfer;

/* A request that has ended so, after nothing of it had been sent. */
static void
end_with(CURLcode code, const char *message)
{
	strcpy(transfer.curl_error, message);
	outcome_discard_foreign_message(&transfer, code);
}

int
main(void)
{
	transfer.easy = curl_easy_init();
	transfer.state = TRANSFER_RUNNING;

	end_with(CURLE_HTTP2, "");
	ok(outcome_not_taken(&transfer, CURLE_HTTP2), "R3: closed before the request was accepted: sent again");
	end_with(CURLE_HTTP2, "Send failure: Broken pipe");
	ok(outcome_not_taken(&transfer, CURLE_HTTP2), "R3: the same with a message about another connection");
	end_with(CURLE_HTTP2, "nghttp2 shut down: PROTOCOL_ERROR");
	ok(!outcome_not_taken(&transfer, CURLE_HTTP2), "R3: with a message of its own it is not sent again");
	is_int(outcome_judge(&transfer, CURLE_HTTP2, 0), HTTP_PROTOCOL, "R3: but the message is judged");
	end_with(CURLE_SEND_ERROR, "Send failure: Broken pipe");
	is_int(outcome_judge(&transfer, CURLE_SEND_ERROR, 0), HTTP_RESET, "R3: a connection that is lost while sending");
	ok(strstr(transfer.error, "Broken pipe") != NULL, "R3: has the message of the system");

	curl_easy_cleanup(transfer.easy);
	return done();
}
