"""Large immutable pieces of data by name, in a directory or an object store."""

from libs.blobs.local import LocalBlobs
from libs.blobs.port import Blobs, checked_name, checked_prefix

__all__ = ["Blobs", "LocalBlobs", "checked_name", "checked_prefix"]
