"""Reads an archive with DuckDB, Polars, pyarrow and chDB: every line of every segment must be there.

Called by tests/stock-readers/run with the directory of the archive and the number of lines. The sorted lines stand in
`expected` beside it. Readers of CSV are told that there is one column, that no byte separates and none quotes.
"""

import glob
import sys

import chdb
import duckdb
import polars
import pyarrow
import pyarrow.csv

directory, lines = sys.argv[1], int(sys.argv[2])
pattern = f"{directory}/archive/*/*/*.log.zst"
files = sorted(glob.glob(pattern))
with open(f"{directory}/expected", encoding="utf-8") as file:
    expected = file.read().splitlines()
days = sorted(path.split("expires=")[1][:10] for path in files)
NO_BYTE = "\x01"


def check(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: differs")
    print(f"ok: {what}")


def in_order(rows):
    """In the order of bytes, as `LC_ALL=C sort` has them."""
    return sorted(rows, key=lambda row: row.encode())


table = duckdb.sql(
    f"""SELECT line, expires, class FROM read_csv('{pattern}', header=false, auto_detect=false, quote='', escape='',
    delim='{NO_BYTE}', columns={{'line': 'VARCHAR'}}, compression='zstd', hive_partitioning=true)"""
).fetchall()
check("DuckDB", in_order(row[0] for row in table), expected)
check("DuckDB, partitions", sorted({str(row[1]) for row in table}), days)

frame = polars.scan_csv(
    pattern, has_header=False, separator=NO_BYTE, quote_char=None, new_columns=["line"], encoding="utf8"
).collect()
check("Polars", in_order(frame["line"]), expected)

rows = []
for path in files:
    with pyarrow.input_stream(path, compression="zstd") as stream:
        rows += pyarrow.csv.read_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(column_names=["line"]),
            parse_options=pyarrow.csv.ParseOptions(delimiter=NO_BYTE, quote_char=False),
        )["line"].to_pylist()
check("pyarrow", in_order(rows), expected)

query = f"""SELECT line, expires, class FROM file('{pattern}', LineAsString) SETTINGS use_hive_partitioning = 1"""
rows = chdb.query(query, "ArrowTable").to_pylist()
text = lambda value: value.decode() if isinstance(value, bytes) else str(value)
check("chDB", in_order(text(row["line"]) for row in rows), expected)
check("chDB, partitions", sorted({text(row["expires"]) for row in rows}), days)
assert len(expected) == lines
