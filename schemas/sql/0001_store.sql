-- Runs with their revisions and approvals, and sessions. docs/database.md says what everything is.
-- Runs inside one transaction, under the lock of the migrations. Every function is one statement
-- for its caller. What is no document or data comes as JSON, which drivers of all languages give
-- alike.
--
-- A save writes two rows, that of the run and that of the revision: what is told about its calls
-- and tokens is in the latter, and the views take it apart; as json where nothing is looked for in
-- it, which takes less room than jsonb. What changes in the row of a run stands at its end, so that
-- little of it is logged. There are no foreign keys: a save would pay for them, and clear_run
-- removes what belongs to a run.

DO $$
BEGIN
    IF current_setting('server_version_num')::integer < 140000 THEN
        RAISE 'Timestep needs PostgreSQL 14 or newer, this is %', current_setting('server_version');
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS timestep;

CREATE TABLE timestep.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL
);

CREATE TABLE timestep.runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL UNIQUE,
    trace_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    claim_owner text,
    claim_until timestamptz,
    agent text NOT NULL,
    status text NOT NULL,
    current_turn integer NOT NULL,
    revision integer NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE TABLE timestep.run_revisions (
    run bigint NOT NULL,
    revision integer NOT NULL,
    base integer,
    checksum bytea,
    document text,
    data bytea,
    status text NOT NULL,
    current_turn integer NOT NULL,
    language text NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    pending jsonb,
    decided jsonb,
    calls json,
    usage json,
    PRIMARY KEY (run, revision),
    CHECK (num_nonnulls(document, data) = num_nonnulls(checksum))
);
ALTER TABLE timestep.run_revisions ALTER COLUMN data SET STORAGE EXTERNAL;
DO $$
BEGIN
    ALTER TABLE timestep.run_revisions ALTER COLUMN document SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    NULL; -- a server built without lz4 keeps its own compression
END
$$;

CREATE TABLE timestep.decisions (
    run bigint NOT NULL,
    call_id text NOT NULL,
    revision integer NOT NULL,
    decision text NOT NULL CHECK (decision IN ('approve', 'reject')),
    always boolean NOT NULL,
    message bytea,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (run, call_id, revision)
);

CREATE TABLE timestep.sessions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL UNIQUE,
    next_position bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE TABLE timestep.session_items (
    session bigint NOT NULL,
    position bigint NOT NULL,
    item text,
    data bytea,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session, position),
    CHECK (num_nonnulls(item, data) = 1)
);

-- The revision that first asked for a call that waits in p_revision: p_call is a list of its call_id
-- and digest. A call with other arguments is another one.
CREATE FUNCTION timestep.asked_in(p_run bigint, p_revision integer, p_call jsonb) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
BEGIN
    WHILE EXISTS (SELECT FROM timestep.run_revisions v
                  WHERE v.run = p_run AND v.revision = p_revision - 1 AND v.pending @> p_call) LOOP
        p_revision := p_revision - 1;
    END LOOP;
    RETURN p_revision;
END
$$;

-- Every call that waits or waited, once: in the last revision in which it waits.
CREATE VIEW timestep.interruptions AS
SELECT r.run_id, c.call_id, c.agent, c.tool, coalesce(c.kind, 'function') AS kind,
       coalesce(convert_to(c.arguments, 'UTF8'), decode(c.data, 'base64')) AS arguments,
       c.digest AS arguments_digest, first.revision, first.saved_at AS requested_at,
       coalesce(d.decision, next.decided->>c.call_id) AS decision,
       coalesce(d.always, false) AS always, d.message, d.decided_by,
       coalesce(d.decided_at, CASE WHEN next.decided ? c.call_id THEN next.saved_at END)
           AS decided_at,
       d.expires_at, last.revision AS last_revision, next.revision AS resolved_revision, c.place
FROM timestep.runs r
JOIN timestep.run_revisions last ON last.run = r.id
CROSS JOIN LATERAL ROWS FROM (
    jsonb_to_recordset(last.pending) AS (
        call_id text, agent text, tool text, kind text, arguments text, data text, digest text)
) WITH ORDINALITY AS c (call_id, agent, tool, kind, arguments, data, digest, place)
CROSS JOIN LATERAL jsonb_build_array(
    jsonb_build_object('call_id', c.call_id, 'digest', c.digest)) AS same
