-- The sequences that were used, with their last value: those of the application, not ours.
CREATE OR REPLACE FUNCTION pointsman.sequences() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN RETURN (
  SELECT coalesce(jsonb_object_agg(format('%I.%I', schemaname, sequencename), last_value), '{}')
    FROM pg_sequences WHERE last_value IS NOT NULL AND schemaname NOT IN ('pointsman') AND schemaname !~ '^pg_t');
END $$;

-- At the source: a sentinel row. All that was committed before `lsn` comes before the row at the receiver.
-- Its number is taken from the clock, so that a rebuilt source does not use one again.
CREATE OR REPLACE FUNCTION pointsman.mark(g text, e bigint, r text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
DECLARE here text; lsn pg_lsn; seqs jsonb; m bigint;
BEGIN
  IF g IS NOT NULL THEN PERFORM pointsman.hold_epoch(g, e, r); END IF;
  PERFORM pg_advisory_xact_lock(5784269, 2);
  SELECT site INTO here FROM pointsman.identity;
  lsn := pg_current_wal_insert_lsn();
  seqs := pointsman.sequences();
  DELETE FROM pointsman.sentinel s WHERE s.site = here AND s.mark NOT IN
    (SELECT n.mark FROM pointsman.sentinel n WHERE n.site = here ORDER BY n.mark DESC LIMIT 5);
  SELECT greatest(coalesce(max(s.mark), 0) + 1, floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint) INTO m
    FROM pointsman.sentinel s WHERE s.site = here;
  INSERT INTO pointsman.sentinel (site, mark, sequences) VALUES (here, m, seqs);
  RETURN jsonb_build_object('sentinel', m, 'lsn', lsn::text, 'sequences', seqs);
END $$;

-- The receiver's name must be one that was set up.
CREATE OR REPLACE FUNCTION pointsman.named(s name) RETURNS pointsman.receiver
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE found pointsman.receiver;
BEGIN
  SELECT * INTO found FROM pointsman.receiver WHERE subscription = s;
  IF found.subscription IS NULL THEN
    RAISE EXCEPTION 'subscription % was not set up for Pointsman', s USING ERRCODE = 'PM005';
  END IF;
  RETURN found;
END $$;

CREATE OR REPLACE FUNCTION pointsman.subscription(s name) RETURNS oid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN RETURN (
  SELECT oid FROM pg_subscription WHERE subname = s
     AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()));
END $$;

-- What is applied, flushed to disk before it is told.
CREATE OR REPLACE FUNCTION pointsman.receiver_progress(s name) RETURNS pg_lsn
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE sub oid := pointsman.subscription((pointsman.named(s)).subscription); o text;
BEGIN
  SELECT roname INTO o FROM pg_replication_origin WHERE roname = 'pg_' || sub;
  RETURN CASE WHEN o IS NULL THEN NULL ELSE pg_replication_origin_progress(o, true) END;
END $$;

-- Whether a mark has come and is durable: first seen, then flushed. It comes by a table of its own, so it says nothing of
-- a table whose copy is not finished: only where every one is ready (they never go back) everything has come.
CREATE OR REPLACE FUNCTION pointsman.receiver_drained(s name, m bigint) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE sub oid := pointsman.subscription((pointsman.named(s)).subscription); came boolean; upto pg_lsn;
BEGIN
  SELECT EXISTS (SELECT FROM pointsman.sentinel t WHERE t.mark = m
    AND t.site <> (SELECT site FROM pointsman.identity)) INTO came;
  -- The flush is what makes it a proof; before the mark came it would be waste.
  upto := CASE WHEN came THEN pointsman.receiver_progress(s) END;
  RETURN jsonb_build_object('came', came, 'position', upto::text,
    'tables', (SELECT count(*) FROM pg_subscription_rel WHERE srsubid = sub),
    'ready', (SELECT count(*) FROM pg_subscription_rel WHERE srsubid = sub AND srsubstate = 'r'));
END $$;

CREATE OR REPLACE FUNCTION pointsman.receiver_disable(g text, e bigint, r text, s name) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  IF pointsman.subscription((pointsman.named(s)).subscription) IS NULL THEN RETURN false; END IF;
  EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', s);
  RETURN true;
END $$;

