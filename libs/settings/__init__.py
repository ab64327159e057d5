"""Settings of a service: one frozen typed object from a YAML file, the environment and flags (in rising order)."""

from libs.settings.errors import SettingsError
from libs.settings.load import load, parse
from libs.settings.model import (
    DrainSettings,
    LogSettings,
    MetricsSettings,
    ServiceSettings,
    SettingsGroup,
    TraceSettings,
)
from libs.settings.secret_file import read_secret_file

__all__ = [
    "DrainSettings",
    "LogSettings",
    "MetricsSettings",
    "ServiceSettings",
    "SettingsError",
    "SettingsGroup",
    "TraceSettings",
    "load",
    "parse",
    "read_secret_file",
]
