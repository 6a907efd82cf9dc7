"""Probe: short factual questions about Python in the form of a chat; right if the answer is an accepted word.

Models of a few million parameters, trained on source alone, have not learnt to answer: expect next to nothing, which
is what the figure is there to show. Knows the chat prompt and a teacher.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from runtime.code.chat import Message, TextStop, chat_prompt

from .teacher import Teacher

ANSWER_TOKENS = 24

# question, accepted words separated by "|"; no question holds an answer to itself
QUESTIONS = tuple(
    tuple(line.rsplit(" -> ", 1))
    for line in """\
Which keyword begins the definition of a function in Python? -> def
Which keyword begins the definition of a class in Python? -> class
Which keyword brings a module into a file? -> import
Which keyword ends a loop early? -> break
Which keyword skips to the next round of a loop? -> continue
Which keyword hands a value back to the caller? -> return
Which keyword makes a function a generator? -> yield
Which keyword signals an exception? -> raise
Which keyword begins the block that handles an exception? -> except
Which keyword begins the block that runs whether or not there was an error? -> finally
Which statement does nothing at all? -> pass
Which keyword makes a small anonymous function? -> lambda
Which keyword checks a condition and fails with an error if it is false? -> assert
Which keyword removes a name or an item? -> del
Which keyword lets a function assign to a variable of the module? -> global
Which keyword lets an inner function assign to a variable of the outer one? -> nonlocal
Which keyword tests for membership in a list? -> in
Which keyword tests whether two names mean the same object? -> is
Which keyword negates a condition? -> not
Which keyword begins an asynchronous function? -> async
Which keyword waits for a coroutine? -> await
Which statement opens a file so that it is closed by itself? -> with
Which word stands for the second and later conditions of an if statement? -> elif
Which value does a function give back when it gives back nothing? -> None
Which built-in function gives the number of items in a list? -> len
Which built-in function writes text to the screen? -> print
Which built-in function reads a line that the user types? -> input
Which built-in function opens a file? -> open
Which built-in function adds up the numbers of a list? -> sum
Which built-in function gives the largest item? -> max
Which built-in function gives the smallest item? -> min
Which built-in function gives a new list in order? -> sorted
Which built-in function counts from 0 to n - 1? -> range
Which built-in function pairs each item with its index? -> enumerate
Which built-in function walks through two lists side by side? -> zip
Which built-in function tells whether an object is an instance of a class? -> isinstance
Which built-in function gives the absolute value of a number? -> abs
Which built-in function gives the character of a code point? -> chr
Which built-in function gives the code point of a character? -> ord
Which built-in function gives the class of an object? -> type
Which built-in type holds pairs of keys and values? -> dict|dictionary
Which built-in type holds each value at most once? -> set|frozenset
Which built-in sequence cannot be changed and is written with round brackets? -> tuple
Which built-in type holds text? -> str|string
Which built-in type holds raw octets and cannot be changed? -> bytes
Which type has only the values True and False? -> bool|boolean
Which method adds an item to the end of a list? -> append
Which method removes the last item of a list and gives it? -> pop
Which method cuts a text into a list of words? -> split
Which method puts the strings of a list together into one? -> join
Which method takes blanks off both ends of a text? -> strip
Which method gives a text in small letters? -> lower
Which method gives the value of a dictionary's key, or a default? -> get
Which method of a class sets up a new instance? -> __init__|init
What is the first parameter of a method called by convention? -> self
Which exception says that a key is missing in a dictionary? -> KeyError
Which exception says that an index is outside a list? -> IndexError
Which exception says that a name is not defined? -> NameError
Which exception says that an object lacks an attribute? -> AttributeError
Which exception does a division by zero raise? -> ZeroDivisionError
Which module of the standard library reads and writes JSON? -> json
Which module of the standard library has regular expressions? -> re
Which character begins a comment? -> #
Which character begins a decorator? -> @
""".splitlines()
)


def accepts(answers: str, text: str) -> bool:
    """Whether a text gives one of the answers ("a|b"), in this spelling: as its first word, or in quotes or backticks.

    Anywhere as a word would be too kind: "in", "is" and "not" stand in many a sentence that answers nothing.
    """
    text = re.sub(r"^\s*```\w*\n", "", text).lstrip(" \n`'\"*")
    return any(
        re.match(rf"{re.escape(answer)}(?!\w)", text) or re.search(rf"([`'\"]){re.escape(answer)}(\(\))?\1", text)
        for answer in answers.split("|")
    )


def run(model, teacher: Teacher) -> list[bool]:
    """Right or not, for each question; greedy answers of at most 24 tokens. Nothing for a context below 48 tokens."""
    if teacher.capacity < 2 * ANSWER_TOKENS:
        return []
    right = []
    for question, answers in QUESTIONS:
        prompt = chat_prompt(model, [Message("user", question)], ANSWER_TOKENS)
        stop = TextStop(prompt.stop)
        ended = partial(_holds, prompt.stop)
        stop.feed(teacher.write_ids(prompt.ids, ended, ANSWER_TOKENS))
        stop.flush()
        right.append(accepts(answers, stop.text))
    return right


def _holds(literals: tuple[str, ...], text: str) -> bool:
    return any(literal in text for literal in literals)


def _holds(literals: tuple[str, ...], text: str) -> bool:
    return any(literal in text for literal in literals)


def words(found: Mapping) -> str:
    """The result in a sentence that promises nothing."""
    if not found["n"]:
        return "Short questions were not asked: the context is too small."
    share = round(found["value"] * found["n"])
    text = f"Of {found['n']} short questions about Python it answers {share}"
    if found["low"] < 0.5:
        return text + ": its chat is a form without knowledge, as expected of a model this small."
    return text + "."
