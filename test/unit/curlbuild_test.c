/*-------------------------------------------------------------------------
 *
 * curlbuild_test.c
 *		R3, I18: releases of libcurl with a fault, and builds without certificates.
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "pure/curlbuild.h"

static void
test_faults(void)
{
	static const struct
	{
		unsigned int version;
		const char *word;		/* of the fault; NULL: none */
	}			cases[] = {
		{0x075000, NULL}, {0x075801, NULL}, {0x080800, NULL},
		{0x080900, "busy"}, {0x080901, "busy"}, {0x080A00, NULL}, {0x080E01, NULL}, {0x081300, NULL},
		{0x081400, "busy"}, {0x081500, "leaks"}, {0x081600, NULL}, {0x081700, NULL}, {0x090000, NULL}
	};

	for (size_t i = 0; i < lengthof(cases); i++)
	{
		const char *fault = curlbuild_fault(cases[i].version);

		ok(cases[i].word == NULL ? fault == NULL : fault != NULL && strstr(fault, cases[i].word) != NULL,
		   "R3 libcurl %06x: %s", cases[i].version, cases[i].word ? cases[i].word : "no fault is known");
	}
}

static void
test_certificates(void)
{
	static const char *const with[] = {
		"OpenSSL/3.0.20", "OpenSSL/1.1.1w", "LibreSSL/3.8.2", "BoringSSL", "AWS-LC/1.29.0", "quictls/3.1.5",
		"OpenSSL/3.0.20 (GnuTLS/3.7.9)", "(GnuTLS/3.7.9) OpenSSL/3.0.20", "(GnuTLS/3.7.9) (mbedTLS/3.4) OpenSSL/3.0.20"
	};
	static const char *const without[] = {
		"GnuTLS/3.7.9", "wolfSSL/5.6.4", "mbedTLS/3.4.0", "Schannel", "SecureTransport", "NSS/3.87", "BearSSL", "rustls-ffi/0.10", "",
		"(OpenSSL/3.0.20) GnuTLS/3.7.9", "GnuTLS/3.7.9 (OpenSSL/3.0.20)", "(OpenSSL/3.0.20", "("
	};

	for (size_t i = 0; i < lengthof(with); i++)
		ok(curlbuild_has_certificates(with[i]), "I18 certificates with \"%s\"", with[i]);
	for (size_t i = 0; i < lengthof(without); i++)
		ok(!curlbuild_has_certificates(without[i]), "I18 none with \"%s\"", without[i]);
	ok(!curlbuild_has_certificates(NULL), "I18 none without TLS");
}

int
main(void)
{
	test_faults();
	test_certificates();
	return done();
}
