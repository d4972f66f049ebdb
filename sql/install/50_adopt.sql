-- An outbox that was restored from a dump, or copied with its database.
--
-- A position consists of transaction ids, which are meaningful in one database of one server only.  So triggers
-- mark rows that come from a dump when they are inserted; capture and the worker do not fire these triggers.  A database
-- that was copied as a template is recognized by the database OID in its position.  In both cases the worker sends nothing
-- until adopt() has been called to decide what happens to the messages.

-- Transaction id 0 precedes all positions, so the message is not mistaken for one that was written here.
CREATE FUNCTION webhook.mark_restored_message() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.xid <> '0' THEN
        NEW.fence := NEW.xid;
        NEW.xid := '0';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION webhook.mark_restored_message() IS 'row trigger that marks messages restored from a dump';

CREATE FUNCTION webhook.mark_restored_position() RETURNS trigger
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.database := 0;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION webhook.mark_restored_position() IS 'row trigger that marks a position restored from a dump';

DO $$
BEGIN
    FOR i IN 0..3 LOOP
        EXECUTE pg_catalog.format($ddl$
            CREATE TRIGGER restored BEFORE INSERT ON webhook.outbox_%1$s
                FOR EACH ROW EXECUTE FUNCTION webhook.mark_restored_message();
            ALTER TABLE webhook.outbox_%1$s ENABLE ALWAYS TRIGGER restored;
        $ddl$, i);
    END LOOP;
END
$$;
CREATE TRIGGER restored BEFORE INSERT ON webhook.cursor
    FOR EACH ROW WHEN (NEW.written_at <> pg_catalog.now()) EXECUTE FUNCTION webhook.mark_restored_position();
ALTER TABLE webhook.cursor ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON webhook.cursor
    FOR EACH STATEMENT EXECUTE FUNCTION webhook.config_changed();
ALTER TABLE webhook.cursor ENABLE ALWAYS TRIGGER config_changed;

CREATE FUNCTION webhook.outbox_is_foreign() RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_outbox_is_foreign';
COMMENT ON FUNCTION webhook.outbox_is_foreign() IS 'whether the outbox was restored from a dump, or copied from another database';

-- Adopted messages get transaction id 2, which no transaction ever has, and the position says that transaction 2 was
-- still running.  So they are read before everything that has been written since, in the order of their ids.
CREATE FUNCTION webhook.with_adopted(snapshot pg_snapshot) RETURNS pg_snapshot
    LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('2:%s:%s', pg_snapshot_xmax(snapshot),
                  concat_ws(',', '2', (SELECT string_agg(x::text, ',' ORDER BY x) FROM pg_snapshot_xip(snapshot) AS x
                                       WHERE x <> '2')))::pg_snapshot;
$$;
COMMENT ON FUNCTION webhook.with_adopted(pg_snapshot) IS 'the same position, but before all adopted messages';

CREATE FUNCTION webhook.skip_ids(used bigint) RETURNS void
    LANGUAGE c VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'webhook_skip_ids';
COMMENT ON FUNCTION webhook.skip_ids(bigint) IS 'no message gets an id up to this one any more';

