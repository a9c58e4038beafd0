CREATE TABLE projects (
    id           {{id}},
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    color        TEXT NOT NULL,
    target_count BIGINT NOT NULL,
    status       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);

CREATE TABLE prints (
    id             {{id}},
    kind           TEXT NOT NULL,
    status         TEXT NOT NULL,
    paused         BOOLEAN NOT NULL,
    run_id         TEXT NOT NULL,
    subtask        TEXT NOT NULL,
    source         TEXT NOT NULL,
    source_id      BIGINT NOT NULL,
    queue_id       BIGINT NOT NULL,
    printer_id     BIGINT NOT NULL,
    printer_name   TEXT NOT NULL,
    serial         TEXT NOT NULL,
    site_id        BIGINT NOT NULL REFERENCES sites (id),
    agent_id       BIGINT NOT NULL,
    name           TEXT NOT NULL,
    renamed        BOOLEAN NOT NULL,
    filename       TEXT NOT NULL,
    plate          BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    started_at     BIGINT NOT NULL,
    finished_at    BIGINT NOT NULL,
    duration       BIGINT,
    time_estimated BOOLEAN NOT NULL,
    progress       BIGINT NOT NULL,
    milestone      BIGINT NOT NULL,
    layer          BIGINT NOT NULL,
    total_layers   BIGINT NOT NULL,
    failure_reason TEXT NOT NULL,
    filament_used  DOUBLE PRECISION,
    filament_type  TEXT NOT NULL,
    filaments      TEXT NOT NULL,
    layer_height   DOUBLE PRECISION,
    nozzle         DOUBLE PRECISION,
    bed_type       TEXT NOT NULL,
    estimate       BIGINT,
    estimate_grams DOUBLE PRECISION,
    cost           DOUBLE PRECISION,
    sha256         TEXT NOT NULL,
    file_size      BIGINT NOT NULL,
    file_status    TEXT NOT NULL,
    file_error     TEXT NOT NULL,
    has            TEXT NOT NULL,
    notes          TEXT NOT NULL,
    tags           TEXT NOT NULL,
    project_id     BIGINT NOT NULL,
    favorite       BOOLEAN NOT NULL,
    dir            TEXT NOT NULL,
    deleted_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX prints_open ON prints (printer_id) WHERE status = 'printing' AND printer_id > 0 AND deleted_at = 0;

-- One index for each filter that lists are asked for by, in the order of lists. All
-- hold every other filter too, so that a row is only read once it is known to be wanted.
CREATE INDEX prints_created ON prints (created_at, id, printer_id, site_id, project_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0;
CREATE INDEX prints_printer ON prints (printer_id, created_at, id, site_id, project_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0;
CREATE INDEX prints_site ON prints (site_id, created_at, id, printer_id, project_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0;
CREATE INDEX prints_project ON prints (project_id, created_at, id, printer_id, site_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0 AND project_id > 0;
CREATE INDEX prints_status ON prints (status, created_at, id, printer_id, site_id, project_id, kind, source, file_status, favorite) WHERE deleted_at = 0;
CREATE INDEX prints_file ON prints (file_status, created_at, id, printer_id, site_id, project_id, kind, status, source, favorite) WHERE deleted_at = 0 AND file_status <> 'stored';
CREATE INDEX prints_favorite ON prints (created_at, id, printer_id, site_id, project_id, kind, status, source, file_status) WHERE deleted_at = 0 AND favorite;
CREATE INDEX prints_sha256 ON prints (sha256, created_at, id, printer_id, site_id, project_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0 AND sha256 <> '';
CREATE INDEX prints_subtask ON prints (printer_id, subtask, id) WHERE subtask <> '';

-- How many archives there are of each sort, by the 30 days they were made in: to count
-- rows takes too long.
CREATE TABLE print_counts (
    printer_id  BIGINT NOT NULL,
    site_id     BIGINT NOT NULL,
    project_id  BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    status      TEXT NOT NULL,
    source      TEXT NOT NULL,
    file_status TEXT NOT NULL,
    favorite    BOOLEAN NOT NULL,
    days        BIGINT NOT NULL,
    n           BIGINT NOT NULL,
    PRIMARY KEY (printer_id, site_id, project_id, kind, status, source, file_status, favorite, days)
);

CREATE TABLE print_tags (
    tag        TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    print_id   BIGINT NOT NULL REFERENCES prints (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at, print_id)
);
CREATE INDEX print_tags_print ON print_tags (print_id);

-- Which print an agent's run is. A print can have been told of by several. These rows
-- outlive it: what an agent tells again must not bring back what somebody deleted.
CREATE TABLE print_runs (
    run_id   TEXT PRIMARY KEY,
    print_id BIGINT NOT NULL,
    seq      BIGINT NOT NULL
);
CREATE INDEX print_runs_print ON print_runs (print_id);

-- How far each agent's outbox has been applied.
CREATE TABLE outbox_marks (
    agent_id BIGINT NOT NULL,
    epoch    TEXT NOT NULL,
    n        BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (agent_id, epoch)
);

CREATE TABLE print_files (
    id         {{id}},
    print_id   BIGINT NOT NULL REFERENCES prints (id) ON DELETE CASCADE,
    site_id    BIGINT NOT NULL,
    role       TEXT NOT NULL,
    path       TEXT {{bytes}} NOT NULL,
    key        TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    status     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    stored_at  BIGINT NOT NULL,
    UNIQUE (print_id, role),
    UNIQUE (site_id, path)
);
CREATE INDEX print_files_object ON print_files (key) WHERE key <> '';
CREATE INDEX print_files_bytes ON print_files (size) WHERE status = 'stored' AND role <> 'model';

-- One row a content that is stored: the same 3MF is one object, however often it is printed.
CREATE TABLE objects (
    sha256    TEXT PRIMARY KEY,
    key       TEXT NOT NULL,
    size      BIGINT NOT NULL,
    stored_at BIGINT NOT NULL
);

-- Keys that may hold an object no row refers to. Only these are ever deleted. Of one
-- that is claimed to be, due_at is the moment of the claim, negative.
CREATE TABLE object_intents (
    key    TEXT PRIMARY KEY,
    due_at BIGINT NOT NULL
);
CREATE INDEX object_intents_due ON object_intents (due_at);

-- Files that agents hold and the hub wants.
CREATE TABLE pulls (
    id       {{id}},
    print_id BIGINT NOT NULL,
    run_id   TEXT NOT NULL,
    agent_id BIGINT NOT NULL,
    role     TEXT NOT NULL,
    sha256   TEXT NOT NULL,
    size     BIGINT NOT NULL,
    name     TEXT NOT NULL,
    tries    BIGINT NOT NULL,
    next_at  BIGINT NOT NULL,
    error    TEXT NOT NULL,
    UNIQUE (run_id, role, sha256)
);
CREATE INDEX pulls_next ON pulls (next_at);
CREATE INDEX pulls_print ON pulls (print_id);
