-- PUBLIC gets no privileges: the tables contain secrets, and the functions make the server send requests.  The README says
-- what to grant to an application, an operator and a monitor.

REVOKE ALL ON SCHEMA webhook FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA webhook FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA webhook FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA webhook FROM PUBLIC;

-- When this transaction commits, the launcher starts a worker for this database.
CREATE FUNCTION webhook.announce() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'webhook_announce';
SELECT webhook.announce();
DROP FUNCTION webhook.announce();
