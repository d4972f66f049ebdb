-- HTML pages: complete documents without scripts and without anything from elsewhere.  All data is escaped by
-- html(), and a Content-Security-Policy blocks whatever might get past it.  Texts: src/api/page_text.c.

CREATE FUNCTION webhook.html(value text) RETURNS text
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_html';
COMMENT ON FUNCTION webhook.html(text) IS 'a text with which HTML shows just that text';

-- Names can be in any language; <bdi> keeps those written from right to left from moving what is around them.
CREATE FUNCTION webhook.page_name(value text) RETURNS text
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_name';
COMMENT ON FUNCTION webhook.page_name(text) IS 'a name, or a short text, in a page';

CREATE FUNCTION webhook.page_number(value numeric) RETURNS text
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_number';
COMMENT ON FUNCTION webhook.page_number(numeric) IS 'a number in a page';

CREATE FUNCTION webhook.page_seconds(seconds double precision) RETURNS text
    LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_seconds';
COMMENT ON FUNCTION webhook.page_seconds(double precision) IS 'a duration in a page';

CREATE FUNCTION webhook.page_time(value timestamptz) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_time';
COMMENT ON FUNCTION webhook.page_time(timestamptz) IS 'a time with its zone in a page';

CREATE FUNCTION webhook.page_ago(value timestamptz) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'webhook_page_ago';
COMMENT ON FUNCTION webhook.page_ago(timestamptz) IS 'how long ago something was, or when it will be, in a page';

