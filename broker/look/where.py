"""Conditions on messages, as `broker peek --where` takes them: comparisons of fields and constants.

    reward.mean > 0.5 and staleness >= 2 and actor == "ALICE"
    reason in ("tokens", "schema") or not 0 <= reward.max < 1
    step == None and "mismatch" in detail

The text is read by Python's own parser, and of what that knows only the nodes named here are taken;
nothing of it is ever evaluated by Python.
"""

import ast
import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from broker.look import conditions
from broker.look.conditions import UNREAD, Compare, Condition, Find, Found, Test
from broker.look.fields import Field, Looked, Value
from schemas.errors import UserError
from schemas.listed import listed
from schemas.nearest import nearest

MAX_LENGTH: Final = 1000
MAX_DEPTH: Final = 32


class _Operand(Struct, frozen=True):
    """One side of a comparison."""

    words: str
    """As it was typed."""
    kind: str
    """`text`, `number`, `None`, or `list` of the same text or numbers."""
    find: Find
    field: Field | None = None
    constants: Sequence[Value] = ()
    """What it is without a message; of a list, its elements."""


_COMPARED: Final[Mapping[type[ast.cmpop], Compare]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_IS: Final = (ast.Eq, ast.Is)
_IS_NOT: Final = (ast.NotEq, ast.IsNot)


def parse(text: str, fields: Mapping[str, Field]) -> Condition:
    """Read a condition.

    Raises:
        UserError: it is none; says where, and names the nearest field.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"--where has {len(text)} characters; it may have {MAX_LENGTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        inside = 0 < (error.offset or 0) <= len(text.strip())
        place = f"at character {error.offset}" if inside else "at its end"
        raise UserError(f"--where cannot be read {place}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise UserError("--where cannot be read: it is too deep, or has a null byte") from None
    return Condition(_Parser(text.strip(), fields).test(tree.body, MAX_DEPTH))


class _Parser:
    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self._text = text
        self._fields = fields

    def test(self, node: ast.expr, depth: int) -> Test:
        if not depth:
            raise UserError(f"--where is more than {MAX_DEPTH} deep")
        match node:
            case ast.BoolOp(op=op, values=values):
                tests = [self.test(value, depth - 1) for value in values]
                return conditions.joined(tests, deciding=isinstance(op, ast.Or))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return conditions.negated(self.test(operand, depth - 1))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [self._operand(side) for side in (left, *comparators)]
                pairs = zip(sides, ops, sides[1:], strict=False)
                return conditions.joined(
                    [self._comparison(*pair) for pair in pairs], deciding=False
                )
            case _:
                raise UserError(
                    f"--where takes comparisons joined by and, or, not; {self._words(node)} is none"
                )

    def _comparison(self, left: _Operand, op: ast.cmpop, right: _Operand) -> Test:
        if isinstance(op, ast.In | ast.NotIn):
            return self._membership(left, right, negated=isinstance(op, ast.NotIn))
        if "None" in (left.kind, right.kind):
            return _presence(left, op, right)
        if left.kind != right.kind or left.kind == "list":
            raise UserError(f"--where cannot compare: {_named(left)} and {_named(right)}")
        if (compare := _COMPARED.get(type(op))) is None:
            raise UserError(f"--where compares {left.words} with == or !=; `is` is for None alone")
        if isinstance(op, ast.Eq | ast.NotEq):
            _check_words(left, right)
            _check_words(right, left)
        return conditions.compared(left.find, right.find, compare)

    def _membership(self, left: _Operand, right: _Operand, *, negated: bool) -> Test:
        if right.kind == "list":
            if any(_kind(constant) != left.kind for constant in right.constants):
                raise UserError(f"--where: {_named(left)}, and {right.words} has something else")
            _check_words(left, right)
            among = frozenset(right.constants)
            return conditions.compared(
                left.find, left.find, lambda value, _: (value in among) is not negated
            )
        if left.kind == right.kind == "text":
            return conditions.compared(
                left.find, right.find, lambda a, b: (str(a) in str(b)) is not negated
            )
        raise UserError(f"--where: {left.words} is looked for in a list of such, or in a text")

    def _operand(self, node: ast.expr) -> _Operand:
        words = self._words(node)
        match node:
            case ast.Name() | ast.Attribute():
                return self._field(words)
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                constants = [self._constant(element) for element in elements]
                return _Operand(words, "list", lambda _: None, constants=constants)
            case _:
                constant = self._constant(node)
                return _Operand(words, _kind(constant), lambda _: constant, constants=[constant])

    def _constant(self, node: ast.expr) -> Value:
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.Constant(value=str() | int() | float() | None as value):
                if not isinstance(value, bool):
                    return value
        raise UserError(
            f"--where compares fields with numbers and texts; {self._words(node)} is neither"
        )

    def _field(self, name: str) -> _Operand:
        field = self._fields.get(name)
        if field is None:
            raise UserError(self._unknown(name))

        def find(looked: Looked) -> Found:
            found = field.value(looked)
            return UNREAD if found is None and field.in_bytes and not looked.is_read else found

        return _Operand(name, "text" if field.is_text else "number", find, field)

    def _unknown(self, name: str) -> str:
        inside = [known for known in self._fields if known.startswith(f"{name}.")]
        if inside:
            return f"--where: {name} is several figures; say {listed(sorted(inside), 'or')}"
        section = name.rpartition(".")[0]
        beside = [known for known in self._fields if section and known.startswith(f"{section}.")]
        if beside:
            return f"--where knows no field {name}; there is {listed(sorted(beside), 'and')}"
        if (near := nearest(name, self._fields)) is not None:
            return f"--where knows no field {name}; the nearest is {near}"
        heads = sorted({known.removesuffix(".min") for known in self._fields if _is_head(known)})
        return f"--where knows no field {name} (text stands in quotes); there is {', '.join(heads)}"

    def _words(self, node: ast.expr) -> str:
        return (ast.get_source_segment(self._text, node) or "it")[:80]


def _is_head(name: str) -> bool:
    return not name.endswith((".mean", ".max"))


def _presence(left: _Operand, op: ast.cmpop, right: _Operand) -> Test:
    side = right if left.kind == "None" else left
    if side.field is None or not isinstance(op, _IS + _IS_NOT):
        raise UserError(f"--where compares fields with None, by == or !=; {side.words} is none")
    return conditions.absent(side.find, wanted=isinstance(op, _IS))


def _check_words(named: _Operand, compared: _Operand) -> None:
    """Raise for a constant that the field can never be."""
    words = named.field.words if named.field else None
    for constant in compared.constants if words is not None else ():
        if words is not None and constant not in words:
            near = nearest(str(constant), words)
            meant = f"the nearest is {near}" if near else f"it is {listed(sorted(words), 'or')}"
            raise UserError(f"--where: {named.words} is never {constant!r}; {meant}")


def _kind(constant: Value) -> str:
    if constant is None:
        return "None"
    return "text" if isinstance(constant, str) else "number"


def _named(operand: _Operand) -> str:
    return f"{operand.words} is a {operand.kind}"
