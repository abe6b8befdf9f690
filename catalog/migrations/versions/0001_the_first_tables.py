"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "centres",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("parent_id", sa.String(length=32), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("level", sa.String(length=20), server_default="county", nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["centres.id"], name=op.f("fk_centres_parent_id_centres")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_centres")),
        sa.UniqueConstraint("path", name=op.f("uq_centres_path")),
    )
    op.create_index(op.f("ix_centres_parent_id"), "centres", ["parent_id"], unique=False)
    op.create_table(
        "play_events",
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("item_id", sa.String(length=32), nullable=False),
        sa.Column("play_id", sa.String(length=36), nullable=False),
        sa.Column("viewer_id", sa.String(length=36), nullable=True),
        sa.Column("surrogate", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("client_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("position_ms", sa.BigInteger(), nullable=False),
        sa.Column("watched_ms", sa.BigInteger(), nullable=False),
        sa.Column("rate_permille", sa.Integer(), server_default="1000", nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("rendition", sa.String(length=20), nullable=True),
        sa.Column("user_agent", sa.String(length=300), server_default="", nullable=False),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_play_events")),
    )
    op.create_index("ix_play_events_item_play", "play_events", ["item_id", "play_id"], unique=False)
    op.create_index(
        op.f("ix_play_events_received_at"), "play_events", ["received_at"], unique=False
    )
    op.create_table(
        "renditions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("copied", sa.Boolean(), nullable=False),
        sa.Column("codecs", sa.String(length=100), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("frame_rate", sa.Double(), nullable=True),
        sa.Column("bandwidth", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("average_bandwidth", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("compacted_key", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('video', 'audio')", name=op.f("ck_renditions_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_renditions")),
        sa.UniqueConstraint("token", "name", name=op.f("uq_renditions_token_name")),
    )
    op.create_index(op.f("ix_renditions_token"), "renditions", ["token"], unique=False)
    op.create_table(
        "init_sections",
        sa.Column("rendition_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rendition_id"],
            ["renditions.id"],
            name=op.f("fk_init_sections_rendition_id_renditions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rendition_id", "number", name=op.f("pk_init_sections")),
    )
    op.create_table(
        "segments",
        sa.Column("rendition_id", sa.BigInteger(), nullable=False),
        sa.Column("msn", sa.BigInteger(), nullable=False),
        sa.Column("init_number", sa.Integer(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("duration_ticks", sa.BigInteger(), nullable=False),
        sa.Column(
            "parts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["rendition_id"],
            ["renditions.id"],
            name=op.f("fk_segments_rendition_id_renditions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("rendition_id", "msn", name=op.f("pk_segments")),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("centre_id", sa.String(length=32), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role IN ('viewer', 'studio', 'staff', 'reviewer', 'supervisor', 'clerk', 'admin')",
            name=op.f("ck_users_role"),
        ),
        sa.ForeignKeyConstraint(
            ["centre_id"], ["centres.id"], name=op.f("fk_users_centre_id_centres")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("login", name=op.f("uq_users_login")),
    )
    op.create_index(op.f("ix_users_centre_id"), "users", ["centre_id"], unique=False)
    op.create_table(
        "broadcasts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("centre_id", sa.String(length=32), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("mode", sa.String(length=10), server_default="live", nullable=False),
        sa.Column("state", sa.String(length=20), server_default="ready", nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("interrupted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finalized_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("media_token", sa.String(length=32), nullable=False),
        sa.Column("part_target_us", sa.Integer(), server_default="0", nullable=False),
        sa.Column("target_duration", sa.Integer(), server_default="0", nullable=False),
        sa.Column("listed", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_by", sa.String(length=32), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("mode IN ('live', 'recorded')", name=op.f("ck_broadcasts_mode")),
        sa.CheckConstraint(
            "state IN ('ready', 'live', 'interrupted', 'ended', 'cancelled')",
            name=op.f("ck_broadcasts_state"),
        ),
        sa.ForeignKeyConstraint(
            ["centre_id"], ["centres.id"], name=op.f("fk_broadcasts_centre_id_centres")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_broadcasts_created_by_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcasts")),
        sa.UniqueConstraint("media_token", name=op.f("uq_broadcasts_media_token")),
    )
    op.create_index(op.f("ix_broadcasts_centre_id"), "broadcasts", ["centre_id"], unique=False)
    op.create_index(op.f("ix_broadcasts_planned_at"), "broadcasts", ["planned_at"], unique=False)
    op.create_index(op.f("ix_broadcasts_started_at"), "broadcasts", ["started_at"], unique=False)
    op.create_index(op.f("ix_broadcasts_state"), "broadcasts", ["state"], unique=False)
    op.create_table(
        "credentials",
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=True),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.Column("centre_id", sa.String(length=32), nullable=True),
        sa.Column("label", sa.String(length=100), server_default="", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('session', 'token', 'setup')", name=op.f("ck_credentials_kind")
        ),
        sa.ForeignKeyConstraint(
            ["centre_id"], ["centres.id"], name=op.f("fk_credentials_centre_id_centres")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_credentials_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_credentials")),
    )
    op.create_table(
        "feeds",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("broadcast_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=10), server_default="main", nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("role IN ('main', 'backup', 'camera')", name=op.f("ck_feeds_role")),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_feeds_broadcast_id_broadcasts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feeds")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_feeds_key_hash")),
    )
    op.create_index(op.f("ix_feeds_broadcast_id"), "feeds", ["broadcast_id"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("queue", sa.String(length=20), nullable=False),
        sa.Column(
            "args",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("unique_key", sa.String(length=100), nullable=True),
        sa.Column("broadcast_id", sa.String(length=32), nullable=True),
        sa.Column("centre_id", sa.String(length=32), nullable=True),
        sa.Column("title", sa.String(length=200), server_default="", nullable=False),
        sa.Column("state", sa.String(length=12), server_default="queued", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), server_default="3", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("progress_permille", sa.Integer(), nullable=True),
        sa.Column("note", sa.String(length=200), server_default="", nullable=False),
        sa.Column("error_code", sa.String(length=60), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column(
            "result",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_jobs_broadcast_id_broadcasts")
        ),
        sa.ForeignKeyConstraint(
            ["centre_id"], ["centres.id"], name=op.f("fk_jobs_centre_id_centres")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_broadcast_id"), "jobs", ["broadcast_id"], unique=False)
    op.create_index(op.f("ix_jobs_centre_id"), "jobs", ["centre_id"], unique=False)
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["state", "lease_until"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index(
        "uq_jobs_open_unique_key",
        "jobs",
        ["unique_key"],
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_table(
        "works",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("centre_id", sa.String(length=32), nullable=False),
        sa.Column("broadcast_id", sa.String(length=32), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), server_default="making", nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("media_token", sa.String(length=32), nullable=False),
        sa.Column(
            "edit_list",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("duration_ticks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("mp4_key", sa.Text(), nullable=True),
        sa.Column("poster_key", sa.Text(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.String(length=32), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("kind IN ('recording', 'clip')", name=op.f("ck_works_kind")),
        sa.CheckConstraint(
            "state IN ('making', 'ready', 'failed', 'withdrawn')", name=op.f("ck_works_state")
        ),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_works_broadcast_id_broadcasts")
        ),
        sa.ForeignKeyConstraint(
            ["centre_id"], ["centres.id"], name=op.f("fk_works_centre_id_centres")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_works_created_by_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_works")),
        sa.UniqueConstraint("media_token", name=op.f("uq_works_media_token")),
    )
    op.create_index(op.f("ix_works_broadcast_id"), "works", ["broadcast_id"], unique=False)
    op.create_index(op.f("ix_works_centre_id"), "works", ["centre_id"], unique=False)
    op.create_index(op.f("ix_works_published_at"), "works", ["published_at"], unique=False)
    op.create_table(
        "takes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("broadcast_id", sa.String(length=32), nullable=False),
        sa.Column("feed_id", sa.String(length=32), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), server_default="open", nullable=False),
        sa.Column("container", sa.String(length=10), server_default="flv", nullable=False),
        sa.Column("node_url", sa.Text(), nullable=False),
        sa.Column("first_arrival_us", sa.BigInteger(), nullable=False),
        sa.Column("last_arrival_us", sa.BigInteger(), nullable=True),
        sa.Column("first_ms", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_video_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_audio_ms", sa.BigInteger(), nullable=True),
        sa.Column("end_ms", sa.BigInteger(), nullable=True),
        sa.Column("video_frames", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "codecs",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("ended_by", sa.String(length=40), nullable=True),
        sa.Column("aired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("storage_key", sa.Text(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("ck_takes_state")),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_takes_broadcast_id_broadcasts")
        ),
        sa.ForeignKeyConstraint(["feed_id"], ["feeds.id"], name=op.f("fk_takes_feed_id_feeds")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_takes")),
        sa.UniqueConstraint("broadcast_id", "seq", name=op.f("uq_takes_broadcast_id_seq")),
    )
    op.create_index(op.f("ix_takes_feed_id"), "takes", ["feed_id"], unique=False)
    op.create_table(
        "resources",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("centre_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("broadcast_id", sa.String(length=32), nullable=True),
        sa.Column("work_id", sa.String(length=32), nullable=True),
        sa.Column("take_id", sa.String(length=32), nullable=True),
        sa.Column("event_date", sa.Date(), nullable=False),
        sa.Column("duration_ticks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "intervals",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('finished', 'raw', 'micro', 'image')", name=op.f("ck_resources_kind")
        ),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_resources_broadcast_id_broadcasts")
        ),
        sa.ForeignKeyConstraint(
            ["centre_id"], ["centres.id"], name=op.f("fk_resources_centre_id_centres")
        ),
        sa.ForeignKeyConstraint(["take_id"], ["takes.id"], name=op.f("fk_resources_take_id_takes")),
        sa.ForeignKeyConstraint(["work_id"], ["works.id"], name=op.f("fk_resources_work_id_works")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resources")),
        sa.UniqueConstraint("take_id", name=op.f("uq_resources_take_id")),
        sa.UniqueConstraint("work_id", name=op.f("uq_resources_work_id")),
    )
    op.create_index(op.f("ix_resources_broadcast_id"), "resources", ["broadcast_id"], unique=False)
    op.create_index(op.f("ix_resources_centre_id"), "resources", ["centre_id"], unique=False)
    op.create_index(op.f("ix_resources_kind"), "resources", ["kind"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("broadcast_id", sa.String(length=32), nullable=False),
        sa.Column("take_id", sa.String(length=32), nullable=False),
        sa.Column(
            "ladder",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("take_start_ticks", sa.BigInteger(), nullable=False),
        sa.Column("air_start_ticks", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcasts.id"], name=op.f("fk_runs_broadcast_id_broadcasts")
        ),
        sa.ForeignKeyConstraint(["take_id"], ["takes.id"], name=op.f("fk_runs_take_id_takes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_broadcast_id"), "runs", ["broadcast_id"], unique=False)
    op.create_index(op.f("ix_runs_take_id"), "runs", ["take_id"], unique=False)
    op.create_table(
        "air_items",
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("msn", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=10), nullable=False),
        sa.Column("take_id", sa.String(length=32), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("take_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("start_ticks", sa.BigInteger(), nullable=False),
        sa.Column("duration_ticks", sa.BigInteger(), nullable=False),
        sa.Column("pdt_us", sa.BigInteger(), nullable=False),
        sa.Column("discontinuity", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("gap", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("source IN ('feed', 'slate')", name=op.f("ck_air_items_source")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_air_items_run_id_runs")),
        sa.ForeignKeyConstraint(["take_id"], ["takes.id"], name=op.f("fk_air_items_take_id_takes")),
        sa.PrimaryKeyConstraint("token", "msn", name=op.f("pk_air_items")),
    )
    op.create_index("ix_air_items_take", "air_items", ["take_id", "take_start_ms"], unique=False)
