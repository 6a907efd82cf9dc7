"""Small programs that fail, by kind of mistake: what the explanation has to name, and whether a repair is derived.

`fixed` programs are run again with the diff applied: the error must be gone. Each program is a whole file `main.py`;
the line that fails is the one with the mark `#!` (for what does not compile, any line may be named).
"""

from typing import NamedTuple


class Program(NamedTuple):
    text: str
    says: tuple[str, ...]  # fragments of cause, facts and fix that have to be there
    fixed: bool = True
    beside: dict[str, str] = {}  # further files
    typed: str = ""  # standard input


FAILING = {
    # names
    "misspelt local": Program(
        """\
def total(items):
    count = 0
    for item in items:
        count += item
    return cuont  #!

print(total([1, 2]))
""",
        ("`count`", "line 2"),
    ),
    "misspelt parameter used twice": Program(
        """\
def area(width, height):
    if widht > 0:  #!
        return widht * height
    return 0

print(area(2, 3))
""",
        ("`width`", "parameter"),
    ),
    "misspelt builtin": Program("pritn('hello')  #!\n", ("`print`", "builtin")),
    "misspelt function": Program(
        """\
def calculate_average(values):
    return sum(values) / len(values)

print(calcualte_average([1, 2, 3]))  #!
""",
        ("`calculate_average`",),
    ),
    "lower-case true": Program("done = true  #!\nprint(done)\n", ("`True`",)),
    "mistyped constant": Program("done = Flase  #!\nprint(done)\n", ("`False`",)),
    "python 2 name": Program("for i in xrange(3):  #!\n    print(i)\n", ("`range`",)),
    "missing import of a module": Program(
        """\
\"\"\"A program.\"\"\"

def main():
    print(math.sqrt(16))  #!

main()
""",
        ("import math",),
    ),
    "missing import of a name": Program(
        """\
from __future__ import annotations

counts = defaultdict(int)  #!
counts["a"] += 1
print(counts)
""",
        ("from collections import defaultdict",),
    ),
    "name of an imported module": Program("import math\n\nprint(sqrt(9))  #!\n", ("math.sqrt",)),
    "forgotten self": Program(
        """\
class Counter:
    def __init__(self):
        self.count = 0

    def up(self):
        self.count = count + 1  #!

Counter().up()
""",
        ("self.count", "line 3"),
    ),
    "class attribute without the class": Program(
        """\
class Shop:
    RATE = 0.2

    @staticmethod
    def tax(price):
        return price * RATE  #!

print(Shop.tax(10))
""",
        ("Shop.RATE",),
    ),
    "no misspelt builtin": Program(
        "def f():\n    lst.append(1)  #!\n\nf()\n", ("Nothing gives the name",), fixed=False
    ),
    "misspelt type in an annotation": Program("def f(x: itn):  #!\n    return x\n\nprint(f(1))\n", ("`int`",)),
    "slip of a variable, no import": Program(
        "def f(data):\n    return len(date)  #!\n\nprint(f([1]))\n",
        ("`data`", "parameter"),
    ),
    "differing on purpose": Program("row1 = 1\nprint(row1, row2)  #!\n", ("Nothing gives the name",), fixed=False),
    "name of another function": Program(
        """\
def first():
    secret = 1
    return secret

def second():
    return secret  #!

first()
second()
""",
        ("only inside", "`first`"),
        fixed=False,
    ),
    "used before it is defined": Program("print(later)  #!\nlater = 1\n", ("line 2",), fixed=False),
    "global read and changed": Program(
        """\
total = 0

def add(n):
    total += n  #!
    return total

print(add(2))
""",
        ("global total", "line 1"),
    ),
    "outer variable read and changed": Program(
        """\
def counter():
    n = 0
    def up():
        \"\"\"Counts.\"\"\"
        n += 1  #!
        return n
    return up

print(counter()())
""",
        ("nonlocal n",),
    ),
    "misspelt first assignment": Program(
        """\
def count(words):
    totl = 0
    for word in words:
        total += len(word)  #!
    return total

print(count(["a"]))
""",
        ("totl", "never read"),
    ),
    "assigned on one way only": Program(
        """\
def sign(n):
    if n > 0:
        result = "plus"
    return result  #!

print(sign(-1))
""",
        ("inside an `if`", "line 3"),
        fixed=False,
    ),
    "exception variable after its block": Program(
        """\
def run():
    try:
        int("x")
    except ValueError as error:
        pass
    return error  #!

run()
""",
        ("end of the `except`",),
        fixed=False,
    ),
    # attributes
    "misspelt method of a list": Program("xs = []\nxs.apend(1)  #!\nprint(xs)\n", ("`append`",)),
    "misspelt method of a string": Program("print('a b'.spilt())  #!\n", ("`split`",)),
    "misspelt attribute of a class": Program(
        """\
class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y
        self.label = "p"

p = Point(1, 2)
print(p.lable)  #!
""",
        ("`label`", "line 5"),
    ),
    "misspelt method through a base": Program(
        """\
class Base:
    def describe(self):
        return "base"

class Derived(Base):
    pass

print(Derived().discribe())  #!
""",
        ("`describe`",),
    ),
    "misspelt method of the library": Program(
        """\
from pathlib import Path

print(Path(".").exsits())  #!
""",
        ("`exists`",),
    ),
    "misspelt name of a module": Program("import math\nprint(math.squrt(4))  #!\n", ("`sqrt`",)),
    "misspelt name of os.path": Program("import os\nprint(os.path.exsts('x'))  #!\n", ("`exists`",)),
    "length as an attribute": Program("words = ['a']\nprint(words.length)  #!\n", ("len(…)",)),
    "push to a list": Program("xs = []\nxs.push(1)  #!\nprint(xs)\n", ("append",)),
    "text decoded": Program("print('a'.decode())  #!\n", ("text already",), fixed=False),
    "key as an attribute": Program('user = {"name": "Ann"}\nprint(user.name)  #!\n', ("key",)),
    "method of strings on a list": Program(
        "words = [' a ']\nprint(words.strip())  #!\n", ("each element",), fixed=False
    ),
    "None of sort": Program(
        """\
def largest(values):
    ordered = values.sort()
    return ordered.pop()  #!

print(largest([3, 1, 2]))
""",
        ("sorted(values)", "line 2"),
    ),
    "None of append": Program(
        """\
xs = []
for i in range(2):
    xs = xs.append(i)  #!
print(xs)
""",
        ("gives None",),
    ),
    "None of a function": Program(
        """\
def find(users, name):
    for user in users:
        if user["name"] == name:
            return user

print(find([], "Ann").get("name"))  #!
""",
        ("can reach its end", "line 1"),
        fixed=False,
    ),
    "None of a match": Program(
        """\
import re

found = re.match("a", "b")
print(found.group())  #!
""",
        ("nothing matches", "line 3"),
        fixed=False,
    ),
    "None of get": Program(
        """\
ages = {"Ann": 3}
age = ages.get("Bob")
print(age + 1)  #!
""",
        ("key that is not there", "line 2"),
        fixed=False,
    ),
    "submodule not imported": Program("import xml\nprint(xml.dom)  #!\n", ("import xml.dom",)),
    "init without its second underscores": Program(
        """\
class Account:
    def _init_(self, owner):
        self.owner = owner

print(Account("Ann").owner)  #!
""",
        ("__init__",),
    ),
    "init misspelt without arguments": Program(
        """\
class Box:
    def __int__(self):
        self.items = []

print(Box().items)  #!
""",
        ("__init__",),
    ),
    # imports
    "misspelt module": Program("import colections  #!\n\nprint(colections.Counter())\n", ("`collections`",)),
    "misspelt module in from": Program(
        "from dataclases import dataclass  #!\n\nprint(dataclass)\n", ("`dataclasses`",)
    ),
    "misspelt name in from": Program(
        "from math import sqroot as root, floor  #!\nprint(floor(root(4)))\n", ("`sqrt`",)
    ),
    "near name in from": Program("from math import sqrtt  #!\nprint(sqrtt(4))\n", ("`sqrt`",)),
    "moved to collections.abc": Program("from collections import Mapping  #!\nprint(Mapping)\n", ("collections.abc",)),
    "misspelt module of the project": Program(
        "import helpres  #!\n\nprint(helpres.one())\n",
        ("`helpers`", "the project"),
        beside={"helpers.py": "def one():\n    return 1\n"},
    ),
    "misspelt name of the project": Program(
        "from helpers import load_setings  #!\n\nprint(load_setings())\n",
        ("`load_settings`",),
        beside={"helpers.py": "def load_settings():\n    return {}\n"},
    ),
    "own file hides a module": Program(
        "import random\n\nprint(random.randint(1, 2))  #!\n",
        ("hides Python's own module",),
        fixed=False,
        beside={"random.py": "x = 1\n"},
    ),
    "circular import": Program(
        "from alpha import a  #!\nprint(a)\n",
        ("circle",),
        fixed=False,
        beside={"alpha.py": "from beta import b\na = 1\n", "beta.py": "from alpha import a\nb = 2\n"},
    ),
    "not installed": Program("import yaml_not_there  #!\n", ("not installed",), fixed=False),
    # calls
    "misspelt keyword": Program(
        """\
def connect(host, timeout=10):
    return host, timeout

print(connect("a", timout=5))  #!
""",
        ("`timeout`", "line 1"),
    ),
    "misspelt keyword of a class": Program(
        """\
class Window:
    def __init__(self, width, height):
        self.size = width, height

print(Window(width=1, heigth=2).size)  #!
""",
        ("`height`",),
    ),
    "misspelt keyword of a dataclass": Program(
        """\
from dataclasses import dataclass

@dataclass
class Item:
    name: str
    price: float = 0.0

print(Item(name="a", prise=2.0))  #!
""",
        ("`price`",),
    ),
    "misspelt keyword of a builtin": Program("print(sorted([2, 1], revers=True))  #!\n", ("`reverse`",)),
    "missing argument with a variable at hand": Program(
        """\
def greet(name, greeting):
    return greeting + name

greeting = "Hello "
print(greet("Ann"))  #!
""",
        ("greeting=greeting",),
    ),
    "missing argument": Program("def f(a, b):\n    return a + b\n\nprint(f(1))  #!\n", ("`b`", "line 1"), fixed=False),
    "method without self": Program(
        """\
class Dog:
    def bark():
        return "wuff"

print(Dog().bark())  #!
""",
        ("`self`",),
    ),
    "method without self with a parameter": Program(
        """\
class Dog:
    def bark(times):
        return "wuff" * times

print(Dog().bark(2))  #!
""",
        ("`self`",),
    ),
    "method of the class itself": Program(
        """\
class Dog:
    def bark(self):
        return "wuff"

print(Dog.bark())  #!
""",
        ("on the class",),
    ),
    "too many arguments": Program(
        "def f(a):\n    return a\n\nprint(f(1, 2))  #!\n", ("takes 1 positional argument",), fixed=False
    ),
    "class without init": Program(
        """\
class Box:
    def __inti__(self, size):
        self.size = size

print(Box(3).size)  #!
""",
        ("__init__",),
    ),
    "abstract method misspelt": Program(
        """\
from abc import ABC, abstractmethod

class Shape(ABC):
    @abstractmethod
    def area(self): ...

class Square(Shape):
    def aera(self):
        return 4

print(Square().area())  #!
""",
        ("`area`", "`aera`"),
    ),
    # operands
    "text and number": Program("age = 5\nprint('age: ' + age)  #!\n", ("str(age)",)),
    "text and number in a chain": Program("n = 3\nprint('have ' + n + ' left')  #!\n", ("str(n)",)),
    "number and text": Program("n = 3\nprint(n + ' left')  #!\n", ("str(n)",)),
    "number read as text": Program("n = input()\nprint(n - 1)  #!\n", ("int(n)",), typed="4\n"),
    "text compared with a number": Program(
        "age = input()\nif age > 17:  #!\n    print('adult')\n", ("int(age)",), typed="20\n"
    ),
    "augmented text": Program("text = 'a'\ntext += 1  #!\nprint(text)\n", ("str(1)",)),
    "list and element": Program("xs = [1]\nprint(xs + 'a')  #!\n", ("['a']",)),
    "function without its call": Program("def three():\n    return 3\n\nprint(three + 1)  #!\n", ("three()",)),
    "range of text": Program("n = input()\nfor i in range(n):  #!\n    print(i)\n", ("int(n)",), typed="2\n"),
    "range of a division": Program("n = 4\nfor i in range(n / 2):  #!\n    print(i)\n", ("//",)),
    "index of a division": Program("xs = [1, 2, 3]\nmiddle = len(xs) / 2\nprint(xs[middle])  #!\n", ("//", "line 2")),
    "join of numbers": Program("print(', '.join([1, 2]))  #!\n", ("map(str",)),
    "write of a number": Program(
        "import io\n\nout = io.StringIO()\nwith open('out.txt', 'w') as f:\n    f.write(5)  #!\n", ("str(5)",)
    ),
    "remainder of text": Program("n = input()\nif n % 2 == 0:  #!\n    print('even')\n", ("int(n)",), typed="4\n"),
    "forgotten await": Program(
        """\
import asyncio

async def number():
    return 3

async def main():
    n = number()
    print(n + 1)  #!

asyncio.run(main())
""",
        ("await",),
    ),
    # kinds
    "hidden builtin": Program("list = [1, 2]\nprint(list(range(3)))  #!\n", ("list_",)),
    "hidden builtin str": Program(
        """\
def describe(n):
    str = "number "
    return str + str(n)  #!

print(describe(3))
""",
        ("str_",),
    ),
    "missing comma between tuples": Program("points = [\n    (1, 2)  #!\n    (3, 4),\n]\nprint(points)\n", ("comma",)),
    "module called": Program("import datetime\n\nprint(datetime(2024, 1, 1))  #!\n", ("datetime.datetime",)),
    "list called": Program("xs = [1, 2]\nprint(xs(0))  #!\n", ("brackets",)),
    "property called": Program(
        """\
class Circle:
    @property
    def area(self):
        return 3.1

print(Circle().area())  #!
""",
        ("property",),
    ),
    "function indexed": Program("def f(x):\n    return x\n\nprint(f[1])  #!\n", ("parentheses",)),
    "builtin indexed": Program("print(len['abc'])  #!\n", ("parentheses",)),
    "generator indexed": Program("squares = (n * n for n in range(3))\nprint(squares[0])  #!\n", ("list(squares)",)),
    "keys indexed": Program("d = {'a': 1}\nprint(d.keys()[0])  #!\n", ("list(d.keys())",)),
    "number iterated": Program("n = 3\nfor i in n:  #!\n    print(i)\n", ("range(n)",)),
    "length iterated": Program("xs = [1]\nfor i in len(xs):  #!\n    print(xs[i])\n", ("range(len(xs))",)),
    "forgotten enumerate": Program("xs = [1, 2]\nfor i, x in xs:  #!\n    print(i, x)\n", ("enumerate(xs)",)),
    "dictionary without items": Program(
        "ages = {'Ann': 1}\nfor name, age in ages:  #!\n    print(name, age)\n", (".items()",)
    ),
    "length of a generator": Program("print(len(n for n in range(3)))  #!\n", ("list",)),
    "list as a key": Program("seen = {}\nplace = [1, 2]\nseen[place] = True  #!\n", ("tuple(place)",)),
    "list into a set": Program("seen = set()\nseen.add([1, 2])  #!\n", ("(1, 2)",)),
    "tuple changed": Program("point = (1, 2)\npoint[0] = 5  #!\nprint(point)\n", ("[1, 2]",)),
    "string changed": Program("s = 'abc'\ns[0] = 'x'  #!\n", ("strings cannot be changed",), fixed=False),
    "next of a list": Program("xs = [1]\nprint(next(xs))  #!\n", ("iter(xs)",)),
    "two indices": Program("grid = [[1, 2], [3, 4]]\nprint(grid[1, 0])  #!\n", ("[1][0]",)),
    "index from input": Program("xs = [1, 2]\ni = input()\nprint(xs[i])  #!\n", ("int(i)",), typed="1\n"),
    "element used as index": Program(
        "names = ['a', 'b']\nfor name in names:\n    print(names[name])  #!\n", ("already an element",)
    ),
    # lookups
    "misspelt key": Program(
        """\
def load():
    config = {"host": "localhost", "timeout": 10}
    return config["timeuot"]  #!

load()
""",
        ("'timeout'", "line 2"),
    ),
    "key of another type": Program("ages = {'1': 5, '2': 6}\nprint(ages[1])  #!\n", ("'1'",)),
    "counting into nothing": Program(
        "counts = {}\nfor c in 'abca':\n    counts[c] += 1  #!\nprint(counts)\n", (".get(c, 0)",)
    ),
    "grouping into nothing": Program(
        "groups = {}\nfor w in ['a', 'bb']:\n    groups[len(w)].append(w)  #!\nprint(groups)\n", ("setdefault",)
    ),
    "variable of the environment": Program(
        "import os\nprint(os.environ['NOT_THERE_AT_ALL'])  #!\n", ("environment variable",), fixed=False
    ),
    "range one too far": Program(
        """\
def total(xs):
    result = 0
    for i in range(len(xs) + 1):
        result += xs[i]  #!
    return result

print(total([1, 2]))
""",
        ("line 3", "range(len(xs))"),
    ),
    "while one too far": Program(
        "xs = [1, 2]\ni = 0\nwhile i <= len(xs):\n    print(xs[i])  #!\n    i += 1\n", ("`<`",)
    ),
    "length as index": Program("xs = [1, 2]\nprint(xs[len(xs)])  #!\n", ("len(xs) - 1",)),
    "neighbour beyond the end": Program(
        """\
xs = [1, 2, 3]
for i in range(len(xs)):
    print(xs[i] - xs[i + 1])  #!
""",
        ("len(xs) - 1",),
    ),
    "assignment to a position that is not there": Program(
        "xs = []\nfor i in range(3):\n    xs[i] = i  #!\nprint(xs)\n", ("append",)
    ),
    "literal too short": Program("xs = [1, 2]\nprint(xs[2])  #!\n", ("2 elements",), fixed=False),
    "missing argument of the program": Program(
        "import sys\nprint(sys.argv[1])  #!\n", ("started without",), fixed=False
    ),
    "pop for ever": Program("xs = [1]\nwhile True:\n    x = xs.pop()  #!\n    print(x)\n", ("while xs",)),
    # values
    "fraction read as whole": Program("print(int('3.7'))  #!\n", ("float('3.7')",)),
    "text read as number": Program("print(int('abc'))  #!\n", ("'abc'",), fixed=False),
    "too many values": Program("def f():\n    return 1, 2, 3\n\na, b = f()  #!\n", ("3 values", "line 2"), fixed=False),
    "closed file": Program("with open(__file__) as f:\n    pass\nprint(f.read())  #!\n", ("closes `f`",), fixed=False),
    "not json": Program("import json\n\njson.loads(\"{'a': 1}\")  #!\n", ("double quotes",), fixed=False),
    "empty json": Program("import json\n\njson.loads('')  #!\n", ("empty",), fixed=False),
    "maximum of nothing": Program("xs = []\nprint(max(xs))  #!\n", ("empty",), fixed=False),
    # system
    "misspelt file": Program(
        "print(open('setings.txt').read())  #!\n", ("'settings.txt'",), beside={"settings.txt": "a"}
    ),
    "folder there already": Program("import os\nos.mkdir('there')  #!\n", ("exist_ok",), beside={"there/x.txt": ""}),
    "dictionary changed in a loop": Program(
        "d = {'a': 1, 'b': 2}\nfor k in d:  #!\n    if d[k] == 1:\n        del d[k]\nprint(d)\n", ("list(d)",)
    ),
    "divided by the first index": Program("for i in range(3):\n    print(6 / i)  #!\n", ("range(1, 3)",)),
    "mean of nothing": Program(
        "def mean(xs):\n    return sum(xs) / len(xs)  #!\n\nmean([])\n", ("was empty",), fixed=False
    ),
    "recursion without an end": Program(
        "def f(n):\n    return n * f(n - 1)  #!\n\nf(3)\n", ("no way to end",), fixed=False
    ),
    "recursion without a change": Program(
        "def f(n):\n    if n == 0:\n        return 0\n    return f(n)  #!\n\nf(3)\n",
        ("very same arguments",),
        fixed=False,
    ),
    "assertion": Program(
        "def add(a, b):\n    return a - b\n\nassert add(1, 2) == 3, 'sum'  #!\n", ("add(1, 2) == 3",), fixed=False
    ),
    "method left to the subclass": Program(
        """\
class Shape:
    def area(self):
        raise NotImplementedError  #!

class Square(Shape):
    pass

Square().area()
""",
        ("place holder", "`Square`"),
        fixed=False,
    ),
    "iterator at its end": Program("it = iter([])\nnext(it)  #!\n", ("no further element",), fixed=False),
    "own exception": Program(
        """\
class ShopError(ValueError):
    \"\"\"Something is wrong with the shop.\"\"\"

def sell():
    raise ShopError("closed")  #!

sell()
""",
        ("raises this error itself", "based on ValueError"),
        fixed=False,
    ),
}

