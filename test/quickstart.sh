#!/bin/sh
# A demonstration in a throw-away server: make quickstart, make quickstart-stop; make story runs another one and exits.

top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/test/lib.sh"

database=conference
port=54328

# The command that the user has typed.
psql_command()
{
	echo "$to_user $pg_bin/psql -h $work/socket -p $port -U postgres $database" | sed 's/^ //'
}

# The server's log is the place for messages below WARNING.
sql()
{
	as_user env PGOPTIONS='-c client_min_messages=warning' "$pg_bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$work/socket" \
		-p $port -U postgres "$@" || die "psql failed; the server's log is $work/data.log"
}

value()
{
	sql -A -t -d $database -c "$1"
}

indented()
{
	sed 's/^/    /'
}

# Print a heading and the statements.
announce()
{
	say "" "$bold$1$normal" ""
	say "$2" | indented
}

# The same, with their results.
show()
{
	announce "$1" "$2"
	say ""
	say "$2" | sql -P footer=off -d $database -f - | indented
}

create_schema()
{
	sql -d postgres -c "CREATE DATABASE $database"
	sql -d $database <<'SQL'
CREATE EXTENSION webhook;

CREATE TABLE profile (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL
);
CREATE TABLE event (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid        text NOT NULL UNIQUE,
    profile_id integer NOT NULL REFERENCES profile,
    title      text NOT NULL,
    city       text,
    starts_at  timestamptz
);
CREATE TABLE guest (
    id             integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id       integer NOT NULL REFERENCES event,
    firstname      text NOT NULL,
    lastname       text NOT NULL,
    email          text,
    payment_status text NOT NULL DEFAULT 'open' CHECK (payment_status IN ('open', 'paid', 'refunded')),
    password_hash  text
);
CREATE INDEX ON guest (event_id);

INSERT INTO profile (name) VALUES ('Berlin office'), ('Milan office');
INSERT INTO event (uid, profile_id, title, city, starts_at) VALUES
    ('PGDAY-2026', 1, 'PostgreSQL Day', 'Berlin', '2026-06-11 09:00+02'),
    ('GALA-2026', 2, 'Summer gala', 'Milano', '2026-07-03 19:30+02');
SQL
}

start_receiver()
{
	as_user sh -c "cd '$work' && exec python3 '$src/test/receiver.py' --ledger ledger --port-file port >receiver.log 2>&1 &
		echo \$! >'$work/receiver.pid'"
	tries=0
	until [ -f "$work/port" ]
	do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || die "the receiver did not start: $(cat "$work/receiver.log")"
		sleep 0.1
	done
	receiver=http://127.0.0.1:$(cat "$work/port")
}

# The status page, served live.
start_page()
{
	as_user sh -c "cd '$work' && exec python3 '$src/test/page.py' --port-file page.port --refresh 5 --psql '$pg_bin/psql' \
		'host=$work/socket port=$port user=postgres dbname=$database' >page.log 2>&1 &
		echo \$! >'$work/page.pid'"
	tries=0
	until [ -s "$work/page.port" ]
	do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || die "the page is not served: $(cat "$work/page.log")"
		sleep 0.1
	done
}

# Wait until the receiver has this many requests.
wait_for_requests()
{
	python3 - "$receiver/_wait?count=$1&timeout=10000" <<'PYTHON' || die "no request arrived; the server's log is $work/data.log"
import sys, urllib.error, urllib.request
try:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1]).read()
except urllib.error.HTTPError:
    sys.exit(1)
PYTHON
}

# Print what the receiver has recorded, from request number $1 on; $2 is the time of the commit, for the latency.
show_requests()
{
	python3 - "$work/ledger" "$1" "$2" <<'PYTHON'
import json, sys
for line in list(open(sys.argv[1]))[int(sys.argv[2]) - 1:]:
    request = json.loads(line)
    print("    %s %s%s" % (request["method"], request["path"], request["query"] and "?" + request["query"]))
    for line in request["header_lines"]:
        if line.lower().startswith(("content-type", "authorization", "webhook-")):
            print("    " + line)
    print("\n    " + request["body"] + "\n" if request["body"] else "")
    if float(sys.argv[3]):
        print("    arrived %.1f ms after COMMIT began\n" % (1000 * (request["time"] - float(sys.argv[3]))))
PYTHON
}

# Run a statement in a transaction of its own; prints the time, in seconds, just before COMMIT.
commit_time()
{
	sql -A -t -d $database <<SQL
BEGIN;
$1;
SELECT extract(epoch FROM clock_timestamp());
COMMIT;
SQL
}

