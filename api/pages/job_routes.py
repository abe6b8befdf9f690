"""The page of long work: what the system does in the background, how far it is, and its log."""

from __future__ import annotations

from typing import Any, Final, get_args

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api.pages.guard import same_origin, staff
from api.pages.render import Renderer
from api.pages.view import JobsShown, NotFound, PageDeps

SHOWN: Final[tuple[JobsShown, ...]] = get_args(JobsShown)


def jobs_router(deps: PageDeps, renderer: Renderer) -> APIRouter:
    """/desk/jobs, its list fetched again every two seconds, a job's log, and its two buttons."""
    router = APIRouter(include_in_schema=False)

    async def page(request: Request, template: str, show: str) -> Response:
        user = await staff(request, deps)
        shown = show if show in SHOWN else ""
        data: dict[str, Any] = {"jobs": await deps.jobs(user, shown), "shown": shown}
        return renderer.page(request, template, data, user=user, private=True)

    @router.get("/desk/jobs")
    async def jobs(request: Request, show: str = "") -> Response:
        return await page(request, "desk_jobs.html", show)

    @router.get("/desk/jobs/list")
    async def job_list(request: Request, show: str = "") -> Response:
        return await page(request, "parts/jobs.html", show)

    @router.get("/desk/jobs/{job_id}/log")
    async def job_log(request: Request, job_id: str) -> Response:
        user = await staff(request, deps)
        said = await deps.job_log(user, job_id)
        clock = [line.at.astimezone(renderer.zone).strftime("%H:%M:%S") for line in said]
        data = {"lines": list(zip(said, clock, strict=True))}
        whole = not request.headers.get("hx-request")
        template = "jobs/log_page.html" if whole else "jobs/log.html"
        return renderer.page(request, template, data, user=user, private=True)

    @router.post("/desk/jobs/{job_id}/{act}")
    async def job_act(request: Request, job_id: str, act: str) -> Response:
        same_origin(request)
        user = await staff(request, deps)
        acts = {"retry": deps.retry_job, "cancel": deps.cancel_job}
        if act not in acts:
            raise NotFound
        await acts[act](user, job_id)
        return RedirectResponse(f"/desk/jobs#job-{job_id}", status_code=303)

    return router
