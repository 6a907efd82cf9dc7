"""What a package declares decides; what it does not declare is unknown, and unknown is not permitted."""

import pytest

from finetune.data.licences import UNKNOWN, allowed, declared, permitted

OSI = "License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("expression", "classifiers", "prose", "licence"),
    [
        ("MIT", (), "", "MIT"),
        ("Apache-2.0 OR\n BSD-3-Clause", (OSI + "MIT License",), "GPL", "Apache-2.0 OR BSD-3-Clause"),
        (None, ("License :: OSI Approved", OSI + "Apache Software License"), "whatever", "Apache-2.0"),
        (None, (OSI + "BSD License", "Programming Language :: Python"), "", "LicenseRef-BSD"),
        (None, (OSI + "MIT License", OSI + "Apache Software License"), "", "Apache-2.0 AND MIT"),
        (None, ("License :: OSI Approved",), "MIT License", "MIT"),
        (None, (), "MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        (None, (), "Apache License, Version 2.0", "Apache-2.0"),
        (None, (), "3-Clause BSD License", "BSD-3-Clause"),
        (None, (), "Copyright X\n\nPermission is hereby granted, free of charge, to any person", "MIT"),
        (None, (), "", UNKNOWN),
        (None, (), "UNKNOWN", UNKNOWN),
        ("", (), None, UNKNOWN),
    ],
)
def test_the_declared_licence(expression, classifiers, prose, licence):
    assert declared(expression, classifiers, prose) == licence
    assert permitted(licence) == (licence != UNKNOWN)


@pytest.mark.parametrize(
    ("expression", "classifiers", "prose"),
    [
        ("GPL-3.0-or-later", (), ""),
        ("MPL-2.0 AND MIT", (), ""),
        (None, (OSI + "GNU Lesser General Public License v3 (LGPLv3)",), "MIT"),
        (None, (OSI + "MIT License", OSI + "Mozilla Public License 2.0 (MPL 2.0)"), "MIT"),
        (None, (), "GPLv2, with an exception for MIT code"),
        (None, (), "GNU General Public License, parts under the BSD license"),
        (None, (), "Free for academic use"),
    ],
)
def test_other_licences_are_not_permitted(expression, classifiers, prose):
    assert not permitted(declared(expression, classifiers, prose))


def test_expressions_are_read_as_spdx_means_them():
    assert (
        permitted("(GPL-2.0-only OR MIT) AND ISC") and permitted("mit") and permitted("GPL-2.0-only OR (MIT AND Zlib)")
    )
    assert not permitted("(GPL-2.0-only OR MIT) AND LGPL-2.1-only")
    for odd in ("", "MIT AND", "(MIT", "MIT)", "MIT Apache-2.0", "Apache-2.0 WITH LLVM-exception", "AND"):
        assert not permitted(odd), odd
    assert {"mit", "apache-2.0", "psf-2.0", "bsd-3-clause", "isc", "0bsd"} <= allowed()
    assert not any("gpl" in name or "mpl" in name for name in allowed())
