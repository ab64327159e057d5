"""What holds for every test."""

from hypothesis import settings

import libs  # noqa: F401 - before anything imports gRPC: some tests fork

# No test depends on the wall clock, hypothesis's own limit included: a busy machine is no failure.
settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")