CREATE FUNCTION webhook.page_style() RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT $css$
:root{color-scheme:light dark;--page:#f4f5f7;--card:#fff;--line:#d9dde3;--text:#1b2129;--soft:#566070;--link:#0b57b0;
--ok:#16703a;--okfill:#3aa564;--okback:#e3f4e9;--warn:#855300;--warnback:#fdf0d2;--bad:#b3211b;--badfill:#d6433c;--badback:#fde7e5;--code:#f1f3f6;--range:#a9c7ee;--mark:#1f5fb0}
@media (prefers-color-scheme:dark){:root{--page:#0e1217;--card:#171d25;--line:#2c3541;--text:#e8edf3;--soft:#a3afbe;--link:#7db7ff;
--ok:#5fd08a;--okfill:#2f9b5a;--okback:#12301f;--warn:#f0bd5b;--warnback:#382a0b;--bad:#ff9189;--badfill:#e5534b;--badback:#431816;--code:#10151b;--range:#284a73;--mark:#7db7ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:72rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.1rem;display:flex;flex-wrap:wrap;gap:.1rem 1rem;align-items:baseline;justify-content:space-between}
footer{padding-bottom:2rem;color:var(--soft);font-size:.87rem}
h1{font-size:1.15rem;margin:0;font-weight:650}h2{font-size:1.02rem;margin:0 0 .6rem;font-weight:650}h3{font-size:.95rem;margin:1rem 0 .3rem}
p{margin:.3rem 0}a{color:var(--link)}small,.soft{color:var(--soft);font-size:.87rem}
.verdict{border:1px solid var(--line);border-left:.5rem solid var(--ok);border-radius:.6rem;background:var(--okback);padding:.9rem 1.1rem;margin:.8rem 0 1rem}
.verdict strong{display:block;font-size:1.5rem;line-height:1.25;font-weight:700;color:var(--ok)}
.verdict ul{margin:.6rem 0 0;padding:0;list-style:none}.verdict li{padding:.35rem 0;border-top:1px solid var(--line)}
.verdict.warn{border-left-color:var(--warn);background:var(--warnback)}.verdict.warn strong{color:var(--warn)}
.verdict.bad{border-left-color:var(--bad);background:var(--badback)}.verdict.bad strong{color:var(--bad)}
.verdict .soft,.verdict small{color:var(--text)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.6rem;margin:0 0 1rem;padding:0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.6rem .8rem}
.tiles dt{color:var(--soft);font-size:.82rem}.tiles dd{margin:0;font-size:1.25rem;line-height:1.3;font-weight:650;font-variant-numeric:tabular-nums}.tiles small{font-size:.78rem;font-weight:400;white-space:nowrap}
.tiles .bad dd{color:var(--bad)}.tiles .warn dd{color:var(--warn)}
section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1.1rem;margin:0 0 1rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.9rem 1.2rem}
figure{margin:0}figcaption{display:flex;flex-wrap:wrap;gap:0 1rem;font-size:.87rem;color:var(--soft)}
svg{display:block;width:100%;height:7.5rem;margin:.3rem 0 .1rem;border-bottom:1px solid var(--line);background:linear-gradient(var(--line),var(--line)) 0 0/100% 1px no-repeat,linear-gradient(var(--line),var(--line)) 0 50%/100% 1px no-repeat}
.axis{display:flex;justify-content:space-between;font-size:.78rem;color:var(--soft);font-variant-numeric:tabular-nums}
.key::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:.15em;margin-right:.35em;background:var(--c)}
.k1{--c:var(--okfill)}.k2{--c:var(--badfill)}.k3{--c:var(--mark)}.k4{--c:var(--range)}
.f1{fill:var(--okfill)}.f2{fill:var(--badfill)}.f3{fill:var(--mark)}.f4{fill:var(--range)}
.badge{display:inline-block;border-radius:1rem;padding:.05rem .6rem;font-size:.82rem;font-weight:650;white-space:nowrap;color:var(--ok);background:var(--okback)}
.badge.warn{color:var(--warn);background:var(--warnback)}.badge.bad{color:var(--bad);background:var(--badback)}.badge.off{color:var(--soft);background:var(--code)}
.hooks{list-style:none;margin:0;padding:0}
.hooks li{display:grid;grid-template-columns:7.2rem minmax(0,1fr) 9rem 7rem 7rem;gap:.1rem .9rem;padding:.55rem 0;border-top:1px solid var(--line);align-items:start}
.hooks .num{font-variant-numeric:tabular-nums}.hooks .num span{display:block;color:var(--soft);font-size:.78rem}
.why{grid-column:2/-1;color:var(--bad)}.why.warn{color:var(--warn)}
pre{background:var(--code);border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem;margin:.2rem 0 .6rem;white-space:pre-wrap;font:.82rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;max-height:24rem;overflow:auto}
details{border-top:1px solid var(--line);padding:.45rem 0}summary{cursor:pointer}
summary .badge{margin-right:.4rem}
.list{list-style:none;margin:0;padding:0}.list li{padding:.45rem 0;border-top:1px solid var(--line)}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.2rem 1rem;margin:0}.facts dt{color:var(--soft)}.facts dd{margin:0}
form{margin:.8rem 0 0}button{font:inherit;font-weight:650;border-radius:.5rem;border:1px solid var(--link);padding:.6rem 1.1rem;min-height:2.75rem;background:var(--card);color:var(--link);cursor:pointer;width:100%;max-width:28rem}
button.first{background:var(--link);color:var(--card)}
:focus-visible{outline:3px solid var(--mark);outline-offset:2px}
@media (max-width:58rem){.hooks li{grid-template-columns:repeat(3,minmax(0,1fr))}.hooks li>:first-child,.hooks li>:nth-child(2),.why{grid-column:1/-1}.verdict strong{font-size:1.25rem}.facts{grid-template-columns:minmax(0,1fr)}.facts dd{margin-bottom:.4rem}}
@media print{body{background:#fff}section{break-inside:avoid}}
$css$;
$$;
COMMENT ON FUNCTION webhook.page_style() IS 'the style sheet of all pages';

-- level is ok, warn or bad; it is the colour of the icon.  What is long is put together by concat(), which copies it only once.
CREATE FUNCTION webhook.page_document(title text, level text, form_action text, body text) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<!DOCTYPE html>' || E'\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>' || webhook.html($1) || E'</title>\n'
        || '<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-'
        || encode(sha256(convert_to(webhook.page_style(), 'UTF8')), 'base64')
        || '&#39;; img-src data:; base-uri &#39;none&#39;; form-action &#39;' || $3 || E'&#39;">\n'
        || E'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        || E'<meta name="robots" content="noindex">\n<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=&#39;http://www.w3.org/2000/svg&#39; '
        || 'viewBox=&#39;0 0 8 8&#39;%3E%3Ccircle cx=&#39;4&#39; cy=&#39;4&#39; r=&#39;4&#39; fill=&#39;%23'
        || CASE $2 WHEN 'ok' THEN '3aa564' WHEN 'warn' THEN 'd99a1b' ELSE 'd6433c' END || E'&#39;/%3E%3C/svg%3E">\n'
        || '<style>' || webhook.page_style() || E'</style>\n</head>\n<body>\n', $4, E'</body>\n</html>\n');
$$;
COMMENT ON FUNCTION webhook.page_document(text, text, text, text) IS 'a complete HTML document';

CREATE FUNCTION webhook.page_header(title text) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
AS $$
    SELECT '<header><h1>' || title || '</h1><small>' || webhook.page_time(pg_catalog.now()) || E'</small></header>\n';
$$;
COMMENT ON FUNCTION webhook.page_header(text) IS 'the head of a page; the title is HTML';

CREATE FUNCTION webhook.page_tile(label text, value text, level text DEFAULT 'ok') RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT '<div class="' || level || '"><dt>' || label || '</dt><dd>' || value || E'</dd></div>\n';
$$;
COMMENT ON FUNCTION webhook.page_tile(text, text, text) IS 'one number of a page';

-- For minutes the last two hours, for hours the last 14 days; tiles about the last hour come with the minutes only.
CREATE FUNCTION webhook.page_history(ids bigint[], period text, OUT tiles text, OUT plots text) RETURNS record
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_page_history';
COMMENT ON FUNCTION webhook.page_history(bigint[], text) IS 'what webhooks did, and how long it took, as tiles and plots';

CREATE FUNCTION webhook.page_history_sections(minutes text, hours text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT E'<section aria-labelledby="minutes"><h2 id="minutes">The last two hours</h2>\n' || minutes || E'</section>\n'
        || E'<section aria-labelledby="hours"><h2 id="hours">The last 14 days</h2>\n' || hours || E'</section>\n';
$$;
COMMENT ON FUNCTION webhook.page_history_sections(text, text) IS 'the pictures of a page';

-- The webhooks that a role may see, or one of them, with what their state means.  gives_up_at is when the schedule of one that
-- fails will be used up, if every probe fails.
CREATE FUNCTION webhook.page_webhooks(role oid, webhook_id bigint)
RETURNS TABLE (id bigint, app text, name text, event text, url text, method text, active boolean, level text, state text, delivered bigint,
               failed bigint, pending bigint, buffered bigint, dropped bigint, estimated boolean, oldest interval, last_success_at timestamptz,
               last_failure_at timestamptz, last_error text, failing_since timestamptz, next_probe_at timestamptz, probes integer,
               steps integer, gives_up_at timestamptz, deactivated_at timestamptz, deactivation_reason text, buffered_until timestamptz)
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    -- The second part is no join, for which the planner could read all webhooks again and again.
    RETURN QUERY
    SELECT w.id, w.app, w.name, w.event, w.url, w.method, w.active,
           CASE WHEN NOT w.active AND w.deactivation_reason <> 'manual' THEN 'bad'
                WHEN NOT w.active THEN 'off'
                WHEN s.next_probe_at IS NOT NULL THEN 'bad'
                WHEN s.failing_since IS NOT NULL OR s.oldest_pending_age > '5 min' THEN 'warn' ELSE 'ok' END,
           CASE WHEN NOT w.active THEN CASE WHEN w.deactivation_reason = 'manual' THEN 'off' ELSE 'deactivated' END
                WHEN s.next_probe_at IS NOT NULL THEN 'failing'
                WHEN s.failing_since IS NOT NULL THEN 'retrying'
                WHEN s.oldest_pending_age > '5 min' THEN 'late'
                WHEN s.last_success_at IS NULL THEN 'nothing yet' ELSE 'works' END,
           s.delivered, s.failed, s.pending, s.buffered, s.dropped, s.estimated, s.oldest_pending_age, s.last_success_at, s.last_failure_at,
           s.last_error, s.failing_since, s.next_probe_at, s.probes, cardinality(r.steps),
           s.next_probe_at + (SELECT coalesce(sum(t.step), '0') FROM unnest(r.steps) WITH ORDINALITY AS t (step, n) WHERE t.n > s.probes + 1),
           w.deactivated_at, w.deactivation_reason,
           CASE WHEN w.buffering THEN w.deactivated_at + current_setting('webhook.buffer_retention')::interval END
    FROM webhook.stat_webhooks AS s
    CROSS JOIN LATERAL (SELECT * FROM webhook.webhook AS h WHERE h.id = s.webhook_id OFFSET 0) AS w
    CROSS JOIN LATERAL (
        SELECT CASE WHEN s.next_probe_at IS NOT NULL
                    THEN coalesce(w.retry_schedule, string_to_array(current_setting('webhook.retry_schedule'), ',')::interval[]) END) AS r (steps)
    WHERE ($2 IS NULL OR s.webhook_id = $2) AND pg_has_role($1, w.owner::oid, 'USAGE');
END
$$;
COMMENT ON FUNCTION webhook.page_webhooks(oid, bigint) IS 'what the pages show of webhooks';

CREATE FUNCTION webhook.page_title(id bigint, app text, name text) RETURNS text
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
AS $$
    SELECT webhook.page_name(coalesce(nullif(name, ''), app)) || ' <small>#' || id || CASE WHEN name <> '' THEN ' &middot; ' || webhook.page_name(app) ELSE '' END || '</small>';
$$;
COMMENT ON FUNCTION webhook.page_title(bigint, text, text) IS 'how the pages call a webhook';

-- Why it does not deliver, and what will happen next.
CREATE FUNCTION webhook.page_why(w record) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    error text := CASE WHEN w.last_error <> '' THEN ': ' || webhook.page_name(w.last_error) ELSE '' END;
BEGIN
    RETURN CASE w.state
        WHEN 'deactivated' THEN
            'Deactivated ' || webhook.page_ago(w.deactivated_at)
            || CASE w.deactivation_reason
                   WHEN 'failing' THEN ' because all attempts failed' || error
                   WHEN 'gone' THEN ' because the receiver answered 410 Gone'
                   WHEN 'owner' THEN ' because its owner has been dropped'
                   WHEN 'copy' THEN ' because this database is a copy'
                   ELSE ' (' || webhook.html(w.deactivation_reason) || ')' END
            || '. ' || CASE WHEN w.buffered_until > now() THEN 'What comes until ' || webhook.page_time(w.buffered_until) || ' is buffered.'
                            ELSE 'What comes now is dropped.' END
        WHEN 'failing' THEN
            'Has failed for ' || webhook.page_seconds(extract(epoch FROM now() - w.failing_since)::double precision) || error || format('. %s of %s attempts are used up; the next one is ', w.probes, w.steps)
            || CASE WHEN w.next_probe_at <= now() THEN 'due' ELSE webhook.page_ago(w.next_probe_at) END
            || '. Unless one succeeds, it will be deactivated ' || webhook.page_ago(greatest(w.gives_up_at, now())) || '.'
        WHEN 'retrying' THEN 'The last attempt failed ' || webhook.page_ago(w.last_failure_at) || error || '.'
        WHEN 'late' THEN 'A message has waited for ' || webhook.page_seconds(extract(epoch FROM w.oldest)::double precision) || '.'
        ELSE '' END;
END
$$;
COMMENT ON FUNCTION webhook.page_why(record) IS 'why a row of page_webhooks() does not deliver, as HTML';

CREATE FUNCTION webhook.page_item(w record) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN '<li><span><span class="badge ' || w.level || '">' || w.state || '</span></span><span><a href="?webhook_id=' || w.id || '">'
        || webhook.page_title(w.id, w.app, w.name) || '</a><br><small>' || webhook.page_name(w.event) || ' &rarr; ' || webhook.page_name(w.method || ' ' || w.url)
        || '</small></span><span class="num"><span>last success</span>' || webhook.page_ago(w.last_success_at)
        || '</span><span class="num"><span>delivered</span>' || webhook.page_number(w.delivered)
        || '</span><span class="num"><span>' || CASE WHEN w.active THEN 'waiting' ELSE 'buffered' END || '</span>'
        || CASE WHEN w.estimated THEN '&asymp; ' ELSE '' END || webhook.page_number(w.pending + w.buffered) || '</span>'
        || CASE WHEN w.level IN ('bad', 'warn') THEN '<span class="why ' || w.level || '">' || webhook.page_why(w) || '</span>' ELSE '' END || E'</li>\n';
END
$$;
COMMENT ON FUNCTION webhook.page_item(record) IS 'a row of page_webhooks() in a list';

-- For what comes after the first hundred.
CREATE FUNCTION webhook.page_line(w record) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN '<li><span class="badge ' || w.level || '">' || w.state || '</span> <a href="?webhook_id=' || w.id || '">'
        || webhook.page_title(w.id, w.app, w.name) || E'</a></li>\n';
END
$$;
COMMENT ON FUNCTION webhook.page_line(record) IS 'a row of page_webhooks() in a short list';

CREATE FUNCTION webhook.page_list(title text, id text, items text, more text, more_count bigint) RETURNS text
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS $$
    SELECT CASE WHEN items IS NULL THEN ''
                ELSE pg_catalog.concat('<section aria-labelledby="' || id || '"><h2 id="' || id || '">' || title || '</h2><ul class="hooks">', items, '</ul>',
                         CASE WHEN more IS NOT NULL THEN '<details><summary>' || webhook.page_number(more_count) || ' more</summary><ul class="list">' END,
                         more, CASE WHEN more IS NOT NULL THEN '</ul></details>' END, E'</section>\n') END;
$$;
COMMENT ON FUNCTION webhook.page_list(text, text, text, text, bigint) IS 'a list of webhooks as a section of a page';

-- The worker of this database.  Its error may contain values of messages, so it is for roles that may read stat_workers.
CREATE FUNCTION webhook.page_worker(role oid, OUT level text, OUT verdict text, OUT words text) RETURNS record
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.level,
           CASE WHEN l.proxy THEN 'The proxy does not work' WHEN l.level = 'bad' THEN 'Nothing is sent' WHEN l.level = 'warn' THEN 'Sending has to wait' END,
           CASE s.state
               WHEN 'resting' THEN 'No worker is needed, as there is nothing to send.'
               WHEN 'waiting' THEN 'All workers are busy with other databases; this one has waited for ' || webhook.page_seconds(extract(epoch FROM now() - s.since)::double precision) || '.'
               WHEN 'starting' THEN 'A worker is being started.'
               WHEN 'backoff' THEN 'The worker ended with an error'
                                   || CASE WHEN has_table_privilege($1, 'webhook.stat_workers', 'SELECT')
                                           THEN ': ' || webhook.page_name(coalesce(s.last_error, 'unknown')) ELSE '' END
                                   || '. It will be started again ' || webhook.page_ago(s.restart_at) || '.'
               WHEN 'held' THEN 'The worker is stopped for a command that needs the database for itself.'
               WHEN 'served' THEN CASE
                   WHEN s.activity = 'paused' THEN 'Sending is disabled: the setting webhook.dispatch is off.'
                   WHEN s.activity = 'unconfirmed' THEN 'Nothing is sent until the synchronous standbys confirm what has been committed.'
                   WHEN s.activity = 'foreign' THEN 'This database seems to be a copy, so nothing is sent. Call webhook.adopt() if it is the one that should send.'
                   WHEN s.activity = 'mismatched' THEN 'Library and extension have different versions, so nothing is sent. Run ALTER EXTENSION webhook UPDATE.'
                   WHEN l.proxy THEN 'Messages have waited for webhook.proxy for ' || webhook.page_seconds(extract(epoch FROM now() - s.proxy_failing_since)::double precision)
                                     || '. Only hosts in webhook.no_proxy are reached.'
                   WHEN s.activity = 'sending' THEN 'The worker is sending, with ' || webhook.page_number(s.in_flight)
                                       || CASE s.in_flight WHEN 1 THEN ' request' ELSE ' requests' END || ' under way.'
                   WHEN s.activity = 'leaving' THEN 'The worker makes room for another database.'
                   ELSE 'The worker waits for messages.' END
               WHEN 'new' THEN 'The database is being checked for the first time.'
               ELSE 'No worker serves this database. Is webhook in shared_preload_libraries?' END
    FROM (SELECT 1) AS one LEFT JOIN webhook.stat_workers AS s ON s.database = current_database()
    CROSS JOIN LATERAL (SELECT s.state = 'resting' OR s.state = 'served' AND coalesce(s.activity, 'idle') IN ('idle', 'sending', 'leaving') AS works) AS w
    CROSS JOIN LATERAL (
        SELECT w.works AND s.state = 'served' AND s.proxy_failing_since IS NOT NULL AS proxy,
               CASE WHEN w.works AND s.proxy_failing_since IS NULL THEN 'ok'
                    WHEN w.works OR s.state IN ('served', 'backoff', 'held') OR s.state IS NULL THEN 'bad' ELSE 'warn' END AS level) AS l;
$$;
COMMENT ON FUNCTION webhook.page_worker(oid) IS 'the state of the worker in words, and what to call it if it is not well';

CREATE FUNCTION webhook.page_notifications(role oid, webhook_id bigint) RETURNS text
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '<section aria-labelledby="news"><h2 id="news">Notifications</h2><ul class="list">'
        || string_agg('<li><strong>' || webhook.html(n.kind) || '</strong> ' || webhook.page_name(n.message) || ' <small>' || webhook.page_ago(n.created_at)
                      || CASE WHEN n.read_at IS NULL THEN ' &middot; unread' ELSE '' END || '</small></li>', '' ORDER BY n.id DESC) || E'</ul></section>\n'
    FROM (SELECT m.* FROM webhook.notification AS m LEFT JOIN webhook.webhook AS w ON w.id = m.webhook_id
          WHERE CASE WHEN m.webhook_id IS NULL THEN $2 IS NULL AND has_any_column_privilege($1, 'webhook.notification', 'SELECT')
                     ELSE pg_has_role($1, w.owner::oid, 'USAGE') AND ($2 IS NULL OR m.webhook_id = $2) END
          ORDER BY m.id DESC LIMIT 10) AS n
    HAVING count(*) > 0;
$$;
COMMENT ON FUNCTION webhook.page_notifications(oid, bigint) IS 'the latest notifications that a role may see, of one webhook or all, as HTML';

-- For a role that sees only some webhooks, their history is added up; for all of them there is a sum already.
CREATE FUNCTION webhook.page_overview(role oid) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    worker   record := webhook.page_worker(role);
    s        record;
    ids      bigint[];
    minutes  record;
    hours    record;
    verdict  text;
    level    text;
    title    text := 'Webhooks of ' || current_database();
BEGIN
    WITH w AS MATERIALIZED (
        SELECT p.*, t.troubled, row_number() OVER (PARTITION BY t.troubled ORDER BY p.level IN ('warn', 'off'),
                   CASE WHEN t.troubled THEN p.last_failure_at END DESC NULLS LAST, lower(p.app), lower(p.name), p.id) AS nth
        FROM webhook.page_webhooks(role, NULL) AS p
        CROSS JOIN LATERAL (SELECT p.level IN ('bad', 'warn')) AS t (troubled)),
    causes AS (
        SELECT c.cause, count(*) AS webhooks, min(w.nth) AS nth,
               (array_agg('<a href="?webhook_id=' || w.id || '">' || webhook.page_name(coalesce(nullif(w.name, ''), w.app)) || '</a>' ORDER BY w.nth))[1:3] AS links
        FROM w CROSS JOIN LATERAL (
            SELECT CASE w.deactivation_reason WHEN 'gone' THEN 'The receiver answered 410 Gone' WHEN 'owner' THEN 'The owner has been dropped'
                                              WHEN 'copy' THEN 'This database is a copy' ELSE coalesce(nullif(w.last_error, ''), 'Unknown error') END) AS c (cause)
        WHERE w.level = 'bad' GROUP BY c.cause ORDER BY count(*) DESC, min(w.nth) LIMIT 3)
    SELECT count(*) AS webhooks, count(*) FILTER (WHERE w.state = 'deactivated') AS deactivated, count(*) FILTER (WHERE w.state = 'failing') AS failing,
           count(*) FILTER (WHERE w.state = 'retrying') AS retrying, count(*) FILTER (WHERE w.state = 'late') AS late,
           count(*) FILTER (WHERE w.active) AS active, sum(w.pending) AS pending, sum(w.buffered) AS buffered, max(w.oldest) AS oldest,
           bool_or(w.estimated) AS estimated,
           string_agg(webhook.page_item(w), '' ORDER BY w.nth) FILTER (WHERE w.troubled AND w.nth <= 100) AS troubled,
           string_agg(webhook.page_line(w), '' ORDER BY w.nth) FILTER (WHERE w.troubled AND w.nth > 100) AS troubled_more,
           count(*) FILTER (WHERE w.troubled) - 100 AS troubled_count,
           string_agg(webhook.page_item(w), '' ORDER BY w.nth) FILTER (WHERE NOT w.troubled AND w.nth <= 100) AS others,
           string_agg(webhook.page_line(w), '' ORDER BY w.nth) FILTER (WHERE NOT w.troubled AND w.nth > 100) AS others_more,
           count(*) FILTER (WHERE NOT w.troubled) - 100 AS others_count,
           array_agg(w.id) AS ids,
           (SELECT string_agg('<li>' || webhook.page_name(c.cause) || ': ' || array_to_string(c.links, ', ')
                              || CASE WHEN c.webhooks > 3 THEN ' and ' || webhook.page_number(c.webhooks - 3) || ' more' ELSE '' END || '</li>', ''
                              ORDER BY c.webhooks DESC, c.nth)
            FROM causes AS c) AS causes
      INTO s
      FROM w;
    ids := CASE WHEN s.webhooks = (SELECT count(*) FROM webhook.webhook) THEN '{0}' ELSE coalesce(s.ids, '{}') END;
    minutes := webhook.page_history(ids, 'minute');
    hours := webhook.page_history(ids, 'hour');

    level := CASE WHEN worker.level = 'bad' OR s.deactivated + s.failing > 0 THEN 'bad'
                  WHEN worker.level = 'warn' OR s.retrying + s.late > 0 THEN 'warn' ELSE 'ok' END;
    verdict := CASE WHEN worker.level = 'bad' THEN worker.verdict
                    WHEN s.deactivated + s.failing > 0 THEN concat_ws(' and ',
                        CASE WHEN s.deactivated > 0 THEN s.deactivated || CASE s.deactivated WHEN 1 THEN ' webhook is deactivated' ELSE ' webhooks are deactivated' END END,
                        CASE WHEN s.failing > 0 THEN s.failing || CASE s.failing WHEN 1 THEN ' webhook is failing' ELSE ' webhooks are failing' END END)
                    WHEN s.retrying > 0 THEN s.retrying || CASE s.retrying WHEN 1 THEN ' webhook had a failure' ELSE ' webhooks had failures' END
                    WHEN s.late > 0 THEN 'Messages are late'
                    WHEN s.webhooks = 0 THEN 'There are no webhooks yet'
                    WHEN worker.level = 'warn' THEN worker.verdict
                    ELSE 'All is well' END;
    RETURN webhook.page_document(CASE level WHEN 'ok' THEN title ELSE verdict || ' - ' || title END, level, 'none',
        concat(webhook.page_header('Webhooks of ' || webhook.page_name(current_database())) || '<main>'
        || '<div class="verdict ' || level || '" role="status"><strong>' || verdict || '.</strong>' || worker.words
        || CASE WHEN s.webhooks = 0 THEN ' The function webhook.create_webhook() makes one.' ELSE '' END
        || CASE WHEN s.causes IS NULL THEN '' ELSE '<ul>' || s.causes || '</ul>' END || E'</div>\n'
        || '<dl class="tiles">' || minutes.tiles
        || webhook.page_tile('waiting', CASE WHEN s.estimated THEN '&asymp; ' ELSE '' END || webhook.page_number(s.pending))
        || webhook.page_tile('oldest waits', webhook.page_seconds(extract(epoch FROM s.oldest)::double precision),
                             CASE WHEN s.oldest > '5 min' THEN 'warn' ELSE 'ok' END)
        || webhook.page_tile('buffered', webhook.page_number(s.buffered), CASE WHEN s.buffered > 0 THEN 'warn' ELSE 'ok' END)
        || webhook.page_tile('active', webhook.page_number(s.active) || ' <small>of ' || webhook.page_number(s.webhooks) || '</small>') || E'</dl>\n',
        webhook.page_list('What needs attention', 'trouble', s.troubled, s.troubled_more, s.troubled_count),
        webhook.page_history_sections(minutes.plots, hours.plots),
        webhook.page_list(CASE WHEN s.troubled IS NULL THEN 'Webhooks' ELSE 'The other webhooks' END, 'others', s.others, s.others_more, s.others_count),
        webhook.page_notifications(role, NULL), '</main>'));
END
$$;
COMMENT ON FUNCTION webhook.page_overview(oid) IS 'the page about all webhooks of a role';

CREATE FUNCTION webhook.page_code(title text, code text) RETURNS text
    LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
AS $$
    SELECT CASE WHEN code <> '' THEN '<h3>' || title || '</h3><pre tabindex="0">'
                || webhook.html(CASE WHEN pg_catalog.length(code) > 20000 THEN pg_catalog.left(code, 20000) || '...' ELSE code END) || E'</pre>\n' ELSE '' END;
$$;
COMMENT ON FUNCTION webhook.page_code(text, text) IS 'statements, headers or a body in a page';

CREATE FUNCTION webhook.page_requests(id bigint) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg('<details' || CASE WHEN l.nth = 1 THEN ' open' ELSE '' END || '><summary><span class="badge '
               || CASE WHEN l.outcome IN ('delivered', 'agreed') THEN 'ok' ELSE 'bad' END || '">' || coalesce(l.status || ' ', '') || webhook.html(l.outcome)
               || '</span>' || webhook.page_name(l.event) || ' <small>' || webhook.page_ago(l.attempted_at) || ' &middot; '
               || webhook.page_seconds(extract(epoch FROM l.duration)::double precision) || ' &middot; attempt ' || l.attempt || '</small></summary>'
               || CASE WHEN l.error <> '' THEN '<p class="why">' || webhook.page_name(l.error) || '</p>' ELSE '' END
               || '<p class="soft">Message ' || l.message_id || ', sent ' || webhook.page_time(l.attempted_at) || CASE WHEN l.remote_address <> '' THEN ' to ' || webhook.page_name(l.remote_address) ELSE '' END
               || CASE WHEN l.http_version <> '' THEN ' by HTTP/' || webhook.html(l.http_version) ELSE '' END || '</p>'
               || webhook.page_code('Request', l.method || ' ' || l.url || E'\n' || coalesce(l.request_headers, ''))
               || webhook.page_code('Body', l.request_body)
               || webhook.page_code('Answer', 'Status ' || l.status || E'\n' || coalesce(l.response_headers, ''))
               || webhook.page_code('Body of the answer', l.response_body) || E'</details>\n', '' ORDER BY l.seq DESC)
    FROM (SELECT a.*, row_number() OVER (ORDER BY a.seq DESC) AS nth
          FROM (SELECT * FROM webhook.log UNION ALL SELECT * FROM webhook.log_1) AS a
          WHERE a.webhook_id = $1 ORDER BY a.seq DESC LIMIT 10) AS l;
$$;
COMMENT ON FUNCTION webhook.page_requests(bigint) IS 'the last ten requests of a webhook as HTML';

CREATE FUNCTION webhook.page_undelivered(id bigint) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
    SELECT string_agg('<li><span class="badge ' || CASE d.state WHEN 'failed' THEN 'bad' WHEN 'retrying' THEN 'warn' ELSE 'off' END || '">' || d.state
               || '</span> ' || webhook.page_name(d.event) || CASE WHEN d.entity_id IS NULL THEN '' ELSE ' ' || webhook.page_name(d.entity_id #>> '{}') END
               || ' <small>' || d.message_id || ' &middot; captured ' || webhook.page_ago(d.created_at) || ' &middot; ' || d.attempts
               || CASE d.attempts WHEN 1 THEN ' attempt' ELSE ' attempts' END
               || CASE WHEN d.next_attempt_at IS NULL THEN '' ELSE ' &middot; next ' || webhook.page_ago(d.next_attempt_at) END || '</small>'
               || CASE WHEN d.last_error <> '' THEN '<br>' || webhook.page_name(d.last_error) ELSE '' END || E'</li>\n', '' ORDER BY d.id)
    FROM (SELECT * FROM webhook.delivery AS e WHERE e.webhook_id = $1 ORDER BY e.id LIMIT 20) AS d;
$$;
COMMENT ON FUNCTION webhook.page_undelivered(bigint) IS 'the first deliveries of a webhook that are stored as they did not succeed, as HTML';

-- The link of the newest token that has not been used.
CREATE FUNCTION webhook.page_reactivation_link(id bigint) RETURNS text
    LANGUAGE sql STABLE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '<p><a href="' || webhook.html(replace(current_setting('webhook.reactivation_url'), '{token}', n.token)) || '">Activate it again ...</a></p>'
    FROM webhook.notification AS n
    WHERE n.webhook_id = $1 AND n.token IS NOT NULL AND current_setting('webhook.reactivation_url') ~ '^https?://'
    ORDER BY n.id DESC LIMIT 1;
$$;
COMMENT ON FUNCTION webhook.page_reactivation_link(bigint) IS 'where a deactivated webhook can be activated, as HTML; null if webhook.reactivation_url is not set';

CREATE FUNCTION webhook.page_calls(w record) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN '<section aria-labelledby="calls"><h2 id="calls">What you can do</h2>'
        || CASE WHEN w.active THEN '' ELSE coalesce(webhook.page_reactivation_link(w.id), '')
               || webhook.page_code('Activate it, and send what is buffered', format('SELECT webhook.activate_webhook(%s, replay_events => true);', w.id))
               || webhook.page_code('Activate it, and drop what is buffered', format('SELECT webhook.activate_webhook(%s);', w.id)) END
        || webhook.page_code('Send a test request', format('SELECT webhook.test_webhook(%s);', w.id))
        || CASE WHEN w.failed > 0
                THEN webhook.page_code('Send again what failed for good',
                                         format('SELECT webhook.redeliver_failed(%s);', w.id)) ELSE '' END
        || CASE WHEN w.active THEN webhook.page_code('Deactivate it, and buffer what comes', format('SELECT webhook.deactivate_webhook(%s, buffer_events => true);', w.id)) ELSE '' END
        || E'</section>\n';
END
$$;
COMMENT ON FUNCTION webhook.page_calls(record) IS 'statements that act on a row of page_webhooks(), as HTML';

CREATE FUNCTION webhook.page_webhook(w record, role oid) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    worker   record := webhook.page_worker(role);
    level    text := CASE WHEN w.level = 'off' THEN 'warn' WHEN w.level = 'ok' THEN worker.level ELSE w.level END;
    verdict  text := CASE WHEN w.state IN ('deactivated', 'off') THEN 'It is deactivated' WHEN w.state = 'failing' THEN 'It is failing'
                          WHEN w.state = 'retrying' THEN 'It had a failure' WHEN w.state = 'late' THEN 'Messages are late'
                          WHEN worker.level <> 'ok' THEN worker.verdict
                          WHEN w.state = 'nothing yet' THEN 'Nothing has been sent yet' ELSE 'All is well' END;
    waiting  text := webhook.page_undelivered(w.id);
    requests text := webhook.page_requests(w.id);
    minutes  record := webhook.page_history(ARRAY[w.id], 'minute');
    hours    record := webhook.page_history(ARRAY[w.id], 'hour');
BEGIN
    RETURN webhook.page_document(verdict || ' - ' || coalesce(nullif(w.name, ''), w.app), level, 'none',
        concat(webhook.page_header(webhook.page_title(w.id, w.app, w.name)) || '<main>'
        || '<div class="verdict ' || level || '" role="status"><strong>' || verdict || '.</strong>'
        || CASE w.state WHEN 'off' THEN 'Deactivated by hand ' || webhook.page_ago(w.deactivated_at) || '.'
                        ELSE coalesce(nullif(webhook.page_why(w), ''), 'Last success ' || webhook.page_ago(w.last_success_at) || '.') END
        || CASE WHEN worker.level = 'ok' THEN '' ELSE '<br>' || worker.words END || E'</div>\n'
        || '<dl class="tiles">' || minutes.tiles
        || webhook.page_tile(CASE WHEN w.active THEN 'waiting' ELSE 'buffered' END,
                             CASE WHEN w.estimated THEN '&asymp; ' ELSE '' END || webhook.page_number(w.pending + w.buffered))
        || webhook.page_tile('oldest waits', webhook.page_seconds(extract(epoch FROM w.oldest)::double precision))
        || webhook.page_tile('delivered in all', webhook.page_number(w.delivered))
        || CASE WHEN w.failed > 0 THEN webhook.page_tile('failed for good', webhook.page_number(w.failed), 'warn') ELSE '' END
        || CASE WHEN w.dropped > 0 THEN webhook.page_tile('dropped', webhook.page_number(w.dropped), 'warn') ELSE '' END || E'</dl>\n'
        || '<section aria-labelledby="facts"><h2 id="facts">The webhook</h2><dl class="facts"><dt>Sends</dt><dd>' || webhook.page_name(w.event)
        || '</dd><dt>To</dt><dd>' || webhook.page_name(w.method || ' ' || w.url) || '</dd><dt>Last success</dt><dd>' || webhook.page_time(w.last_success_at)
        || '</dd><dt>Last failure</dt><dd>' || webhook.page_time(w.last_failure_at) || E'</dd></dl></section>\n',
        CASE level WHEN 'ok' THEN '' ELSE webhook.page_calls(w) END,
        webhook.page_history_sections(minutes.plots, hours.plots),
        '<section aria-labelledby="requests"><h2 id="requests">The last ten requests</h2>', coalesce(requests, '<p>There are none.</p>'), E'</section>\n',
        CASE WHEN waiting IS NULL THEN ''
             ELSE '<section aria-labelledby="waiting"><h2 id="waiting">Not delivered, the oldest first</h2><ul class="list">' || waiting || E'</ul></section>\n' END,
        CASE level WHEN 'ok' THEN webhook.page_calls(w) ELSE '' END, webhook.page_notifications(role, w.id), '</main>'));
END
$$;
COMMENT ON FUNCTION webhook.page_webhook(record, oid) IS 'the page about a row of page_webhooks()';

CREATE FUNCTION webhook.page_for(webhook_id bigint, role oid) RETURNS text
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w record;
BEGIN
    IF webhook_id IS NULL THEN
        RETURN webhook.page_overview(role);
    END IF;
    SELECT * INTO w FROM webhook.page_webhooks(role, webhook_id);
    IF NOT FOUND THEN
        RETURN webhook.page_document('No such webhook', 'warn', 'none', webhook.page_header('Webhooks of ' || webhook.page_name(current_database()))
            || '<main><div class="verdict warn" role="status"><strong>There is no such webhook.</strong>It may have been deleted, or belong to another role.</div></main>');
    END IF;
    RETURN webhook.page_webhook(w, role);
END
$$;
COMMENT ON FUNCTION webhook.page_for(bigint, oid) IS 'what status_page() returns to a role';

-- As reactivate(), for any role that has the token.
CREATE FUNCTION webhook.page_for_token(token text) RETURNS text
    LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w record;
BEGIN
    SELECT p.* INTO w
    FROM webhook.notification AS n JOIN webhook.webhook AS h ON h.id = n.webhook_id
    CROSS JOIN LATERAL webhook.page_webhooks(h.owner::oid, h.id) AS p
    WHERE n.token = page_for_token.token;
    IF NOT FOUND OR w.active THEN
        RETURN webhook.page_document('Nothing to activate', 'warn', 'none', webhook.page_header('Activate a webhook')
            || '<main><div class="verdict warn" role="status"><strong>There is nothing to activate.</strong>This link has been used, is incomplete, or the webhook is active.</div></main>');
    END IF;
    RETURN webhook.page_document('Activate ' || coalesce(nullif(w.name, ''), w.app), 'bad', 'self',
        webhook.page_header('Activate ' || webhook.page_title(w.id, w.app, w.name)) || '<main>'
        || '<div class="verdict bad" role="status"><strong>It is deactivated.</strong>' || webhook.page_why(w) || E'</div>\n'
        || '<dl class="tiles">' || webhook.page_tile('buffered messages', CASE WHEN w.estimated THEN '&asymp; ' ELSE '' END || webhook.page_number(w.buffered))
        || webhook.page_tile('dropped', webhook.page_number(w.dropped), CASE WHEN w.dropped > 0 THEN 'warn' ELSE 'ok' END) || E'</dl>\n'
        || '<section aria-labelledby="choice"><h2 id="choice">Is the receiver ready again?</h2>'
        || '<p>It is <span class="soft">' || webhook.page_name(w.method || ' ' || w.url) || '</span>. Then choose what becomes of the buffered messages.</p>'
        || (SELECT string_agg('<form method="post"><input type="hidden" name="token" value="' || webhook.html(token) || '"><input type="hidden" name="replay_events" value="'
                              || b.replay || '"><button class="' || b.class || '" type="submit">' || b.label || E'</button></form>\n', '' ORDER BY b.replay DESC)
            FROM (VALUES ('true', 'first', 'Activate and send the buffered messages'), ('false', 'second', 'Activate and drop them')) AS b (replay, class, label))
        || E'</section></main>\n');
END
$$;
COMMENT ON FUNCTION webhook.page_for_token(text) IS 'what reactivation_page() returns';

CREATE FUNCTION webhook.status_page(webhook_id bigint DEFAULT NULL) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_status_page';
COMMENT ON FUNCTION webhook.status_page(bigint) IS
    'an HTML page about the webhooks of the current role, or in detail about one of them';

CREATE FUNCTION webhook.reactivation_page(token text) RETURNS text
    LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_reactivation_page';
COMMENT ON FUNCTION webhook.reactivation_page(text) IS
    'an HTML page behind the link of a notification: what has happened, and two buttons that activate the webhook with a POST; changes nothing itself';