demonstrate()
{
	watches="SELECT webhook.watch('event', 'event', event_uid => 'uid');
SELECT webhook.watch('guest', 'guest',
           event_uid => '(SELECT e.uid FROM event e WHERE e.id = event_id)',
           exclude => '{password_hash}');"
	announce "1. Two tables of an application are watched." "$watches"
	value "$watches" >/dev/null

	show "2. Two webhooks: everything for the CRM; guests of one event, in another form, for the badge printer." \
"SELECT webhook.create_webhook('crm', 'event.*,guest.*', '$receiver/crm',
           headers => '{\"Authorization\": \"Bearer s3cr3t\"}') AS crm,
       webhook.create_webhook('badges', 'guest.create', '$receiver/badges/{event_uid}/{entity_id}',
           method => 'PUT', format => 'rest', event_uids => 'PGDAY-2026') AS badges;"

	insert="INSERT INTO guest (event_id, firstname, lastname, email)
    VALUES (1, 'Ada', 'Lovelace', 'ada@example.org')"
	announce "3. A guest registers." "BEGIN;
$insert;
COMMIT;"
	committed=$(commit_time "$insert")
	wait_for_requests 2
	say "" "${bold}What the receiver got:$normal" ""
	show_requests 1 "$committed"

	changes="UPDATE guest SET payment_status = 'paid' WHERE lastname = 'Lovelace';
UPDATE event SET city = 'Milano (MI)' WHERE uid = 'GALA-2026';
BEGIN;
INSERT INTO guest (event_id, firstname, lastname) VALUES (1, 'Rolled', 'Back');
ROLLBACK;"
	announce "4. The guest pays, a gala moves, and somebody changes their mind." "$changes"
	say "$changes" | sql -d $database -f -
	wait_for_requests 4

	show "5. The webhooks." \
"SELECT id, app, event, method, active, pending FROM webhook.get_webhooks() ORDER BY id;"

	show "6. The last ten requests of the first one, from the newest on." \
"SELECT event, attempt, status, outcome, duration FROM webhook.get_webhook_log(1);"
}

# Rows of the copied table are changed, deleted and inserted, each in a transaction of its own.  $1 is the first new id.
change_products()
{
	sql -d $database -o /dev/null -f - <<SQL
SELECT CASE i % 3
           WHEN 0 THEN format('UPDATE product SET price = price + 1 WHERE id = %s', 1 + floor(random() * 100000))
           WHEN 1 THEN format('DELETE FROM product WHERE id = %s', 1 + floor(random() * 100000))
           ELSE format('INSERT INTO product VALUES (%s, %L, 100)', $1 + i, 'new product ' || i)
       END
FROM generate_series(1, 3000) AS i \\gexec
SQL
}

# Wait until this is true in the database.
wait_until()
{
	tries=0
	until [ "$(value "SELECT $1")" = t ]
	do
		tries=$((tries + 1))
		[ $tries -lt 3000 ] || die "this does not become true: $1"
		sleep 0.1
	done
}

# The job goes on while rows are changed; show it, and wait until it has ended and all has arrived.  $1 as for change_products.
watch_job()
{
	change_products "$1" &
	changes=$!
	wait_until "bool_and(rows_sent > 0) FROM webhook.stat_progress_backfill"
	show "Meanwhile rows are updated, deleted and inserted." \
		"SELECT job, phase, rows_estimated, rows_sent FROM webhook.stat_progress_backfill ORDER BY job;"
	wait $changes || die "the rows could not be changed"
	wait_until "bool_and(phase = 'finished') FROM webhook.stat_progress_backfill"
	wait_until "webhook.pending() = 0"
}

# Compare the table with the copy of a receiver that was empty before request number $1.
compare_copy()
{
	value "SELECT id, price FROM product" >"$scratch/product"
	python3 - "$work/ledger" "$1" "$scratch/product" <<'PYTHON' || die "the copy differs from the table"
import json, sys
copy = {}
requests = [json.loads(line) for line in list(open(sys.argv[1]))[int(sys.argv[2]) - 1:]]
for request in requests:
    for message in json.loads(request["body"]):
        if message["action_type"] == "delete":
            copy.pop(message["entity_id"], None)
        else:
            copy[message["entity_id"]] = message["result"]["price"]
table = {int(id): int(price) for id, price in (line.split("|") for line in open(sys.argv[3]))}
print("\n    After %d requests the copy has %d rows, and the table has %d. They are %s." %
      (len(requests), len(copy), len(table), "equal" if copy == table else "DIFFERENT"))
sys.exit(copy != table)
PYTHON
}

