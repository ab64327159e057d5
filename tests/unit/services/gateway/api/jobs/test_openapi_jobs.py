"""`/openapi.json` describes every route of jobs, files and batches, and no other."""

import re

from services.gateway.api.jobs.batch_routes import BatchDesk
from services.gateway.api.jobs.file_routes import FileDesk, UploadLimits
from services.gateway.api.jobs.job_routes import JobDesk, JobLimits
from services.gateway.api.jobs.news import NewsDesk
from services.gateway.api.openapi_jobs import add_job_routes
from tests.unit.services.gateway.api.jobs.bench import with_bench


def test_what_is_described_is_what_is_served():
    routes = [
        *JobDesk(None, JobLimits()).routes(),
        NewsDesk(None, None).route(),
        *BatchDesk(None, JobLimits()).routes(),
        *FileDesk(None, UploadLimits()).routes(),
    ]
    described = {
        (method.upper(), path) for path, operations in add_job_routes({})["paths"].items() for method in operations
    }
    assert described == {(route.method, route.path) for route in routes}


def test_it_stands_in_the_document():
    async def use(bench):
        document = (await bench.http.get("/openapi.json")).json()
        operation = document["paths"]["/v1/jobs/{id}/events"]["get"]
        assert [each["name"] for each in operation["parameters"]] == ["id", "Last-Event-ID"]
        names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
        assert len(names) == len(set(names))
        missing = set(re.findall(r"#/components/schemas/(\w+)", str(operation))) - set(
            document["components"]["schemas"]
        )
        assert not missing

    with_bench(use)
