"""Features of images as a vector index in DuckDB, and the nearest images of one.

    vggbatch score images/ --output out --features
    python examples/vectors/index.py out index.duckdb                  # builds it
    python examples/vectors/index.py out index.duckdb images/cat.jpg   # its five nearest

Needs duckdb. `--hnsw` adds an approximate index (DuckDB's extension vss, which it downloads): worth
it from some hundred thousand images on.
"""

import argparse
from pathlib import Path

import duckdb

import vggbatch


def build(output: str, index: Path, *, hnsw: bool) -> int:
    """Make the table `images` of ids, classes and unit vectors; how many rows it has."""
    rows = vggbatch.load_predictions(output, ["image_id", "top5_synset", "features", "error"])
    scored = rows.filter(rows["features"].is_valid())
    width = len(scored["features"][0])
    with duckdb.connect(index) as db:
        db.execute(f"""
            create or replace table images as
            with vectors as (
                select image_id, top5_synset[1] as best, features::float[] as raw,
                       sqrt(list_dot_product(raw, raw)) as length
                from scored
            )
            select image_id, best,
                   list_transform(raw, lambda x: x / length)::float[{width}] as vector
            from vectors where length > 0
        """)
        if hnsw:
            db.execute("install vss; load vss; set hnsw_enable_experimental_persistence = true")
            db.execute("create index nearest on images using hnsw (vector) with (metric = 'ip')")
        return db.execute("select count(*) from images").fetchone()[0]


def nearest(index: Path, image_id: str, count: int = 5) -> list[tuple[str, str, float]]:
    """The images whose features are most like those of one: id, class and cosine."""
    with duckdb.connect(index, read_only=True) as db:
        return db.execute(
            """
            select o.image_id, o.best, array_inner_product(o.vector, i.vector) as cosine
            from images i, images o where i.image_id = ? and o.image_id <> i.image_id
            order by cosine desc, o.image_id limit ?
            """,
            [image_id, count],
        ).fetchall()


def main() -> None:
    """Build the index where there is none, and look an image up in it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", help="output of vggbatch score --features")
    parser.add_argument("index", type=Path, help="DuckDB file")
    parser.add_argument("image_id", nargs="?", help="image to look up, as the output names it")
    parser.add_argument("--hnsw", action="store_true", help="add an approximate index")
    given = parser.parse_args()
    if not given.index.exists():
        print(f"{build(given.output, given.index, hnsw=given.hnsw):,} images")
    if given.image_id is not None:
        for image_id, best, cosine in nearest(given.index, given.image_id):
            print(f"{cosine:.4f}  {image_id}  {best}")


if __name__ == "__main__":
    main()
