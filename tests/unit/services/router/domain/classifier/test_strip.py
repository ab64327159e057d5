from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.classifier.strip import DROPPED, KEPT, strip

CLAUDE_CODE = """<system-reminder>
As you answer the user's questions, you can use the following context:
# claudeMd
Codebase and user instructions are shown below. Prove, derive and refactor everything.
</system-reminder>
rename the variable foo to bar in utils.py
<system-reminder>
This is a reminder that your todo list is currently empty.
</system-reminder>"""

CLAUDE_COMMAND = """<command-message>review is running…</command-message>
<command-name>/review</command-name>
<command-args>only the parser</command-args>"""

CLINE = """<task>
Why does the login test fail?
</task>

<environment_details>
# VSCode Visible Files
src/login.ts

# VSCode Open Tabs
src/login.ts, src/index.ts

# Current Time
1/14/2026, 9:41:07 AM (Europe/London, UTC+0:00)

# Current Mode
ACT MODE
</environment_details>"""

CODEX = """<environment_context>
  <cwd>/srv/project</cwd>
  <approval_policy>on-request</approval_policy>
  <sandbox_mode>workspace-write</sandbox_mode>
</environment_context>

add a --verbose flag"""

CURSOR = """<additional_data>
<current_file>
Path: lib/queue.go
Line: 31
</current_file>
</additional_data>
<user_query>
what does this function return?
</user_query>"""

COPILOT = """<environment_info>
The user's current OS is: Linux
</environment_info>
<attachments>
<attachment id="main.rs">fn main() { println!("hi"); }</attachment>
</attachments>
<reminderInstructions>
You are an agent: keep going until the query is resolved.
</reminderInstructions>
<userRequest>
add a doc comment (See <attachments> above for file contents.)
</userRequest>"""

OPEN_WEBUI = """### Task:
Respond to the user query using the provided context, incorporating inline citations.

### Guidelines:
- If you don't know the answer, clearly state that.

<context>
<source id="1">Paris has 2.1 million inhabitants.</source>
</context>

How many people live in Paris?"""

AIDER = """Make the port configurable.
# *SEARCH/REPLACE block* Rules:
Every *SEARCH/REPLACE block* must use this format:"""

LIBRECHAT = """Attached document(s):
```md
# "notes.md"
Quarterly figures
```

Summarise this in one sentence"""


@pytest.mark.parametrize(
    ("wrapped", "own"),
    [
        (CLAUDE_CODE, "rename the variable foo to bar in utils.py"),
        (CLAUDE_COMMAND, "only the parser"),
        (CLINE, "Why does the login test fail?"),
        (CODEX, "add a --verbose flag"),
        (CURSOR, "what does this function return?"),
        (COPILOT, "add a doc comment (See <attachments> above for file contents.)"),
        (OPEN_WEBUI, "How many people live in Paris?"),
        (AIDER, "Make the port configurable."),
        (LIBRECHAT, "Summarise this in one sentence"),
        ("# AGENTS.md instructions for /srv/app\nRun make check.\n\nfix the typo", "fix the typo"),
        ("[2026-01-14 09:41:07] what is 2+2?", "what is 2+2?"),
        ("2026-01-14T09:41:07Z what is 2+2?", "what is 2+2?"),
        ("Today's date is 14 January 2026.\nIs it a leap year?", "Is it a leap year?"),
        ('<file_content path="a.py">x = 1\n</file_content>\nexplain a.py', "explain a.py"),
    ],
)
def test_only_what_the_person_wrote_is_left(wrapped: str, own: str):
    assert strip(wrapped) == own


def test_a_message_that_a_harness_wrote_alone_leaves_nothing():
    assert strip("<system-reminder>Your todo list is empty.</system-reminder>\n") == ""


@pytest.mark.parametrize(
    "text",
    [
        "Is 3 < 5 and 5 > 3?",
        "What does <div class='x'> do? <task> is no HTML element",
        "2026 was a good year",
        "Explain the tag <system-reminder> to me",
        "List<String> names = new ArrayList<>();",
    ],
)
def test_a_request_without_wrappers_stays_as_it_is(text: str):
    assert strip(text) == text


@pytest.mark.parametrize("name", DROPPED)
def test_each_block_of_the_table_is_dropped_with_its_attributes(name: str):
    assert (
        strip(f'before\n<{name}>\nhard <b>words</b>\n</{name}>\n<{name} id="1">more</{name}>after') == "before\n\nafter"
    )


@pytest.mark.parametrize("name", KEPT)
def test_each_request_block_of_the_table_stands_alone(name: str):
    assert strip(f"harness\n<{name}>\nthe request\n</{name}>\nharness") == "the request"


@pytest.mark.parametrize(
    "unit",
    [
        "<system-reminder>",
        "<context ",
        "<task>",
        "<",
        "</task>",
        "<task></",
        "Today's date is ",
        "2025-01-01 ",
        "### Task:\n",
    ],
)
def test_no_text_makes_it_slow(unit: str):
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9.0
        for _ in range(5):
            began = time.process_time()
            strip(text)
            best = min(best, time.process_time() - began)
        return best

    # A quadratic scan of eight times as much takes 64 times as long.
    assert seconds(64_000) < 24 * seconds(8_000) + 0.002


@given(st.lists(st.sampled_from(["<task>", "</task>", "<context>", "</context>", "<", ">", "a b", "\n"]), max_size=40))
def test_stripping_invents_and_reorders_nothing(parts: list[str]):
    text = "".join(parts)
    left = iter(text)
    assert all(character in left for character in strip(text).replace("\n", ""))
