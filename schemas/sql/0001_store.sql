-- Runs, their revisions and approvals, and sessions. docs/database.md says what every column is.
-- Applied inside one transaction, after an advisory lock, by whichever port comes first.

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
    agent text NOT NULL,
    status text NOT NULL,
    current_turn integer NOT NULL,
    revision integer NOT NULL,
    trace_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    claim_owner text,
    claim_until timestamptz
) WITH (fillfactor = 70);

CREATE TABLE timestep.run_revisions (
    run bigint NOT NULL REFERENCES timestep.runs ON DELETE CASCADE,
    revision integer NOT NULL,
    base integer,
    checksum bytea NOT NULL,
    document text,
    data bytea,
    status text NOT NULL,
    current_turn integer NOT NULL,
    language text NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run, revision),
    CHECK (num_nonnulls(document, data) = 1)
);
ALTER TABLE timestep.run_revisions ALTER COLUMN data SET STORAGE EXTERNAL;
DO $$
BEGIN
    ALTER TABLE timestep.run_revisions ALTER COLUMN document SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    NULL; -- a server built without lz4 keeps its own compression
END
$$;

CREATE TABLE timestep.interruptions (
    run bigint NOT NULL REFERENCES timestep.runs ON DELETE CASCADE,
    call_id text NOT NULL,
    agent text NOT NULL,
    tool text NOT NULL,
    kind text NOT NULL,
    arguments bytea,
    arguments_digest bytea NOT NULL,
    revision integer NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    decision text CHECK (decision IN ('approve', 'reject')),
    always boolean NOT NULL DEFAULT false,
    message bytea,
    decided_by text,
    decided_at timestamptz,
    expires_at timestamptz,
    resolved_revision integer,
    PRIMARY KEY (run, call_id)
);

CREATE TABLE timestep.tool_calls (
    run bigint NOT NULL REFERENCES timestep.runs ON DELETE CASCADE,
    call_id text NOT NULL,
    agent text NOT NULL,
    tool text NOT NULL,
    executed boolean NOT NULL,
    revision integer NOT NULL,
    PRIMARY KEY (run, call_id)
);

CREATE TABLE timestep.usage (
    run bigint NOT NULL REFERENCES timestep.runs ON DELETE CASCADE,
    request integer NOT NULL,
    model text,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    total_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    revision integer NOT NULL,
    PRIMARY KEY (run, request)
);

CREATE TABLE timestep.sessions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text NOT NULL UNIQUE,
    next_position bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE timestep.session_items (
    session bigint NOT NULL REFERENCES timestep.sessions ON DELETE CASCADE,
    position bigint NOT NULL,
    item text,
    data bytea,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session, position),
    CHECK (num_nonnulls(item, data) = 1)
);

