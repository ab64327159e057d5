"""Files that callers upload and that batches write, kept as blobs."""

from libs.files.model import FilePage, FileViewer, NewFile, StoredFile, output_file_id
from libs.files.reading import Line, Reading
from libs.files.settings import FileSettings
from libs.files.store import FileStore

__all__ = [
    "FilePage",
    "FileSettings",
    "FileStore",
    "FileViewer",
    "Line",
    "NewFile",
    "Reading",
    "StoredFile",
    "output_file_id",
]
