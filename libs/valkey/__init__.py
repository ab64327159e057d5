"""The one way to Valkey (or Redis); see client.py."""

from libs.valkey.client import Valkey, is_command_error
from libs.valkey.settings import FunctionLibrary, ValkeySettings

__all__ = ["FunctionLibrary", "Valkey", "ValkeySettings", "is_command_error"]
