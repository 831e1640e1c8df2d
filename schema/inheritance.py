"""Language and time zone: where one's own is empty, the group's holds, else the tenant's, else the platform's.

Not here: which ones there are (`checked.py`), what a browser wants (the portal).
"""

from typing import Any, Final, Literal

from schema.profiles import Inherited

# What `inherited` reads, beside the tables `tenant` and `team`.
FROM_PLATFORM: Final = "platform.language AS platform_language, platform.time_zone AS platform_time_zone"
FROM_TENANT: Final = "tenant.language AS tenant_language, tenant.time_zone AS tenant_time_zone"
FROM_TEAM: Final = "team.name AS team_name, team.language AS team_language, team.time_zone AS team_time_zone"


def for_users(row: dict[str, Any], what: Literal["language", "time_zone"]) -> Inherited:
    """What a user has without one of his own; `row` has all the columns above, and the tenant's name."""
    if row[f"team_{what}"]:
        return Inherited(row[f"team_{what}"], "group", row["team_name"])
    return for_groups(row, what)


def for_groups(row: dict[str, Any], what: Literal["language", "time_zone"]) -> Inherited:
    if row[f"tenant_{what}"]:
        return Inherited(row[f"tenant_{what}"], "tenant", row["tenant_name"])
    return for_tenants(row, what)


def for_tenants(row: dict[str, Any], what: Literal["language", "time_zone"]) -> Inherited:
    value = row[f"platform_{what}"]
    return Inherited(value, "platform" if value else "default")
