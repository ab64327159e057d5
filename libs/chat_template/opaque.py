"""Which templates only copy what messages say: their output is the same for every text, but for the text itself.

A whitelist over jinja's syntax tree: one level of loops over `messages`; conditions on roles, on the place in the loop,
and on values that are the same for every prompt; a message's content nowhere but in what is written out, by itself or
joined with `+` or `~`. Whatever is not listed here refuses the template: filters, calls, variables, other fields.
"""

from __future__ import annotations

from collections.abc import Collection

from jinja2 import nodes

_LOOP_FIELDS = frozenset({"first", "last", "index", "index0", "revindex", "revindex0", "length"})
_RESERVED = frozenset({"messages", "loop"})


def content_uses(tree: nodes.Template, constants: Collection[str]) -> int:
    """How often the template writes a message's content; 0 when it may do anything else with one, too.

    `tree` is parsed by Sandbox. `constants`: names whose values depend on nothing but the roles of the messages.
    """
    finder = _Finder(frozenset(constants))
    return finder.uses if finder.statements(tree.body) else 0


class _Finder:
    def __init__(self, constants: frozenset[str]) -> None:
        self._constants = constants
        self._message = ""  # the variable of the loop that the walk is in
        self.uses = 0

    def statements(self, body: list[nodes.Node]) -> bool:
        return all(map(self._statement, body))

    def _statement(self, node: nodes.Node) -> bool:
        match node:
            case nodes.Output():
                return all(map(self._written, node.nodes))
            case nodes.If():
                inner = (*node.elif_, *node.body, *node.else_)
                return self._constant(node.test) and self.statements(list(inner))
            case nodes.For(target=nodes.Name(name=name), test=None, recursive=False, else_=[]):
                return self._loop(node, name)
        return False

    def _loop(self, node: nodes.For, name: str) -> bool:
        if self._message or name in _RESERVED or name in self._constants or not _is_messages(node.iter):
            return False
        self._message = name
        fits = self.statements(node.body)
        self._message = ""
        return fits

    def _written(self, node: nodes.Node) -> bool:
        """What may be joined and written out, content included."""
        match node:
            case nodes.TemplateData():
                return True
            case nodes.Add():
                return self._written(node.left) and self._written(node.right)
            case nodes.Filter(name="metered_value", node=nodes.Concat() as joined, args=[], kwargs=[]):
                return all(map(self._written, joined.nodes))
        if self._field(node) == "content":
            self.uses += 1
            return True
        return self._constant(node)

    def _constant(self, node: nodes.Node) -> bool:
        """What the roles of the messages determine."""
        match node:
            case nodes.Compare():
                return self._constant(node.expr) and all(self._constant(operand.expr) for operand in node.ops)
            case nodes.And() | nodes.Or() | nodes.Add():
                return self._constant(node.left) and self._constant(node.right)
            case nodes.Not():
                return self._constant(node.node)
        return self._known(node) or self._field(node) == "role"

    def _known(self, node: nodes.Node) -> bool:
        match node:
            case nodes.Const():
                return True
            case nodes.Name(name=name):
                return name in self._constants
            case nodes.Getattr(node=nodes.Name(name="loop"), attr=field):
                return bool(self._message) and field in _LOOP_FIELDS
        return False

    def _field(self, node: nodes.Node) -> object:
        """The field where `node` reads one of a message, as in `message.role` and `messages[0]['role']`."""
        match node:
            case nodes.Getattr(node=of, attr=field) | nodes.Getitem(node=of, arg=nodes.Const(value=field)):
                return field if self._is_message(of) else None
        return None

    def _is_message(self, node: nodes.Node) -> bool:
        match node:
            case nodes.Name(name=name):
                return bool(self._message) and name == self._message
            case nodes.Getitem(node=nodes.Name(name="messages"), arg=nodes.Const(value=int())):
                return True
        return False


def _is_messages(node: nodes.Node) -> bool:
    match node:
        case nodes.Filter(name="metered_loop", node=nodes.Name(name="messages"), args=[], kwargs=[]):
            return True
    return False
