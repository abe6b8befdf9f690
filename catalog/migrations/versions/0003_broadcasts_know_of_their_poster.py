"""Broadcasts know of their poster."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("broadcasts", sa.Column("poster_at", sa.DateTime(timezone=True), nullable=True))
    # Shows with pictures got theirs when they began.
    op.execute("""
        UPDATE broadcasts SET poster_at = coalesce(started_at, created_at)
        WHERE EXISTS (SELECT 1 FROM renditions
                      WHERE renditions.token = broadcasts.media_token
                        AND renditions.kind = 'video')
          AND EXISTS (SELECT 1 FROM air_items
                      WHERE air_items.token = broadcasts.media_token
                        AND air_items.source = 'feed' AND NOT air_items.gap)
    """)