CREATE FUNCTION webhook.adopt(pending text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own      webhook.cursor;    -- position in what was written here, or in the template
    theirs   webhook.cursor;    -- position from the dump
    restored boolean;
    top      bigint;
    result   bigint;
BEGIN
    IF pending IS NULL OR pending NOT IN ('send', 'discard') THEN
        RAISE EXCEPTION 'invalid value for argument "pending": %', coalesce(quote_literal(pending), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Specify ''send'' if this database replaces the one that the messages come from, or ''discard'' if it is a copy.';
    END IF;
    LOCK TABLE webhook.cursor IN SHARE ROW EXCLUSIVE MODE;
    IF NOT webhook.outbox_is_foreign() THEN
        RAISE EXCEPTION 'outbox of database "%" was not restored or copied', current_database()
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'All its messages were written here, so they need not be adopted.';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        -- The worker starts to send as soon as our changes are visible, so they must be durable.
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    SELECT * INTO own FROM webhook.cursor AS c WHERE c.database <> 0 ORDER BY c.seq DESC LIMIT 1;
    SELECT * INTO theirs FROM webhook.cursor AS c WHERE c.database = 0 ORDER BY c.seq DESC LIMIT 1;
    restored := theirs.seq IS NOT NULL OR EXISTS (SELECT FROM webhook.outbox AS o WHERE o.xid = '0');
    SELECT count(*) INTO result
        FROM (SELECT u.id FROM webhook.outbox_unread() AS u
              WHERE NOT restored OR u.id IN (SELECT o.id FROM webhook.outbox AS o WHERE o.xid = '0')
              UNION SELECT d.id FROM webhook.delivery AS d WHERE d.state <> 'failed') AS m;

    IF pending = 'discard' THEN
        DELETE FROM webhook.delivery;
        UPDATE webhook.webhook
           SET active = false, buffering = false, deactivated_at = now(), deactivation_reason = 'copy'
         WHERE active OR buffering;
    END IF;
    IF restored THEN
        -- These are transaction ids of the other server.
        UPDATE webhook.webhook SET discarded = NULL WHERE discarded IS NOT NULL;
    END IF;
    FOR i IN 0..3 LOOP
        -- Processed messages of an earlier adoption would be sent again.
        EXECUTE format('DELETE FROM webhook.outbox_%s WHERE xid = ''2'' AND pg_visible_in_snapshot(xid, $1)', i)
            USING own.done;
        -- One row per message, because some messages of a row may have been processed.
        EXECUTE format('INSERT INTO webhook.outbox_%1$s (id, xid, fence, message_id, event, entity_type, entity_id, event_uid,'
                       '  profile, webhook_ids, payload, created_at, relation, changed, former, context)'
                       ' SELECT (r.m).id, r.xid, r.fence, (r.m).message_id, r.event, r.entity_type, (r.m).entity_id,'
                       '  (r.m).event_uid, (r.m).profile, r.webhook_ids, (r.m).payload, (r.m).created_at, r.relation,'
                       '  (r.m).changed, (r.m).former, r.context'
                       ' FROM (SELECT o.*, webhook.run_followers(o.event_uid, o.profile, o.more) AS m'
                       '       FROM webhook.outbox_%1$s AS o WHERE o.xid = ''0'' AND o.more IS NOT NULL) AS r'
                       ' WHERE (r.m).id IS NOT NULL', i);
        EXECUTE format('UPDATE webhook.outbox_%s SET more = NULL WHERE xid = ''0'' AND more IS NOT NULL', i);
        IF pending = 'send' THEN
            EXECUTE format('UPDATE webhook.outbox_%s SET xid = ''2'', fence = NULL WHERE xid = ''0'''
                           ' AND NOT coalesce(pg_visible_in_snapshot(fence, $1), false)'
                           ' AND NOT coalesce(id <= $3 AND pg_visible_in_snapshot(fence, $2), false)', i)
                USING theirs.done, theirs.through, theirs.through_id;
        END IF;
        EXECUTE format('DELETE FROM webhook.outbox_%s WHERE xid = ''0''', i);
    END LOOP;

    IF pending = 'send' THEN
        own.done := coalesce(own.done, '3:3:');
        IF restored THEN
            own.done := webhook.with_adopted(own.done);
            own.through := webhook.with_adopted(own.through);
        END IF;
    ELSIF own.done IS NULL OR NOT restored THEN
        own.done := pg_current_snapshot();
        own.through := NULL;
        own.through_id := NULL;
    END IF;
    DELETE FROM webhook.cursor;
    INSERT INTO webhook.cursor (seq, system_identifier, database, written_by, done, through, through_id)
        SELECT coalesce(own.seq, 0) + 1, s.system_identifier, d.oid, pg_current_xact_id(),
               own.done, own.through, own.through_id
        FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database();

    -- The dump may have been restored without its sequences.
    SELECT max(m.id) INTO top
        FROM (SELECT o.id FROM webhook.outbox AS o UNION ALL SELECT d.id FROM webhook.delivery AS d) AS m;
    PERFORM webhook.skip_ids(top);
    RETURN result;
END
$$;
COMMENT ON FUNCTION webhook.adopt(text) IS
    'after a database was restored or copied: sends or discards the undelivered messages in it; returns how many';