# A receiver keeps a copy of a table: it is connected, catches up, loses its data, and is sent what it was sent.
copy_story()
{
	show "A table with 100,000 rows, of which a warehouse is to have a copy. What is delivered is kept for a day." \
"CREATE TABLE product (id integer PRIMARY KEY, name text, price integer);
INSERT INTO product SELECT i, 'product ' || i, 100 FROM generate_series(1, 100000) AS i;
ALTER SYSTEM SET webhook.history_retention = '1 d';
SELECT pg_reload_conf();
SELECT webhook.watch('product', 'product');"
	wait_until "current_setting('webhook.history_retention') = '1d'"
	first=$(($(wc -l <"$work/ledger") + 1))
	show "The warehouse is connected, and sent what there is." \
"SELECT webhook.create_webhook('warehouse', 'product.*', '$receiver/copy', batch_size => 500) AS warehouse;
SELECT webhook.backfill((SELECT id FROM webhook.get_webhooks('warehouse')), 'product') AS job;"
	watch_job 200000
	compare_copy "$first"

	first=$(($(wc -l <"$work/ledger") + 1))
	show "It loses its data. What it was sent in the last hour is sent again." \
"SELECT webhook.replay((SELECT id FROM webhook.get_webhooks('warehouse')), since => now() - interval '1 hour') AS messages;"
	watch_job 300000
	compare_copy "$first"
	show "Both have ended." \
		"SELECT job, relation, phase, rows_sent, finished_at - started_at AS took FROM webhook.stat_progress_backfill ORDER BY job;"
}

# prepare name: start a server with the extension, and a receiver, which end with this script.
prepare()
{
	claim_scratch "$1"
	sh "$top/test/bootstrap" quickstart || exit 1
	find_postgres || die "$problem."
	WEBHOOK_COPT=${WEBHOOK_COPT:--O1 -g0}
	make_scratch "$1" 300 again
	trap 'stop_servers "$scratch"' EXIT
	trap 'exit 1' HUP INT TERM
	cd "$scratch" || exit 1
	say "Building the extension and starting a server of its own in $scratch ..."
	copy_postgres || die "PostgreSQL could not be copied to $work."
	build_extension || die "The extension could not be built."
	start_server "$work/data" $port "webhook.allowed_networks = '127.0.0.1'" || die "The server did not start."
	start_receiver
}

# Profiles, integrations, mappings, a manual action and the API: the output of story.sql, and what the receiver got.
story()
{
	prepare webhook-story
	sql -d postgres -c "CREATE DATABASE $database"
	sql -d $database -c "CREATE EXTENSION webhook"
	sql -e -P footer=off -d $database -v receiver="$receiver" -f "$src/test/story.sql"
	wait_for_requests 4
	say "" "${bold}What the receivers got:$normal" ""
	show_requests 1 0
	copy_story
	stop_servers "$scratch"
	trap - EXIT HUP INT TERM
	rm -rf "$scratch"
}

start()
{
	prepare webhook-quickstart
	create_schema
	demonstrate
	start_page
	echo 0 >"$scratch/run.pid"		# from here on it may be stopped from elsewhere
	trap - EXIT HUP INT TERM

	say "" "${bold}Try more:$normal" "" \
		"    UPDATE guest SET payment_status = 'refunded' WHERE id = 1;" \
		"    SELECT request_headers, request_body FROM webhook.get_webhook_log(1) LIMIT 1 \\gx" \
		"    SELECT * FROM webhook.stat_webhooks WHERE webhook_id = 1 \\gx" "" \
		"What goes on, as a page: ${bold}http://127.0.0.1:$(cat "$work/page.port")/$normal" "" \
		"The server, the receiver and the page go on until: make quickstart-stop" ""
	if [ -t 0 ] && [ -t 1 ]
	then
		say "This is psql; \\q leaves it." ""
		as_user "$pg_bin/psql" -h "$work/socket" -p $port -U postgres $database
		say "" "To come back:"
	else
		say "Connect with:"
	fi
	say "" "    $(psql_command)" ""
}

stop()
{
	claim_scratch webhook-quickstart
	if [ -e "$scratch" ]
	then
		end_scratch
		rm -rf "$scratch"
		say "Removed $scratch."
	elif [ ! -O "$files" ]
	then
		say "There is nothing to stop."
	fi
	if [ -O "$files" ] && [ ! -L "$files" ]
	then
		[ ! -f "$files/installed" ] ||
			say "These packages were installed and stay; to remove them: apt-get autoremove --purge $(tr '\n' ' ' <"$files/installed")"
		rm -rf "$files"
		say "Removed $files."
	fi
}

bold=
normal=
if [ -t 1 ]
then
	bold=$(printf '\033[1m')
	normal=$(printf '\033[0m')
fi
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGDATA MAKEFLAGS MAKELEVEL

case $1 in
	start) start ;;
	stop) stop ;;
	story) story ;;
	*) die "usage: $0 start|stop|story" ;;
esac
