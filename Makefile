# Makefile of the webhook extension.
#
#   make, make install          build and install with PGXS; PG_CONFIG=... chooses a PostgreSQL
#   make test                   everything, in throw-away servers; installs what it needs on Debian
#   make quickstart             a demonstration in a throw-away server; make quickstart-stop removes it
#   make help                   says what else there is
#
# Supports builds outside the source tree: make -f /path/to/Makefile.

# make splits names at blanks, so a path with blanks works only from within the source directory.
src_top := $(if $(filter Makefile,$(firstword $(MAKEFILE_LIST))),.,$(patsubst %/,%,$(dir $(abspath $(firstword $(MAKEFILE_LIST))))))
ifeq ($(wildcard $(src_top)/webhook.control),)
$(error There must be no blanks in the path to the Makefile; change to its directory first)
endif

EXTENSION = webhook
MODULE_big = webhook

# The version is defined in webhook.control only.  (VERSION is used by PGXS.)
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(src_top)/webhook.control)

sources := $(sort $(wildcard $(src_top)/src/*.c $(src_top)/src/*/*.c))
headers := $(wildcard $(src_top)/src/*.h $(src_top)/src/*/*.h)
OBJS = $(patsubst $(src_top)/%.c,%.o,$(sources))

install_parts := $(sort $(wildcard $(src_top)/sql/install/*.sql))
install_script = webhook--$(EXTVERSION).sql
upgrade_scripts := $(notdir $(wildcard $(src_top)/sql/upgrade/webhook--*--*.sql))
DATA_built = $(install_script) $(upgrade_scripts)

# Tests.  They run in a server with the library preloaded and webhook.dispatch = off; the extension is created
# before the first of them.  pg_regress requires that sql/ and expected/ are in the same directory.
REGRESS := $(sort $(basename $(notdir $(wildcard $(src_top)/sql/*.sql))))
REGRESS_OPTS = --load-extension=webhook
export WEBHOOK_HELPERS := $(abspath $(src_top))/sql/helpers.psql
ISOLATION := $(sort $(basename $(notdir $(wildcard $(src_top)/test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=$(src_top)/test --load-extension=webhook
TAP_TESTS = 1
PROVE_TESTS ?= $(src_top)/test/t/*.pl

PG_CPPFLAGS = -DWEBHOOK_VERSION=\"$(EXTVERSION)\" -I$(src_top)/src \
	$(shell pkg-config --cflags libcurl libcrypto 2>/dev/null || curl-config --cflags)
SHLIB_LINK = $(shell pkg-config --libs libcurl libcrypto 2>/dev/null || echo "$$(curl-config --libs) -lcrypto") $(export_flags)

# Disable the -Wextra warnings that PostgreSQL's headers and conventions cause: unused callback parameters,
# comparisons of Size and int, short final entries of tables.  Declarations after statements are allowed.
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-Wno-declaration-after-statement

# PostgreSQL hides symbols by itself since 16; on ELF systems the list of exported names does it for every version.
ifneq ($(filter Linux FreeBSD,$(shell uname -s)),)
export_flags = -Wl,--version-script=$(src_top)/src/exports.map
endif

# Bitcode allows inlining of small functions into queries.  We have none, and building it requires the clang
# release that PostgreSQL was built with.
override with_llvm = no

EXTRA_CLEAN = src/*.o src/*/*.o output_iso tmp_check tmp_check_iso webhook--*.sql

# Targets that do not need PGXS.
own_goals = help test test-bare test-neighbours test-pages test-metrics test-chaos test-many test-ticketing test-assert test-sanitize quickstart quickstart-stop story unit fuzz bench \
	matrix lint format dist deb

ifneq ($(if $(MAKECMDGOALS),$(filter-out $(own_goals),$(MAKECMDGOALS)),all),)
# Its path, or why there is none.
found := $(shell PG_CONFIG='$(PG_CONFIG)'; . '$(src_top)/test/postgres.sh'; find_postgres build && echo "$$pg_config" || echo "$$problem")
ifneq ($(words $(found)),1)
ifneq ($(MAKECMDGOALS),clean)
$(error $(found))
endif
clean:
	rm -rf webhook.so webhook--*.sql $(EXTRA_CLEAN)
else
override PG_CONFIG := $(found)
PGXS := $(shell $(PG_CONFIG) --pgxs)
# PGXS detects this, except for a PostgreSQL that was built in its source tree.
ifeq ($(filter . $(CURDIR),$(src_top)),)
VPATH = $(src_top)
endif
# Debian's makefiles know where its headers are by themselves.  What pg_config says counts: it may be that of headers
# unpacked elsewhere.
override includedir_server := $(shell $(PG_CONFIG) --includedir-server)
# The files that include no header of PostgreSQL have no other way to know whether it was built with assertions.
ifneq ($(findstring --enable-cassert,$(shell $(PG_CONFIG) --configure)),)
PG_CPPFLAGS += -DUSE_ASSERT_CHECKING=1
endif
include $(PGXS)

# Objects go below the current directory, which need not be the one of the sources.
$(shell mkdir -p $(sort $(dir $(OBJS))))

# PostgreSQL has the flags and attributes of the compiler that it was built with, which clang need not know.
ifneq ($(findstring clang,$(shell $(CC) --version 2>/dev/null)),)
override CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes
endif

PROVE_FLAGS += -I $(src_top)/test/perl

install: installing
installing:
	@echo 'Installing for $(shell $(PG_CONFIG) --version) into $(DESTDIR)$(shell $(PG_CONFIG) --pkglibdir)'

$(OBJS): $(headers) $(src_top)/webhook.control

$(shlib): $(src_top)/src/exports.map

$(install_script): $(install_parts) $(src_top)/webhook.control
	( printf '%s\n' '\echo Use "CREATE EXTENSION webhook" to load this file. \quit'; cat $(install_parts) ) >$@.tmp
	mv $@.tmp $@

$(upgrade_scripts): webhook--%.sql: $(src_top)/sql/upgrade/webhook--%.sql
	cp $< $@

endif

else

# The first lines of README's table of these commands.
help:
	@sed -n 's/^| `\(make[^`]*\)`[^|]*| \(.*\) |$$/\1\t\2/p' $(src_top)/README.md | tr -d '`' | expand -t 34

test:
	@sh $(src_top)/test/run

# The README's commands on machines made new; BARE="bookworm trixie" chooses some.
test-bare:
	@sh $(src_top)/test/bare $(BARE)

# Beside other extensions and programs that people run with PostgreSQL, all of them Debian's.
test-neighbours:
	@sh $(src_top)/test/neighbours/run

# The pages in a browser, which comes from Debian, with tools that come from npm.
test-pages:
	@sh $(src_top)/test/run browser

# The metrics and the alerts with Debian's Prometheus, which is unpacked and not installed.
test-metrics:
	@sh $(src_top)/test/run metrics

# The tests that take long: 50 rounds of killing under load.
test-chaos:
	@TESTS=server_crash WEBHOOK_CHAOS_ROUNDS=$${WEBHOOK_CHAOS_ROUNDS:-50} sh $(src_top)/test/run tap

# 10,000 webhooks, half of them dead, for an hour of virtual time; make test does it with 1,000.
test-many:
	@TESTS=send_many WEBHOOK_MANY=$${WEBHOOK_MANY:-10000} sh $(src_top)/test/run tap

# 10,000 random changes of a ticketing system; make test makes 1,500.
test-ticketing:
	@TESTS=app_ticketing WEBHOOK_TICKETING_CHANGES=$${WEBHOOK_TICKETING_CHANGES:-10000} sh $(src_top)/test/run tap

# The tests with a PostgreSQL built from source with assertions; ASSERT=regress for one kind of tests.
test-assert:
	@sh $(src_top)/test/assert $(ASSERT)

# The extension under the undefined behaviour sanitizer: the server aborts on undefined behaviour.
test-sanitize:
	@WEBHOOK_COPT='-fsanitize=undefined -fno-sanitize-recover=undefined' sh $(src_top)/test/run regress isolation tap

quickstart:
	@sh $(src_top)/test/quickstart.sh start

quickstart-stop:
	@sh $(src_top)/test/quickstart.sh stop

story:
	@sh $(src_top)/test/quickstart.sh story

unit:
	$(MAKE) -C $(src_top)/test/unit check

fuzz:
	$(MAKE) -C $(src_top)/test/fuzz run

bench:
	@$(src_top)/test/bench/run $(BENCH)

# Build against every PostgreSQL whose development package is installed, each in a directory of its own; with
# MATRIX="regress isolation tap" these tests are run with each, too.
matrix:
	@sh $(src_top)/test/matrix $(MATRIX)

lint:
	@sh $(src_top)/test/lint

# The layout is that of pgindent, which needs the sources of PostgreSQL: make format PG_SOURCE=...
format:
	@PG_SOURCE=$(PG_SOURCE) sh $(src_top)/test/format

# Packages for Debian, one for each release of PostgreSQL that has its headers here, or for that of PG_CONFIG.
deb:
	@sh $(src_top)/test/deb $(CURDIR)

# The archive for PGXN, whose META.json must repeat the version.
dist:
	@test "$$(grep -c '"version": "$(EXTVERSION)"' $(src_top)/META.json)" = 2 || \
		{ echo 'META.json does not have version $(EXTVERSION)'; exit 1; }
	git -c safe.directory='*' -C $(src_top) archive --format zip --prefix webhook-$(EXTVERSION)/ -o $(CURDIR)/webhook-$(EXTVERSION).zip HEAD
	@echo webhook-$(EXTVERSION).zip

endif

.PHONY: installing help test test-bare test-neighbours test-pages test-metrics test-chaos test-many test-ticketing test-assert test-sanitize quickstart quickstart-stop story unit fuzz bench matrix lint format dist deb
