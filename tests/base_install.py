"""What must work after ``pip install qdrant-octant`` with no extra: run by ``.ci/run``, without pytest.

Usage: python tests/base_install.py EMPTY_DIRECTORY
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

ABSENT = ("torch", "sentence_transformers", "transformers", "sklearn", "matplotlib", "pytest", "langchain_qdrant")
CODECS = (
    "float32",
    "float16",
    "float8(e4m3)",
    "float8(e5m2)",
    "int8",
    "int4",
    "turbo8",
    "pca(8)|float8",
    "truncate(8)",
)


def expect(fact: bool, what: str) -> None:
    print(f"  {'ok' if fact else 'NOT OK'}: {what}")
    if not fact:
        raise SystemExit(f"base install: {what} does not hold")


def nothing_extra_is_installed() -> None:
    for package in ABSENT:
        expect(find_spec(package) is None, f"{package} is absent")


def codecs_go_round() -> None:
    import octant

    x = np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32)
    for spec in CODECS:
        codec = octant.quantizer(spec).fit(x)
        decoded = codec.decode(codec.encode(x))
        error = float(np.square(decoded - x).mean() / np.square(x).mean())
        expect(error < 0.7, f"{spec} encodes and decodes (relative squared error {error:.1e})")


def edge_goes_round(directory: Path) -> None:
    import octant

    x = np.random.default_rng(1).standard_normal((500, 16)).astype(np.float32)
    with octant.Collection.create("base", location=directory, represent="pca(12)|float8") as collection:
        collection.add(vectors=x, ids=[f"row {i}" for i in range(len(x))])
        collection.optimize()
        before = collection.search_batch(x[:20], k=3)
    expect([ranking[0].id for ranking in before] == [f"row {i}" for i in range(20)], "Edge finds what was stored")
    with octant.Collection.open("base", location=directory) as collection:
        expect(collection.search_batch(x[:20], k=3) == before, "a reopened collection answers the same")


def langchain_goes_round(directory: Path) -> None:
    from langchain_core.embeddings import DeterministicFakeEmbedding

    from octant_langchain import OctantVectorStore

    model = DeterministicFakeEmbedding(size=8)
    with OctantVectorStore.from_texts(["one", "two"], model, path=directory, retrieval_mode="hybrid") as store:
        expect(store.similarity_search("two", k=1)[0].page_content == "two", "the LangChain store answers")


def a_configuration_goes_round(directory: Path) -> None:
    import octant

    file = directory / "octant.yaml"
    file.write_text("collection: configured\ncreate: true\nstore: .\nembedding: {dimension: 2}\nsparse: bm25\n")
    with octant.from_config(file) as pipeline:
        pipeline.collection.add(["one", "two"], vectors=np.eye(2), ids=[1, 2])
        found = pipeline.collection.search("two", mode="sparse")
    expect(found.ids == (2,), "a configuration makes a retriever")


def missing_extras_are_named() -> None:
    import octant

    try:
        octant.Collection.create("x", embedding="sentence-transformers/all-MiniLM-L6-v2")
    except octant.errors.MissingExtraError as error:
        expect("qdrant-octant[models]" in str(error), f"a model by name asks for its extra: {error}")
    else:
        expect(False, "a model by name asks for its extra")


def main(directory: Path) -> None:
    import octant

    print(f"octant {octant.__version__} on Python {sys.version.split()[0]}")
    nothing_extra_is_installed()
    codecs_go_round()
    edge_goes_round(directory)
    langchain_goes_round(directory)
    a_configuration_goes_round(directory)
    missing_extras_are_named()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