-- Ends the workers of a disabled subscription; how many there still were.
CREATE OR REPLACE FUNCTION pointsman.receiver_end_workers(s name) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE sub oid := pointsman.subscription((pointsman.named(s)).subscription); n bigint;
BEGIN
  IF (SELECT subenabled FROM pg_subscription WHERE oid = sub) THEN
    RAISE EXCEPTION 'subscription % is enabled: its worker would come back', s USING ERRCODE = 'PM006';
  END IF;
  SELECT count(*) INTO n FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_subscription
    WHERE subid = sub AND pid IS NOT NULL) t;
  RETURN n;
END $$;

-- The tables that a subscription receives.
CREATE OR REPLACE FUNCTION pointsman.receiver_tables(s name) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN RETURN (
  SELECT coalesce(jsonb_agg(format('%I.%I', n.nspname, c.relname) ORDER BY 1), '[]')
    FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE r.srsubid = pointsman.subscription((pointsman.named(s)).subscription));
END $$;

-- Remembers where a stopped subscription stands; the position is on disk before it is told.
CREATE OR REPLACE FUNCTION pointsman.receiver_stopped(g text, e bigint, r text, s name, why text, with_gap bigint)
RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
DECLARE sub oid := pointsman.subscription((pointsman.named(s)).subscription); upto pg_lsn;
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  IF (SELECT subenabled FROM pg_subscription WHERE oid = sub)
     OR EXISTS (SELECT FROM pg_stat_subscription WHERE subid = sub AND pid IS NOT NULL) THEN
    RAISE EXCEPTION 'subscription % still applies', s USING ERRCODE = 'PM006';
  END IF;
  upto := pointsman.receiver_progress(s);
  -- Asked again, nothing came meanwhile: then `local` stays, or a slot made since would look older than it.
  UPDATE pointsman.receiver SET stopped = why, gap = coalesce(with_gap, gap), changed_at = clock_timestamp(),
    local = CASE WHEN stopped IS NOT NULL AND position IS NOT DISTINCT FROM upto THEN local
      ELSE pg_current_wal_insert_lsn() END,
    position = upto WHERE subscription = s;
  RETURN jsonb_build_object('subscription', s, 'position', upto::text, 'stopped', why, 'gap', with_gap);
END $$;