LEFT JOIN LATERAL (
    SELECT v.revision, v.saved_at, v.pending, v.decided FROM timestep.run_revisions v
    WHERE v.run = r.id AND v.revision = last.revision + 1 LIMIT 1) AS next ON true
LEFT JOIN LATERAL (
    SELECT v.revision, v.saved_at FROM timestep.run_revisions v
    WHERE v.run = r.id AND v.revision = timestep.asked_in(r.id, last.revision, same) LIMIT 1
    ) AS first ON true
LEFT JOIN timestep.decisions d ON d.run = r.id AND d.call_id = c.call_id
    AND d.revision = first.revision
WHERE next.pending IS NULL OR NOT next.pending @> same;

-- Bytes as hexadecimal, whatever the server's bytea_output is.
CREATE FUNCTION timestep.approval(i timestep.interruptions) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(i) || jsonb_build_object(
        'arguments', encode(i.arguments, 'hex'), 'message', encode(i.message, 'hex'))
$$;

CREATE VIEW timestep.tool_calls AS
SELECT r.run_id, v.revision, c.call_id, c.agent, c.tool, coalesce(c.executed, true) AS executed
FROM timestep.runs r
JOIN timestep.run_revisions v ON v.run = r.id
CROSS JOIN LATERAL json_to_recordset(v.calls)
    AS c (call_id text, agent text, tool text, executed boolean);

CREATE VIEW timestep.usage AS
SELECT r.run_id, v.revision, u.request, u.model, coalesce(u.input, 0) AS input_tokens,
       coalesce(u.output, 0) AS output_tokens,
       coalesce(u.total, coalesce(u.input, 0) + coalesce(u.output, 0)) AS total_tokens,
       coalesce(u.cached, 0) AS cached_tokens, coalesce(u.reasoning, 0) AS reasoning_tokens
FROM timestep.runs r
JOIN timestep.run_revisions v ON v.run = r.id
CROSS JOIN LATERAL json_to_recordset(v.usage)
    AS u (request integer, model text, input bigint, output bigint, total bigint, cached bigint,
          reasoning bigint);

