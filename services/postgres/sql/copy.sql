-- The way home by copy, at the receiver: what was there is kept aside, and everything is received anew.
-- One row a subscription: the latest copy, and what is kept aside of it.
CREATE TABLE IF NOT EXISTS pointsman.copy (
  subscription name PRIMARY KEY,
  source text NOT NULL,
  ledger text NOT NULL,
  tables jsonb NOT NULL,
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  cleaned_at timestamptz);
-- For whose claim it was made: a later run may not take it for its own, whoever wrote here in between.
ALTER TABLE pointsman.copy ADD COLUMN IF NOT EXISTS group_name text, ADD COLUMN IF NOT EXISTS run text;

-- Begins the copy, all of it in one transaction: each table as it was is kept in a schema of its own, all are emptied
-- in one statement, and a new subscription copies and then follows. `wanted`: the source's tables, with their sizes.
-- Triggers do not fire on it; a table that refers to an emptied one and is not received itself makes it fail.
CREATE OR REPLACE FUNCTION pointsman.copy_begin(g text, e bigint, r text, s name, conninfo text, src text, wanted jsonb,
  because text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local
SET session_replication_role = replica AS $$
DECLARE n pointsman.receiver := pointsman.named(s); t text; size jsonb; aside text; i int := 0; number int := 0; every text[] := '{}';
  kept jsonb := '{}'; rows_aside bigint; c pointsman.copy;
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  IF EXISTS (SELECT FROM pointsman.seen_access() a WHERE (a.enters AND a.writable > 0) OR a.sessions > 0 OR a.prepared > 0) THEN
    RAISE EXCEPTION 'this database is not closed: close it first' USING ERRCODE = 'PM006';
  END IF;
  SELECT * INTO c FROM pointsman.copy p WHERE p.subscription = s AND p.cleaned_at IS NULL;
  IF c.ended_at IS NOT NULL AND NOT EXISTS (SELECT FROM jsonb_each(c.tables) k WHERE to_regclass(k.value ->> 'kept') IS NOT NULL)
  THEN
    c := NULL; -- Somebody has dropped them by hand.
  ELSIF c.ended_at IS NOT NULL THEN
    RAISE EXCEPTION 'the tables of an earlier copy are still kept aside in schema pointsman_kept: cancel this run, pointsman cleanup, and start it again'
      USING ERRCODE = 'PM006', HINT = 'look at them first: cleanup drops them';
  END IF;
  CREATE SCHEMA IF NOT EXISTS pointsman_kept;
  FOR t, size IN SELECT * FROM jsonb_each(wanted) LOOP
    CONTINUE WHEN t = 'pointsman.sentinel';
    IF to_regclass(t) IS NULL THEN
      RAISE EXCEPTION 'table % is missing here', t USING ERRCODE = 'PM006';
    END IF;
    i := i + 1;
    -- Of a copy that was given up in the middle, what is here now is half of it: what was kept then stays.
    IF c.tables ? t THEN
      kept := kept || jsonb_build_object(t, (c.tables -> t) || size);
      every := every || to_regclass(t)::text;
      CONTINUE;
    END IF;
    LOOP
      number := number + 1;
      aside := format('%I.%I', 'pointsman_kept', left(s, 40) || '_' || number);
      EXIT WHEN to_regclass(aside) IS NULL;
    END LOOP;
    EXECUTE format('CREATE TABLE %s AS TABLE %s', aside, to_regclass(t)::text);
    EXECUTE format('COMMENT ON TABLE %s IS %L', aside, format('%s as it was before the copy of %s', t, clock_timestamp()));
    EXECUTE format('SELECT count(*) FROM %s', aside) INTO rows_aside;
    kept := kept || jsonb_build_object(t, size || jsonb_build_object('kept', aside, 'kept_rows', rows_aside));
    every := every || to_regclass(t)::text;
  END LOOP;
  IF i = 0 THEN
    RAISE EXCEPTION 'the source publishes no table' USING ERRCODE = 'PM006';
  END IF;
  EXECUTE 'TRUNCATE ' || array_to_string(every, ', ');
  -- The other site's marks come again with the copy.
  DELETE FROM pointsman.sentinel WHERE site <> (SELECT site FROM pointsman.identity);
  IF pointsman.subscription(s) IS NOT NULL THEN
    EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', s);
    EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', s);
    EXECUTE format('DROP SUBSCRIPTION %I', s);
  END IF;
  EXECUTE format('CREATE SUBSCRIPTION %I CONNECTION %L PUBLICATION %I WITH (create_slot = false, slot_name = %L,'
    || ' copy_data = true, enabled = true)', s, conninfo, n.publication, n.slot);
  UPDATE pointsman.receiver SET stopped = NULL, position = NULL, local = NULL, gap = NULL, peer = src,
    changed_at = clock_timestamp() WHERE subscription = s;
  INSERT INTO pointsman.copy (subscription, source, ledger, tables, group_name, run) VALUES (s, src, because, kept, g, r)
    ON CONFLICT (subscription) DO UPDATE SET source = excluded.source, ledger = excluded.ledger, tables = excluded.tables,
      group_name = excluded.group_name, run = excluded.run, began_at = clock_timestamp(), ended_at = NULL, cleaned_at = NULL;
END $$;

-- How far the latest copy of a subscription is; nothing without one. Tables that are not ready count what their
-- worker has read so far.
CREATE OR REPLACE FUNCTION pointsman.copy_seen(s name) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH c AS (SELECT * FROM pointsman.copy WHERE subscription = (pointsman.named(s)).subscription),
  t AS (SELECT k.key AS name, (k.value ->> 'bytes')::bigint AS bytes, (k.value ->> 'rows')::bigint AS rows, x.srsubstate AS state,
      p.bytes_processed, p.tuples_processed
    FROM c, jsonb_each(c.tables) k
    LEFT JOIN pg_subscription_rel x ON x.srsubid = pointsman.subscription(s) AND x.srrelid = to_regclass(k.key)
    LEFT JOIN pg_stat_progress_copy p ON p.relid = x.srrelid AND p.datname = current_database())
  SELECT jsonb_build_object('source', c.source, 'ledger', c.ledger, 'began', c.began_at, 'ended', c.ended_at,
    -- It is a copy of the run that holds this database now.
    'held', EXISTS (SELECT FROM pointsman.epoch h WHERE h.group_name = c.group_name AND h.run = c.run),
    'cleaned', c.cleaned_at, 'seconds', extract(epoch FROM coalesce(c.ended_at, clock_timestamp()) - c.began_at),
    'tables', (SELECT count(*) FROM t), 'ready', (SELECT count(*) FROM t WHERE state = 'r'),
    'bytes', (SELECT coalesce(sum(bytes), 0) FROM t),
    'bytes_done', (SELECT coalesce(sum(CASE WHEN state IN ('r', 's', 'f') THEN bytes
        ELSE least(coalesce(bytes_processed, 0), bytes) END), 0) FROM t),
    'rows_done', (SELECT coalesce(sum(CASE WHEN state IN ('r', 's', 'f') THEN rows ELSE coalesce(tuples_processed, 0) END), 0) FROM t),
    'kept', (SELECT jsonb_object_agg(k.key, k.value ->> 'kept') FROM jsonb_each(c.tables) k),
    'aside', EXISTS (SELECT FROM jsonb_each(c.tables) k WHERE to_regclass(k.value ->> 'kept') IS NOT NULL))
  FROM c
$$;

-- Notes that every table is there, for this run, which may have found the copy of an earlier one under way.
CREATE OR REPLACE FUNCTION pointsman.copy_ended(g text, e bigint, r text, s name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  UPDATE pointsman.copy SET ended_at = coalesce(ended_at, clock_timestamp()), group_name = g, run = r
    WHERE subscription = (pointsman.named(s)).subscription;
END $$;

-- Drops what was kept aside of the latest copy; the names of what was dropped. A copy that has not ended keeps it.
CREATE OR REPLACE FUNCTION pointsman.copy_cleanup(g text, e bigint, r text, s name) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
DECLARE c pointsman.copy; k record; dropped jsonb := '[]';
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  SELECT * INTO c FROM pointsman.copy WHERE subscription = (pointsman.named(s)).subscription;
  IF c.subscription IS NULL OR c.cleaned_at IS NOT NULL THEN RETURN dropped; END IF;
  IF c.ended_at IS NULL THEN
    RAISE EXCEPTION 'the copy has not ended: what is kept aside is all that there is of it' USING ERRCODE = 'PM006';
  END IF;
  FOR k IN SELECT value ->> 'kept' AS kept FROM jsonb_each(c.tables) LOOP
    EXECUTE format('DROP TABLE IF EXISTS %s', k.kept);
    dropped := dropped || to_jsonb(k.kept);
  END LOOP;
  UPDATE pointsman.copy SET cleaned_at = clock_timestamp() WHERE subscription = s;
  RETURN dropped;
END $$;

-- Rows and an order-free checksum of one table that is published or received here, over these columns, in so many parts (a
-- power of 2): which part a row is in tells the hash of its key; without one all are in one part. Values as texts are the
-- same at every site, whatever the database, the role or the session is set to.
DROP FUNCTION IF EXISTS pointsman.table_sum(text);
DROP FUNCTION IF EXISTS pointsman.table_sums(text, jsonb, int);
CREATE OR REPLACE FUNCTION pointsman.table_sums(t text, key jsonb, columns jsonb, parts int) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET extra_float_digits = 3
SET bytea_output = 'hex' SET lc_monetary = 'C' AS $$
DECLARE keys text; hashed text; result jsonb;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_subscription_rel x WHERE x.srrelid = to_regclass(t))
     AND NOT EXISTS (SELECT FROM pg_publication_tables p WHERE format('%I.%I', p.schemaname, p.tablename) = t) THEN
    RAISE EXCEPTION '% is neither published nor received', t USING ERRCODE = 'PM006';
  END IF;
  SELECT string_agg(format('x.%I', k.name), ', ' ORDER BY k.i) INTO keys
    FROM jsonb_array_elements_text(key) WITH ORDINALITY k(name, i);
  SELECT coalesce(string_agg(format('x.%I', c.name), ', ' ORDER BY c.i), '') INTO hashed
    FROM jsonb_array_elements_text(columns) WITH ORDINALITY c(name, i);
  EXECUTE format('SELECT coalesce(jsonb_object_agg(p.part, jsonb_build_object(''rows'', p.rows, ''sum'', p.sum)), ''{}'')'
    || ' FROM (SELECT %s AS part, count(*) AS rows, sum(hashtextextended(ROW(%s)::text, 0)::numeric)::text AS sum FROM %s x'
    || ' GROUP BY 1) p',
    coalesce('hashtextextended(ROW(' || keys || ')::text, 1) & ' || (parts - 1), '0'), hashed, to_regclass(t)::text) INTO result;
  RETURN result;
END $$;
