"""Files that resemble each other are one cluster, and a cluster is on one side of the split."""

import random

from finetune.data.clusters import alike, choose_split, cluster_id, clusters
from finetune.data.dedupe import signature


def page(seed: int, n: int = 120) -> list[str]:
    rng = random.Random(seed)
    return [f"value_{i} = compute({rng.random()})" for i in range(n)]


def sign(lines: list[str]):
    return signature("\n".join(lines))


def test_near_duplicates_chains_and_versions_are_one_cluster():
    a, b, c, d = page(1), page(2), page(3), page(4)
    files = {
        "first.py": a,
        "half.py": a[:75] + b[:75],  # half of its pairs of lines are the first's
        "chain.py": b[:75] + c[:20],  # unlike the first, like the second
        "alone.py": d,
    }
    found = dict(zip(files, clusters(list(files), [sign(lines) for lines in files.values()]), strict=True))
    assert not alike(sign(files["first.py"]), sign(files["chain.py"]))
    assert found["first.py"] == found["half.py"] == found["chain.py"] != found["alone.py"]
    assert found["alone.py"] == cluster_id("alone.py")
    same = clusters(["json/decoder.py", "json/decoder.py", "json/encoder.py"], [sign(x) for x in (a, d, c)])
    assert same[0] == same[1] != same[2]


def test_the_cluster_does_not_depend_on_the_order():
    names = [f"{i}.py" for i in range(12)]
    signs = [sign(page(i // 3)[: 120 - i]) for i in range(12)]
    straight = dict(zip(names, clusters(names, signs), strict=True))
    turned = dict(zip(names[::-1], clusters(names[::-1], signs[::-1]), strict=True))
    assert straight == turned and len(set(straight.values())) == 4


def test_shares_are_about_kept():
    sides = [choose_split(cluster_id(f"module{i}.py"), (90, 5, 5)) for i in range(4000)]
    assert 0.88 < sides.count("train") / 4000 < 0.92
    assert 0.03 < sides.count("val") / 4000 < 0.07
