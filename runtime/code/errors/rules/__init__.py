"""Rules that know what a Python error usually means: one function per message, tried in order until one finds a cause."""

from runtime.code.errors.rules import attributes, calls, imports, kinds, lookups, names, operands, system, values
from runtime.code.errors.situation import Finding, Rule, Situation

_OS = (system.no_file,)

RULES: dict[str, tuple[Rule, ...]] = {
    "NameError": (names.not_defined,),
    "UnboundLocalError": (names.unbound_local, names.not_defined),
    "AttributeError": (
        attributes.none_has_no_attribute, attributes.module_has_no_attribute, attributes.object_has_no_attribute,
    ),
    "ModuleNotFoundError": (imports.no_module,),
    "ImportError": (imports.cannot_import, imports.relative, imports.no_module),
    "TypeError": (
        calls.unexpected_keyword, calls.missing_argument, calls.too_many_arguments, calls.multiple_values,
        calls.takes_no_arguments, calls.abstract, operands.concatenate, operands.unsupported, operands.repeated,
        operands.not_an_integer, operands.index_is_float, operands.join_needs_text, operands.write_needs_text,
        kinds.not_callable, kinds.not_subscriptable, kinds.not_iterable, kinds.no_length, kinds.not_hashable,
        kinds.no_item_assignment, kinds.wrong_index, values.string_formatting,
    ),
    "KeyError": (lookups.no_key,),
    "IndexError": (lookups.index_out_of_range, lookups.from_empty),
    "ValueError": (
        values.not_a_number, values.wrong_count, values.string_formatting, values.closed_file, values.range_of_function,
    ),
    "JSONDecodeError": (values.not_json,),
    "UnicodeDecodeError": (values.wrong_codec,),
    "UnicodeEncodeError": (values.wrong_codec,),
    "ZeroDivisionError": (system.division_by_zero,),
    "RecursionError": (system.too_deep,),
    "RuntimeError": (system.changed_size, system.event_loop),
    "AssertionError": (system.assertion,),
    "NotImplementedError": (system.not_implemented,),
    "StopIteration": (system.stopped,),
    "FileNotFoundError": _OS, "FileExistsError": _OS, "IsADirectoryError": _OS, "NotADirectoryError": _OS,
    "PermissionError": _OS,
}  # fmt: skip


def find(situation: Situation) -> Finding | None:
    """The first rule's finding for this exception type, or None."""
    for rule in RULES.get(situation.type, ()):
        finding = rule(situation)
        if finding is not None:
            return finding
    return None
