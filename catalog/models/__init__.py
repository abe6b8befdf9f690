"""The rows of the catalogue, one file a subject, in the order footage flows through them."""

from __future__ import annotations

from catalog.models.air import (
    BROADCAST_STATES,
    STANDINGS,
    TIMESCALE,
    AirItem,
    Broadcast,
    Feed,
    InitSection,
    Rendition,
    Run,
    Segment,
    Take,
)
from catalog.models.people import REVIEWERS, ROLES, Centre, Credential, User
from catalog.models.plans import Entry, PastBroadcast, Plan, PlanUnit, Return, Target
from catalog.models.plays import OutsideCount, PlayDay, PlayEvent, QosSession
from catalog.models.resources import (
    IMAGE_LEDGERS,
    ORIGINS,
    RESOURCE_KINDS,
    RESOURCE_STATES,
    AuditEntry,
    Genre,
    Resource,
    ResourceVersion,
    Review,
    Work,
)
from catalog.models.sharing import Webhook, WebhookDelivery

__all__ = [
    "BROADCAST_STATES",
    "IMAGE_LEDGERS",
    "ORIGINS",
    "RESOURCE_KINDS",
    "RESOURCE_STATES",
    "REVIEWERS",
    "ROLES",
    "STANDINGS",
    "TIMESCALE",
    "AirItem",
    "AuditEntry",
    "Broadcast",
    "Centre",
    "Credential",
    "Entry",
    "Feed",
    "Genre",
    "InitSection",
    "OutsideCount",
    "PastBroadcast",
    "Plan",
    "PlanUnit",
    "PlayDay",
    "PlayEvent",
    "QosSession",
    "Rendition",
    "Resource",
    "ResourceVersion",
    "Return",
    "Review",
    "Run",
    "Segment",
    "Take",
    "Target",
    "User",
    "Webhook",
    "WebhookDelivery",
    "Work",
]
