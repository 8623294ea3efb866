-- What Pointsman keeps in this database. Nothing here may be in a publication, except the sentinel.
CREATE SCHEMA IF NOT EXISTS pointsman;
REVOKE ALL ON SCHEMA pointsman FROM PUBLIC;

-- Which site and database this is. A copy of a cluster carries it along: give the copy its own row.
CREATE TABLE IF NOT EXISTS pointsman.identity (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  site text NOT NULL,
  resource text NOT NULL,
  uuid uuid NOT NULL DEFAULT gen_random_uuid());

-- The newest run that claimed a group here. Each change of access compares and writes it.
CREATE TABLE IF NOT EXISTS pointsman.epoch (
  group_name text PRIMARY KEY,
  epoch bigint NOT NULL CHECK (epoch >= 0),
  run text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  changes bigint NOT NULL DEFAULT 0);

-- The roles that write for the application, and how each is closed.
CREATE TABLE IF NOT EXISTS pointsman.writer (
  role name PRIMARY KEY,
  mode text NOT NULL CHECK (mode IN ('login', 'connect', 'group')),
  via name CHECK ((mode = 'group') = (via IS NOT NULL)),
  schemas name[] NOT NULL);

-- What was last done to their access. `ended`: sessions of before that close are gone.
CREATE TABLE IF NOT EXISTS pointsman.access (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  state text NOT NULL CHECK (state IN ('open', 'closed')),
  ended boolean NOT NULL DEFAULT false,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  changes bigint NOT NULL DEFAULT 0);

-- The subscriptions that Pointsman may drive, and where each was stopped:
-- `position` is the source's LSN up to which all is applied and durable here, `local` our own LSN then.
CREATE TABLE IF NOT EXISTS pointsman.receiver (
  subscription name PRIMARY KEY,
  publication name NOT NULL,
  slot name NOT NULL,
  stopped text CHECK (stopped IN ('stopped', 'drained', 'abandoned')),
  position pg_lsn,
  local pg_lsn,
  gap bigint,
  peer text,
  changed_at timestamptz);

-- One row a mark: the source writes it, the receiver waits for it. Replicated; filtered by site.
CREATE TABLE IF NOT EXISTS pointsman.sentinel (
  site text NOT NULL,
  mark bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  sequences jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (site, mark));