-- One save: the run's row moves from one revision to the next, or nothing happens at all.
-- p_facts is what docs/database.md calls the facts of a save. The outcome is 'saved', 'stale'
-- (with the revision that is stored) or 'claimed' (with who has the run and until when).
CREATE FUNCTION timestep.save_revision(
    p_run_id text, p_expected integer, p_owner text, p_base integer, p_checksum bytea,
    p_document text, p_data bytea, p_facts jsonb
) RETURNS TABLE (outcome text, revision integer, claim_owner text, claim_until timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_run bigint;
    v_next integer := p_expected + 1;
BEGIN
    IF p_expected = 0 THEN
        INSERT INTO timestep.runs (run_id, agent, status, current_turn, revision, trace_id)
        VALUES (p_run_id, p_facts->>'agent', p_facts->>'status', (p_facts->>'turn')::integer,
                1, p_facts->>'trace_id')
        ON CONFLICT (run_id) DO NOTHING
        RETURNING id INTO v_run;
    ELSE
        UPDATE timestep.runs r
        SET agent = p_facts->>'agent', status = p_facts->>'status', revision = v_next,
            current_turn = (p_facts->>'turn')::integer, trace_id = p_facts->>'trace_id',
            updated_at = now()
        WHERE r.run_id = p_run_id AND r.revision = p_expected
          AND (r.claim_owner IS NULL OR r.claim_until <= now() OR r.claim_owner = p_owner)
        RETURNING id INTO v_run;
    END IF;
    IF v_run IS NULL THEN
        RETURN QUERY
        SELECT CASE WHEN r.revision = p_expected THEN 'claimed' ELSE 'stale' END,
               r.revision, r.claim_owner, r.claim_until
        FROM (SELECT 1) AS one
        LEFT JOIN timestep.runs r ON r.run_id = p_run_id;
        RETURN;
    END IF;

    INSERT INTO timestep.run_revisions
        (run, revision, base, checksum, document, data, status, current_turn, language)
    VALUES (v_run, v_next, p_base, p_checksum, p_document, p_data, p_facts->>'status',
            (p_facts->>'turn')::integer, p_facts->>'language');

    -- Calls that no longer wait. Where the run itself decided, the document says how.
    IF p_expected > 0 THEN
        UPDATE timestep.interruptions i
        SET resolved_revision = v_next,
            decision = coalesce(i.decision, p_facts->'decided'->>i.call_id),
            decided_at = CASE
                WHEN i.decision IS NULL AND p_facts->'decided' ? i.call_id THEN now()
                ELSE i.decided_at END
        WHERE i.run = v_run AND i.resolved_revision IS NULL
          AND NOT (coalesce(p_facts->'waiting', '[]') ? i.call_id);
    END IF;
    IF jsonb_array_length(coalesce(p_facts->'pending', '[]')) > 0 THEN
        INSERT INTO timestep.interruptions AS i
            (run, call_id, agent, tool, kind, arguments, arguments_digest, revision)
        SELECT v_run, p->>'call_id', p->>'agent', p->>'tool', p->>'kind',
               decode(p->>'arguments', 'base64'), decode(p->>'digest', 'hex'), v_next
        FROM jsonb_array_elements(p_facts->'pending') AS p
        ON CONFLICT (run, call_id) DO UPDATE
        SET agent = excluded.agent, tool = excluded.tool, kind = excluded.kind,
            arguments = excluded.arguments, arguments_digest = excluded.arguments_digest,
            revision = excluded.revision, requested_at = excluded.requested_at,
            decision = NULL, always = false, message = NULL, decided_by = NULL,
            decided_at = NULL, expires_at = NULL, resolved_revision = NULL
        WHERE i.arguments_digest <> excluded.arguments_digest OR i.resolved_revision IS NOT NULL;
    END IF;
    IF jsonb_array_length(coalesce(p_facts->'calls', '[]')) > 0 THEN
        INSERT INTO timestep.tool_calls (run, call_id, agent, tool, executed, revision)
        SELECT v_run, c->>'call_id', c->>'agent', c->>'tool', (c->>'executed')::boolean, v_next
        FROM jsonb_array_elements(p_facts->'calls') AS c
        ON CONFLICT (run, call_id) DO NOTHING;
    END IF;
    IF jsonb_array_length(coalesce(p_facts->'usage', '[]')) > 0 THEN
        INSERT INTO timestep.usage (run, request, model, input_tokens, output_tokens,
            total_tokens, cached_tokens, reasoning_tokens, revision)
        SELECT v_run, (u->>'request')::integer, u->>'model', (u->>'input')::bigint,
               (u->>'output')::bigint, (u->>'total')::bigint, (u->>'cached')::bigint,
               (u->>'reasoning')::bigint, v_next
        FROM jsonb_array_elements(p_facts->'usage') AS u
        ON CONFLICT (run, request) DO NOTHING;
    END IF;
    RETURN QUERY SELECT 'saved', v_next, NULL::text, NULL::timestamptz;
END
$$;

-- One conditional statement takes or renews the claim; the rest says why it did not.
-- p_seen is the revision the claimer has read, or null if it has read none.
-- The outcome is 'claimed', 'held' (by somebody else), 'stale' or 'missing'.
CREATE FUNCTION timestep.claim_run(
    p_run_id text, p_owner text, p_seconds double precision, p_seen integer
) RETURNS TABLE (outcome text, revision integer, claim_owner text, claim_until timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE timestep.runs r
    SET claim_owner = p_owner, claim_until = now() + make_interval(secs => p_seconds)
    WHERE r.run_id = p_run_id
      AND (r.claim_owner IS NULL OR r.claim_until <= now() OR r.claim_owner = p_owner)
      AND (p_seen IS NULL OR r.revision = p_seen)
    RETURNING 'claimed', r.revision, r.claim_owner, r.claim_until;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT CASE WHEN r.id IS NULL THEN 'missing'
                WHEN r.claim_until > now() AND r.claim_owner <> p_owner THEN 'held'
                ELSE 'stale' END,
           r.revision, r.claim_owner, r.claim_until
    FROM (SELECT 1) AS one
    LEFT JOIN timestep.runs r ON r.run_id = p_run_id;
END
$$;

-- The outcome is 'decided', 'missing', 'mismatch' or 'already' (with who decided and when).
-- p_digest is the digest of the arguments the decision is for; null takes those that are stored.
CREATE FUNCTION timestep.decide(
    p_run_id text, p_call_id text, p_digest bytea, p_decision text, p_always boolean,
    p_message bytea, p_by text, p_expires timestamptz
) RETURNS TABLE (outcome text, decision text, decided_by text, decided_at timestamptz,
                 arguments_digest bytea)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE timestep.interruptions i
    SET decision = p_decision, always = p_always, message = p_message, decided_by = p_by,
        decided_at = now(), expires_at = p_expires
    FROM timestep.runs r
    WHERE r.run_id = p_run_id AND i.run = r.id AND i.call_id = p_call_id
      AND i.resolved_revision IS NULL
      AND (i.decision IS NULL OR i.expires_at <= now())
      AND (p_digest IS NULL OR i.arguments_digest = p_digest)
    RETURNING 'decided', i.decision, i.decided_by, i.decided_at, i.arguments_digest;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT CASE WHEN i.call_id IS NULL THEN 'missing'
                WHEN p_digest IS NOT NULL AND i.arguments_digest <> p_digest THEN 'mismatch'
                ELSE 'already' END,
           i.decision, i.decided_by, i.decided_at, i.arguments_digest
    FROM (SELECT 1) AS one
    LEFT JOIN timestep.runs r ON r.run_id = p_run_id
    LEFT JOIN timestep.interruptions i ON i.run = r.id AND i.call_id = p_call_id;
END
$$;

-- The row of the session is the lock that keeps concurrent appends whole and in order.
-- Each element is {"item": text} in clear, or {"data": base64} where items are sealed.
CREATE FUNCTION timestep.append_items(p_session_id text, p_items jsonb) RETURNS bigint
LANGUAGE sql AS $$
    WITH session AS (
        INSERT INTO timestep.sessions AS s (session_id, next_position)
        VALUES (p_session_id, 1 + jsonb_array_length(p_items))
        ON CONFLICT (session_id) DO UPDATE
        SET next_position = s.next_position + jsonb_array_length(p_items), updated_at = now()
        RETURNING id, next_position
    ), added AS (
        INSERT INTO timestep.session_items (session, position, item, data)
        SELECT s.id, s.next_position - jsonb_array_length(p_items) + e.ordinality - 1,
               e.value->>'item', decode(e.value->>'data', 'base64')
        FROM session s, jsonb_array_elements(p_items) WITH ORDINALITY AS e
    )
    SELECT next_position - 1 FROM session
$$;

-- The newest item, taken out; two callers never get the same one.
CREATE FUNCTION timestep.pop_item(p_session_id text)
RETURNS TABLE ("position" bigint, item text, data bytea)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_session bigint;
BEGIN
    SELECT s.id INTO v_session FROM timestep.sessions s
    WHERE s.session_id = p_session_id FOR UPDATE;
    RETURN QUERY
    DELETE FROM timestep.session_items i
    WHERE i.session = v_session AND i.position =
        (SELECT max(m.position) FROM timestep.session_items m WHERE m.session = v_session)
    RETURNING i.position, i.item, i.data;
END
$$;
