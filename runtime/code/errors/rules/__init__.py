"""Rules for what a Python error means: one function per kind of message, tried in order until one finds a cause."""

import logging

from runtime.code.errors.rules import (
    attributes,
    called,
    calls,
    classes,
    conversions,
    imports,
    indexed,
    iterated,
    keys,
    modules,
    names,
    nothing,
    operands,
    positions,
    system,
    unbound,
    values,
)
from runtime.code.errors.situation import Finding, Rule, Situation

log = logging.getLogger(__name__)

_OS = (system.no_file,)

RULES: dict[str, tuple[Rule, ...]] = {
    "NameError": (names.not_defined,),
    "UnboundLocalError": (unbound.unbound_local, names.not_defined),
    "AttributeError": (
        nothing.none_has_no_attribute,
        modules.module_has_no_attribute,
        attributes.object_has_no_attribute,
    ),
    "ModuleNotFoundError": (imports.no_module,),
    "ImportError": (imports.cannot_import, imports.relative, imports.no_module),
    "TypeError": (
        calls.unexpected_keyword,
        calls.missing_argument,
        calls.too_many_arguments,
        calls.multiple_values,
        classes.takes_no_arguments,
        classes.abstract,
        operands.concatenate,
        operands.unsupported,
        operands.repeated,
        conversions.not_an_integer,
        conversions.index_is_float,
        conversions.join_needs_text,
        conversions.write_needs_text,
        called.not_callable,
        indexed.not_subscriptable,
        iterated.not_iterable,
        iterated.no_length,
        indexed.not_hashable,
        indexed.no_item_assignment,
        indexed.wrong_index,
        values.string_formatting,
    ),
    "KeyError": (keys.no_key,),
    "IndexError": (positions.index_out_of_range, positions.from_empty),
    "ValueError": (
        values.not_a_number,
        values.wrong_count,
        values.string_formatting,
        values.closed_file,
        values.range_of_function,
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
    "FileNotFoundError": _OS,
    "FileExistsError": _OS,
    "IsADirectoryError": _OS,
    "NotADirectoryError": _OS,
    "PermissionError": _OS,
}


def find(situation: Situation) -> Finding | None:
    """The first rule's finding for this exception type, or None.

    A rule that stumbles over a source that nobody thought of is passed over: the facts without a cause beat no answer.
    """
    for rule in RULES.get(situation.type, ()):
        try:
            finding = rule(situation)
        except Exception as error:
            log.warning("the rule %s failed with %s", rule.__name__, type(error).__name__)
            continue
        if finding is not None:
            return finding
    return None
