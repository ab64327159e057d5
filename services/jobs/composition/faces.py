"""What the service shows: its API for gateways, and the way in for services with access to Kafka."""

from __future__ import annotations

from dataclasses import dataclass

from libs.blobs import Blobs
from libs.clock import Clock
from libs.files import FileStore
from services.jobs.accept_settings import producers_of
from services.jobs.api.service import JobServer
from services.jobs.consumers.submission import SubmissionTaker
from services.jobs.ports.neighbours import Gateways
from services.jobs.ports.running import Outgoing
from services.jobs.ports.store import Acceptance, Jobs
from services.jobs.settings import JobsSettings
from services.jobs.usecases.accept import AcceptMeans, Acceptor
from services.jobs.usecases.reading import JobReader
from services.jobs.usecases.submission import Submissions
from services.jobs.usecases.watch import Watches


@dataclass(frozen=True, slots=True)
class FaceMeans:
    """What the faces stand on."""

    acceptance: Acceptance
    jobs: Jobs
    gateways: Gateways
    outgoing: Outgoing
    blobs: Blobs
    files: FileStore


@dataclass(frozen=True, slots=True)
class Faces:
    """`server.handlers()` are for the RPC port; `submissions` is for RequestedHandler. `watches` are to be closed when
    nothing more is accepted.
    """

    server: JobServer
    submissions: SubmissionTaker
    watches: Watches


def faces(settings: JobsSettings, means: FaceMeans, clock: Clock, *, plain_http: bool = False) -> Faces:
    """Both faces over one acceptance. `plain_http`: webhooks may be http. Raises SettingsError for secrets of producers
    that cannot be read.
    """
    accept = AcceptMeans(
        means.acceptance,
        means.jobs,
        means.gateways,
        means.outgoing,
        means.blobs,
        means.files,
        settings.accept.send_seconds,
    )
    acceptor = Acceptor(accept, settings.accept.limits(plain_http=plain_http))
    reader = JobReader(means.jobs, means.blobs)
    watches = Watches(means.jobs, clock, settings.watch.times())
    submissions = SubmissionTaker(Submissions(acceptor, producers_of(settings.producers)))
    return Faces(JobServer(acceptor, means.acceptance, reader, watches), submissions, watches)