-- Creates the subscription, without copying and without making a slot.
CREATE OR REPLACE FUNCTION pointsman.receiver_create(g text, e bigint, r text, s name, conninfo text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
DECLARE n pointsman.receiver := pointsman.named(s);
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  EXECUTE format('CREATE SUBSCRIPTION %I CONNECTION %L PUBLICATION %I WITH (create_slot = false, slot_name = %L,'
    || ' copy_data = false, enabled = false)', s, conninfo, n.publication, n.slot);
  UPDATE pointsman.receiver SET stopped = NULL, position = NULL, local = NULL, gap = NULL, peer = NULL,
    changed_at = clock_timestamp() WHERE subscription = s;
END $$;

-- Takes the subscription away and leaves its slot alone. In this order: a drop that fails on its slot would
-- forget what was applied.
CREATE OR REPLACE FUNCTION pointsman.receiver_drop(g text, e bigint, r text, s name) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  IF pointsman.subscription((pointsman.named(s)).subscription) IS NULL THEN RETURN false; END IF;
  EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', s);
  EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', s);
  EXECUTE format('DROP SUBSCRIPTION %I', s);
  UPDATE pointsman.receiver SET stopped = NULL, position = NULL, local = NULL, gap = NULL, peer = NULL,
    changed_at = clock_timestamp() WHERE subscription = s;
  RETURN true;
END $$;

-- Lets the subscription apply, from `source`, whose identity the caller has looked at.
CREATE OR REPLACE FUNCTION pointsman.receiver_enable(g text, e bigint, r text, s name, conninfo text, source text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
DECLARE n pointsman.receiver := pointsman.named(s);
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  UPDATE pointsman.receiver SET stopped = NULL, gap = NULL, peer = source, changed_at = clock_timestamp()
    WHERE subscription = s;
  IF (SELECT subconninfo FROM pg_subscription WHERE oid = pointsman.subscription(s)) <> conninfo THEN
    EXECUTE format('ALTER SUBSCRIPTION %I CONNECTION %L', s, conninfo);
  END IF;
  IF (SELECT subslotname IS DISTINCT FROM n.slot FROM pg_subscription WHERE oid = pointsman.subscription(s)) THEN
    EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = %L)', s, n.slot);
  END IF;
  EXECUTE format('ALTER SUBSCRIPTION %I ENABLE', s);
END $$;

-- Whether a named role can write now.
CREATE OR REPLACE FUNCTION pointsman.is_open() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN RETURN (
  SELECT EXISTS (SELECT FROM pointsman.seen_access() a WHERE a.enters AND a.writable > 0));
END $$;

-- All that can be seen of a receiver.
CREATE OR REPLACE FUNCTION pointsman.seen_receiver(s name) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE sub pg_subscription; n pointsman.receiver := pointsman.named(s); main record; at_source record; beat timestamptz;
BEGIN
  SELECT * INTO sub FROM pg_subscription WHERE oid = pointsman.subscription(s);
  SELECT t.*, a.wait_event, a.wait_event_type, a.xact_start, pg_blocking_pids(a.pid) AS blocked_by INTO main
    FROM pg_stat_subscription t LEFT JOIN pg_stat_activity a ON a.pid = t.pid
    WHERE t.subid = sub.oid AND t.relid IS NULL ORDER BY t.pid NULLS LAST LIMIT 1;
  SELECT max(at) INTO beat FROM pointsman.sentinel WHERE site <> (SELECT site FROM pointsman.identity);
  RETURN jsonb_build_object(
    'exists', sub.oid IS NOT NULL, 'enabled', coalesce(sub.subenabled, false), 'slot', sub.subslotname,
    'publications', sub.subpublications, 'disable_on_error', sub.subdisableonerr,
    'workers', (SELECT count(*) FROM pg_stat_subscription WHERE subid = sub.oid AND pid IS NOT NULL),
    'pid', main.pid, 'received', main.received_lsn::text, 'reported', main.latest_end_lsn::text,
    'heard_ago', extract(epoch FROM clock_timestamp() - main.last_msg_receipt_time),
    'wait', main.wait_event, 'wait_type', main.wait_event_type, 'blocked_by', to_jsonb(main.blocked_by),
    'applying', main.xact_start IS NOT NULL,
    -- As applied, not yet as durable: that is told by receiver_drained and receiver_stopped.
    'position', (SELECT pg_replication_origin_progress(o.roname, false)::text FROM pg_replication_origin o
        WHERE o.roname = 'pg_' || sub.oid),
    'heartbeat_ago', extract(epoch FROM clock_timestamp() - beat), 'heartbeat', beat,
    'tables', (SELECT count(*) FROM pg_subscription_rel WHERE srsubid = sub.oid),
    'sentinel', EXISTS (SELECT FROM pg_subscription_rel WHERE srsubid = sub.oid
        AND srrelid = 'pointsman.sentinel'::regclass),
    'ready', (SELECT count(*) FROM pg_subscription_rel WHERE srsubid = sub.oid AND srsubstate = 'r'),
    'apply_errors', (SELECT apply_error_count FROM pg_stat_subscription_stats WHERE subid = sub.oid),
    'sync_errors', (SELECT sync_error_count FROM pg_stat_subscription_stats WHERE subid = sub.oid),
    'uuid', (SELECT uuid FROM pointsman.identity), 'publication', n.publication, 'wanted_slot', n.slot,
    'stopped', n.stopped, 'kept', n.position::text, 'local', n.local::text, 'gap', n.gap, 'peer', n.peer);
END $$;

-- All that can be seen of a source: its slot, who reads it, and what would spoil it.
CREATE OR REPLACE FUNCTION pointsman.seen_source(sl name, pub name) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE k record; p pg_publication; w record; t record;
BEGIN
  SELECT * INTO k FROM pg_replication_slots WHERE slot_name = sl;
  SELECT * INTO p FROM pg_publication WHERE pubname = pub;
  SELECT * INTO w FROM pg_stat_replication WHERE pid = k.active_pid;
  -- Once: the server works the tables of a publication out anew for each question.
  SELECT coalesce(bool_or(c.oid = 'pointsman.sentinel'::regclass), false) AS sentinel,
      count(*) FILTER (WHERE f.schemaname = 'pointsman' AND f.tablename <> 'sentinel') AS ours,
      count(*) FILTER (WHERE f.rowfilter IS NULL) AS unfiltered,
      jsonb_agg(c.oid::regclass::text) FILTER (WHERE c.relreplident = 'n' OR (c.relreplident = 'd' AND NOT EXISTS
        (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))) AS no_identity INTO t
    FROM pg_publication_tables f JOIN pg_class c ON c.oid = format('%I.%I', f.schemaname, f.tablename)::regclass
    WHERE f.pubname = pub;
  RETURN jsonb_build_object(
    'exists', k.slot_name IS NOT NULL, 'database', k.database, 'plugin', k.plugin, 'active', coalesce(k.active, false),
    'active_pid', k.active_pid, 'wal_status', k.wal_status, 'safe_wal_size', k.safe_wal_size,
    'confirmed', k.confirmed_flush_lsn::text, 'restart', k.restart_lsn::text,
    'undelivered', pg_wal_lsn_diff(pg_current_wal_insert_lsn(), k.confirmed_flush_lsn)::bigint,
    'retained', pg_wal_lsn_diff(pg_current_wal_insert_lsn(), k.restart_lsn)::bigint,
    'at', (CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_insert_lsn() END)::text,
    'ahead', coalesce(k.confirmed_flush_lsn > pg_current_wal_insert_lsn(), false),
    'receiver', CASE WHEN w.pid IS NULL THEN NULL ELSE jsonb_build_object('state', w.state, 'flush', w.flush_lsn::text,
      'replay_lag', extract(epoch FROM w.replay_lag), 'heard_ago', extract(epoch FROM clock_timestamp() - w.reply_time)) END,
    'publication', p.pubname IS NOT NULL, 'all_tables', coalesce(p.puballtables, false),
    'truncate', coalesce(p.pubtruncate, false),
    'sentinel', t.sentinel, 'ours', t.ours, 'unfiltered', t.unfiltered, 'no_identity', t.no_identity,
    'foreign', (SELECT jsonb_object_agg(u.subname, jsonb_build_object('enabled', u.subenabled,
        'worker', EXISTS (SELECT FROM pg_stat_subscription x WHERE x.subid = u.oid AND x.pid IS NOT NULL),
        'applied_at', (SELECT nullif(o.local_lsn, '0/0')::text FROM pg_replication_origin_status o
           WHERE o.external_id = 'pg_' || u.oid),
        'position', (SELECT nullif(o.remote_lsn, '0/0')::text FROM pg_replication_origin_status o
           WHERE o.external_id = 'pg_' || u.oid),
        'stopped_at', (SELECT n.local::text FROM pointsman.receiver n WHERE n.subscription = u.subname)))
      FROM pg_subscription u WHERE u.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
    'keep', current_setting('max_slot_wal_keep_size'));
END $$;

-- What holds up the making of a slot: every transaction of the cluster that has written.
CREATE OR REPLACE FUNCTION pointsman.blockers() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN RETURN (
  SELECT coalesce(jsonb_agg(b), '[]') FROM (
    (SELECT jsonb_build_object('pid', pid, 'role', usename, 'database', datname, 'application', application_name,
       'seconds', round(extract(epoch FROM clock_timestamp() - xact_start)::numeric, 1)) AS b
      FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 20)
    UNION ALL
    (SELECT jsonb_build_object('prepared', gid, 'role', owner, 'database', database,
       'seconds', round(extract(epoch FROM clock_timestamp() - prepared)::numeric, 1))
      FROM pg_prepared_xacts ORDER BY prepared LIMIT 20)) t);
END $$;

-- Ends sessions of clients whose transaction is older than `age` and has written; who they were.
CREATE OR REPLACE FUNCTION pointsman.end_blockers(age interval) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN RETURN (
  SELECT coalesce(jsonb_agg(jsonb_build_object('pid', pid, 'role', usename, 'database', datname,
      'application', application_name, 'ended', pg_terminate_backend(pid))), '[]')
    FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND backend_type = 'client backend'
     AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - age);
END $$;

-- Moves one sequence forward to `value`, never back. Whether it moved.
CREATE OR REPLACE FUNCTION pointsman.raise_sequence(s text, value bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
BEGIN
  PERFORM setval(s::regclass, value);
  RETURN true;
END $$;

-- Which of `wanted` (name -> last value) are behind here, with the value to reach; and which are missing.
CREATE OR REPLACE FUNCTION pointsman.sequences_behind(wanted jsonb) RETURNS
  TABLE (sequence text, value bigint, missing boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN RETURN QUERY
  SELECT w.key,
    CASE WHEN q.increment_by > 0 THEN least(w.value::bigint, q.max_value) ELSE greatest(w.value::bigint, q.min_value) END,
    q.sequencename IS NULL
    FROM jsonb_each_text(wanted) w
    LEFT JOIN pg_sequences q ON format('%I.%I', q.schemaname, q.sequencename) = w.key AND q.schemaname <> 'pointsman'
   WHERE q.sequencename IS NULL OR q.last_value IS NULL
      OR (q.increment_by > 0 AND q.last_value < least(w.value::bigint, q.max_value))
      OR (q.increment_by < 0 AND q.last_value > greatest(w.value::bigint, q.min_value));
END $$;

CREATE OR REPLACE FUNCTION pointsman.set_sequences(g text, e bigint, r text, wanted jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
DECLARE b record; moved jsonb := '{}'; absent jsonb := '[]';
BEGIN
  PERFORM pointsman.hold_epoch(g, e, r);
  FOR b IN SELECT * FROM pointsman.sequences_behind(wanted) LOOP
    IF b.missing THEN absent := absent || to_jsonb(b.sequence);
    ELSE PERFORM pointsman.raise_sequence(b.sequence, b.value); 
      moved := moved || jsonb_build_object(b.sequence, b.value); END IF;
  END LOOP;
  RETURN jsonb_build_object('moved', moved, 'missing', absent);
END $$;

-- Where sequences must start when the source's last values are not known: the highest value that is used
-- in a column or was heard from the source, and `gap` steps more. One that has neither: its own value.
CREATE OR REPLACE FUNCTION pointsman.sequences_with_gap(gap bigint) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE q record; c record; base bigint; top bigint; heard jsonb; result jsonb := '{}';
BEGIN
  SELECT sequences INTO heard FROM pointsman.sentinel
    WHERE site <> (SELECT site FROM pointsman.identity) ORDER BY at DESC LIMIT 1;
  FOR q IN SELECT format('%I.%I', schemaname, sequencename) AS name, increment_by AS step, last_value AS last,
      min_value AS low, max_value AS high
      FROM pg_sequences WHERE schemaname <> 'pointsman' AND schemaname !~ '^pg_t' LOOP
    base := (heard ->> q.name)::bigint;
    FOR c IN SELECT DISTINCT d.rel, a.attname FROM (
          SELECT refobjid::regclass AS rel, refobjsubid AS num FROM pg_depend
           WHERE classid = 'pg_class'::regclass AND objid = q.name::regclass AND deptype IN ('a','i')
             AND refclassid = 'pg_class'::regclass
          UNION SELECT f.adrelid::regclass, f.adnum FROM pg_depend p JOIN pg_attrdef f ON f.oid = p.objid
           WHERE p.classid = 'pg_attrdef'::regclass AND p.refclassid = 'pg_class'::regclass
             AND p.refobjid = q.name::regclass) d
        JOIN pg_attribute a ON a.attrelid = d.rel AND a.attnum = d.num
       WHERE a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype) LOOP
      EXECUTE format('SELECT %s(%I)::bigint FROM %s', CASE WHEN q.step > 0 THEN 'max' ELSE 'min' END,
        c.attname, c.rel) INTO top;
      base := CASE WHEN q.step > 0 THEN greatest(base, top) ELSE least(base, top) END;
    END LOOP;
    base := coalesce(base, q.last);
    IF base IS NOT NULL THEN
      result := result || jsonb_build_object(q.name,
        trunc(greatest(q.low::numeric, least(q.high::numeric, base::numeric + gap::numeric * q.step)))::bigint);
    END IF;
  END LOOP;
  RETURN result;
END $$;

-- The live side stamps a sentinel now and then: its age says what a loss now would lose. Whether it did:
-- a database that is closed, or is no primary, stamps nothing.
CREATE OR REPLACE FUNCTION pointsman.heartbeat() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = local AS $$
BEGIN
  IF pg_is_in_recovery() OR NOT pointsman.is_open() THEN
    RETURN false;
  END IF;
  PERFORM pointsman.mark(NULL, NULL, NULL);
  RETURN true;
END $$;
