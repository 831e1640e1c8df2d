"""The logos of tenants, for everybody: the sign-in page shows one to who has not signed in.

Not here: uploading one (`appearance.py`).
"""

import hashlib
from typing import Any
from uuid import UUID

from quart import Response, abort, request

from portal.pages.tenants import blueprint
from schema import tenants

__all__ = ["blueprint"]


@blueprint.get("/logo")
async def logo() -> Any:
    """The logo of the tenant that is named, else of the one whose host name was asked for.

    A browser asks each time whether it is still the same, and gets it again when it is not.
    """
    tenant_id = request.args.get("tenant", type=UUID)
    if tenant_id is None:
        host = await tenants.tenant_of_host(request.host.partition(":")[0])
        tenant_id = host.id if host is not None else None
    found = await tenants.logo(tenant_id) if tenant_id is not None else None
    if found is None:
        abort(404)
    picture, media_type = found
    response = Response(picture, content_type=media_type)
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(hashlib.sha256(picture).hexdigest()[:32])
    return await response.make_conditional(request)
