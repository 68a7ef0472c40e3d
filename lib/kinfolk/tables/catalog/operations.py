"""Tables about the work itself: what ran, what was turned away."""

from kinfolk.tables.contract import Column, Table

JOB_RUNS = Table(
    name="job_runs",
    meaning="One row for each run of a job: what it read, what it wrote, how it ended.",
    columns=(
        Column("run_id", "string", "id of the run; a rerun of an unfinished run keeps it"),
        Column("job", "string", "name of the job"),
        Column("status", "string", "running, succeeded or failed"),
        Column("attempt", "int", "how often this run was started, from 1"),
        Column("fingerprint", "string", "SHA-256 over everything the result depends on"),
        Column("run_date", "date", "the run date it was started with"),
        Column("started_at", "timestamp", "start of the last attempt"),
        Column("ended_at", "timestamp", "end of the last attempt; null while running", nullable=True),
        Column("message", "string", "one line: what was written, or why it failed", nullable=True),
        Column("models", "array<struct<name:string,version:string>>", "model versions read, or written by train"),
        Column(
            "inputs",
            "array<struct<table_name:string,table_id:string,version:bigint,rows:bigint>>",
            "tables read, each at the one version that was pinned for the whole run",
        ),
        Column(
            "outputs",
            "array<struct<table_name:string,table_id:string,version:bigint,rows:bigint,rejected:bigint>>",
            "tables written, as they stood when the run ended",
        ),
    ),
    key=("run_id",),
    checks={"known_status": "status IN ('running', 'succeeded', 'failed')"},
    run_date_meaning="recorded as given",
)

REJECTED_ROWS = Table(
    name="rejected_rows",
    meaning="Rows that a job turned away, each with its reason; replaced whenever the job that writes that table runs.",
    columns=(
        Column("job", "string", "the job that turned the row away"),
        Column("target_table", "string", "the table the row would have entered"),
        Column("row_key", "string", "the row's key in its source, as JSON"),
        Column("reason", "string", "why, one of the job's listed reasons"),
        Column("detail", "string", "the value that offended, shortened to 200 characters", nullable=True),
        Column("run_id", "string", "the run that last changed the row", role="provenance"),
        Column("updated_at", "timestamp", "when the row last changed", role="provenance"),
    ),
    key=("job", "target_table", "row_key"),
    partition_by=("job", "target_table"),
    slice_by=("job", "target_table"),
)
