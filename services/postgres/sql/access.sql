-- Claims: a lower epoch is refused, and an equal one of another run.
CREATE OR REPLACE FUNCTION pointsman.raise_epoch(g text, e bigint, r text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE held pointsman.epoch;
BEGIN
  INSERT INTO pointsman.epoch (group_name, epoch, run) VALUES (g, e, r)
    ON CONFLICT (group_name) DO UPDATE
      SET epoch = excluded.epoch, run = excluded.run, changed_at = clock_timestamp()
      WHERE epoch.epoch < excluded.epoch OR (epoch.epoch = excluded.epoch AND epoch.run = excluded.run)
    RETURNING * INTO held;
  IF held.epoch IS NULL THEN
    SELECT * INTO held FROM pointsman.epoch WHERE group_name = g;
    IF held.epoch = e THEN
      RAISE EXCEPTION 'epoch % is held by run %', e, held.run USING ERRCODE = 'PM002';
    END IF;
    RAISE EXCEPTION 'epoch % is older than %, held by run %', e, held.epoch, held.run USING ERRCODE = 'PM001';
  END IF;
END $$;

-- Where the data is, so that the room on its disk can be looked at; nothing else of the settings.
CREATE OR REPLACE FUNCTION pointsman.data_directory() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT current_setting('data_directory') $$;

-- Locks the claim for this transaction; refuses all but the run that holds it.
CREATE OR REPLACE FUNCTION pointsman.hold_epoch(g text, e bigint, r text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE held pointsman.epoch;
BEGIN
  PERFORM pg_advisory_xact_lock(5784269, 1);
  SELECT * INTO held FROM pointsman.epoch WHERE group_name = g FOR UPDATE;
  IF held.epoch IS NULL OR held.epoch < e THEN
    RAISE EXCEPTION 'epoch % has not claimed this database', e USING ERRCODE = 'PM003';
  ELSIF held.epoch > e THEN
    RAISE EXCEPTION 'epoch % is older than %, held by run %', e, held.epoch, held.run USING ERRCODE = 'PM001';
  ELSIF held.run <> r THEN
    RAISE EXCEPTION 'epoch % is held by run %', e, held.run USING ERRCODE = 'PM002';
  END IF;
  UPDATE pointsman.epoch SET changed_at = clock_timestamp(), changes = changes + 1 WHERE group_name = g;
END $$;

-- Every grant of a write that a role has, direct or through others: on tables and on columns.
CREATE OR REPLACE FUNCTION pointsman.write_grants() RETURNS
  TABLE (relation oid, space name, owner oid, grantor oid, grantee oid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
  SELECT c.oid, n.nspname, c.relowner, a.grantor, a.grantee
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
         aclexplode(c.relacl) a
   WHERE c.relkind IN ('r','p','v','f','m') AND a.privilege_type IN ('INSERT','UPDATE','DELETE','TRUNCATE')
     AND n.nspname NOT IN ('pg_catalog','information_schema','pointsman') AND n.nspname !~ '^pg_t'
   UNION
  SELECT c.oid, n.nspname, c.relowner, a.grantor, a.grantee
    FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
         aclexplode(t.attacl) a
   WHERE c.relkind IN ('r','p','v','f','m') AND a.privilege_type IN ('INSERT','UPDATE')
     AND n.nspname NOT IN ('pg_catalog','information_schema','pointsman') AND n.nspname !~ '^pg_t';
END $$;

-- Why a named role could not be closed, or would not stay so. No row: each can be.
CREATE OR REPLACE FUNCTION pointsman.cannot_close() RETURNS TABLE (role name, reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
  SELECT w.role, 'there is no such role' FROM pointsman.writer w
   WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = w.role)
  UNION ALL
  SELECT w.role, 'there is no role ' || quote_ident(w.via) FROM pointsman.writer w
   WHERE w.via IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = w.via)
  UNION ALL
  SELECT w.role, 'it is a superuser' FROM pointsman.writer w JOIN pg_roles r ON r.rolname = w.role
   WHERE r.rolsuper
  UNION ALL
  SELECT w.role, 'it may create roles and grant itself the way back' FROM pointsman.writer w
    JOIN pg_roles r ON r.rolname = w.role WHERE r.rolcreaterole
  UNION ALL
  SELECT w.role, 'it is a member of ' || p.rolname FROM pointsman.writer w
    JOIN pg_roles r ON r.rolname = w.role AND NOT r.rolsuper,
    pg_roles p WHERE p.rolname IN ('pg_write_all_data','pg_write_server_files','pg_execute_server_program')
     AND pg_has_role(r.oid, p.oid, 'member')
  UNION ALL
  SELECT w.role, 'it owns ' || string_agg(DISTINCT o.what, ', ') FROM pointsman.writer w
    JOIN pg_roles r ON r.rolname = w.role AND NOT r.rolsuper,
    LATERAL (
      (SELECT 'table ' || c.oid::regclass::text AS what FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r','p','v','f','m') AND pg_has_role(r.oid, c.relowner, 'member')
          AND n.nspname NOT IN ('pg_catalog','information_schema') AND n.nspname !~ '^pg_t' LIMIT 3)
      UNION ALL
      (SELECT 'schema ' || quote_ident(n.nspname) FROM pg_namespace n
        WHERE pg_has_role(r.oid, n.nspowner, 'member') AND n.nspname !~ '^pg_t' LIMIT 3)
      UNION ALL
      SELECT 'database ' || quote_ident(d.datname) FROM pg_database d
        WHERE d.datname = current_database() AND pg_has_role(r.oid, d.datdba, 'member')) o
   GROUP BY w.role
  UNION ALL
  -- A grant that the close of this role would not take away.
  SELECT w.role, 'it keeps a write to ' || (min(g.relation::regclass::text)) || ' through '
      || coalesce(quote_ident(e.rolname), 'PUBLIC')
    FROM pointsman.writer w JOIN pg_roles r ON r.rolname = w.role AND NOT r.rolsuper
    LEFT JOIN pg_roles v ON v.rolname = w.via,
    pointsman.write_grants() g LEFT JOIN pg_roles e ON e.oid = g.grantee
   WHERE (g.grantee = 0 OR pg_has_role(r.oid, g.grantee, 'member'))
     AND NOT (w.mode <> 'group' AND g.grantee = r.oid AND g.grantor = g.owner AND g.space = ANY (w.schemas))
     AND NOT (w.mode = 'group' AND g.grantee <> 0 AND g.grantee <> r.oid AND pg_has_role(v.oid, g.grantee, 'member'))
   GROUP BY w.role, e.rolname
  UNION ALL
  SELECT w.role, 'default privileges of ' || quote_ident(d.defaclrole::regrole::text) || ' would grant it writes again'
    FROM pointsman.writer w JOIN pg_roles r ON r.rolname = w.role AND NOT r.rolsuper
    LEFT JOIN pg_roles v ON v.rolname = w.via,
    pg_default_acl d, aclexplode(d.defaclacl) a
   WHERE d.defaclobjtype = 'r' AND a.privilege_type IN ('INSERT','UPDATE','DELETE','TRUNCATE')
     AND (a.grantee = 0 OR pg_has_role(r.oid, a.grantee, 'member'))
     AND NOT (w.mode = 'group' AND a.grantee <> 0 AND a.grantee <> r.oid AND pg_has_role(v.oid, a.grantee, 'member'))
  UNION ALL
  SELECT w.role, 'it may grant itself ' || quote_ident(w.via) FROM pointsman.writer w
    JOIN pg_roles r ON r.rolname = w.role JOIN pg_roles v ON v.rolname = w.via
   WHERE EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = v.oid AND m.admin_option
                    AND pg_has_role(r.oid, m.member, 'member') AND NOT r.rolsuper);
END $$;

-- Takes the access of each named role away. Sessions are ended afterwards, by the caller.
CREATE OR REPLACE FUNCTION pointsman.close_access(g text, e bigint, r text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
DECLARE w pointsman.writer; s name; by_whom name;
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  FOR w IN SELECT * FROM pointsman.writer ORDER BY role LOOP
    IF w.mode = 'group' THEN
      FOR by_whom IN SELECT u.rolname FROM pg_auth_members m LEFT JOIN pg_roles u ON u.oid = m.grantor
          WHERE m.roleid = (SELECT oid FROM pg_roles WHERE rolname = w.via)
            AND m.member = (SELECT oid FROM pg_roles WHERE rolname = w.role) LOOP
        -- From 16 on a membership may be granted several times, by several roles.
        IF current_setting('server_version_num')::int >= 160000 AND by_whom IS NOT NULL THEN
          EXECUTE format('REVOKE %I FROM %I GRANTED BY %I', w.via, w.role, by_whom);
        ELSE
          EXECUTE format('REVOKE %I FROM %I', w.via, w.role);
        END IF;
      END LOOP;
      CONTINUE;
    ELSIF w.mode = 'login' THEN
      EXECUTE format('ALTER ROLE %I NOLOGIN', w.role);
    ELSE
      EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC, %I', current_database(), w.role);
    END IF;
    FOREACH s IN ARRAY w.schemas LOOP
      EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA %I FROM %I', s, w.role);
    END LOOP;
  END LOOP;
  INSERT INTO pointsman.access (state) VALUES ('closed')
    ON CONFLICT (one) DO UPDATE SET state = 'closed', changed_at = clock_timestamp(), changes = access.changes + 1,
      ended = false;
END $$;

-- Says that every session of before the close is gone.
CREATE OR REPLACE FUNCTION pointsman.close_ended(g text, e bigint, r text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  UPDATE pointsman.access SET ended = true WHERE state = 'closed';
END $$;

CREATE OR REPLACE FUNCTION pointsman.before(deadline timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF clock_timestamp() >= deadline THEN
    RAISE EXCEPTION 'it is past % here', deadline USING ERRCODE = 'PM004';
  END IF;
END $$;

-- Gives each named role its access back, unless the deadline, by this server's clock, has passed.
CREATE OR REPLACE FUNCTION pointsman.open_access(g text, e bigint, r text, deadline timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
DECLARE w pointsman.writer; s name;
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  PERFORM pointsman.before(deadline);
  FOR w IN SELECT * FROM pointsman.writer ORDER BY role LOOP
    IF w.mode = 'group' THEN
      IF NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = (SELECT oid FROM pg_roles WHERE rolname = w.via)
                    AND m.member = (SELECT oid FROM pg_roles WHERE rolname = w.role)) THEN
        EXECUTE format('GRANT %I TO %I', w.via, w.role);
      END IF;
      CONTINUE;
    END IF;
    FOREACH s IN ARRAY w.schemas LOOP
      EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', s, w.role);
    END LOOP;
    IF w.mode = 'login' THEN
      EXECUTE format('ALTER ROLE %I LOGIN', w.role);
    ELSE
      EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), w.role);
    END IF;
  END LOOP;
  INSERT INTO pointsman.access (state) VALUES ('open')
    ON CONFLICT (one) DO UPDATE SET state = 'open', changed_at = clock_timestamp(), changes = access.changes + 1, ended = false;
  -- Live from now on, and to be seen so before the first regular heartbeat.
  PERFORM pointsman.mark(NULL, NULL, NULL);
  -- The last thing before the commit, which follows at once: one statement is one transaction.
  PERFORM pointsman.before(deadline);
END $$;

-- Sessions in this database of a named role or of a member of it; never ours.
CREATE OR REPLACE FUNCTION pointsman.writer_sessions() RETURNS
  TABLE (role name, pid int, backend_start timestamptz, backend_xid xid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
  SELECT w.role, a.pid, a.backend_start, a.backend_xid
    FROM pointsman.writer w JOIN pg_roles r ON r.rolname = w.role,
         pg_stat_activity a JOIN pg_roles u ON u.oid = a.usesysid
   WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
     AND (u.oid = r.oid OR (NOT u.rolsuper AND u.rolname <> session_user AND pg_has_role(u.oid, r.oid, 'member')));
END $$;

-- What each named role can do now.
CREATE OR REPLACE FUNCTION pointsman.seen_access() RETURNS TABLE (
  role name, mode text, via name, enters boolean, granted boolean, writable bigint, sessions bigint, writing bigint, prepared bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
  WITH s AS MATERIALIZED (SELECT * FROM pointsman.writer_sessions()),
  c AS MATERIALIZED (SELECT c.oid, n.nspname, c.relkind IN ('r','p','f') AS plain
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r','p','v','f','m') AND n.nspname NOT IN ('pg_catalog','information_schema','pointsman')
       AND n.nspname !~ '^pg_t')
  SELECT w.role, w.mode, w.via,
    coalesce(r.rolsuper OR CASE w.mode
      WHEN 'connect' THEN r.rolcanlogin AND has_database_privilege(r.oid, current_database(), 'CONNECT')
      ELSE r.rolcanlogin END, false),
    coalesce(r.oid IS NOT NULL AND CASE w.mode
      WHEN 'group' THEN (SELECT pg_has_role(r.oid, v.oid, 'member') FROM pg_roles v WHERE v.rolname = w.via)
      ELSE NOT EXISTS (SELECT FROM c WHERE c.plain AND c.nspname = ANY (w.schemas)
          AND NOT has_table_privilege(r.oid, c.oid, 'INSERT')) END, false),
    (SELECT count(*) FROM c WHERE r.oid IS NOT NULL
        AND (has_table_privilege(r.oid, c.oid, 'INSERT,UPDATE,DELETE,TRUNCATE')
             OR has_any_column_privilege(r.oid, c.oid, 'INSERT,UPDATE'))),
    (SELECT count(*) FROM s WHERE s.role = w.role),
    (SELECT count(*) FROM s WHERE s.role = w.role AND s.backend_xid IS NOT NULL),
    (SELECT count(*) FROM pg_prepared_xacts p WHERE p.database = current_database()
        AND r.oid IS NOT NULL AND p.owner IN (SELECT m.rolname FROM pg_roles m WHERE NOT m.rolsuper
          AND m.rolname <> session_user AND pg_has_role(m.oid, r.oid, 'member')))
    FROM pointsman.writer w LEFT JOIN pg_roles r ON r.rolname = w.role;
END $$;

-- Ends those sessions; those that started after `since` are left where the role may still log in to read.
CREATE OR REPLACE FUNCTION pointsman.end_writers(since timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN RETURN (
  SELECT count(*) FROM (
    SELECT pg_terminate_backend(s.pid) FROM pointsman.writer_sessions() s JOIN pointsman.writer w ON w.role = s.role
     WHERE w.mode <> 'group' OR s.backend_start <= since) t);
END $$;

-- One look at who is still there, after a close: ends their sessions, and names what they have prepared, which the
-- caller rolls back. `since` is the first such look's own time, which is later than the close. In this order, and in a
-- snapshot each: who has no session prepares nothing.
CREATE OR REPLACE FUNCTION pointsman.shut_out(since timestamptz) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE closed timestamptz := coalesce(since, clock_timestamp()); busy bigint; gids jsonb;
BEGIN
  busy := pointsman.end_writers(closed);
  SELECT coalesce(jsonb_agg(jsonb_build_object('gid', p.gid, 'owner', p.owner)), '[]') INTO gids
    FROM pg_prepared_xacts p JOIN pg_roles o ON o.rolname = p.owner
   WHERE p.database = current_database() AND EXISTS (SELECT FROM pointsman.writer w
     JOIN pg_roles r ON r.rolname = w.role WHERE o.oid = r.oid OR (NOT o.rolsuper
       AND o.rolname <> session_user AND pg_has_role(o.oid, r.oid, 'member')));
  RETURN jsonb_build_object('since', closed::text, 'busy', busy, 'prepared', gids);
END $$;

-- Others that could write while the named roles are closed: owners that may log in, and whoever has a grant.
CREATE OR REPLACE FUNCTION pointsman.other_writers() RETURNS TABLE (role name)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
  SELECT u.rolname FROM pg_roles u
   WHERE u.rolcanlogin AND NOT u.rolsuper AND u.rolname <> session_user
     AND NOT EXISTS (SELECT FROM pointsman.writer w JOIN pg_roles r ON r.rolname = w.role
                      WHERE pg_has_role(u.oid, r.oid, 'member'))
     AND (EXISTS (SELECT FROM pointsman.write_grants() g WHERE g.grantee = 0 OR pg_has_role(u.oid, g.grantee, 'member'))
       OR EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r','p') AND n.nspname IN (SELECT unnest(schemas) FROM pointsman.writer)
              AND pg_has_role(u.oid, c.relowner, 'member'))
       OR pg_has_role(u.oid, 'pg_write_all_data', 'member'))
   ORDER BY 1 LIMIT 20;
END $$;
