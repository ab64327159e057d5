"""Chat templates: messages to prompt tokens, so that text from users and tools can never become a control token.

`ChatTemplate.load(files).render(...)` gives runs, `PromptEncoder(tokenizer).encode(rendered, tenant)` gives token ids.
"""

from libs.chat_template.encoder import EncodedPrompt, PromptEncoder
from libs.chat_template.files import SpecialToken, load_tokenizer
from libs.chat_template.packing import pack, unpack
from libs.chat_template.rendered import Rendered, Run
from libs.chat_template.template import ChatTemplate

__all__ = [
    "ChatTemplate",
    "EncodedPrompt",
    "PromptEncoder",
    "Rendered",
    "Run",
    "SpecialToken",
    "load_tokenizer",
    "pack",
    "unpack",
]