NOT_COMPILING = {
    "missing colon": Program("def f(x)\n    return x\n\nprint(f(1))\n", ("colon",)),
    "missing colon before a comment": Program("x = 1\nif x == 1  # one\n    print('a:b')\n", ("colon",)),
    "missing colon of else": Program("if 0:\n    pass\nelse\n    print(1)\n", ("colon",)),
    "bracket never closed": Program("print(max(1, 2)\nx = 1\n", ("never closed",)),
    "list never closed": Program("xs = [1, 2\nprint(xs)\n", ("never closed",)),
    "call of several lines never closed": Program("print(\n    1,\n    2,\n\nx = 3\n", ("never closed",)),
    "surplus bracket": Program("print(1))\n", ("no opening one",)),
    "wrong bracket": Program("xs = [1, 2)\nprint(xs)\n", ("`[`",)),
    "string never closed": Program("print('hello)\n", ("not closed",)),
    "string never closed at the end": Program('x = "abc\nprint(x)\n', ("not closed",)),
    "apostrophe": Program("print('it's fine')\n", ()),
    "assignment for comparison": Program("x = 3\nif x = 3:\n    print(x)\n", ("==",)),
    "missing comma in a list": Program("xs = [1 2, 3]\nprint(xs)\n", ("comma",)),
    "missing comma in a call": Program("print('a' 'b', 1 2)\n", ("comma",)),
    "missing comma between lines": Program("d = {\n    'a': 1\n    'b': 2,\n}\nprint(d)\n", ()),
    "print statement": Program("print 'hello'\n", ("parentheses",)),
    "unindented body": Program("def f():\nreturn 1\n\nprint(f())\n", ("block has to follow",)),
    "unindented body of two lines": Program("def f():\nx = 1\nreturn x\n\nprint(f())\n", ("block has to follow",)),
    "empty body": Program("def f():\n\ndef g():\n    pass\n", ("block has to follow",)),
    "unexpected indent": Program("x = 1\n    y = 2\nprint(x, y)\n", ("indented further",)),
    "unindent that fits nothing": Program("def f():\n        x = 1\n    return x\n\nprint(f())\n", ("fits none",)),
    "tabs and spaces": Program("def f():\n\tx = 1\n        return x\n\nprint(f())\n", ("abs and spaces",)),
    "return outside": Program("def f():\n    x = 1\nreturn x\n", ("outside of any function",)),
    "await outside async": Program(
        "import asyncio\n\ndef f():\n    await asyncio.sleep(0)\n\nprint(f)\n", ("async def",)
    ),
    "curly quotes": Program("print(“hello”)\n", ("word processor",)),
    "hard space": Program("x\u00a0= 1\nprint(x)\n", ()),
    "leading zeros": Program("x = 007\nprint(x)\n", ("begin with 0",)),
    "else if": Program("x = 1\nif x == 1:\n    pass\nelse if x == 2:\n    pass\n", ()),
    "double ampersand": Program("x = 1\nif x == 1 && x > 0:\n    print(x)\n", ()),
    "increment": Program("x = 1\nx++\nprint(x)\n", ()),
    "misspelt def": Program("dfe f():\n    return 1\n\nprint(f())\n", ()),
    "misspelt return": Program("def f():\n    retrun 1\n\nprint(f())\n", ()),
    "misspelt import": Program("improt os\nprint(os.name)\n", ()),
    "misspelt while": Program("x = 1\nwhlie x < 1:\n    x += 1\n", ()),
    "function of another language": Program("function f(x):\n    return x\n\nprint(f(1))\n", ()),
    "keyword as a name": Program("class = 3\nprint(class)\n", ()),
    "python 2 except": Program("try:\n    pass\nexcept ValueError, error:\n    print(error)\n", ()),
    "definition without parentheses": Program("def f:\n    return 1\n\nprint(f())\n", ("arenthes",)),
    "path with escapes": Program("p = 'C:\\Users\\ann'\nprint(p)\n", ("raw", "escape")),
    "same quotes in an f-string": Program("d = {'k': 1}\nprint(f'{d['k']}')\n", ()),
    "nonlocal of a global": Program("n = 0\n\ndef f():\n    nonlocal n\n    n += 1\n\nf()\n", ("global",)),
    "space after a backslash": Program("x = 1 + \\ \n    2\nprint(x)\n", ("backslash",)),
    "try alone": Program("try:\n    x = 1\nprint(x)\n", ("`except`",), False),
    "assignment to a call": Program("len('a') = 3\n", ("left side",), False),
}