-- The run's row moves from one revision to the next, or nothing happens at all. p_facts is what
-- docs/database.md calls the facts of a save.
CREATE FUNCTION timestep.save_revision(
    p_run_id text, p_revision integer, p_owner text, p_base integer, p_checksum bytea,
    p_document text, p_data bytea, p_facts json
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_run bigint;
    v_status text := p_facts->>'status';
    v_turn integer := p_facts->>'turn';
BEGIN
    IF p_revision = 1 THEN
        INSERT INTO timestep.runs (run_id, agent, status, current_turn, revision, trace_id)
        VALUES (p_run_id, p_facts->>'agent', v_status, v_turn, 1, p_facts->>'trace_id')
        ON CONFLICT (run_id) DO NOTHING
        RETURNING id INTO v_run;
    ELSE
        UPDATE timestep.runs
        SET agent = p_facts->>'agent', status = v_status, current_turn = v_turn,
            revision = p_revision, trace_id = p_facts->>'trace_id', updated_at = now()
        WHERE run_id = p_run_id AND revision = p_revision - 1
          AND (claim_owner = p_owner OR claim_owner IS NULL OR claim_until <= now())
        RETURNING id INTO v_run;
    END IF;
    IF v_run IS NULL THEN
        RETURN coalesce((
            SELECT jsonb_build_object(
                'outcome', CASE WHEN revision = p_revision - 1 THEN 'held' ELSE 'stale' END,
                'revision', revision, 'owner', claim_owner, 'until', claim_until)
            FROM timestep.runs WHERE run_id = p_run_id), '{"outcome": "missing"}');
    END IF;
    INSERT INTO timestep.run_revisions (run, revision, base, checksum, document, data, status,
        current_turn, language, pending, decided, calls, usage)
    VALUES (v_run, p_revision, p_base, p_checksum, p_document, p_data, v_status, v_turn,
            p_facts->>'language', (p_facts->'pending')::jsonb, (p_facts->'decided')::jsonb,
            p_facts->'calls', p_facts->'usage');
    RETURN '{"outcome": "saved"}';
END
$$;

-- The checksum of a revision in hexadecimal: whoever lost the answer to a save looks it up.
CREATE FUNCTION timestep.checksum(p_run_id text, p_revision integer) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT encode(v.checksum, 'hex')
    FROM timestep.runs r JOIN timestep.run_revisions v ON v.run = r.id
    WHERE r.run_id = p_run_id AND v.revision = p_revision
$$;

-- The first row has only newest, oldest (the oldest revision that was not pruned) and the decisions
-- about calls that wait; then a row for each piece, the whole one first. No row: no such run.
CREATE FUNCTION timestep.read_run(p_run_id text, p_revision integer)
RETURNS TABLE (newest integer, oldest integer, decisions text, revision integer, base integer,
               checksum bytea, document text, data bytea)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    v_run bigint;
    v_last integer;
BEGIN
    SELECT r.id, r.revision, (
               SELECT min(v.revision) FROM timestep.run_revisions v
               WHERE v.run = r.id AND v.checksum IS NOT NULL), (
               SELECT jsonb_agg(timestep.approval(i) ORDER BY i.revision, i.place)
               FROM timestep.interruptions i
               WHERE i.run_id = r.run_id AND i.last_revision = r.revision
                 AND i.decision IS NOT NULL AND (i.expires_at IS NULL OR i.expires_at > now()))
    INTO v_run, newest, oldest, decisions
    FROM timestep.runs r WHERE r.run_id = p_run_id;
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    RETURN NEXT;
    v_last := coalesce(p_revision, newest);
    RETURN QUERY
    SELECT NULL::integer, NULL::integer, NULL::text, v.revision, v.base, v.checksum, v.document,
           v.data
    FROM timestep.run_revisions v
    WHERE v.run = v_run AND v.checksum IS NOT NULL AND v.revision <= v_last
      AND v.revision >= coalesce((
          SELECT max(w.revision) FROM timestep.run_revisions w
          WHERE w.run = v_run AND w.revision <= v_last AND w.base IS NULL
            AND w.checksum IS NOT NULL), 0)
    ORDER BY v.revision;
END
$$;

CREATE FUNCTION timestep.clear_run(p_run_id text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_run bigint;
BEGIN
    DELETE FROM timestep.runs WHERE run_id = p_run_id RETURNING id INTO v_run;
    DELETE FROM timestep.run_revisions WHERE run = v_run;
    DELETE FROM timestep.decisions WHERE run = v_run;
END
$$;

-- Every run, the one that changed last first.
CREATE FUNCTION timestep.list_runs() RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(r) || jsonb_build_object('held', coalesce(r.claim_until > now(), false), 'pending', (
        SELECT count(*) FROM timestep.interruptions i
        WHERE i.run_id = r.run_id AND i.last_revision = r.revision
          AND (i.decision IS NULL OR i.expires_at <= now())))
    FROM timestep.runs r
    ORDER BY r.updated_at DESC, r.id DESC
$$;

-- The revisions that were not pruned, oldest first. size is what a piece takes, in bytes.
CREATE FUNCTION timestep.list_revisions(p_run_id text) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'revision', v.revision, 'status', v.status, 'current_turn', v.current_turn,
        'saved_at', v.saved_at, 'language', v.language, 'whole', v.base IS NULL,
        'size', coalesce(pg_column_size(v.document), pg_column_size(v.data)))
    FROM timestep.runs r
    JOIN timestep.run_revisions v ON v.run = r.id
    WHERE r.run_id = p_run_id AND v.checksum IS NOT NULL
    ORDER BY v.revision
$$;

-- Takes the pieces before a revision away, whose own is then a whole one. How many there were; none
-- where the revision itself was pruned.
CREATE FUNCTION timestep.prune_run(
    p_run_id text, p_revision integer, p_checksum bytea, p_document text, p_data bytea
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_run bigint;
    v_removed integer := 0;
BEGIN
    SELECT id INTO v_run FROM timestep.runs WHERE run_id = p_run_id FOR UPDATE;
    IF v_run IS NULL THEN
        RETURN '{"outcome": "missing"}';
    END IF;
    UPDATE timestep.run_revisions
    SET base = NULL, checksum = p_checksum, document = p_document, data = p_data
    WHERE run = v_run AND revision = p_revision AND checksum IS NOT NULL;
    IF FOUND THEN
        UPDATE timestep.run_revisions
        SET base = NULL, checksum = NULL, document = NULL, data = NULL
        WHERE run = v_run AND revision < p_revision AND checksum IS NOT NULL;
        GET DIAGNOSTICS v_removed = ROW_COUNT;
    END IF;
    RETURN jsonb_build_object('outcome', 'done', 'removed', v_removed);
END
$$;

-- One conditional statement takes or renews the claim; the rest says why it did not.
-- p_seen is the revision the claimer has read, or null if it has read none.
CREATE FUNCTION timestep.claim_run(
    p_run_id text, p_owner text, p_seconds double precision, p_seen integer
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_until timestamptz;
BEGIN
    UPDATE timestep.runs
    SET claim_owner = p_owner, claim_until = now() + make_interval(secs => p_seconds)
    WHERE run_id = p_run_id AND (p_seen IS NULL OR revision = p_seen)
      AND (claim_owner = p_owner OR claim_owner IS NULL OR claim_until <= now())
    RETURNING claim_until INTO v_until;
    IF v_until IS NOT NULL THEN
        RETURN jsonb_build_object('outcome', 'claimed', 'until', v_until);
    END IF;
    RETURN coalesce((
        SELECT jsonb_build_object(
            'outcome', CASE WHEN claim_owner <> p_owner AND claim_until > now()
                            THEN 'held' ELSE 'stale' END,
            'revision', revision, 'owner', claim_owner, 'until', claim_until)
        FROM timestep.runs WHERE run_id = p_run_id), '{"outcome": "missing"}');
END
$$;

-- False where there is no such run. Somebody else's claim stays.
CREATE FUNCTION timestep.release_run(p_run_id text, p_owner text) RETURNS jsonb
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE timestep.runs SET claim_owner = NULL, claim_until = NULL
    WHERE run_id = p_run_id AND claim_owner = p_owner;
    RETURN to_jsonb(FOUND OR EXISTS (SELECT FROM timestep.runs WHERE run_id = p_run_id));
END
$$;

-- Calls that wait, or all there were, of a run or of all, oldest first. Of a call that was asked for
-- several times the last time. One null: no such run.
CREATE FUNCTION timestep.list_approvals(p_run_id text, p_resolved boolean)
RETURNS SETOF jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_run_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM timestep.runs WHERE run_id = p_run_id) THEN
        RETURN NEXT NULL;
    END IF;
    IF p_resolved THEN
        RETURN QUERY
        SELECT timestep.approval(i)
        FROM (SELECT DISTINCT ON (a.run_id, a.call_id) a.* FROM timestep.interruptions a
              WHERE p_run_id IS NULL OR a.run_id = p_run_id
              ORDER BY a.run_id, a.call_id, a.last_revision DESC) AS i
        ORDER BY i.requested_at, i.run_id, i.revision, i.place;
    ELSE
        RETURN QUERY
        SELECT timestep.approval(i) FROM timestep.interruptions i
        JOIN timestep.runs r ON r.run_id = i.run_id AND r.revision = i.last_revision
        WHERE p_run_id IS NULL OR r.run_id = p_run_id
        ORDER BY i.requested_at, i.run_id, i.revision, i.place;
    END IF;
END
$$;

-- p_digest is the digest of the arguments the decision is for; null takes those that are stored.
CREATE FUNCTION timestep.decide(
    p_run_id text, p_call_id text, p_digest text, p_decision text, p_always boolean,
    p_message bytea, p_by text, p_expires timestamptz
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_run bigint;
    v_digest text;
    v_asked integer;
BEGIN
    -- Nobody saves while this looks at what waits.
    SELECT id INTO v_run FROM timestep.runs WHERE run_id = p_run_id FOR UPDATE;
    IF v_run IS NULL THEN
        RETURN '{"outcome": "missing"}';
    END IF;
    SELECT call->>'digest', timestep.asked_in(v_run, v.revision, jsonb_build_array(
               jsonb_build_object('call_id', call->'call_id', 'digest', call->'digest')))
    INTO v_digest, v_asked
    FROM timestep.runs r
    JOIN timestep.run_revisions v ON v.run = r.id AND v.revision = r.revision
    CROSS JOIN jsonb_array_elements(v.pending) AS call
    WHERE r.id = v_run AND call->>'call_id' = p_call_id;
    IF v_asked IS NULL THEN
        RETURN '{"outcome": "no call"}';
    ELSIF v_digest <> p_digest THEN
        RETURN jsonb_build_object('outcome', 'mismatch', 'digest', v_digest);
    END IF;
    INSERT INTO timestep.decisions AS d (run, call_id, revision, decision, always, message,
        decided_by, expires_at)
    VALUES (v_run, p_call_id, v_asked, p_decision, p_always, p_message, p_by, p_expires)
    ON CONFLICT (run, call_id, revision) DO UPDATE
    SET decision = excluded.decision, always = excluded.always, message = excluded.message,
        decided_by = excluded.decided_by, decided_at = excluded.decided_at,
        expires_at = excluded.expires_at
    WHERE d.expires_at <= now();
    IF FOUND THEN
        RETURN '{"outcome": "decided"}';
    END IF;
    RETURN (
        SELECT jsonb_build_object('outcome', 'already', 'decision', decision, 'by', decided_by,
                                  'at', decided_at)
        FROM timestep.decisions
        WHERE run = v_run AND call_id = p_call_id AND revision = v_asked);
END
$$;

-- The row of the session is the lock that keeps concurrent appends whole and in order.
-- Each element is {"item": text} in clear, or {"data": base64} where items are sealed.
CREATE FUNCTION timestep.append_items(p_session_id text, p_items jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_session bigint;
    v_next bigint;
BEGIN
    INSERT INTO timestep.sessions AS s (session_id, next_position)
    VALUES (p_session_id, 1 + jsonb_array_length(p_items))
    ON CONFLICT (session_id) DO UPDATE
    SET next_position = s.next_position + jsonb_array_length(p_items), updated_at = now()
    RETURNING id, next_position - jsonb_array_length(p_items) INTO v_session, v_next;
    INSERT INTO timestep.session_items (session, position, item, data)
    SELECT v_session, v_next + place - 1, value->>'item', decode(value->>'data', 'base64')
    FROM jsonb_array_elements(p_items) WITH ORDINALITY AS e (value, place);
END
$$;

-- The newest items, or all, newest first.
CREATE FUNCTION timestep.read_items(p_session_id text, p_limit integer)
RETURNS TABLE (item text, data bytea) LANGUAGE sql STABLE AS $$
    SELECT i.item, i.data
    FROM timestep.session_items i
    WHERE i.session = (SELECT s.id FROM timestep.sessions s WHERE s.session_id = p_session_id)
    ORDER BY i.position DESC
    LIMIT p_limit
$$;

-- The newest item, taken out; two callers never get the same one.
CREATE FUNCTION timestep.pop_item(p_session_id text) RETURNS TABLE (item text, data bytea)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_session bigint;
BEGIN
    UPDATE timestep.sessions SET updated_at = now() WHERE session_id = p_session_id
    RETURNING id INTO v_session;
    RETURN QUERY
    DELETE FROM timestep.session_items i
    WHERE i.session = v_session AND i.position =
        (SELECT max(m.position) FROM timestep.session_items m WHERE m.session = v_session)
    RETURNING i.item, i.data;
END
$$;

CREATE FUNCTION timestep.clear_items(p_session_id text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_session bigint;
BEGIN
    DELETE FROM timestep.sessions WHERE session_id = p_session_id RETURNING id INTO v_session;
    DELETE FROM timestep.session_items WHERE session = v_session;
END
$$;
